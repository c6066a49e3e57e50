"""QueryTable: a query's rows in a table, exactly once, with the types they have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter, IntParameter, ListParameter, Parameter
from etlctl.errors import CheckFailedError, LoadError, QueryError
from etlctl.loads.checks import no_rows, not_null, row_count, unique
from etlctl.loads.modes import append, merge_on, replace, replace_where
from etlctl.loads.query import QueryTable
from warehouse import Warehouse, all_ended, forked

DAY = date(2013, 1, 1)


@pytest.fixture
def flights(warehouse: Warehouse) -> Warehouse:
    """Three flights of two days."""
    warehouse.write(
        "CREATE TABLE flights (date DATE, carrier VARCHAR(2), dep_delay NUMERIC(6, 2), time_hour TIMESTAMP)",
        "INSERT INTO flights VALUES ('2013-01-01', 'UA', 4, '2013-01-01 05:00:00'),"
        " ('2013-01-01', 'UA', 8, '2013-01-01 06:00:00'), ('2013-01-01', 'AA', NULL, '2013-01-01 06:00:00'),"
        " ('2013-01-02', 'UA', 1.5, '2013-01-02 05:00:00')",
    )
    return warehouse


class CarrierDelays(QueryTable):
    """The example of the design."""

    date = DateParameter(default=DAY)
    mode: Any = replace_where("date")
    query: Any = """
        SELECT date, carrier, count(*) AS flights, round(avg(dep_delay), 2) AS mean_delay, max(time_hour) AS last
        FROM flights WHERE date = :date GROUP BY date, carrier  -- of the day
        ORDER BY carrier;
    """


def test_query_table_loads_what_the_query_returns(flights: Warehouse) -> None:
    """Rows and marker are there together, the rows counted."""
    with attempting(Attempt()) as attempt:
        CarrierDelays(DAY).run()

    assert flights.ask("SELECT * FROM carrier_delays") == [
        ("2013-01-01", "AA", 1, None, "2013-01-01 06:00:00"),
        ("2013-01-01", "UA", 2, 6.0, "2013-01-01 06:00:00"),
    ]
    assert flights.markers() == [(CarrierDelays(DAY).task_id, "carrier_delays", "done", 2)]
    assert attempt.rows == 2


def test_query_table_makes_the_table_from_the_querys_types(flights: Warehouse) -> None:
    """A column taken as it is keeps its declared type; an expression has the type of its values."""
    CarrierDelays(DAY).run()

    types = {row[1]: row[2] for row in flights.ask("PRAGMA table_info(carrier_delays)")}
    assert types["date"] == "DATE"
    assert types["carrier"] == "VARCHAR(2)"
    assert types["flights"] in ("INTEGER", "BIGINT")
    assert types["mean_delay"] == "DOUBLE PRECISION"


def test_query_table_runs_once(flights: Warehouse) -> None:
    """A second run finds the marker and does nothing, also when the input has changed."""
    CarrierDelays(DAY).run()
    flights.write("DELETE FROM flights")

    CarrierDelays(DAY).run()

    assert flights.count("carrier_delays") == 2


def test_query_table_replaces_its_partition_alone(flights: Warehouse) -> None:
    """replace_where(date) takes out the rows of the parameter's day, and leaves the other days."""
    CarrierDelays(DAY).run()
    CarrierDelays(date(2013, 1, 2)).run()
    flights.write("DELETE FROM flights WHERE carrier = 'AA'")

    with attempting(Attempt(forced=True)):
        CarrierDelays(DAY).run()

    assert flights.ask("SELECT date, carrier FROM carrier_delays ORDER BY 1, 2") == [
        ("2013-01-01", "UA"),
        ("2013-01-02", "UA"),
    ]


def test_query_table_refuses_rows_outside_its_partition(flights: Warehouse) -> None:
    """A query that forgets its WHERE would double other days' rows: refused, nothing kept."""

    class Careless(CarrierDelays):
        query = "SELECT date, carrier, 1 AS flights FROM flights WHERE :date > ''"

    with pytest.raises(LoadError, match="1 of 4 rows lie outside date = 2013-01-01"):
        Careless(DAY).run()

    assert flights.markers() == []
    assert flights.count("careless") == 0


def test_query_table_matches_columns_by_name(flights: Warehouse) -> None:
    """The order of the query's columns and their case do not matter; `values` and lineage come besides, and win."""

    class Named(QueryTable):
        date = DateParameter(default=DAY)
        columns = {"n": "bigint", "carrier": "varchar(2)", "date": "date", "note": "text"}
        values = {"date": "date", "note": "note"}
        lineage = True
        note = "100% 'sure' :date"
        query = "SELECT CARRIER AS \"CARRIER\", 'no' AS note, count(*) AS N FROM flights WHERE date = :date GROUP BY 1"

    Named(DAY).run()

    assert flights.ask("SELECT n, carrier, date, note, etlctl_update_id FROM named ORDER BY 1") == [
        (1, "AA", "2013-01-01", "100% 'sure' :date", Named(DAY).task_id),
        (2, "UA", "2013-01-01", "100% 'sure' :date", Named(DAY).task_id),
    ]


def test_query_table_takes_the_types_of_values_without_columns(flights: Warehouse) -> None:
    """Where nobody declares a column of `values`, its type is that of the value."""

    class Typed(QueryTable):
        date = DateParameter(default=DAY)
        count = IntParameter(default=3)
        values = {"day": "date", "count": "count"}
        query = "SELECT carrier FROM flights WHERE date = :date"

    Typed(DAY).run()

    assert [row[1:3] for row in flights.ask("PRAGMA table_info(typed)")] == [
        ("carrier", "VARCHAR(2)"),
        ("day", "DATE"),
        ("count", "BIGINT"),
    ]
    assert flights.ask("SELECT DISTINCT day, count FROM typed") == [("2013-01-01", 3)]


def test_query_table_loads_into_a_table_that_is_there(flights: Warehouse) -> None:
    """An existing table keeps its types, and columns that the query does not fill get their defaults."""
    flights.write("CREATE TABLE carriers (id INTEGER PRIMARY KEY, carrier TEXT, made TEXT DEFAULT 'now', odd)")

    class Carriers(QueryTable):
        query = "SELECT DISTINCT carrier, 7 AS odd FROM flights ORDER BY 1"

    Carriers().run()

    assert flights.ask("SELECT * FROM carriers") == [(1, "AA", "now", 7), (2, "UA", "now", 7)]


def test_query_table_binds_dates_and_lists(flights: Warehouse) -> None:
    """Parameters are compared as the columns keep them; a list fills IN; attributes of the task can be named."""

    class Bound(QueryTable):
        since = DateParameter(default=DAY)
        carriers = ListParameter(default=["AA", "UA"])
        text = Parameter(default="'; DROP TABLE flights; --")
        query = """
            SELECT carrier, :text AS text, :table AS target FROM flights
            WHERE date BETWEEN :since AND :until AND carrier IN :carriers AND ':x' <> :text
        """

        @property
        def until(self) -> date:
            return date(2013, 1, 1)

    Bound().run()

    assert flights.ask("SELECT DISTINCT text, target FROM bound") == [("'; DROP TABLE flights; --", "bound")]
    assert flights.count("bound") == 3
    assert flights.count("flights") == 4


def test_query_table_merges_by_key(flights: Warehouse) -> None:
    """merge_on updates the rows that are there and adds the others."""
    flights.write(
        "CREATE TABLE latest (carrier TEXT PRIMARY KEY, day DATE)", "INSERT INTO latest VALUES ('UA', NULL), ('B6', 1)"
    )

    class Latest(QueryTable):
        mode = merge_on("carrier")
        query = "SELECT carrier, max(date) AS day FROM flights GROUP BY carrier"

    Latest().run()

    assert flights.ask("SELECT * FROM latest ORDER BY 1") == [("AA", "2013-01-01"), ("B6", 1), ("UA", "2013-01-02")]


@pytest.mark.parametrize("mode", [merge_on("CARRIER"), replace_where("Carrier")])
def test_query_table_takes_its_modes_columns_without_case(flights: Warehouse, mode: Any) -> None:
    """A key or a partition is a column of the query, however it is written."""

    class Totals(QueryTable):
        number = IntParameter(default=1)
        query = "SELECT carrier, count(*) AS flights FROM flights GROUP BY carrier"

    type("Totals", (Totals,), {"mode": mode})().run()
    flights.write("DELETE FROM flights WHERE date = '2013-01-02'")
    type("Totals", (Totals,), {"mode": mode})(number=2).run()

    assert flights.ask("SELECT * FROM totals ORDER BY carrier") == [("AA", 1), ("UA", 2)]


@pytest.mark.parametrize("mode", [merge_on("carier"), replace_where("carier")])
def test_query_table_refuses_a_modes_column_that_it_has_not(flights: Warehouse, mode: Any) -> None:
    """Before a table is made."""

    class Totals(QueryTable):
        query = "SELECT carrier, count(*) AS flights FROM flights GROUP BY carrier"

    with pytest.raises(LoadError, match=r"the rows have no column carier; they have: carrier, flights. Did you mean"):
        type("Totals", (Totals,), {"mode": mode})().run()

    assert flights.ask("SELECT 1 FROM sqlite_schema WHERE name = 'totals'") == []


def test_query_table_can_make_the_table_anew(flights: Warehouse) -> None:
    """replace(recreate=True) is create-table-as: the table has the query's columns of today."""

    class Summary(QueryTable):
        number = IntParameter(default=1)
        mode = replace(recreate=True)
        query: Any = "SELECT carrier FROM flights"

    Summary(1).run()
    Summary.query = "SELECT date, count(*) AS n FROM flights GROUP BY date"
    Summary(2).run()

    assert flights.ask("SELECT * FROM summary ORDER BY 1") == [("2013-01-01", 3), ("2013-01-02", 1)]
    assert [row[1] for row in flights.ask("PRAGMA table_info(summary)")] == ["date", "n"]


def test_query_table_that_recreates_keeps_the_table_when_it_fails(flights: Warehouse) -> None:
    """Dropping and making the table is part of the transaction."""

    class Summary(QueryTable):
        number = IntParameter(default=1)
        mode = replace(recreate=True)
        checks = [row_count(min=2)]
        query: Any = "SELECT carrier FROM flights"

    Summary(1).run()
    Summary.query = "SELECT 1 AS other"
    with pytest.raises(CheckFailedError):
        Summary(2).run()

    assert flights.ask("SELECT DISTINCT carrier FROM summary ORDER BY 1") == [("AA",), ("UA",)]


def test_query_table_evolves(flights: Warehouse) -> None:
    """With evolve, a column that the query brings is added; without, it is refused by name."""

    class Growing(QueryTable):
        number = IntParameter(default=1)
        mode = append
        query: Any = "SELECT carrier FROM flights WHERE carrier = 'AA'"

    Growing(1).run()
    Growing.query = "SELECT carrier, date FROM flights WHERE carrier = 'UA'"
    with pytest.raises(LoadError, match=r"no column date\. Set evolve = True"):
        Growing(2).run()
    Growing.evolve = True
    Growing(2).run()

    assert flights.ask("SELECT carrier, date FROM growing ORDER BY 1, 2") == [
        ("AA", None),
        ("UA", "2013-01-01"),
        ("UA", "2013-01-01"),
        ("UA", "2013-01-02"),
    ]


def test_query_table_runs_checks_on_its_rows(flights: Warehouse) -> None:
    """A failing check keeps nothing; checks may name parameters and see the new rows."""

    class Checked(CarrierDelays):
        table = "carrier_delays"
        checks = [
            not_null("carrier"),
            unique("date", "carrier"),
            no_rows("SELECT * FROM carrier_delays WHERE date = :date AND flights > 1"),
        ]

    with pytest.raises(CheckFailedError, match=r"check no_rows\(.*\): 1 row: date=2013-01-01, carrier=UA, flights=2"):
        Checked(DAY).run()

    assert flights.markers() == []
    assert flights.count("carrier_delays") == 0


def test_query_table_reads_a_table_that_it_writes(flights: Warehouse) -> None:
    """The query is done before its rows are stored, so it may read its own target."""

    class Flights(QueryTable):
        mode = replace
        query = "SELECT date, carrier, dep_delay, time_hour FROM flights WHERE carrier <> 'AA'"

    Flights().run()

    assert flights.count("flights") == 3


def test_query_table_of_no_rows_is_done(flights: Warehouse) -> None:
    """A query that returns nothing loads nothing, and that is a result."""
    CarrierDelays(date(2014, 1, 1)).run()

    assert flights.count("carrier_delays") == 0
    assert flights.markers()[0][2:] == ("done", 0)


def test_query_table_joins_racing_processes_once(flights: Warehouse) -> None:
    """Several processes with the same task leave one set of rows."""
    children = [forked(lambda: CarrierDelays(DAY).run()) for _ in range(4)]
    statuses = all_ended(children)

    assert statuses == [0] * 4
    assert flights.count("carrier_delays") == 2


@pytest.fixture
def module(warehouse: Warehouse) -> Iterator[ModuleType]:
    """A pipelines module of the project's folder, with its file."""
    folder = warehouse.project / "pipelines"
    folder.mkdir()
    found = ModuleType("query_table_pipelines")
    found.__file__ = str(folder / "flights.py")
    sys.modules[found.__name__] = found
    yield found
    del sys.modules[found.__name__]


def test_query_table_reads_the_sql_file_beside_its_module(flights: Warehouse, module: ModuleType) -> None:
    """Without `query`, the text is in the file named after the class in snake case."""
    (flights.project / "pipelines" / "daily_totals.sql").write_text("-- all\nSELECT count(*) AS n\nFROM flights\n")

    class DailyTotals(QueryTable):
        __module__ = module.__name__

    DailyTotals().run()

    assert flights.ask("SELECT n FROM daily_totals") == [(4,)]


def test_query_table_names_the_sql_file_that_is_missing(flights: Warehouse, module: ModuleType) -> None:
    """The sentence has the path that was looked for."""

    class DailyTotals(QueryTable):
        __module__ = module.__name__

    with pytest.raises(QueryError, match=r"there is no pipelines/daily_totals\.sql"):
        DailyTotals().run()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "SELECT 1 AS a\nWHERE 1 = :dat",
            "daily_totals.sql:2: :dat is no parameter of DailyTotals; there are: :date. Did",
        ),
        ("SELECT 1 AS a\nWHERE 1 = ?", "daily_totals.sql:2: ? cannot be given a value"),
        ("SELECT 'a\n", "daily_totals.sql:1: the quote ' opened here never ends"),
        ("SELECT 1 AS a;\n\nDELETE FROM flights", "daily_totals.sql:3: a second statement begins here"),
        ("-- x\nDELETE FROM flights", "daily_totals.sql:2: DELETE returns no rows for the table"),
        ("-- nothing", "there is no query, only comments"),
    ],
)
def test_query_table_refuses_a_wrong_text_before_anything_runs(
    warehouse: Warehouse, module: ModuleType, text: str, sentence: str
) -> None:
    """File and line of what is wrong, and not even a database is made."""
    (warehouse.project / "pipelines" / "daily_totals.sql").write_text(text)

    class DailyTotals(QueryTable):
        __module__ = module.__name__
        date = DateParameter(default=DAY)

    with pytest.raises(QueryError) as caught:
        DailyTotals().run()

    assert sentence in str(caught.value)
    assert not warehouse.file.exists()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT carrier, count(*) FROM flights", "column 2, count(*), has no name; write … AS name"),
        ("SELECT carrier, date AS carrier FROM flights", "two columns are called carrier"),
        ("SELECT carier FROM flights", "no such column: carier"),
        ("SELECT carrier FROM flightz", "no such table: flightz"),
        ("SELECT carrier\n, FORM flights flown", 'Wrong.query:2: wrong on warehouse: near "flown"'),
    ],
)
def test_query_table_tells_what_the_database_refuses(flights: Warehouse, query: str, sentence: str) -> None:
    """A column without name or twice, an unknown table: one sentence, nothing kept."""
    made = type("Wrong", (QueryTable,), {"query": query, "__module__": __name__})

    with pytest.raises(QueryError) as caught:
        made().run()

    assert sentence in str(caught.value)
    assert flights.markers() == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT 1 AS n", "the query returns no column carrier, which columns declares; it returns: n."),
        ("SELECT 1 AS n, 'UA' AS carrier, 2 AS m", "the query returns a column m, which columns does not declare"),
        ("SELECT 1 AS n, 'UA' AS carier", "Did you mean 'carier'?"),
    ],
)
def test_query_table_compares_the_query_with_its_columns(flights: Warehouse, query: str, sentence: str) -> None:
    """What is declared and what is returned must be the same columns."""
    declared = {"n": "integer", "carrier": "varchar(2)"}
    made = type("Wrong", (QueryTable,), {"query": query, "columns": declared, "__module__": __name__})

    with pytest.raises(QueryError) as caught:
        made().run()

    assert sentence in str(caught.value)
    assert flights.markers() == []


def test_query_table_takes_any_name_for_columns(flights: Warehouse) -> None:
    """Quoted names with blanks, quotes, percent signs and colons become columns."""

    class Odd(QueryTable):
        query = 'SELECT 1 AS "a b", 2 AS "50% of ""it""", 3 AS "x:y", 4 AS "select", 5 AS [ü]'

    Odd().run()

    assert [row[1] for row in flights.ask("PRAGMA table_info(odd)")] == ["a b", '50% of "it"', "x:y", "select", "ü"]


def test_query_table_imports_no_sqlalchemy_to_be_declared(tmp_path: Path) -> None:
    """A module that declares one is imported without SQLAlchemy."""
    import subprocess

    code = "import sys; from etlctl.loads.query import QueryTable, RunSQL; print('sqlalchemy' in sys.modules)"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert found.stdout == "False\n"
