"""Files and rows into PostgreSQL by COPY: which road they take, and that every road comes to the same."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_roads import DIALECT, Loader, columns, connected
from etlctl.db.columns import Column, parse_type
from etlctl.db.dialects.base import BadRecordError, Records
from etlctl.db.dialects.postgresql import copy as postgresql_copy
from etlctl.db.dialects.postgresql.printed import kept_back
from etlctl.errors import LoadError


@pytest.fixture
def connection(postgres_url: str) -> Iterator[sa.Connection]:
    with connected(postgres_url) as connection:
        yield connection


@pytest.fixture
def loader(connection: sa.Connection, tmp_path: Path) -> Loader:
    return Loader(connection, tmp_path)


FLIGHTS = columns(carrier="varchar(2)", flight="integer", delay="numeric", at="timestamp")
HEADER = b"carrier,flight,delay,at\n"


# -- which road


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (b"UA,1,2.5,2013-01-01T10:00:00Z\nAA,2,,2013-01-01 10:00\n", {}),
        (b"UA,1,2.5,2013-01-01T10:00:00Z\r\nAA,2,,2013-01-01 10:00", {}),
        (b'"UA","1","2.5","2013-01-01T10:00:00Z"\n"AA",2,"",2013-01-01 10:00\n', {}),
        (b"UA,1,2.5,2013-01-01T10:00:00+00:00\nAA,2,NA,2013-01-01 10:00\n", {"nulls": ("", "NA")}),
        (b'"UA",1,2.5,2013-01-01T10:00:00Z\nAA,2,"NA",2013-01-01 10:00\n', {"nulls": ("NA", "-", "")}),
        (b"UA,+1, 2.5 ,2013-01-01T10:00:00.000\nAA, 2,NULL,2013-01-01 10:00\n", {"nulls": ("NULL",)}),
    ],
)
def test_copy_gives_the_server_a_file_in_plain_forms(loader: Loader, data: bytes, options: Any) -> None:
    """What nearly every file looks like goes as it is: quoted or not, LF or CRLF, with one null word or several."""
    loaded = loader.load(HEADER + data, FLIGHTS, **options)

    at = "datetime.datetime(2013, 1, 1, 10, 0)"
    assert loaded.rows == [("'UA'", "1", "Decimal('2.5')", at), ("'AA'", "2", "None", at)]
    assert loaded.is_as_it_is
    assert loaded.told[-1] == 2


@pytest.mark.parametrize(
    ("type_", "text", "there"),
    [
        ("timestamp", "2013-01-01 10:00:00+02:00", "datetime.datetime(2013, 1, 1, 8, 0)"),
        ("timestamp", "2013-01-01T10:00:00.1234567", "datetime.datetime(2013, 1, 1, 10, 0, 0, 123457)"),
        ("double precision", "1e-400", "0.0"),
        ("double precision", "-0", "0.0"),
        ("boolean", " yes ", "True"),
        ("bytes", "\\x00 ff", "b'\\x00\\xff'"),
    ],
)
def test_copy_converts_what_the_server_reads_otherwise(loader: Loader, type_: str, text: str, there: str) -> None:
    """PostgreSQL drops an offset without a word, and refuses or keeps what we do not: then the value is made here."""
    loaded = loader.load(f"x\n{text}\n".encode(), columns(x=type_))

    assert loaded.rows is not None and not loaded.is_as_it_is
    assert str(loaded.rows[0][0]) == there


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("integer", "0x1F"),
        ("integer", "1_000"),
        ("bigint", "0b1"),
        ("numeric", "NaN"),
        ("numeric", "Infinity"),
        ("numeric", "1e308"),
        ("numeric(5,2)", "1e-400"),
        ("double precision", "nan"),
        ("double precision", "-inf"),
        ("boolean", "tru"),
        ("boolean", "of"),
        ("date", "today"),
        ("date", "infinity"),
        ("date", "2013-1-2"),
        ("date", "2013/01/02"),
        ("date", "2013-01-02 05:00"),
        ("timestamp", "now"),
        ("timestamp", "epoch"),
        ("timestamp", "2013-01-02 24:00:00"),
        ("timestamp", "2013-01-02 23:59:60"),
        ("timestamp", "2013-01-02 05:00 PM"),
        ("timestamp", "2013-01-02 05:00 America/New_York"),
        ("timestamptz", "9999-12-31 23:00-05"),
        ("timestamptz", "0001-01-01 00:00+05"),
        ("time", "24:00"),
        ("time", "allballs"),
        ("time", "23:59:59.9999999"),
        ("varchar(3)", "abc "),
        ("bytes", "abc"),
        ("bytes", "\\000"),
    ],
)
def test_copy_refuses_what_only_the_server_would_take(loader: Loader, type_: str, text: str) -> None:
    """Fields with a meaning of PostgreSQL's own load on no database, and the error names the record."""
    good = {"boolean": "t", "date": "2013-01-02", "time": "10:00", "varchar(3)": "abc", "bytes": "\\x00"}
    first = good.get(type_, "2013-01-02 10:00" if type_.startswith("timestamp") else "1")

    loaded = loader.load(f"x\n{first}\n{text}\n".encode(), columns(x=type_))

    assert loaded.rows is None and not loaded.is_as_it_is
    assert loaded.refusal.startswith("record 1, Column(name='x'")


def test_copy_loads_a_line_that_ends_copy_in_older_servers(loader: Loader) -> None:
    r"""`\.` alone on a line is data, quoted or not, also within a field of several lines."""
    declared = columns(x="text", y="text")

    one = loader.load(b"x\na\n\\.\nb\n", declared[:1])
    two = loader.load(b'x,y\n"a\n\\.\nb",1\n\\.,2\n', declared)

    assert one.rows == [("'a'",), (repr("\\."),), ("'b'",)]
    assert two.rows == [(repr("a\n\\.\nb"), "'1'"), (repr("\\."), "'2'")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x,y\n1,a\n2\n", "line 3, column y: missing (1 field instead of 2)"),
        (b"x,y\n1,a\n2,b,c\n", "line 3: 3 fields instead of 2"),
        (b"x,y\n1,a\n\n2,b\n", "line 3: is empty"),
        (b'x,y\n1,a\n2,b"c\n', "line 3, column y: a quote inside a field without quotes"),
        (b'x,y\n1,a\n2,"b"c\n', "line 3, column y: text after the closing quote"),
        (b'x,y\n1,a\n2,"b\n', "line 3, column y: the quote opened here never ends"),
        (b"x,y\n1,a\n2,\xe9\n", "line 3, column y: byte 0xe9 is not UTF-8"),
        (b"x,y\n1,a\n2,b\0\n", "line 3, column y: holds a NUL character"),
    ],
)
def test_copy_lets_the_reader_of_records_say_what_is_wrong_with_a_file(loader: Loader, data: bytes, said: str) -> None:
    """What the server refuses is read again by us, so the message has line and column as on every database."""
    loaded = loader.load(data, columns(x="integer", y="text"))

    assert loaded.rows is None and said in loaded.refusal


@pytest.mark.parametrize(
    "data",
    [
        b"x,y\r1,a\r2,b\r",
        b"x,y\n1,a\r\n2,b\n",
        b"\xef\xbb\xbfx,y\n1,a\n2,b",
        b"y,x\na,1\nb,2\n",
        b'"x","y"\r\n1,a\r\n2,b',
    ],
)
def test_copy_reads_every_line_end_mark_and_order(loader: Loader, data: bytes) -> None:
    """Line ends of any kind and mixed, a byte order mark, columns in another order, no end of the last line."""
    loaded = loader.load(data, columns(x="integer", y="text"))

    assert loaded.rows == [("1", "'a'"), ("2", "'b'")]


def test_copy_puts_constants_behind_each_record(loader: Loader) -> None:
    """A file lacks them: quoted texts, also those that are null words, and NULL."""
    constants = {
        Column("day", parse_type("date")): dt.date(2013, 1, 1),
        Column("word", parse_type("text")): 'a "b", NA',
        Column("null_word", parse_type("text")): "NA",
        Column("empty", parse_type("text")): "",
        Column("nothing", parse_type("integer")): None,
    }
    data = b'x,y\n1,"two\nlines, NA"\n2,NA\n3,"""q"""\n4,\n'

    loads = [
        loader.load(data + end, columns(x="integer", y="text"), constants=constants, nulls=nulls, as_values=as_values)
        for end in (b"", b"5,last")
        for nulls in (("NA",), ("", "NA"), ())
        for as_values in (False, True)
    ]

    for file, values in zip(loads[::2], loads[1::2], strict=True):
        assert file.rows == values.rows and file.is_as_it_is and not values.is_as_it_is
    assert loads[0].rows is not None
    fixed = ("datetime.date(2013, 1, 1)", repr('a "b", NA'), "'NA'", "''", "None")
    assert loads[0].rows[0] == ("1", repr("two\nlines, NA"), *fixed)
    assert [row[1] for row in loads[0].rows] == [repr("two\nlines, NA"), "None", repr('"q"'), "''"]
    assert {row[2:] for row in loads[0].rows} == {fixed}


def test_copy_takes_the_wanted_columns_of_a_wider_file(loader: Loader) -> None:
    """Surplus columns are passed over, whatever they hold and are called; constants come besides."""
    constants = {Column("day", parse_type("date")): dt.date(2013, 1, 1), Column("n", parse_type("text")): None}
    data = b'surplus_0,x,"5% ""odd"" name",y\na,1,NaN,b\n"c\n",2,,NA\n'

    loaded = loader.load(data, columns(y="text", x="integer"), constants=constants, nulls=("", "NA"))

    day = "datetime.date(2013, 1, 1)"
    assert loaded.rows == [("'b'", "1", day, "None"), ("None", "2", day, "None")]
    assert loaded.is_as_it_is


def test_copy_takes_none_of_a_files_columns_where_all_are_constants(loader: Loader) -> None:
    """The file gives the number of the rows then."""
    loaded = loader.load(b"a,b\n1,2\n3,4\n", [], constants={Column("n", parse_type("integer")): 7})

    assert loaded.rows == [("7",), ("7",)]


@pytest.mark.parametrize("data", [b"", b"x\n", b"x", b"\xef\xbb\xbf"])
def test_copy_of_a_file_without_records_writes_nothing(loader: Loader, data: bytes) -> None:
    """Zero rows, without an error."""
    assert loader.load(data, columns(x="integer")).rows == []


@pytest.mark.parametrize("stage", [False, True])
@pytest.mark.parametrize("data", [b"x,y\n1,2\n3,\n", b"x,z,y\n1,-,2\n3,-,\n"])
def test_copy_names_the_record_with_a_null_where_none_may_be(loader: Loader, stage: bool, data: bytes) -> None:
    """Whichever road the file took first, straight or into a staging table."""
    loaded = loader.load(data, columns(x="integer", y="integer not null"), stage=stage)

    assert loaded.rows is None
    assert "record 1, Column(name='y'" in loaded.refusal and "NOT NULL" in loaded.refusal


def test_copy_stages_rows_like_it_inserts_them(loader: Loader) -> None:
    """A staging table gets constants, null words and all."""
    constants = {Column("day", parse_type("date")): dt.date(2013, 1, 1)}
    data = HEADER + b'UA,1,NA,2013-01-01\n"AA",2,1.50,2013-01-01T01:00:00Z\n'

    staged = loader.load(data, FLIGHTS, nulls=("", "NA"), constants=constants, stage=True)
    straight = loader.load(data, FLIGHTS, nulls=("", "NA"), constants=constants)

    assert staged.rows == straight.rows and staged.is_as_it_is


# -- tables that are not as declared


@pytest.mark.parametrize(
    ("type_", "ddl", "text"),
    [
        ("text", "date", "2013-01-02"),
        ("text", "char(5)", "ab"),
        ("text", "jsonb", '"{""b"": 1,  ""a"": 2}"'),
        ("integer", "bigint", "17"),
        ("integer", "text", "017"),
        ("numeric", "numeric(5,1)", "2.25"),
        ("double precision", "real", "0.1"),
        ("timestamp", "date", "2013-01-02 00:00:00"),
        ("date", "timestamp", "2013-01-02"),
        ("text", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)
def test_copy_into_a_table_of_other_types_is_alike_on_every_road(
    loader: Loader, type_: str, ddl: str, text: str
) -> None:
    """A table that others made gets the declared type's value, as the text that COPY takes for any type."""
    table, declared = f"CREATE TABLE t (x {ddl})", columns(x=type_)

    file = loader.load(f"x\n{text}\n".encode(), declared, ddl=table)
    values = loader.load(f"x\n{text}\n".encode(), declared, ddl=table, as_values=True)

    assert file.rows == values.rows and file.rows is not None


def test_copy_names_the_record_that_only_the_table_refuses(loader: Loader) -> None:
    """A column narrower than declared, or a CHECK: the server's own words, with the record."""
    narrow = loader.load(b"x\n1\n70000\n", columns(x="integer"), ddl="CREATE TABLE t (x smallint)")
    check = loader.load(b"x\n1\n-5\n", columns(x="integer"), ddl="CREATE TABLE t (x integer CHECK (x > 0))")

    assert "record 1, Column(name='x'" in narrow.refusal and "out of range for type smallint" in narrow.refusal
    assert narrow.refusal.count("70000") == 2
    assert "record 1" in check.refusal and "violates check constraint" in check.refusal


def test_copy_counts_what_the_server_wrote(connection: sa.Connection, loader: Loader) -> None:
    """A trigger that keeps rows back is an error, not a load with fewer rows."""
    with connection.begin():
        connection.exec_driver_sql(
            "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN IF new.x = 2 THEN RETURN NULL; END IF; RETURN new; END'"
        )
    ddl = "CREATE TABLE t (x integer); CREATE TRIGGER skip BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skip()"

    with pytest.raises(LoadError, match='3 rows were sent to "t" and the database says that it has written 2'):
        loader.load(b"x\n1\n2\n3\n", columns(x="integer"), ddl=ddl)


def test_copy_quotes_every_name(loader: Loader) -> None:
    """Names of columns may hold whatever a name can."""
    odd = [Column('a "b"; DROP', parse_type("integer")), Column("50% ü", parse_type("text"))]
    ddl = 'CREATE TABLE t ("a ""b""; DROP" integer, "50%% ü" text)'
    header = '"a ""b""; DROP",50% ü'

    loaded = loader.load(f"{header}\n1,x\n".encode(), odd, ddl=ddl)
    wider = loader.load(f"{header},more\n1,x,y\n".encode(), odd, ddl=ddl)

    assert loaded.rows == wider.rows == [("1", "'x'")]
    assert loaded.is_as_it_is and wider.is_as_it_is


# -- rows


def _insert(connection: sa.Connection, rows: Any, declared: list[Column], **options: Any) -> int:
    return postgresql_copy.insert_records(connection, DIALECT.table_name("t"), Records(declared, rows, **options))


def test_copy_of_rows_keeps_every_value(connection: sa.Connection) -> None:
    """NULL against an empty text, tabs, backslashes, line ends, bytes, and every other type."""
    declared = columns(
        i="bigint", n="numeric", f="double precision", s="text", b="boolean", d="date", t="timestamp",
        z="timestamptz", c="time", j="json", y="bytes",
    )  # fmt: skip
    moment = dt.datetime(2013, 1, 2, 3, 4, 5, 600)
    rows = [
        (1, Decimal("1.50"), 0.1, "a\tb\\N\\.\r\n'\"é日", True, dt.date(1, 1, 1), moment, moment.replace(tzinfo=dt.UTC),
         dt.time(1, 2), '{"a": "\\n"}', b"\x00\\\xff"),
        (None,) * 11,
        (-(2**63), Decimal("-0.00"), 5e-324, "", False, dt.date(9999, 12, 31), moment, moment.replace(tzinfo=dt.UTC),
         dt.time(), "[]", b""),
        (0, Decimal("1E+20"), 1e300, "\\N", False, None, moment, None, None, "null", b"\\"),
    ]  # fmt: skip

    with connection.begin() as transaction:
        connection.exec_driver_sql(Loader._ddl(declared).replace("JSON", "TEXT"))
        wrote = _insert(connection, iter(rows), declared)
        found = connection.exec_driver_sql("SELECT * FROM t").fetchall()
        transaction.rollback()

    assert wrote == 4
    kept = [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in found]
    assert kept == [(*row[:1], row[1] and Decimal(row[1]), *row[2:]) for row in rows]


def test_copy_passes_on_what_the_rows_raise(connection: sa.Connection) -> None:
    """An exception of the source comes out as it is."""

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise KeyError("mine")

    with connection.begin() as transaction:
        connection.exec_driver_sql("CREATE TABLE t (x integer)")
        with pytest.raises(KeyError, match="mine"):
            _insert(connection, rows(), columns(x="integer"))
        transaction.rollback()


def test_copy_names_the_row_of_a_null_in_rows(connection: sa.Connection) -> None:
    """The number of the record counts from 0, also behind the first some hundred."""
    rows = ((number if number != 1234 else None,) for number in range(2000))

    with connection.begin() as transaction:
        connection.exec_driver_sql("CREATE TABLE t (x integer NOT NULL)")
        with pytest.raises(BadRecordError) as caught:
            _insert(connection, rows, columns(x="integer"))
        transaction.rollback()

    assert caught.value.number == 1234


def test_copy_goes_on_in_the_transaction_after_a_road_that_was_given_up(loader: Loader) -> None:
    """What was done before in the transaction is there still, and the rows come once."""
    ddl = "CREATE TABLE t (x integer, y timestamp); INSERT INTO t VALUES (0, NULL)"
    data = b"x,y\n" + b"1,2013-01-01\n" * 50_000 + b"2,2013-01-01 00:00+01\n"

    with pytest.raises(AssertionError):  # the rows that were there are not of this load
        loader.load(data, columns(x="integer", y="timestamp"), ddl=ddl)
    loaded = loader.load(data, columns(x="integer", y="timestamp"))

    assert loaded.rows is not None and not loaded.is_as_it_is
    assert len(loaded.rows) == 50_001
    assert loaded.rows[-1] == ("2", "datetime.datetime(2012, 12, 31, 23, 0)")


# -- any file at all

TYPES = (
    "integer", "smallint", "bigint", "numeric", "numeric(5,2)", "double precision", "text", "varchar(3)", "boolean",
    "date", "timestamp", "timestamptz", "time", "json", "bytes",
)  # fmt: skip
FIELDS = (
    "", "", "NA", "NULL", "\\.", "\\N", "a", "ab ", "abc   ", "é", "日本", 'a"b', "x,y", "tab\there", "line\nend",
    "cr\rx", "a\r\nb", "a\n\\.\nb", "0", "-0", "-0.0", "1", "1", "+5", " 7 ", "12.5", "1e3", "1E-3", "1e400", "1e-400",
    "99999", "2147483648", "0x1F", "1_000", "NaN", "nan", "inf", "-Infinity", "tru", "t", "yes", "off", "of", "TRUE ",
    "2013-01-02", "2013-01-02", "2013/01/02", "20130102", "today", "2013-02-30", "0000-01-01", "10000-01-01",
    "2013-01-02 03:04:05", "2013-01-02T03:04:05Z", "2013-01-02 03:04:05+02", "2013-01-02 24:00:00", "2013-01-02 3:04",
    "0001-01-01 00:00:00+05", "9999-12-31 23:59:59-05", "2013-01-02 03:04:05.1234567", "03:04", "03:04:05", "24:00",
    "{}", '{"a": [1, "é"]}', '{"a": NaN}', "null", "\\x00ff", "\\xzz", "abc\\000", "\\x ", "1;2", "NaN ", "12NA",
    "1.", "-.5", ".", "+", "5e", "1 2", "99.995", "999.995", "999.994", "  ", "\0", "\x0b1", "\u00a01", "٣",
    "0" * 49 + "12", "9" * 310, "0." + "0" * 320 + "1",
)  # fmt: skip


@st.composite
def _files(draw: st.DrawFn) -> tuple[bytes, list[Column], dict[str, Any]]:
    declared = [
        Column(f"c{number}", parse_type(draw(st.sampled_from(TYPES))), nullable=draw(st.integers(0, 9)) > 0)
        for number in range(draw(st.integers(1, 3)))
    ]
    delimiter, end = draw(st.sampled_from(",,\t;")), draw(st.sampled_from(("\n", "\n", "\r\n", "\r")))
    header = draw(st.booleans())
    names = [column.name for column in declared]
    if header:
        names = draw(st.permutations(names + draw(st.sampled_from(([], [], ["more"])))))
    field = st.one_of(st.sampled_from(FIELDS), st.text(alphabet='a1",;\t\n\\.é-:', max_size=5))

    def written(text: str) -> str:
        must = any(mark in text for mark in (delimiter, '"', "\n", "\r"))
        quotes = draw(st.integers(0, 19)) > 0 if must else draw(st.integers(0, 5)) == 0
        return '"' + text.replace('"', '""') + '"' if quotes else text

    lines = [delimiter.join(names)] if header else []
    pools = [draw(st.lists(field, min_size=1, max_size=2)) for _ in names]
    for _ in range(draw(st.integers(0, 3))):
        lines.append(delimiter.join(written(draw(st.sampled_from(pool))) for pool in pools))
    text = "".join(line + end for line in lines) if draw(st.booleans()) else end.join(lines)
    mark = b"\xef\xbb\xbf" if draw(st.integers(0, 9)) == 0 else b""
    constant = draw(st.sampled_from(("x", None, 'a"b,c', "é", "", "NA", "l\nm")))
    nulls = draw(st.sampled_from((("",), ("",), ("", "NA"), ("NA",), (), ("NULL", "", "NA"), ("\\N",))))
    options = {
        "nulls": nulls,
        "delimiter": delimiter,
        "header": header,
        "constants": {Column("k", parse_type("text")): constant} if draw(st.booleans()) else None,
        "stage": draw(st.booleans()),
    }
    return mark + text.encode(), declared, options


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_files())
def test_copy_comes_to_the_same_on_every_road(loader: Loader, file: tuple[bytes, list[Column], dict[str, Any]]) -> None:
    """Whatever is in a file: the server's reading of it, where it is trusted, is ours; or both refuse it."""
    data, declared, options = file

    as_file = loader.load(data, declared, **options)
    as_values = loader.load(data, declared, **options, as_values=True)

    assert as_file.rows == as_values.rows
    assert as_file.refusal == as_values.refusal


def test_copy_whose_server_goes_away_writes_nothing_to_stderr(
    connection: sa.Connection, postgres_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The driver prints what it stumbles over by itself, past every log; what is wrong is raised."""
    declared = columns(n="integer")
    connection.exec_driver_sql("CREATE TABLE t (n integer)")
    session = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

    def rows() -> Iterator[tuple[int]]:
        for n in range(200_000):
            if n == 100_000:
                with connected(postgres_url) as other:
                    other.exec_driver_sql(f"SELECT pg_terminate_backend({session}, 5000)")
            yield (n,)

    hook = sys.excepthook
    with pytest.raises(psycopg2.Error):
        _insert(connection, rows(), declared)

    assert capfd.readouterr() == ("", "")
    assert sys.excepthook is hook


def test_copy_keeps_back_nothing_that_others_print(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several copies at once the last puts everything as it was; one may end before another."""
    told: list[BaseException] = []
    mine = lambda kind, error, at: told.append(error)  # noqa: E731  a hook
    monkeypatch.setattr(sys, "excepthook", mine)
    errors = SystemError("of another library"), KeyError("x")
    with kept_back(), kept_back():
        for error in errors:
            sys.excepthook(type(error), error, None)

    assert told == list(errors)
    assert sys.excepthook is mine
