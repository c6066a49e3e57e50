from __future__ import annotations

import bz2
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter, IntParameter
from etlctl.errors import LoadError
from etlctl.loads.checks import not_null, row_count
from etlctl.loads.table import LoadTable
from flight_loads import CSV, DAY, Feed, LoadFlights
from warehouse import Warehouse


class Cities(LoadTable):
    """rows(), appended."""

    number = IntParameter(default=1)
    columns = {"name": "text", "people": "bigint"}

    def rows(self) -> Iterator[Any]:
        yield {"name": "Bonn", "people": 330_000}
        yield ("Köln", "1000000")


def test_load_table_loads_the_file_of_its_requirement(warehouse: Warehouse, flights: Path) -> None:
    """Columns by header, the day from the parameter, null words, instants in UTC, marker with the count."""
    LoadFlights().run()

    assert warehouse.ask("SELECT * FROM flights") == [
        ("2013-01-01", "UA", 1545, 2, "2013-01-01 05:00:00"),
        ("2013-01-01", "AA", 1141, None, "2013-01-01 06:00:00"),
    ]
    assert warehouse.markers() == [(LoadFlights().task_id, "flights", "done", 2)]
    assert LoadFlights().complete()


def test_load_table_runs_once(warehouse: Warehouse, flights: Path) -> None:
    """A second run() finds the marker and does nothing."""
    LoadFlights().run()
    flights.unlink()

    LoadFlights().run()

    assert warehouse.count("flights") == 2


@pytest.mark.parametrize(("suffix", "pack"), [(".csv.gz", gzip.compress), (".csv.bz2", bz2.compress), (".csv", bytes)])
def test_load_table_unpacks_by_suffix(warehouse: Warehouse, suffix: str, pack: Any) -> None:
    """gz, bz2 and plain."""
    (warehouse.project / f"a{suffix}").write_bytes(pack(CSV.encode()))

    LoadFlights(name=f"a{suffix}").run()

    assert warehouse.count("flights") == 2


def test_load_table_reads_tabs_and_files_without_header(warehouse: Warehouse) -> None:
    """`header = False` names the columns in order; .tsv is cut at tabs."""

    class Plain(LoadTable):
        table = "plain"
        columns = {"a": "text", "b": "integer"}
        header = False

        def requires(self) -> Feed:
            return Feed("plain.tsv")

    (warehouse.project / "plain.tsv").write_text("x,1\t1\ny\t2\n")

    Plain().run()

    assert warehouse.ask("SELECT * FROM plain") == [("x,1", 1), ("y", 2)]


def test_load_table_takes_rows_as_mappings_and_sequences(warehouse: Warehouse) -> None:
    """The table's name is the class name in snake case; text becomes the column's type."""
    Cities().run()

    assert warehouse.ask("SELECT name, people, typeof(people) FROM cities") == [
        ("Bonn", 330_000, "integer"),
        ("Köln", 1_000_000, "integer"),
    ]


def test_load_table_puts_values_besides_rows(warehouse: Warehouse) -> None:
    """`values` apply to rows() too: parameters, attributes and constants."""

    class Loaded(LoadTable):
        day = DateParameter(default=DAY)
        columns = {"x": "integer", "day": "date", "source": "text", "twice": "integer"}
        values = {"day": "day", "twice": "doubled", "source": 7}

        @property
        def doubled(self) -> int:
            return 42

        def rows(self) -> Any:
            return [(1,), {"x": 2, "day": "ignored"}]

    Loaded().run()

    assert warehouse.ask("SELECT x, day, source, twice FROM loaded") == [
        (1, "2013-01-01", "7", 42),
        (2, "2013-01-01", "7", 42),
    ]


def test_load_table_takes_sqlalchemy_columns(warehouse: Warehouse) -> None:
    """As Luigi's sqla users have them."""

    class Typed(LoadTable):
        columns = [sa.Column("a", sa.String(3), nullable=False), sa.Column("b", sa.Date)]

        def rows(self) -> Any:
            return [("abc", DAY)]

    Typed().run()

    assert warehouse.ask("SELECT a, b FROM typed") == [("abc", "2013-01-01")]
    assert warehouse.ask("SELECT \"notnull\" FROM pragma_table_info('typed')") == [(1,), (0,)]


def test_load_table_takes_the_columns_of_a_table_that_is_there(anywhere: AnyWarehouse) -> None:
    """Without `columns` the table's own count."""

    class Known(LoadTable):
        def rows(self) -> Any:
            return [{"b": "2", "a": "x"}]

    anywhere.write("CREATE TABLE known (a TEXT, b INTEGER)")

    Known().run()

    assert anywhere.ask("SELECT a, b FROM known") == [("x", 2)]


def test_load_table_without_columns_and_table_says_so(anywhere: AnyWarehouse) -> None:
    """There is nothing to make the table from."""

    class Unknown(LoadTable):
        def rows(self) -> Any:
            return [(1,)]

    with pytest.raises(LoadError, match="there is no table unknown, and Unknown declares no columns"):
        Unknown().run()


def test_marker_describes_the_input(warehouse: Warehouse, flights: Path) -> None:
    """Path, size and time of the file."""
    LoadFlights().run()

    [(text,)] = warehouse.ask("SELECT inputs FROM table_updates")
    [described] = json.loads(text)
    assert described["path"] == str(flights) and described["size"] == len(CSV) and "T" in described["mtime"]


NAMES = ['t"; DROP TABLE table_updates; --', "a.b.c", "x' OR '1'='1", "té 表", "a:b %(c)s ?", "nothing", "select"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_tables_and_columns_are_quoted(warehouse: Warehouse, name: str) -> None:
    """Whatever is in a name, it is a name (S1, F81)."""

    class Odd(LoadTable):
        table = name
        day = DateParameter(default=DAY)
        columns = {name: "integer", "day": "date"}
        values = {"day": "day"}
        checks = [not_null(name), row_count(min=3, scope="table", severity="warn")]

        def rows(self) -> Any:
            return [{name: 1}, {name: 2}]

    Odd().run()

    quoted = name.replace('"', '""')
    assert warehouse.ask(f'SELECT "{quoted}", day FROM "{quoted}"') == [(1, "2013-01-01"), (2, "2013-01-01")]
    assert warehouse.markers() == [(Odd().task_id, name, "done", 2)]


def test_update_id_may_be_ones_own(warehouse: Warehouse) -> None:
    """A property, an attribute, or Luigi's method; the update_key is then not kept."""

    class ByMethod(Cities):
        table = "one"

        def update_id(self) -> str:
            return "mine"

    ByMethod().run()

    assert warehouse.markers() == [("mine", "one", "done", 2)]
    assert warehouse.ask("SELECT update_key FROM table_updates") == [(None,)]


def test_default_update_id_keeps_the_update_key(anywhere: AnyWarehouse) -> None:
    """So that a chance equality of two ids is seen."""
    Cities().run()

    assert anywhere.ask("SELECT update_key FROM table_updates") == [(Cities().update_key,)]


def test_rows_are_counted_while_they_come(warehouse: Warehouse) -> None:
    """The live display reads attempt().rows."""
    seen: list[int | None] = []

    class Many(LoadTable):
        columns = {"x": "integer"}

        def rows(self) -> Iterator[Any]:
            for number in range(50_000):
                yield (number,)
                if number % 25_000 == 24_999:
                    seen.append(attempt.rows)

    with attempting(Attempt()) as attempt:
        Many().run()

    assert seen[0] == 20_000 and attempt.rows == 50_000


def test_rows_of_a_slow_source_are_counted_by_time(anywhere: AnyWarehouse) -> None:
    """A few rows a second: the count is there after half a second, long before the thousands are full."""
    seen: list[int | None] = []

    class Slow(LoadTable):
        columns = {"x": "integer"}

        def rows(self) -> Iterator[Any]:
            for number in range(4):
                yield (number,)
                seen.append(attempt.rows)
                time.sleep(0.3)

    with attempting(Attempt()) as attempt:
        Slow().run()

    assert seen[0] in (None, 1)
    assert (seen[-1] or 0) >= 2
