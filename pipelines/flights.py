"""A day of flights: loaded exactly once, summed up per carrier, joined with the weather, reported per month."""

import calendar
import datetime as dt

from etlctl import (
    DateParameter,
    DumpTable,
    LoadTable,
    LocalTarget,
    MonthParameter,
    QueryTable,
    WrapperTask,
    not_null,
    replace_where,
    requires,
    row_count,
    unique,
)
from pipelines.files import FlightsFile, WeatherFile
from pipelines.reference import Airlines, Reference


class LoadFlights(LoadTable):
    """One day of flights. The day is not in the file: it comes from the parameter."""

    date = DateParameter(description="local day of departure")
    table = "flights"
    columns = {
        "date": "date",
        "carrier": "varchar(2)",
        "flight": "integer",
        "tailnum": "varchar(10)",
        "origin": "varchar(3)",
        "dest": "varchar(3)",
        "sched_dep_time": "integer",
        "dep_time": "integer",
        "dep_delay": "integer",
        "arr_delay": "integer",
        "distance": "integer",
        "time_hour": "timestamp",
    }
    values = {"date": "date"}
    null_values = ("", "NA")
    checks = [not_null("carrier", "origin"), unique("carrier", "flight", "origin", "time_hour"), row_count(min=1)]

    def requires(self):
        return FlightsFile(self.date)


class LoadWeather(LoadTable):
    """One day of hourly weather at the three airports."""

    date = DateParameter(description="local day of the observations")
    table = "weather"
    columns = {
        "date": "date",
        "origin": "varchar(3)",
        "time_hour": "timestamp",
        "temp": "numeric(6,2)",
        "wind_speed": "numeric(8,4)",
        "precip": "numeric(6,2)",
        "visib": "numeric(6,2)",
    }
    values = {"date": "date"}
    null_values = ("", "NA")
    checks = [unique("origin", "time_hour")]

    def requires(self):
        return WeatherFile(self.date)


@requires(LoadFlights, Airlines)
class CarrierDelays(QueryTable):
    """Flights, cancellations and mean delay per carrier and day; the query is carrier_delays.sql."""

    date = DateParameter(description="local day of departure")
    mode = replace_where("date")
    checks = [not_null("airline"), unique("date", "carrier")]


@requires(LoadFlights, LoadWeather)
class WeatherDelays(QueryTable):
    """The same delays by origin and by whether it rained; the query is weather_delays.sql."""

    date = DateParameter(description="local day of departure")
    mode = replace_where("date")


class MonthlyReport(DumpTable):
    """Carriers of a month, the most delayed first, as a CSV file."""

    month = MonthParameter(description="month of departure")
    query = """
        SELECT carrier, airline, sum(flights) AS flights, sum(cancelled) AS cancelled,
               round(sum((flights - cancelled) * mean_dep_delay) / sum(flights - cancelled), 1) AS mean_dep_delay
        FROM carrier_delays
        WHERE date BETWEEN :month AND :last_day
        GROUP BY carrier, airline
        ORDER BY mean_dep_delay DESC, carrier
    """

    def requires(self):
        return [CarrierDelays(self.month.replace(day=day + 1)) for day in range(self.last_day.day)]

    @property
    def last_day(self) -> dt.date:
        """Queries may name any attribute of the task, not only its parameters."""
        return self.month.replace(day=calendar.monthrange(self.month.year, self.month.month)[1])

    def output(self):
        return LocalTarget(f"reports/{self.month:%Y-%m}.csv")


class Day(WrapperTask):
    """All there is to know about one day."""

    date = DateParameter(description="local day of departure")

    def requires(self):
        return [Reference(), CarrierDelays(self.date), WeatherDelays(self.date)]
