"""DumpTable on PostgreSQL, where the server writes the lines: the same file as on SQLite, and as our writer's."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from any_warehouse import AnyWarehouse, in_place
from etlctl import DumpTable, ExternalTask, LoadTable, LocalTarget, replace
from etlctl.core import context
from etlctl.core.context import Attempt, attempting
from etlctl.db.dialects.postgresql import dump as postgresql_dump
from etlctl.errors import BadDataError
from etlctl.targets.formats import TextFormat


@pytest.fixture
def postgres(postgres_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(postgres_url, tmp_path / "postgres") as found:
        yield found


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[AnyWarehouse]:
    found = AnyWarehouse(f"sqlite:///{tmp_path / 'warehouse.db'}", tmp_path / "sqlite")
    yield found
    found.databases.close()


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that the server wrote the lines of."""
    queries: list[str] = []
    copy_rows = postgresql_dump.copy_rows

    def watched(connection: Any, query: str, *arguments: Any, **options: Any) -> int:
        queries.append(query)
        return copy_rows(connection, query, *arguments, **options)

    monkeypatch.setattr(postgresql_dump, "copy_rows", watched)
    return queries


class Dump(DumpTable):
    name = "out.csv"

    def output(self) -> Any:
        return LocalTarget(self.name)


def dumped(task: DumpTable) -> bytes:
    """The file, made anew."""
    task.run()
    return bytes(Path(task.output().path).read_bytes())


TYPES = (
    "i bigint, n numeric, m numeric(6,2), f double precision, r real, s text, c char(3), b boolean, d date, "
    "t timestamp, z timestamptz, k time, y bytea"
)
VALUES = r"""
(1, 12.500, 3, 1400, 0.1, E'a,"b"\nc', 'ab', true, '2013-01-02', '2013-01-02 05:00',
    '2013-01-02 05:00-05', '03:04', '\x00ff'),
(-2, 1e20, -0.5, 1e20, 1e6, '', 'abc', false, '0001-01-01', '2013-01-02 05:00:00.25',
    '2013-01-02 05:00:00.123456+00', '03:04:05.5', ''),
(0, 0.00000012, 999.99, -1e-7, 1e-5, '\.', '', false, '9999-12-31', '2013-01-02 00:00:00.000001',
    NULL, '23:59:59.999999', NULL),
(NULL, 'NaN', NULL, 'NaN', 'Infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, '100.00', NULL, '-Infinity', '-0', E' é日\t', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, '-0.10', 0, '-0', 123456.7, E'x\r', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, 1e15, 999999.94, '\N', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, 0.0001, 1234567, 'NA', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, 1e23, 3e10, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, -4.655837476655342e+16, 3e20, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, 9007199254740993, 16777216, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, 5e-324, 3e38, '"', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(NULL, 0, 0, 1.7976931348623157e308, 1e-40, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""


@pytest.mark.parametrize("name", ["out.csv", "out.tsv"])
@pytest.mark.parametrize("null", ["", "NA"])
def test_dump_by_the_server_is_the_file_of_our_writer(
    postgres: AnyWarehouse, copies: list[str], monkeypatch: pytest.MonkeyPatch, name: str, null: str
) -> None:
    """Every type, to the byte: numbers without exponent and surplus zeros, instants in UTC, quotes where they must."""
    postgres.write(f"CREATE TABLE t ({TYPES})", f"INSERT INTO t VALUES {VALUES}")
    task = type("DumpT", (Dump,), {"table": "t", "name": name, "null": null})()

    by_server = dumped(task)
    monkeypatch.setattr(postgresql_dump, "can_copy", lambda *_: False)
    by_writer = dumped(task)

    assert len(copies) == 1
    assert by_server.decode().split("\n") == by_writer.decode().split("\n")


@pytest.mark.parametrize("null", ["", "NA"])
def test_dump_of_one_column_quotes_the_line_that_ends_copy(
    postgres: AnyWarehouse, copies: list[str], monkeypatch: pytest.MonkeyPatch, null: str
) -> None:
    r"""`\.` alone on a line would end the file for PostgreSQL before 18; NULL alone is an empty line, or its word."""
    postgres.write("CREATE TABLE t (s text)", "INSERT INTO t VALUES ('\\.'), (NULL), (''), ('NA'), ('x')")
    task = type("DumpT", (Dump,), {"table": "t", "null": null})()

    by_server = dumped(task)
    monkeypatch.setattr(postgresql_dump, "can_copy", lambda *_: False)

    assert by_server == dumped(task) and len(copies) == 1
    assert by_server.split(b"\n")[1] == b'"\\."'


def test_dump_of_a_query_by_the_server_binds_orders_and_names(postgres: AnyWarehouse, copies: list[str]) -> None:
    """Parameters, a percent sign, a comment at the end, columns of one name without a header, and ORDER BY."""
    postgres.write(
        "CREATE TABLE t (x integer, b boolean)", "INSERT INTO t SELECT n, n % 2 = 0 FROM generate_series(1, 5000) n"
    )

    class Even(Dump):
        header = False
        query = "SELECT x, b, x, '5%' || :word FROM t WHERE x % 2 = 0 ORDER BY x DESC -- the last first"

        @property
        def word(self) -> str:
            return "o'clock; \\"

    with attempting(Attempt()) as attempt:
        lines = dumped(Even()).decode().splitlines()

    assert lines == [f"{x},true,{x},5%o'clock; \\" for x in range(5000, 0, -2)]
    assert attempt.rows == 2500 and len(copies) == 1


def test_dump_of_nothing_by_the_server_says_so(postgres: AnyWarehouse, copies: list[str]) -> None:
    """A header alone, and a note."""
    postgres.write("CREATE TABLE t (x integer, y text)")

    with attempting(Attempt()) as attempt:
        found = dumped(type("DumpT", (Dump,), {"table": "t", "columns": ("y", "x")})())

    assert found == b"y,x\n" and len(copies) == 1
    assert len(attempt.notes) == 1 and attempt.notes[0].endswith("out.csv holds a header alone: 0 rows")


def test_dump_keeps_the_text_of_json(postgres: AnyWarehouse, copies: list[str]) -> None:
    """A document stands in CSV as the database has it."""
    postgres.write("CREATE TABLE t (j json)", """INSERT INTO t VALUES ('{"a":  1.10}'), ('"5"'), ('null')""")

    assert dumped(type("DumpT", (Dump,), {"table": "t"})()) == b'j\n"{""a"":  1.10}"\n"""5"""\nnull\n'
    assert len(copies) == 1


def test_dump_into_another_encoding_is_written_as_its_target_says(postgres: AnyWarehouse, copies: list[str]) -> None:
    """Blocks of the server end anywhere, also within a character; one that the encoding lacks is named."""
    postgres.write(
        "CREATE TABLE t (x text)", "INSERT INTO t SELECT repeat('é', 1 + n % 7) FROM generate_series(1, 100000) n"
    )

    class Latin(Dump):
        table = "t"

        def output(self) -> Any:
            return LocalTarget("out.csv", format=TextFormat(encoding="latin-1"))

    found = dumped(Latin())
    postgres.write("INSERT INTO t VALUES ('日')")
    with pytest.raises(BadDataError, match="'日' cannot be written in latin-1"):
        Latin().run()

    assert found.decode("latin-1").splitlines() == ["x", *("é" * (1 + n % 7) for n in range(1, 100_001))]
    assert len(copies) == 2
    assert Path(Latin().output().path).read_bytes() == found  # the file of before


def test_dump_whose_file_cannot_be_written_ends_at_once(postgres: AnyWarehouse) -> None:
    """The error of the file comes out, the server is told to stop, and the database is there for the next task."""
    postgres.write("CREATE TABLE t (x text)")
    endless = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 5000000)"

    class Full:
        mode = "wb"

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, part: bytes) -> int:
            if len(part) > 100:
                raise OSError(28, "No space left on device")
            return len(part)

    class Device:
        def open(self, _: str) -> Full:
            return Full()

    class Endless(DumpTable):
        query = endless
        format = "csv"

        def output(self) -> Any:
            return Device()

    with pytest.raises(OSError, match="No space left"):
        Endless().run()

    assert dumped(type("DumpT", (Dump,), {"table": "t"})()) == b"x\n"


def test_dump_whose_query_fails_half_way_publishes_nothing(postgres: AnyWarehouse) -> None:
    """The server's error comes as ours, and there is no file."""

    class Fails(Dump):
        query = "SELECT 1 / (5000 - n) FROM generate_series(1, 9000) n"

    with pytest.raises(BadDataError, match="division by zero"):
        Fails().run()

    assert not Path(Fails().output().path).exists()


# -- the same table on two databases

COLUMNS = {
    "number": "integer",
    "i": "bigint", "n": "numeric", "m": "numeric(8,3)", "f": "double precision", "s": "text", "v": "varchar(5)",
    "b": "boolean", "d": "date", "t": "timestamp", "z": "timestamp with time zone", "k": "time", "j": "json",
    "y": "bytes",
}  # fmt: skip
_MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
_NASTY = st.sampled_from(("\\.", "\\N", 'a"b', "x,y", "a\tb", "l\nm", "cr\r", "a\r\nb", "NA", " ", "null"))
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# a numeric of SQLite is an eight-byte float: what it keeps of one are fifteen digits
_NUMBERS = st.decimals(-(10**9), 10**9, places=4).map(lambda number: +number)
_ROWS = st.lists(
    st.tuples(
        *(
            st.none() | values
            for values in (
                st.integers(-(2**63), 2**63 - 1),
                _NUMBERS,
                st.decimals(-9999, 9999, places=3),
                _FLOATS.filter(lambda number: not math.isclose(number, 0, abs_tol=1e-300) or number == 0),
                _TEXTS | _NASTY,
                _TEXTS,
                st.booleans(),
                st.dates(),
                _MOMENTS,
                _MOMENTS,
                st.times(),
                st.sampled_from(('{"a": [1, "é"]}', "[]", "null", '"x,y"', "1.50")),
                st.binary(max_size=4),
            )
        )
    ),
    max_size=4,
)


_LOADS = count()


def _of_both(warehouse: AnyWarehouse, rows: list[tuple[Any, ...]], folder: Path) -> tuple[bytes, bytes]:
    """What is dumped of the rows, and of what is loaded from that file."""
    first, second = folder / "first.csv", folder / "second.csv"
    number = next(_LOADS)

    class File(ExternalTask):
        def output(self) -> Any:
            return LocalTarget(first)

    class Load(LoadTable):
        table, columns, mode, update_id = "t", COLUMNS, replace, f"load {number}"
        null_values = ("<NULL>",)

    class LoadRows(Load):
        update_id = f"rows {number}"

        def rows(self) -> Any:
            return ((number, *row) for number, row in enumerate(rows))

    class LoadFile(Load):
        def requires(self) -> Any:
            return File()

    class DumpBoth(DumpTable):
        query, null = f"SELECT {', '.join(COLUMNS)} FROM t ORDER BY number", "<NULL>"

    with context.use(warehouse.context):
        LoadRows().run()
        type("DumpFirst", (DumpBoth,), {"output": lambda _: LocalTarget(first)})().run()
        LoadFile().run()
        type("DumpSecond", (DumpBoth,), {"output": lambda _: LocalTarget(second)})().run()
    return first.read_bytes(), second.read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ROWS)
def test_dump_of_the_same_rows_is_the_same_file_on_two_databases(
    postgres: AnyWarehouse, sqlite: AnyWarehouse, tmp_path: Path, rows: list[tuple[Any, ...]]
) -> None:
    """And the file, loaded again, makes the same table: nothing is lost in it."""
    on_postgres = _of_both(postgres, rows, tmp_path)
    on_sqlite = _of_both(sqlite, rows, tmp_path)

    assert on_postgres[0].decode() == on_sqlite[0].decode()
    assert on_postgres[1] == on_sqlite[1] == on_sqlite[0]


def test_dump_types_are_those_of_the_property(postgres: AnyWarehouse, copies: list[str], tmp_path: Path) -> None:
    """The files compared above are the server's own."""
    _of_both(postgres, [(1, Decimal("1.5"), *([None] * 11))], tmp_path)

    assert len(copies) == 2


def test_dump_to_json_lines_keeps_the_text_of_json(postgres: AnyWarehouse) -> None:
    """As CSV does: a document that is a text is no number, and a number keeps all its digits."""
    postgres.write(
        "CREATE TABLE t (id integer, doc json)",
        """INSERT INTO t VALUES (1, '"5"'), (2, '{"a": 0.12345678901234567890123, "b":\n1.10}')""",
    )

    class Lines(Dump):
        name = "out.jsonl"
        table = "t"

    Lines().run()

    assert (postgres.context.project / "out.jsonl").read_text() == (
        '{"id":1,"doc":"5"}\n{"id":2,"doc":{"a": 0.12345678901234567890123, "b": 1.10}}\n'
    )
