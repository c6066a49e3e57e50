"""Lines: how wide they are, how they fold, and that nothing a terminal would obey gets through."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.cli.layout import WIDE_OPEN, Span, Style, cells, cut, fold, line, padded, span, table, text_of

ANY_TEXT = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("plain", 5), ("日本", 4), ("e\u0301", 1), ("🛫", 2), ("a\u200bb", 2), ("naïve", 5), ("\uff57\uff49", 4)],
)
def test_cells_counts_columns_of_a_terminal(text: str, columns: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert cells(text) == columns


def test_table_begins_columns_at_one_place_whatever_is_in_them() -> None:
    """Cells with wide and combining characters do not push the next column."""
    rows = [[span("日本"), span("x")], [span("e\u0301"), span("x")], [span("long name"), span("x")]]

    starts = {cells(text_of(one).rpartition("x")[0]) for one in table(rows)}

    assert len(starts) == 1


@given(ANY_TEXT)
def test_span_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    """Control characters, escapes, line ends and directions are written out."""
    shown = span(text).text

    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(ANY_TEXT, st.integers(min_value=1, max_value=30))
def test_cut_fits(text: str, width: int) -> None:
    """What is cut takes no more than its width, and what fits is left alone."""
    shown = span(text).text

    assert cells(cut(shown, width)) <= width
    assert cut(shown, cells(shown)) == shown
    assert cells(padded(cut(shown, width), width)) == width


@given(st.lists(ANY_TEXT, max_size=4), st.integers(min_value=40, max_value=100))
def test_fold_fits_and_loses_nothing_but_blanks(texts: list[str], width: int) -> None:
    """No piece is wider than the terminal; all that is not blank is there, in order, in its style."""
    one = tuple(Span(span(text).text, Style.GOOD) for text in texts)

    pieces = fold(one, width)

    assert all(cells(text_of(piece)) <= width for piece in pieces)
    assert "".join("".join(text_of(piece).split()) for piece in pieces) == "".join(text_of(one).split())


def test_fold_keeps_columns_together() -> None:
    """`0.8 s` moves to the next line as a whole."""
    one = line("1/1  OK       LoadFlights(2013-01-02)      943 rows     0.8 s")

    assert [text_of(piece) for piece in fold(one, 57)] == [
        "1/1  OK       LoadFlights(2013-01-02)      943 rows",
        "    0.8 s",
    ]


def test_fold_leaves_a_pipe_alone() -> None:
    """What has no width is not folded."""
    one = line("word " * 500)

    assert fold(one, WIDE_OPEN) == [one]
