"""The pipeline whose markers Luigi wrote into the databases beside this file: same task, same parameters."""

from __future__ import annotations

from typing import Any

from etlctl import DateParameter, LoadTable


class LoadFlights(LoadTable):
    """Two flights a day."""

    date = DateParameter()
    table = "flights"
    columns = {"date": "date", "carrier": "varchar(2)", "flight": "integer", "delay": "numeric(6,1)"}
    values = {"date": "date"}

    def rows(self) -> Any:
        return [("UA", 1545, 2.5), ("AA", 1141, -3)]
