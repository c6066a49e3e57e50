"""What README and tutorial tell a reader to type does what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.walkthrough import ROOT, Walk, blocks_of, copy_demo, is_same, stand_ins


@pytest.mark.slow
@pytest.mark.timeout(600)  # forty commands, each a process: ten seconds, but a minute and more on a busy machine
@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/tutorial.md", "docs/coming-from-luigi.md", "docs/development.md", "docs/testing.md"],
)
def test_a_page_shows_what_its_commands_print(name: str, tmp_path: Path) -> None:
    """Files are written and commands typed in the order of the page; each prints what the page shows."""
    if name in ("README.md", "docs/development.md"):
        copy_demo(tmp_path)
    walk = Walk(tmp_path, stands_for=stand_ins())

    problems = [problem for block in blocks_of(ROOT / name) for _, _, problem in walk.take(block) if problem]

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("OK  LoadFlights    842 rows   0.8 s\n", "OK  LoadFlights  842 rows  12.4 s\n"),
        ("first\n…\nlast\n", "first\nsecond\nthird\nlast\n"),
        ("run … of today\n", "run 17 of today\n"),
        ("at 2013-01-01 05:00:00\n", "at 2026-11-22 13:01:02\n"),
    ],
)
def test_the_comparison_lets_pass_what_changes_from_run_to_run(expected: str, printed: str) -> None:
    """Times, instants, runs of blanks, and what the page leaves out with an ellipsis."""
    assert is_same(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("842 rows\n", "843 rows\n"),
        ("first\nlast\n", "first\nsecond\nlast\n"),
        ("first\n…\n", "second\n"),
        ("", "anything\n"),
    ],
)
def test_the_comparison_finds_what_differs(expected: str, printed: str) -> None:
    """Counts, lines that are missing or too many."""
    assert not is_same(expected, printed)
