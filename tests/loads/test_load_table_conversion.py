"""What a field of a file and a value of rows() become, by the column's type; the same on every database."""

from __future__ import annotations

import csv
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from etlctl.core.task import ExternalTask
from etlctl.errors import BadDataError
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget
from warehouse import Warehouse

UTC = dt.UTC
CET = dt.timezone(dt.timedelta(hours=1))

GOOD = [
    ("integer", "17", 17),
    ("integer", "-2147483648", -2147483648),
    ("integer", "007", 7),
    ("bigint", "9223372036854775807", 9223372036854775807),
    ("numeric", "12.50", 12.5),
    ("numeric", "-3", -3),
    ("numeric(6,2)", "1.005", 1.01),
    ("double precision", "1e3", 1000.0),
    ("text", "", None),
    ("text", "NA", "NA"),
    ("varchar(3)", "äöü", "äöü"),
    ("boolean", "true", 1),
    ("boolean", "F", 0),
    ("date", "2013-01-31", "2013-01-31"),
    ("timestamp", "2013-01-01 05:00:00", "2013-01-01 05:00:00"),
    ("timestamp", "2013-01-01T05:00:00Z", "2013-01-01 05:00:00"),
    ("timestamp", "2013-01-01 05:00:00+01:00", "2013-01-01 04:00:00"),
    ("timestamp", "2013-01-01T05:00:00.250000", "2013-01-01 05:00:00.250000"),
    ("timestamp with time zone", "2013-01-01 05:00:00-05:00", "2013-01-01 10:00:00"),
]
BAD = [
    ("integer", "12.0"),
    ("integer", "2147483648"),
    ("integer", "1e3"),
    ("integer", "seven"),
    ("smallint", "40000"),
    ("numeric", "1,5"),
    ("numeric", "inf"),
    ("numeric(4,2)", "123.4"),
    ("double precision", "nan"),
    ("varchar(2)", "AAA"),
    ("boolean", "maybe"),
    ("date", "2013-02-29"),
    ("date", "01/02/2013"),
    ("timestamp", "2013-02-30 05:00:00"),
    ("timestamp", "yesterday"),
    ("json", "{"),
]
PYTHON = [
    ("integer", 17, 17),
    ("numeric", Decimal("12.50"), 12.5),
    ("numeric", float("nan"), None),
    ("text", 17, "17"),
    ("boolean", True, 1),
    ("date", dt.date(2013, 1, 31), "2013-01-31"),
    ("timestamp", dt.datetime(2013, 1, 1, 5, tzinfo=CET), "2013-01-01 04:00:00"),
    ("timestamp", dt.datetime(2013, 1, 1, 5), "2013-01-01 05:00:00"),
    ("bytes", b"\0\1", b"\0\1"),
    ("text", None, None),
]


class Feed(ExternalTask):
    def output(self) -> LocalTarget:
        return LocalTarget("feed.csv")


def load_text(warehouse: Warehouse, words: str, text: str) -> None:
    class Typed(LoadTable):
        columns = {"before": "text", "x": words}

        def requires(self) -> Feed:
            return Feed()

    with (warehouse.project / "feed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("before", "x"), ("1", text)])
    Typed().run()


@pytest.mark.parametrize(("words", "text", "expected"), GOOD)
def test_a_field_becomes_the_columns_value(warehouse: Warehouse, words: str, text: str, expected: Any) -> None:
    """As it is kept in the table, type included."""
    load_text(warehouse, words, text)

    [(found,)] = warehouse.ask("SELECT x FROM typed")
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(("words", "text"), BAD)
def test_a_field_that_is_no_value_of_the_column_is_refused(warehouse: Warehouse, words: str, text: str) -> None:
    """With file, line, column and the value; the target is untouched."""
    with pytest.raises(BadDataError, match=r"feed\.csv: line 2, column x: ") as raised:
        load_text(warehouse, words, text)

    assert text in str(raised.value)
    assert warehouse.count("typed") == 0 and warehouse.markers() == []


def test_a_long_value_is_shortened_in_the_message(warehouse: Warehouse) -> None:
    """Nobody reads a megabyte of it."""
    with pytest.raises(BadDataError) as raised:
        load_text(warehouse, "integer", "x" * 100_000)

    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(("words", "value", "expected"), PYTHON)
def test_a_python_value_becomes_the_columns_value(warehouse: Warehouse, words: str, value: Any, expected: Any) -> None:
    """rows() may yield what Python has; nothing is left to the driver's deprecated adapters."""

    class Typed(LoadTable):
        columns = {"x": words}

        def rows(self) -> Any:
            return [{"x": value}]

    Typed().run()

    [(found,)] = warehouse.ask("SELECT x FROM typed")
    assert found == expected and type(found) is type(expected)
