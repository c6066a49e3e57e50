"""`redshift = Redshift(…)`: what is wrong is told on every database, and what is right becomes a CREATE TABLE."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.schema import CreateTable

from any_warehouse import AnyWarehouse, in_place
from etlctl import LoadTable, Redshift
from etlctl.db.columns import Column, parse_type
from etlctl.db.dialects.redshift.dialect import RedshiftDialect
from etlctl.db.words import table_of
from etlctl.errors import LoadError
from etlctl.loads.redshift import table_options

COLUMNS = [
    Column("Carrier", parse_type("varchar(2)")),
    Column("day", parse_type("date")),
    Column("j", parse_type("json")),
]


def made(declared: Redshift) -> str:
    from sqlalchemy_redshift.dialect import RedshiftDialect_psycopg2

    dialect = RedshiftDialect()
    options = table_options(declared, COLUMNS, "redshift") or {}
    table = table_of(dialect.table_name("flights"), COLUMNS, dialect, **options)
    return " ".join(str(CreateTable(table).compile(dialect=RedshiftDialect_psycopg2())).split())


@pytest.mark.parametrize(
    ("declared", "tail"),
    [
        (Redshift(), ""),
        (Redshift(distkey="carrier", sortkey="DAY"), ' DISTSTYLE KEY DISTKEY ("Carrier") SORTKEY (day)'),
        (Redshift(diststyle="all"), " DISTSTYLE ALL"),
        (Redshift(sortkey=("day", "Carrier")), ' SORTKEY (day, "Carrier")'),
        (Redshift(sortkey=["day", "Carrier"], interleaved=True), ' INTERLEAVED SORTKEY (day, "Carrier")'),
    ],
)
def test_keys_and_style_stand_in_create_table(declared: Redshift, tail: str) -> None:
    assert made(declared) == f'CREATE TABLE "flights" ( "Carrier" VARCHAR(8), "day" DATE, "j" SUPER ){tail}'


def test_encodings_stand_at_their_columns() -> None:
    assert '"Carrier" VARCHAR(8) ENCODE zstd, "day" DATE ENCODE az64' in made(
        Redshift(encode={"carrier": "ZSTD", "day": "az64"})
    )


WRONG: list[tuple[Any, str]] = [
    (Redshift(distkey="carier"), "distkey names the column carier.*Did you mean 'Carrier'"),
    (Redshift(sortkey=("day", "nothing")), "sortkey names the column nothing"),
    (Redshift(sortkey=("day", "Day")), "names the column day twice"),
    (Redshift(encode={"dya": "zstd"}), "encode names the column dya.*Did you mean 'day'"),
    (Redshift(encode={"day": "zst"}), "Did you mean 'zstd'"),
    (Redshift(encode={"day": "raw; DROP TABLE t"}), "there are az64"),
    (Redshift(diststyle="evn"), "Did you mean 'even'"),
    (Redshift(diststyle="key"), "go together"),
    (Redshift(diststyle="all", distkey="day"), "go together"),
    (Redshift(interleaved=True), "there is none"),
    (Redshift(sortkey="j"), "SUPER has no order"),
    ({"distkey": "day"}, "write redshift = Redshift"),
    (Redshift, "write redshift = Redshift"),
]


@pytest.mark.parametrize(("declared", "said"), WRONG)
def test_what_is_wrong_is_told_on_any_database(declared: Any, said: str, sqlite_url: str, tmp_path: Any) -> None:
    class Flights(LoadTable):
        columns = {"Carrier": "varchar(2)", "day": "date", "j": "json"}
        redshift = declared

        def rows(self) -> Any:
            return [("AA", "2013-01-01", "{}")]

    with in_place(sqlite_url, tmp_path), pytest.raises(LoadError, match=said):
        Flights().run()


def test_other_databases_pass_over_it(sqlite_url: str, tmp_path: Any) -> None:
    class Flights(LoadTable):
        columns = {"carrier": "varchar(2)", "day": "date"}
        redshift = Redshift(distkey="carrier", sortkey="day", analyze=True, vacuum=True)

        def rows(self) -> Any:
            return [("AA", "2013-01-01")]

    with in_place(sqlite_url, tmp_path) as house:
        Flights().run()
        assert isinstance(house, AnyWarehouse) and house.count("flights") == 1
