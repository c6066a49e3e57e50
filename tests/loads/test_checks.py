"""Checks on the rows of a load: what each finds, how it says it, and whose rows it looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core.context import Attempt, attempting
from etlctl.db import tables
from etlctl.db.dialects.base import Dialect, TableName
from etlctl.db.words import named_table, quoted
from etlctl.errors import CheckFailedError, LoadError, QueryError
from etlctl.loads.checks import (
    Check,
    accepted_values,
    no_rows,
    not_null,
    relationship,
    row_count,
    run_checks,
    unique,
)
from etlctl.loads.columns import declared

COLUMNS = {"id": "integer", "carrier": "varchar(400)", "day": "date", "delay": "double precision"}
OLD = [(1, "AA", "2013-01-01", 5), (2, "ZZ", "2013-01-01", None)]


@pytest.fixture
def connection(database_url: str, tmp_path: Path) -> Iterator[sa.Connection]:
    """On a database of each kind."""
    with with_tables(AnyWarehouse(database_url, tmp_path)) as connection:
        yield connection


@contextmanager
def with_tables(warehouse: AnyWarehouse) -> Iterator[sa.Connection]:
    """A table with two old rows, an empty staging table, and the carriers AA and UA."""
    database = warehouse.database
    with database.writing("making the tables") as connection:
        for table in ("flights", "staged"):
            tables.create(connection, database, table, declared(COLUMNS, where="flights"))
        tables.create(connection, database, "air lines", declared({'co"de': "varchar(20)"}, where="lines"))
    with database.engine.connect() as connection:
        _insert(connection, "air lines", ('co"de',), [("AA",), ("UA",), (None,)])
        _insert(connection, "flights", tuple(COLUMNS), OLD)
        connection.info["dialect"] = database.dialect
        yield connection
    warehouse.databases.close()


def _insert(connection: sa.Connection, table: str, columns: Sequence[str], rows: Sequence[Any]) -> None:
    named = named_table(TableName(None, quoted(table)), columns)
    for row in rows:
        connection.execute(sa.insert(named).values(dict(zip(columns, row, strict=True))))


def run(connection: sa.Connection, rows: Sequence[Any], *checks: Any, params: dict[str, Any] | None = None) -> None:
    """Stores `rows` as a load does, staged and in the table, and runs the checks."""
    _insert(connection, "staged", tuple(COLUMNS), rows)
    _insert(connection, "flights", tuple(COLUMNS), rows)
    staged = sa.table("staged", *map(sa.column, COLUMNS))
    dialect: Dialect = connection.info["dialect"]
    run_checks(
        connection,
        checks,
        table="flights",
        load_rows=staged,
        params=params or {},
        label="flights on wh",
        adapt=dialect.bound,
        place=dialect.table_name,
    )


def steps_of_relationship(connection: sa.Connection, rows: int) -> int:
    """How many thousand steps of SQLite's machine it takes for as many rows as keys."""
    connection.exec_driver_sql("DELETE FROM staged")
    connection.exec_driver_sql('DELETE FROM "air lines"')
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i"
    connection.exec_driver_sql(f"INSERT INTO staged (carrier) {numbers} FROM n")
    connection.exec_driver_sql(f'INSERT INTO "air lines" {numbers} FROM n')
    counted = 0

    def step() -> int:
        nonlocal counted
        counted += 1
        return 0

    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(step, 1000)
    try:
        run(connection, [], relationship("carrier", to='air lines.co"de'))
    finally:
        raw.set_progress_handler(None, 0)
    return counted


def test_relationship_grows_with_the_rows_and_not_with_their_square(sqlite_url: str, tmp_path: Path) -> None:
    """It runs while the database is locked, and the parent may have no index."""
    with with_tables(AnyWarehouse(sqlite_url, tmp_path)) as connection:
        small, large = steps_of_relationship(connection, 1000), steps_of_relationship(connection, 4000)

    assert 0 < small < large < 6 * small


GOOD = [(3, "UA", "2013-01-02", 1.5), (4, "AA", "2013-01-02", 0), (5, None, "2013-01-03", None)]


@pytest.mark.parametrize(
    "check",
    [
        not_null("id", "day"),
        unique("id"),
        unique("carrier"),
        unique("carrier", "day"),
        row_count(min=3, max=3),
        row_count(min=0),
        row_count(min=5, max=5, scope="table"),
        accepted_values("carrier", ["UA", "AA"]),
        accepted_values("day", [date(2013, 1, 2), date(2013, 1, 3)]),
        accepted_values("delay", [Decimal("1.5"), 0]),
        relationship("carrier", to='air lines.co"de'),
        no_rows("SELECT * FROM flights WHERE delay > :most AND day = :day"),
        no_rows("SELECT 1 FROM flights WHERE carrier LIKE '%:nothing%';"),
    ],
)
def test_check_that_holds_says_nothing(connection: sa.Connection, check: Check) -> None:
    """Rows that are right pass, NULLs included where the check lets them."""
    with attempting(Attempt()) as attempt:
        run(connection, GOOD, check, params={"most": 100, "day": date(2013, 1, 2)})

    assert attempt.notes == []


@pytest.mark.parametrize(
    ("rows", "check", "sentence"),
    [
        ([(3, None, None, 1), (4, None, "2013-01-01", 2)], not_null("carrier", "day", "id"),
         ("check not_null(carrier, day, id): 2 rows without carrier, 1 row without day: "
          "id=3, carrier=NULL, day=NULL, delay=1.0; id=4, carrier=NULL, day=2013-01-01, delay=2.0")),
        ([(n, c, None, None) for n, c in enumerate(["UA", "AA", "UA", "AA", "B6", None, None])], unique("carrier"),
         "check unique(carrier): 2 duplicate keys: AA ×2, UA ×2"),
        ([(1, "UA", "2013-01-01", n) for n in range(3)], unique("carrier", "day"),
         "check unique(carrier, day): 1 duplicate key: (UA, 2013-01-01) ×3"),
        ([(n % 9, None, None, None) for n in range(18)], unique("id"),
         "check unique(id): 9 duplicate keys: 0 ×2, 1 ×2, 2 ×2, 3 ×2, 4 ×2, and 4 more"),
        ([], row_count(min=1), "check row_count(min=1): 0 rows"),
        ([(1, None, None, None)], row_count(max=0), "check row_count(max=0): 1 row"),
        ([(1, "UA", None, None)], row_count(min=4, max=5, scope="table"), "check row_count(min=4, max=5): 3 rows"),
        ([(1, "UA", None, None), (2, "XX", None, None), (3, "XX", None, None)], accepted_values("carrier", ["UA"]),
         "check accepted_values(carrier, UA): 1 other value in 2 rows: XX ×2"),
        ([(1, None, "2013-01-05", None)], accepted_values("day", [date(2013, 1, 2)]),
         "check accepted_values(day, 2013-01-02): 1 other value in 1 row: 2013-01-05 ×1"),
        ([(1, "XX", None, None), (2, "UA", None, None), (3, "YY", None, None)],
         relationship("carrier", to='air lines.co"de'),
         'check relationship(carrier, to=air lines.co"de): 2 missing values in 2 rows: XX ×1, YY ×1'),
        ([(7, "UA", None, 9)], no_rows("SELECT id,\n  delay FROM flights WHERE delay >= :d"),
         "check no_rows(SELECT id, delay FROM flights WHERE delay >= :d): 1 row: id=7, delay=9.0"),
        ([(n, "UA", None, 9) for n in range(9)], no_rows("SELECT id FROM flights WHERE delay = 9"),
         "check no_rows(SELECT id FROM flights WHERE delay = 9): more than 5 rows: id=0; id=1"),
    ],
)  # fmt: skip
def test_check_that_fails_shows_what(connection: sa.Connection, rows: Any, check: Check, sentence: str) -> None:
    """The message names the check, counts what is wrong and shows some of it."""
    with pytest.raises(CheckFailedError) as caught:
        run(connection, rows, check, params={"d": 9})

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("rows", "check", "columns", "sample"),
    [
        ([(3, None, "2013-01-01", 1.5)], not_null("carrier"), tuple(COLUMNS), ((3, None, "2013-01-01", 1.5),)),
        ([(1, "UA", None, n) for n in range(3)], unique("carrier", "id"), ("carrier", "id", "count"), (("UA", 1, 3),)),
        ([(n, "UA", None, None) for n in range(9)], row_count(max=8), ("count",), ((9,),)),
        ([(1, "XX", None, None)], accepted_values("CARRIER", ["UA"]), ("carrier", "count"), (("XX", 1),)),
        ([(1, "XX", None, None)], relationship("carrier", to='air lines.co"de'), ("carrier", "count"), (("XX", 1),)),
        ([(n, "UA", None, 9) for n in range(9)], no_rows("SELECT id FROM flights WHERE delay = 9"), ("id",),
         tuple((n,) for n in range(5))),
        ([(1, "\x1b" * 300, None, None)], accepted_values("carrier", []), ("carrier", "count"),
         (("\\x1b" * 49 + "\\x1…", 1),)),
    ],
)  # fmt: skip
def test_check_that_fails_carries_its_sample(
    connection: sa.Connection, rows: Any, check: Check, columns: Any, sample: Any
) -> None:
    """As data, in what JSON can hold, for whoever keeps it."""
    with pytest.raises(CheckFailedError) as caught:
        run(connection, rows, not_null("id"), check)

    (finding,) = caught.value.findings
    assert (finding.columns, finding.sample) == (columns, sample)
    assert str(caught.value) == f"check {finding.check}: {finding}"


def test_check_of_accepted_values_takes_null_among_them(connection: sa.Connection) -> None:
    """It is let pass, and changes nothing for the others."""
    with pytest.raises(CheckFailedError, match="1 other value in 1 row: XX"):
        run(connection, [(1, "XX", None, None), (2, None, None, None)], accepted_values("carrier", ["UA", None]))


def test_check_looks_at_this_loads_rows_unless_told(connection: sa.Connection) -> None:
    """Old rows are no matter of a load's checks; scope="table" takes them in."""
    rows = [(1, "UA", None, None)]  # id 1 is there already, and ZZ is in an old row

    run(connection, rows, unique("id"), accepted_values("carrier", ["UA"]))
    with pytest.raises(CheckFailedError) as caught:
        run(connection, [], unique("id", scope="table"), accepted_values("carrier", ["UA", "AA"], scope="table"))

    assert str(caught.value) == (
        "check unique(id): 1 duplicate key: 1 ×2\ncheck accepted_values(carrier, UA, AA): 1 other value in 1 row: ZZ ×1"
    )


def test_check_of_severity_warn_becomes_a_note(connection: sa.Connection) -> None:
    """A warning lets the load go on and is told with its result."""
    with attempting(Attempt()) as attempt:
        run(connection, [], row_count(min=1, severity="warn"), row_count(min=0))

    assert attempt.notes == ["warning: check row_count(min=1): 0 rows"]


def test_check_finds_columns_without_case(connection: sa.Connection) -> None:
    """Databases take column names without case, and so do checks."""
    run(connection, GOOD, not_null("ID"), unique("Id", "CARRIER"))


@pytest.mark.parametrize("check", [not_null("carier"), unique("id", "carier"), accepted_values("carier", [])])
def test_check_of_an_unknown_column_suggests(connection: sa.Connection, check: Check) -> None:
    """A column that the rows have not is an error that names the check and the nearest column."""
    with pytest.raises(LoadError, match=r"flights on wh: check .*carier.*Did you mean 'carrier'") as caught:
        run(connection, GOOD, check)

    assert not isinstance(caught.value, CheckFailedError)


def test_no_rows_refuses_an_unknown_parameter(connection: sa.Connection) -> None:
    """A :name that the task has not is an error before the query runs."""
    with pytest.raises(QueryError, match="no_rows:1: :dy is no parameter"):
        run(connection, [], no_rows("SELECT 1 WHERE 1 = :dy"), params={"day": 1})


def test_no_rows_refuses_a_statement_that_is_no_query(connection: sa.Connection) -> None:
    """What returns no rows by its nature proves nothing."""
    with pytest.raises(LoadError, match="write a SELECT"):
        run(connection, [], no_rows("DELETE FROM staged"))


@pytest.mark.parametrize("check", ["not_null(carrier)", not_null, None])
def test_run_checks_refuses_what_is_no_check(connection: sa.Connection, check: Any) -> None:
    """A text, or a check's function that was not called, is told with what to write."""
    with pytest.raises(LoadError, match="is no check; write for example"):
        run(connection, [], check)


def test_check_of_ones_own_is_a_subclass(connection: sa.Connection) -> None:
    """failure() is all that a check needs."""

    class EvenIds(Check):
        def __str__(self) -> str:
            return "even_ids"

        def failure(self, checked: Any) -> str | None:
            odd = sa.select(sa.func.count()).select_from(checked.rows).where(checked.column("id") % 2 == 1)
            count = checked.connection.execute(odd).scalar_one()
            return f"{count} odd" if count else None

    with pytest.raises(CheckFailedError, match="check even_ids: 2 odd"):
        run(connection, GOOD, EvenIds())


def test_check_shows_no_escape_sequences(connection: sa.Connection) -> None:
    """Values of rows reach no terminal with what it would obey."""
    with pytest.raises(CheckFailedError) as caught:
        run(connection, [(1, "\x1b[31m\n", None, None)] * 2, unique("carrier"))

    assert str(caught.value) == "check unique(carrier): 1 duplicate key: \\x1b[31m\\n ×2"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: not_null(), "not_null takes names of columns"),
        (lambda: unique(["a", "b"]), "unique takes names of columns"),  # type: ignore[arg-type]  # the mistake under test
        (lambda: row_count(), "row_count takes min="),
        (lambda: row_count(min=2, max=1), "min is not above max"),
        (lambda: accepted_values("a", "EWR"), "accepted_values takes a list"),
        (lambda: relationship("a", to="airlines"), 'relationship takes to="table.column"'),
        (lambda: no_rows(" "), "no_rows takes a query"),
        (
            lambda: not_null("a", severity="warning"),  # type: ignore[arg-type]  # the mistake under test
            'check not_null(a): severity is "error" or "warn", not \'warning\'',
        ),
        (lambda: row_count(min=1, scope="all"), 'scope is "load" or "table"'),  # type: ignore[arg-type]  # the mistake under test
    ],
)
def test_check_refuses_a_wrong_declaration(make: Any, sentence: str) -> None:
    """What cannot be meant is refused where the class is written."""
    with pytest.raises(LoadError) as caught:
        make()

    assert sentence in str(caught.value)


def test_check_tells_letters_apart(mysql_url: str, tmp_path: Path) -> None:
    """Also in tables of MySQL's own collation, for which A and a are one."""
    with with_tables(AnyWarehouse(mysql_url, tmp_path)) as connection:
        connection.exec_driver_sql("ALTER TABLE flights MODIFY carrier varchar(20) COLLATE utf8mb4_general_ci")
        check = accepted_values("carrier", ["aa", "zz", "UA"], scope="table")

        with pytest.raises(CheckFailedError, match="2 other values in 2 rows: AA ×1, ZZ ×1"):
            run(connection, [(3, "UA", None, None)], check)
        connection.exec_driver_sql('ALTER TABLE `air lines` MODIFY `co"de` varchar(20) COLLATE utf8mb4_general_ci')
        connection.exec_driver_sql("UPDATE flights SET carrier = 'aa' WHERE carrier = 'AA'")
        with pytest.raises(CheckFailedError, match="2 missing values in 2 rows: "):
            run(connection, [], relationship("carrier", to='air lines.co"de', scope="table"))
