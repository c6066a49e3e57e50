"""The objects that say how rows get into a table."""

from __future__ import annotations

from typing import Any

import pytest

from etlctl.errors import LoadError
from etlctl.loads.modes import (
    MergeOn,
    Mode,
    Replace,
    ReplaceWhere,
    append,
    as_mode,
    default_mode,
    merge_on,
    replace,
    replace_where,
)


@pytest.mark.parametrize("mode", [append, replace, replace(recreate=True), replace_where("a", "b"), merge_on("id")])
def test_mode_is_written_as_it_shows(mode: Mode) -> None:
    """repr() of a mode is what one writes in the class, equal modes are equal, and as_mode takes them."""
    again = eval(repr(mode))

    assert again == mode
    assert hash(again) == hash(mode)
    assert as_mode(mode, where="T") is mode


def test_replace_is_an_object_and_callable() -> None:
    """`replace` and `replace()` are the same; recreate is asked for by name."""
    assert replace() == replace
    assert replace(recreate=True) == Replace(recreate=True) != replace
    assert append() is append


def test_modes_hold_their_columns() -> None:
    """The columns of a partition or a key are kept in order."""
    assert replace_where("b", "a") == ReplaceWhere(("b", "a"))
    assert merge_on("id") == MergeOn(("id",))


def test_default_mode_replaces_the_partition_of_the_values() -> None:
    """A task with `values` replaces what they name, one without appends."""
    assert default_mode({"date": "date", "region": "where"}) == replace_where("date", "region")
    assert default_mode({}) is append


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "append",
            "Load.mode is the text 'append'; modes are objects: write mode = append, from etlctl import append.",
        ),
        ("upsert", 'write mode = merge_on("column"), from etlctl import merge_on.'),
        ("Replace-Where", 'write mode = replace_where("column"), from etlctl import replace_where.'),
        ("replac", "Did you mean 'replace'?"),
        ("nonsense", "modes are objects: append, replace,"),
        (merge_on, 'Load.mode = merge_on names no columns; write merge_on("column").'),
        (Replace, "which is no mode"),
        (5, "Load.mode is 5, which is no mode; there are append"),
    ],
)
def test_as_mode_says_what_to_write(value: Any, sentence: str) -> None:
    """A text or anything else that is no mode is refused with what to write instead."""
    with pytest.raises(LoadError) as caught:
        as_mode(value, where="Load")

    assert sentence in str(caught.value)


@pytest.mark.parametrize("arguments", [(), ("",), (["a", "b"],), ("a", "a"), ("a", "A")])
@pytest.mark.parametrize("make", [replace_where, merge_on])
def test_modes_refuse_what_is_no_column_name(make: Any, arguments: Any) -> None:
    """No column, an empty name, a list and a name twice, whatever its case, are errors where the class is written."""
    with pytest.raises(LoadError, match=make.__name__):
        make(*arguments)
