"""Every write transaction on Redshift locks the markers first: read from what each session has sent to the stand-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import etlctl
from any_warehouse import AnyWarehouse, in_place
from etlctl import (
    CopyTable,
    LoadTable,
    QueryTable,
    RunSQL,
    TableTarget,
    merge_on,
    replace,
    replace_where,
    transaction,
)
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.errors import LoadError
from servers.redshift.standin import Standin

WRITE = re.compile(r"(?:INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|MERGE)\b", re.IGNORECASE)
OWN = re.compile(
    r'(?:CREATE TEMP TABLE|(?:INSERT INTO|UPDATE|DELETE FROM|DROP TABLE) "etlctl_(?!audit))', re.IGNORECASE
)
"""Staging tables, which no other session sees."""


@pytest.fixture
def house(redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    settings = {"s3_staging": redshift_staging, "iam_role": redshift_role, "audit": True}
    with in_place(redshift_url, tmp_path, **settings) as found:
        yield found


class Whole(LoadTable):
    table = "flights"
    columns = {"k": "integer", "v": "text"}
    mode = replace

    def rows(self) -> Any:
        return [(1, "a"), (2, "b")]


class Evolved(LoadTable):
    table = "flights"
    columns = {"k": "integer", "v": "text", "w": "text"}
    evolve = True
    mode = merge_on("k")

    def rows(self) -> Any:
        return [(2, "b", "c"), (3, "x", "y")]


class Lined(LoadTable):
    columns = {"k": "integer"}
    lineage = True

    def rows(self) -> Any:
        return [(1,)]


class Again(QueryTable):
    query = "SELECT k, v FROM flights"
    mode = replace(recreate=True)


class Parts(QueryTable):
    query = "SELECT k, v FROM flights"
    mode = replace_where("k")


class Changed(RunSQL):
    query = "UPDATE flights SET v = 'z' WHERE k = 1"
    repeatable = True


class Copied(CopyTable):
    source = "warehouse"
    query = "SELECT k, v FROM flights"
    columns = {"k": "integer", "v": "text"}


class Steps(etlctl.Sequence):
    connection = "warehouse"

    def steps(self) -> Any:
        return [Again(), Parts(), Lined()]


def by_hand() -> None:
    with transaction("warehouse") as connection:
        connection.exec_driver_sql("DELETE FROM flights WHERE k = 3")
        Lined().run()


WAYS: dict[str, Sequence[Callable[[], Any]]] = {
    "replace": [Whole().run],
    "merge and evolve": [Whole().run, Evolved().run],
    "QueryTable": [Whole().run, Again().run, Parts().run],
    "RunSQL": [Whole().run, Changed().run],
    "CopyTable": [Whole().run, Copied().run],
    "Sequence": [Whole().run, Steps().run],
    "transaction()": [Whole().run, by_hand],
    "touch": [TableTarget("x", "1").touch],
}


def transactions(log: Sequence[tuple[int, str]]) -> Iterator[list[str]]:
    """The statements of each one, in order, without BEGIN and its end; a statement outside any is one by itself."""
    opened: dict[int, list[str]] = {}
    for pid, raw in log:
        text = " ".join(raw.split())
        word = text.partition(" ")[0].upper().rstrip(";")
        if word == "BEGIN":
            opened[pid] = []
        elif word in ("COMMIT", "ROLLBACK"):
            yield opened.pop(pid, [])
        elif pid in opened:
            opened[pid].append(text)
        else:
            yield [text]


def is_write(text: str) -> bool:
    return WRITE.match(text) is not None and OWN.match(text) is None


def is_of_markers(text: str) -> bool:
    """The marker table is made outside any transaction: nobody can lock it before."""
    return text.startswith('CREATE TABLE IF NOT EXISTS "table_updates"')


@pytest.mark.parametrize("forced", [False, True], ids=["", "forced"])
@pytest.mark.parametrize("way", WAYS)
def test_the_lock_comes_before_all_else_that_is_read_or_written(
    house: AnyWarehouse, redshift: Standin, way: str, forced: bool
) -> None:
    """The snapshot is taken at the first query: a marker that was committed while the lock was waited for is seen."""
    for work in WAYS[way]:
        work()
    if forced:
        with context.attempting(Attempt(forced=True)), suppress(LoadError):
            WAYS[way][-1]()

    written = [
        found for found in transactions(redshift.log) if any(map(is_write, found)) and not is_of_markers(found[0])
    ]
    assert any('INSERT INTO "table_updates"' in text for found in written for text in found)
    assert [found[:3] for found in written if not found[1:2] or not found[1].startswith("LOCK TABLE")] == []
    assert all(found[0].startswith("SET statement_timeout") for found in written)
    sent = [text for _, text in redshift.log]
    assert not [text for text in sent if re.search(r"\b(?:TRUNCATE|APPEND|SAVEPOINT)\b", text)]
