"""Each fault of the list in docs/reliability.md has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
PAGE = TESTS.parent / "docs" / "reliability.md"
NUMBERS = [*range(1, 32), *range(33, 41), *range(48, 84)]
EXPECTED = {f"F{number:02}" for number in NUMBERS} | {f"S{number}" for number in [*range(1, 12), *range(18, 23)]}


def named_in_tests() -> set[str]:
    """Numbers in the docstrings and tables of tests, this file left out."""
    files = [path for path in TESTS.rglob("test_*.py") if path.name != Path(__file__).name]
    return {number for path in files for number in re.findall(r"\b[FS]\d{1,2}\b", path.read_text(encoding="utf-8"))}


def test_every_fault_has_a_test_that_names_it() -> None:
    """Ranges such as "F03 to F07" stand for their ends; every number between has a line of its own too."""
    assert EXPECTED - named_in_tests() == set()


def test_every_fault_has_a_line_on_the_page() -> None:
    """What is promised, and where it is tested."""
    on_page = set(re.findall(r"^\| (F\d{2}|S\d{1,2}) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert on_page == EXPECTED
