"""docs/reference/loads.md and the load classes say the same."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from docs.walkthrough import ROOT
from etlctl.core.task import Task
from etlctl.db import audit, markers
from etlctl.db.columns import _BY_WORDS, parse_type
from etlctl.db.connections import Database
from etlctl.db.dialects.sqlite.values import ddl
from etlctl.loads import checks, modes
from etlctl.loads.base import MarkedLoad
from etlctl.loads.connected import OnDatabase
from etlctl.loads.copytable import CopyTable
from etlctl.loads.dump import DumpTable
from etlctl.loads.incremental import Incremental
from etlctl.loads.query import QueryTable, RunSQL
from etlctl.loads.sequence import Sequence
from etlctl.loads.table import LoadTable
from etlctl.loads.tableload import TableLoad
from etlctl.settings import ConnectionSettings, Secret

PAGE = (ROOT / "docs" / "reference" / "loads.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, without the header; none where there is no table."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def documented(heading: str) -> dict[str, str]:
    """Attribute and default of each row."""
    return {row[0].strip("` "): row[1].strip("` ") for row in rows(heading)}


def declared(*classes: type[Any]) -> dict[str, Any]:
    """The class attributes that these classes themselves declare for users, with their defaults."""
    return {
        name: vars(cls)[name]
        for cls in classes
        for name in vars(cls).get("__annotations__", {})
        if not name.startswith("_")
    }


CLASSES = [
    ("What every load has", (OnDatabase, MarkedLoad)),
    ("LoadTable", (TableLoad, LoadTable)),
    ("QueryTable", (QueryTable,)),
    ("RunSQL", (RunSQL,)),
    ("CopyTable", (CopyTable,)),
    ("Incremental", (Incremental,)),
    ("DumpTable", (OnDatabase, DumpTable)),
]


@pytest.mark.parametrize(("heading", "classes"), CLASSES, ids=[heading for heading, _ in CLASSES])
def test_the_attributes_of_a_load_are_documented_with_their_defaults(heading: str, classes: tuple[type, ...]) -> None:
    """Each attribute that a class declares has a row, and no row names another."""
    found = documented(heading)
    wanted = declared(*classes)
    if heading == "What every load has":
        assert found.pop("update_id") == "the `task_id"
        assert found.pop("table") == "the class name in snake case" and wanted.pop("table") is not None

    assert found.keys() == wanted.keys()
    for name, default in wanted.items():
        assert found[name] == repr(default).replace("'", '"'), name


def test_every_load_class_is_on_the_page() -> None:
    """Those that `from etlctl import …` offers, each under its own heading."""
    headings = set(re.findall(r"^## (\w+)(?:\(\))?$", PAGE, re.MULTILINE))

    loads = (LoadTable, QueryTable, RunSQL, CopyTable, Incremental, DumpTable, Sequence)
    assert {cls.__name__ for cls in loads} <= headings
    assert all(issubclass(group[-1], Task) for _, group in CLASSES)


def test_every_mode_has_a_row() -> None:
    """The four modes, by their names."""
    names = {re.match(r"`(\w+)", row[0])[1] for row in rows("Modes")}  # type: ignore[index]  # a row begins with one

    assert names == {"append", "replace", "replace_where", "merge_on"} and names <= vars(modes).keys()


def test_every_check_has_a_row_with_its_arguments() -> None:
    """The functions that make checks, their parameters in order, and which of them take severity and scope."""
    made = {
        name: inspect.signature(one)
        for name, one in vars(checks).items()
        if inspect.isfunction(one) and one.__annotations__.get("return") == "Check"
    }
    shown = {row[0].strip("`") for row in rows("Checks")}

    assert shown == {f"{name}({_arguments(signature)})" for name, signature in made.items()}
    assert all("severity" in signature.parameters for signature in made.values())
    assert {name for name, signature in made.items() if "scope" not in signature.parameters} == {"no_rows"}


def _arguments(signature: inspect.Signature) -> str:
    own = [one for name, one in signature.parameters.items() if name not in ("severity", "scope")]
    return ", ".join(f"*{one.name}" if one.kind is one.VAR_POSITIONAL else one.name for one in own)


def test_every_type_word_has_a_row_and_means_what_the_row_says() -> None:
    """All words that columns take, their other spellings, and the column that SQLite gets."""
    words = []
    for row in rows("Types"):
        names = [row[0].strip("`"), *re.findall(r"`([^`]+)`", row[1])]
        words.extend(names)

        assert {ddl(parse_type(name)) for name in names} == {row[3].strip("` ")}

    assert {re.sub(r"\(.*\)", "", word) for word in words} == set(_BY_WORDS)


@pytest.mark.parametrize(
    ("heading", "table"), [("The marker table", markers.marker_table), ("The audit table", audit.audit_table)]
)
def test_every_column_of_our_tables_is_documented(heading: str, table: Callable[[Database], sa.Table]) -> None:
    """In both directions, those that one database alone has too."""
    shown = {name for row in rows(heading) for name in re.findall(r"`(\w+)`", row[0])}

    database = Database(ConnectionSettings("dw", Secret("postgresql://h/d")))
    assert shown == {column.name for column in table(database).columns}
