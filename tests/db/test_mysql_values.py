"""How values get into MySQL: as their type says, alike from a file's text and from Python, in statements that fit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from any_warehouse import AnyWarehouse, in_place
from etlctl.db import tables
from etlctl.db.columns import BadValueError, Column, ColumnType, parse_type
from etlctl.db.dialects.base import BadRecordError, Records
from etlctl.db.dialects.mysql.values import bound, ddl, literals, stored
from etlctl.errors import LoadError
from servers.mariadb import Mysql


@pytest.fixture
def house(mysql_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(mysql_url, tmp_path) as found:
        yield found


def columns(**words: str) -> list[Column]:
    return [Column(name, parse_type(word)) for name, word in words.items()]


def make(house: AnyWarehouse, table: str, its: list[Column]) -> None:
    with house.database.writing("test") as connection:
        tables.create(connection, house.database, table, its)


@pytest.mark.parametrize(
    ("words", "plain", "key"),
    [
        ("integer", "INTEGER", "INTEGER"),
        ("bigint", "BIGINT", "BIGINT"),
        ("numeric", "DECIMAL(38, 9)", "DECIMAL(38, 9)"),
        ("numeric(10,2)", "DECIMAL(10, 2)", "DECIMAL(10, 2)"),
        ("double precision", "DOUBLE", "DOUBLE"),
        ("text", "LONGTEXT", "VARCHAR(255)"),
        ("varchar(20)", "VARCHAR(20)", "VARCHAR(20)"),
        ("varchar(65535)", "LONGTEXT", "VARCHAR(65535)"),
        ("boolean", "BOOLEAN", "BOOLEAN"),
        ("date", "DATE", "DATE"),
        ("timestamp", "DATETIME(6)", "DATETIME(6)"),
        ("timestamptz", "DATETIME(6)", "DATETIME(6)"),
        ("time", "TIME(6)", "TIME(6)"),
        ("bytes", "LONGBLOB", "VARBINARY(255)"),
    ],
)
def test_ddl_of_each_type(words: str, plain: str, key: str) -> None:
    type_ = parse_type(words)

    assert (ddl(type_), ddl(type_, is_key=True)) == (plain, key)


def test_ddl_refuses_a_key_of_json() -> None:
    with pytest.raises(LoadError, match="json"):
        ddl(parse_type("json"), is_key=True)


@pytest.mark.parametrize(
    "value", ["1.0000000001", "1334934080043955545.6861521198", Decimal("1E-10"), "1" + "0" * 29, Decimal("1E+30")]
)
def test_stored_refuses_what_a_bare_numeric_would_round(value: Any) -> None:
    """MySQL would round it without a word, whatever its mode."""
    with pytest.raises(BadValueError, match=r"declare numeric\(p,s\)"):
        stored(parse_type("numeric"), value)


def test_stored_keeps_instants_in_utc() -> None:
    there = timezone(timedelta(hours=2))

    for words in ("timestamp", "timestamptz"):
        assert stored(parse_type(words), datetime(2013, 1, 2, 3, tzinfo=there)) == datetime(2013, 1, 2, 1)
    assert bound(datetime(2013, 1, 2, 3, tzinfo=UTC)) == datetime(2013, 1, 2, 3)


def test_literals_take_the_common_form_as_it_is() -> None:
    """What is not in it goes through `stored`; quotes and backslashes always do."""
    its = columns(i="integer", n="numeric(5,2)", t="text", d="date", at="timestamp")
    made = literals(its, ("", "NA"), lambda value: f"<{value}>", {})

    def all_of(*fields: str) -> list[str]:
        return [make(field) for make, field in zip(made, fields, strict=True)]

    assert all_of("7", "1.50", "a b", "2013-01-31", "2013-01-02 03:04:05") == [
        "7", "1.50", "'a b'", "<2013-01-31>", "'2013-01-02 03:04:05'",
    ]  # fmt: skip
    assert all_of(" 7", "1.505", "it's", "NA", "2013-01-02T03:04:05Z") == [
        "<7>", "<1.51>", "<it's>", "NULL", "<2013-01-02 03:04:05>",
    ]  # fmt: skip


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"[+-]?0{0,3}[0-9]{0,40}\.?[0-9]{0,12}", fullmatch=True),
)
MOMENTS = st.one_of(
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat().replace("+00:00", "Z")),
    st.dates().map(str),
    st.times().map(str),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-6][0-9]:[0-6][0-9])?", fullmatch=True),
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
CASES = {
    "smallint": NUMBERS, "integer": NUMBERS, "bigint": NUMBERS, "numeric": NUMBERS, "numeric(9,3)": NUMBERS,
    "numeric(38,38)": NUMBERS, "double precision": NUMBERS, "date": MOMENTS, "timestamp": MOMENTS,
    "timestamptz": MOMENTS, "time": MOMENTS, "text": TEXTS, "varchar(5)": TEXTS,
    "boolean": st.sampled_from(["t", "FALSE", "yes", "1", "0", " on "]),
    "bytes": st.binary(max_size=20).map(lambda value: "\\x" + value.hex()),
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_text_and_values_mean_the_same(house: AnyWarehouse, words: str) -> None:
    """The server keeps for a file's field exactly what it keeps for its `stored` value."""
    its = columns(n="integer", v=words)
    type_ = its[1].type
    for table in ("texts", "kept"):
        make(house, table, its)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(CASES[words], min_size=1, max_size=40))
    def check(fields: list[str]) -> None:
        good = [(str(number), field) for number, field in enumerate(fields) if is_taken(type_, field)]
        values = [(int(number), stored(type_, field)) for number, field in good]
        with house.database.writing("test") as connection:
            connection.exec_driver_sql("DELETE FROM texts")
            connection.exec_driver_sql("DELETE FROM kept")
            house.dialect.insert_records(connection, "texts", Records(its, good, null_values=("\0",)))
            house.dialect.insert_records(connection, "kept", Records(its, values))
            joined = "FROM texts JOIN kept USING (n) WHERE BINARY texts.v <=> BINARY kept.v AND kept.v IS NOT NULL"
            same = connection.exec_driver_sql(f"SELECT count(*) {joined}").scalar_one()
            found = connection.execute(sa.select(sa.table("kept", sa.column("n"), sa.column("v")))).all()
        assert same == len(good)
        if words not in ("bytes", "boolean"):
            assert dict(tuple(row) for row in found) == dict(values)

    check()


def is_taken(type_: ColumnType, field: str) -> bool:
    try:
        stored(type_, field)
    except BadValueError:
        return False
    return True


def test_parameters_keep_their_type(house: AnyWarehouse) -> None:
    """`SELECT :date AS date` is a date on MySQL too, a Decimal no float, a truth no text."""
    values = {
        "a": date(2013, 1, 2), "b": datetime(2013, 1, 2, 3, 4, 5, 6), "c": time(3, 4), "d": Decimal("1E+3"),
        "e": 1.5, "f": 7, "g": b"\0\xff'",
    }  # fmt: skip
    query = "SELECT " + ", ".join(f"%({name})s AS {name}" for name in values)

    with house.database.reading() as connection:
        types = house.dialect.query_columns(connection, query, values, without_parameters=query)
        found = connection.exec_driver_sql(query, values).one()

    assert tuple(found) == tuple(values.values())
    assert [str(column.type) for column in types] == [
        "date", "timestamp", "time", "numeric", "double precision", "bigint", "bytes",
    ]  # fmt: skip


def test_an_expression_gets_the_roomiest_type_of_its_kind(house: AnyWarehouse) -> None:
    """The same query may give more another time; a column of a table stays what it is."""
    make(house, "t", columns(k="integer", v="varchar(7)", n="numeric(10,2)"))
    query = "SELECT k, k + 1 AS more, v, 'abc' AS word, n, n * 2 AS twice, count(*) AS c FROM t GROUP BY k"

    with house.database.reading() as connection:
        found = house.dialect.query_columns(connection, query, {}, without_parameters=query)

    assert {column.name: str(column.type) for column in found} == {
        "k": "integer", "more": "bigint", "v": "varchar(7)", "word": "text", "n": "numeric(10,2)", "twice": "numeric",
        "c": "bigint",
    }  # fmt: skip


@pytest.mark.parametrize(
    "end", ["", " WHERE k = 1", " LIMIT 3", " ORDER BY k", " UNION ALL SELECT 1, 'abc', 2.25, NULL, 'x'"]
)
def test_a_literal_beside_a_table_gets_the_roomiest_type_too(house: AnyWarehouse, end: str) -> None:
    """However the server rewrites the query; NULL is text."""
    make(house, "t", columns(k="integer", v="varchar(7)"))
    query = f"SELECT k, v, 1.5 AS c, NULL AS n, %(label)s AS label FROM t{end}"

    with house.database.reading() as connection:
        found = house.dialect.query_columns(connection, query, {"label": "ab"}, without_parameters=query)

    types = {column.name: str(column.type) for column in found}
    assert (types["c"], types["n"], types["label"]) == ("numeric", "text", "text")
    assert end.startswith(" UNION") or (types["k"], types["v"]) == ("integer", "varchar(7)")


def test_statements_stay_under_the_packet_limit(mariadb_server: Mysql, house: AnyWarehouse) -> None:
    """Wide rows go a few at a time, whatever there are of them."""
    limit = int(mariadb_server.ask("SELECT @@global.max_allowed_packet")[0][0])
    mariadb_server.ask("SET GLOBAL max_allowed_packet = 65536")
    try:
        make(house, "t", columns(k="integer", v="text"))
        with house.database.writing("test") as connection:
            told: list[int] = []
            records = Records(
                columns(k="integer", v="text"), [(k, "x" * 20_000) for k in range(50)], progress=told.append
            )
            assert house.dialect.insert_records(connection, "t", records) == 50
    finally:
        mariadb_server.ask(f"SET GLOBAL max_allowed_packet = {limit}")

    assert len(told) > 10 and told[-1] == 50
    assert house.ask("SELECT count(*), sum(length(v)) FROM t") == [(50, 1_000_000)]


def test_a_row_that_the_server_refuses_is_found(house: AnyWarehouse) -> None:
    """NOT NULL and narrower columns of a table that is not ours; the number of the record, and its column."""
    house.write("CREATE TABLE t (k int NOT NULL, v varchar(3), w tinyint) ENGINE=InnoDB")
    its = columns(k="integer", v="text", w="integer")
    cases = {"k": (None, "a", 1), "v": (1, "abcd", 1), "w": (1, "a", 1000)}

    for column, bad in cases.items():
        rows: list[Any] = [(number, "ab", 1) for number in range(100)] + [bad] + [(1, "a", 1)]
        with pytest.raises(BadRecordError) as caught, house.database.writing("test") as connection:
            house.dialect.insert_records(connection, "t", Records(its, rows))
        assert caught.value.number == 100
        assert caught.value.error.column is not None and caught.value.error.column.name == column

    assert house.count("t") == 0


def test_a_zero_stays_zero_in_an_auto_increment_column(house: AnyWarehouse) -> None:
    house.write("CREATE TABLE t (k int AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB")

    with house.database.writing("test") as connection:
        house.dialect.insert_records(connection, "t", Records(columns(k="integer"), [(0,), (5,)]))

    assert house.ask("SELECT k FROM t ORDER BY k") == [(0,), (5,)]


def test_records_are_asked_for_a_few_at_a_time(house: AnyWarehouse) -> None:
    """Memory does not grow with the rows: one statement's worth is held."""
    make(house, "t", columns(k="integer", v="text"))
    ahead = 0
    told = 0

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal ahead
        for number in range(40_000):
            ahead = max(ahead, number - told)
            yield number, "x" * 50

    def progress(count: int) -> None:
        nonlocal told
        told = count

    with house.database.writing("test") as connection:
        house.dialect.insert_records(
            connection, "t", Records(columns(k="integer", v="text"), rows(), progress=progress)
        )

    assert told == 40_000 and ahead <= 6_000
