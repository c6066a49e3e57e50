from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse
from etlctl import QueryTable
from etlctl.core import context
from etlctl.errors import BadDataError, EtlctlError


def stored(database_url: str, project: Path, type_words: str, expression: str) -> list[tuple[Any, ...]]:
    """What a column of the type holds after a QueryTable of `SELECT expression`."""
    warehouse = AnyWarehouse(database_url, project)

    class Numbers(QueryTable):
        table = "numbers"
        columns = {"x": type_words}
        query = f"SELECT {expression} AS x"

    try:
        with context.use(warehouse.context):
            Numbers().run()
        return warehouse.ask("SELECT x FROM numbers")
    finally:
        warehouse.databases.close()


@pytest.mark.parametrize(
    ("type_words", "expression", "expected"),
    [
        ("integer", "2.0", 2),
        ("bigint", "1 + 1", 2),
        ("integer", "NULL", None),
        ("numeric(10,2)", "1.257", 1.26),
        ("numeric(10,2)", "7", 7),
    ],
)
def test_a_query_gives_a_declared_type_the_same_value_everywhere(
    database_url: str, tmp_path: Path, type_words: str, expression: str, expected: object
) -> None:
    """As a value from a file would have: whole numbers are integers, a numeric is rounded to its scale."""
    ((found,),) = stored(database_url, tmp_path, type_words, expression)

    assert (found if found is None else float(found)) == expected


def test_a_query_whose_number_an_integer_would_round_is_refused(database_url: str, tmp_path: Path) -> None:
    """PostgreSQL and MySQL round, SQLite does not: no value is changed in silence."""
    with pytest.raises(BadDataError, match=r"column x: 1\.5\d* is no integer that fits.*Round it in the query"):
        stored(database_url, tmp_path, "integer", "0.75 * 2")


def test_a_query_whose_text_is_no_integer_is_refused(database_url: str, tmp_path: Path) -> None:
    """MySQL would read the number in front, SQLite keep the text."""
    with pytest.raises(EtlctlError):
        stored(database_url, tmp_path, "integer", "'5 apples'")


@pytest.mark.parametrize(
    ("type_words", "expression"),
    [
        ("date", "'2013-02-30'"),
        ("varchar(3)", "'abcd'"),
        ("smallint", "70000"),
        ("json", "'no json'"),
        ("numeric(4,2)", "100.25"),
    ],
)
def test_a_query_whose_value_is_none_of_the_declared_type_is_refused(
    database_url: str, tmp_path: Path, type_words: str, expression: str
) -> None:
    """SQLite keeps any value in any column, and would keep these."""
    with pytest.raises(EtlctlError):
        stored(database_url, tmp_path, type_words, expression)


def test_a_querys_moments_are_kept_as_those_of_files(sqlite_url: str, tmp_path: Path) -> None:
    """In one form, in which they compare with each other."""
    kept = [stored(sqlite_url, tmp_path, "timestamp", f"'{text}'")[0][0] for text in ("2013-01-01T05:00:00Z",)]

    assert kept == ["2013-01-01 05:00:00"]
