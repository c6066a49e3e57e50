"""What a LoadTable refuses, what kills it, and what is then in the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl import faultpoints
from etlctl.core.context import Attempt, attempting
from etlctl.errors import BadDataError, LoadError
from etlctl.loads.modes import append
from etlctl.loads.table import LoadTable
from flight_loads import CSV, Feed, LoadFlights
from warehouse import Warehouse, all_ended, die_at, ended, forked


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


def test_values_that_cannot_be_had_leave_no_table_behind(warehouse: Warehouse) -> None:
    """The next run may declare other columns, and would meet a table of these."""

    class Load(LoadTable):
        table = "t"
        columns = {"a": "integer", "who": "text"}
        values = {"who": "me"}

        def rows(self):
            yield (1,)

    with pytest.raises(LoadError, match="neither a parameter nor an attribute"):
        Load().run()

    assert warehouse.ask("SELECT name FROM sqlite_schema WHERE name = 't'") == []


def test_what_fails_after_the_commit_does_not_say_that_nothing_was_loaded(warehouse: Warehouse) -> None:
    """The rows and their marker are there by then."""

    class Tended(LoadTable):
        columns = {"n": "integer"}

        def rows(self) -> Any:
            return [(1,)]

        def after_commit(self) -> None:
            raise ValueError("tending")

    with pytest.raises(ValueError, match="tending") as caught:
        Tended().run()

    assert not hasattr(caught.value, "__notes__")
    assert warehouse.count("tended") == 1 and [row[2] for row in warehouse.markers()] == ["done"]
