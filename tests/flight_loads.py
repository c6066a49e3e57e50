"""A day of two flights, the file and the task that loads it: shared by the tests of LoadTable."""

from __future__ import annotations

import datetime as dt

from etlctl.core.parameters import DateParameter, Parameter
from etlctl.core.task import ExternalTask
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget

CSV = "carrier,flight,dep_delay,ignored,time_hour\nUA,1545,2,x,2013-01-01T05:00:00Z\nAA,1141,NA,y,2013-01-01 06:00:00\n"
DAY = dt.date(2013, 1, 1)


class Feed(ExternalTask):
    """A file of the project folder."""

    name = Parameter(default="flights.csv")

    def output(self) -> LocalTarget:
        return LocalTarget(self.name)


class LoadFlights(LoadTable):
    """The example of the design."""

    date = DateParameter(default=DAY)
    name = Parameter(default="flights.csv", significant=False)
    table = "flights"
    columns = {
        "date": "date",
        "carrier": "varchar(2)",
        "flight": "integer",
        "dep_delay": "numeric",
        "time_hour": "timestamp",
    }
    values = {"date": "date"}
    null_values = ("", "NA")

    def requires(self) -> Feed:
        return Feed(self.name)
