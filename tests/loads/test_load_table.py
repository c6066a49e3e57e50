from __future__ import annotations

import bz2
import datetime as dt
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from etlctl import faultpoints
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter, IntParameter, Parameter
from etlctl.core.task import ExternalTask
from etlctl.errors import BadDataError, LoadError
from etlctl.loads.checks import not_null, row_count
from etlctl.loads.modes import append
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget
from warehouse import Warehouse, all_ended, die_at, ended, forked

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


class Cities(LoadTable):
    """rows(), appended."""

    number = IntParameter(default=1)
    columns = {"name": "text", "people": "bigint"}

    def rows(self) -> Iterator[Any]:
        yield {"name": "Bonn", "people": 330_000}
        yield ("Köln", "1000000")


@pytest.fixture
def flights(warehouse: Warehouse) -> Path:
    """A day of two flights."""
    path = warehouse.project / "flights.csv"
    path.write_text(CSV)
    return path


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


def test_load_table_takes_the_columns_of_a_table_that_is_there(warehouse: Warehouse) -> None:
    """Without `columns` the table's own count."""

    class Known(LoadTable):
        def rows(self) -> Any:
            return [{"b": "2", "a": "x"}]

    warehouse.write("CREATE TABLE known (a TEXT, b INTEGER)")

    Known().run()

    assert warehouse.ask("SELECT a, b FROM known") == [("x", 2)]


def test_load_table_without_columns_and_table_says_so(warehouse: Warehouse) -> None:
    """There is nothing to make the table from."""

    class Unknown(LoadTable):
        def rows(self) -> Any:
            return [(1,)]

    with pytest.raises(LoadError, match="there is no table unknown, and Unknown declares no columns"):
        Unknown().run()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CSV.replace("1545", "15x45"), r"flights\.csv.*line 2, column flight.*15x45"),
        (CSV.replace("1141", "12.0"), r"line 3, column flight.*12\.0"),
        (CSV.replace("06:00:00", "26:00:00"), r"line 3, column time_hour"),
        (CSV.replace("AA", "AAA"), r"line 3, column carrier"),
        (CSV.replace("AA,1141", "AA"), r"line 3"),
        (CSV.replace("dep_delay", "delay"), r"no column dep_delay.*delay"),
        (CSV.replace("ignored", "flight"), r"flight"),
        (CSV + '"open', r"line 4.*quote"),
    ],
)
def test_bad_data_names_file_line_and_column_and_leaves_nothing(
    warehouse: Warehouse, flights: Path, text: str, said: str
) -> None:
    """The target is as it was: here, empty; and there is no marker."""
    flights.write_text(text)

    with pytest.raises(BadDataError, match=said):
        LoadFlights().run()

    assert warehouse.count("flights") == 0 and warehouse.markers() == []


def test_bytes_that_are_not_utf8_name_line_and_column(warehouse: Warehouse, flights: Path) -> None:
    """A latin-1 file is refused, not guessed at."""
    flights.write_bytes(CSV.replace("AA", "Ä").encode("latin-1"))

    with pytest.raises(BadDataError, match=r"line 3, column carrier.*not UTF-8"):
        LoadFlights().run()

    assert warehouse.count("flights") == 0


def test_a_bad_value_of_rows_names_its_row(warehouse: Warehouse) -> None:
    """Rows are counted from 1."""

    class Bad(LoadTable):
        columns = {"x": "integer"}

        def rows(self) -> Any:
            return [(1,), ("two",)]

    with pytest.raises(BadDataError, match=r"rows\(\): row 2, column x: 'two'"):
        Bad().run()

    assert warehouse.count("bad") == 0 and warehouse.markers() == []


def test_rows_that_raise_leave_nothing(warehouse: Warehouse) -> None:
    """The exception comes out as it is."""

    class Breaks(LoadTable):
        columns = {"x": "integer"}

        def rows(self) -> Iterator[Any]:
            yield (1,)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Breaks().run()

    assert warehouse.count("breaks") == 0 and warehouse.markers() == []


@pytest.mark.parametrize(
    ("text", "note"),
    [("", "flights.csv is empty: 0 rows"), (CSV.splitlines()[0] + "\n", "flights.csv holds a header alone: 0 rows")],
)
def test_a_file_without_rows_loads_zero_rows_and_says_so(
    warehouse: Warehouse, flights: Path, text: str, note: str
) -> None:
    """It is done: an empty day is a day."""
    flights.write_text(text)

    with attempting(Attempt()) as attempt:
        LoadFlights().run()

    assert [one for one in attempt.notes if one.endswith(note)] and attempt.rows == 0
    assert warehouse.markers()[0][2:] == ("done", 0)


def test_input_that_changes_while_it_is_loaded_is_refused(
    warehouse: Warehouse, flights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size and time are looked at again before COMMIT (F83)."""

    def point(name: str) -> None:
        if name == "load.copied":
            flights.write_text(CSV + "BB,1,1,z,2013-01-01 07:00:00\n")

    monkeypatch.setattr(faultpoints, "point", point)

    with pytest.raises(BadDataError, match="changed while it was being loaded"):
        LoadFlights().run()

    assert warehouse.count("flights") == 0 and warehouse.markers() == []


def test_marker_describes_the_input(warehouse: Warehouse, flights: Path) -> None:
    """Path, size and time of the file."""
    LoadFlights().run()

    [(text,)] = warehouse.ask("SELECT inputs FROM table_updates")
    [described] = json.loads(text)
    assert described["path"] == str(flights) and described["size"] == len(CSV) and "T" in described["mtime"]


def test_a_requirement_that_is_no_file_is_refused(warehouse: Warehouse) -> None:
    """There must be one file, or rows()."""

    class Nothing(LoadTable):
        columns = {"x": "integer"}

    with pytest.raises(LoadError, match=r"Nothing has no rows\(\).*it is: nothing"):
        Nothing().run()


def test_values_that_name_nothing_are_refused(warehouse: Warehouse, flights: Path) -> None:
    """Neither parameter nor attribute; and a column that is not declared."""

    class Wrong(LoadFlights):
        values = {"date": "dat"}

    class Undeclared(LoadFlights):
        values = {"day": "date"}

    with pytest.raises(LoadError, match=r"date is to come from 'dat'.*parameters: date"):
        Wrong().run()
    with pytest.raises(LoadError, match="gives the column day, which columns does not declare"):
        Undeclared().run()


@pytest.mark.parametrize("point", faultpoints.POINTS)
def test_kill_at_each_point_then_again_loads_once(warehouse: Warehouse, flights: Path, point: str) -> None:
    """kill -9 in the first run; the second ends with every row once."""

    def work() -> None:
        die_at(point)
        LoadFlights().run()

    assert ended(forked(work)) == -9

    LoadFlights().run()

    assert warehouse.count("flights") == 2
    assert warehouse.markers() == [(LoadFlights().task_id, "flights", "done", 2)]


def test_racing_processes_load_one_file_once(warehouse: Warehouse, flights: Path) -> None:
    """Four at a time; the table, the marker table and the folder are missing too (F27, F30)."""
    statuses = all_ended([forked(lambda: LoadFlights().run()) for _ in range(4)])

    assert statuses == [0] * 4
    assert warehouse.count("flights") == 2 and len(warehouse.markers()) == 1


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

        def update_id(self) -> str:  # type: ignore[override]
            return "mine"

    ByMethod().run()

    assert warehouse.markers() == [("mine", "one", "done", 2)]
    assert warehouse.ask("SELECT update_key FROM table_updates") == [(None,)]


def test_default_update_id_keeps_the_update_key(warehouse: Warehouse) -> None:
    """So that a chance equality of two ids is seen."""
    Cities().run()

    assert warehouse.ask("SELECT update_key FROM table_updates") == [(Cities().update_key,)]


def test_missing_column_in_the_table_says_evolve(warehouse: Warehouse, flights: Path) -> None:
    """The error names table and column, and the way out."""
    warehouse.write("CREATE TABLE flights (date DATE, carrier VARCHAR(2), flight INTEGER, time_hour TIMESTAMP)")

    with pytest.raises(LoadError, match=r"the table flights has no column dep_delay\. Set evolve = True"):
        LoadFlights().run()


def test_evolve_adds_the_missing_column(warehouse: Warehouse, flights: Path) -> None:
    """Rows that are there get NULL."""

    class Evolving(LoadFlights):
        evolve = True

    warehouse.write(
        "CREATE TABLE flights (date DATE, carrier VARCHAR(2), flight INTEGER, time_hour TIMESTAMP)",
        "INSERT INTO flights VALUES ('2012-12-31', 'ZZ', 1, NULL)",
    )

    Evolving().run()

    assert warehouse.ask("SELECT carrier, dep_delay FROM flights ORDER BY flight") == [
        ("ZZ", None),
        ("AA", None),
        ("UA", 2),
    ]


def test_evolve_refuses_a_narrower_type(warehouse: Warehouse, flights: Path) -> None:
    """Rows that are there would no longer fit."""

    class Evolving(LoadFlights):
        evolve = True

    warehouse.write("CREATE TABLE flights (date DATE, carrier VARCHAR(20), flight INTEGER, time_hour TIMESTAMP)")

    with pytest.raises(LoadError, match=r"carrier of flights is VARCHAR\(20\), and columns declares the narrower"):
        LoadFlights().clone(Evolving).run()


def test_a_table_with_further_columns_is_loaded(warehouse: Warehouse, flights: Path) -> None:
    """In another order, and with a default."""
    warehouse.write(
        "CREATE TABLE flights (id INTEGER PRIMARY KEY, time_hour TIMESTAMP, date DATE, dep_delay NUMERIC, "
        "flight INTEGER, carrier VARCHAR(2), noted TEXT DEFAULT 'yes')"
    )

    LoadFlights().run()

    assert warehouse.ask("SELECT id, carrier, noted FROM flights") == [(1, "UA", "yes"), (2, "AA", "yes")]


def test_not_null_of_the_table_is_bad_data(warehouse: Warehouse, flights: Path) -> None:
    """Found while the rows are staged, with the line of the file, or the row of rows()."""

    class Sparse(LoadTable):
        columns = {"a": "integer", "b": "text not null"}

        def rows(self) -> Any:
            return [(1, "x"), (2, None)]

    warehouse.write("CREATE TABLE flights (date, carrier, flight, dep_delay NUMERIC NOT NULL, time_hour)")

    with pytest.raises(BadDataError, match=r"flights\.csv: line 3, column dep_delay: .*NOT NULL"):
        LoadFlights().run()
    with pytest.raises(BadDataError, match=r"rows\(\): row 2, column b: .*NOT NULL"):
        Sparse().run()


@pytest.mark.parametrize("wrong", [0, 15, 16, 31, 32, 33, 20_000, 20_005])
def test_a_bad_value_is_found_wherever_it_is(warehouse: Warehouse, flights: Path, wrong: int) -> None:
    """Records are inserted several at a time; the line is the record's own, also behind fields with line ends."""

    class Long(LoadTable):
        columns = {"x": "integer", "note": "text", "number": "integer"}
        values = {"number": 7}
        mode = append

        def requires(self) -> Feed:
            return Feed()

    records = [f'{number},"two\nlines"\n' for number in range(20_006)]
    records[wrong] = "x,one line\n"
    flights.write_text("x,note\n" + "".join(records))

    with pytest.raises(BadDataError, match=rf"flights\.csv: line {2 + 2 * wrong}, column x: 'x'"):
        Long().run()

    records[wrong] = "0,one line\n"
    flights.write_text("x,note\n" + "".join(records))
    Long().run()
    assert warehouse.ask("SELECT count(*), sum(number) FROM long") == [(20_006, 7 * 20_006)]


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
