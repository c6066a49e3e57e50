"""Text that is safe to show, and names of classes as names of tables and files."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.text import printable, shortened, snake_case

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(st.characters(exclude_categories=[])))
def test_printable_lets_no_control_character_through(text: str) -> None:
    """C0, C1, DEL, line separators, direction marks, lone surrogates: none is left, and what is left can be encoded."""
    shown = printable(text)
    assert not [one for one in shown if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in BIDI]
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters=BIDI)))
def test_printable_leaves_plain_text_as_it_is(text: str) -> None:
    """Letters, marks, emoji, brackets and blanks are kept."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("[red] ☃ 🎉", "[red] ☃ 🎉"),
    ],
)
def test_printable_writes_control_characters_out(text: str, shown: str) -> None:
    """They are shown as Python writes them, so that one sees what was there."""
    assert printable(text) == shown


@given(st.text(), st.integers(1, 80))
def test_shortened_keeps_to_its_length(text: str, length: int) -> None:
    """At most `length` characters, an ellipsis where something was cut, printable all the same."""
    shown = shortened(text, length)
    assert len(shown) <= length
    assert shown == printable(text) or shown.endswith("…")
    assert not re.search("[\x00-\x1f]", shown)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CarrierDelays", "carrier_delays"),
        ("LoadS3Files", "load_s3_files"),
        ("HTTPServerLog", "http_server_log"),
        ("Day", "day"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case_parts_the_words_of_a_class_name(name: str, expected: str) -> None:
    """A class name's words, and runs of capitals, are parted by underscores."""
    assert snake_case(name) == expected
