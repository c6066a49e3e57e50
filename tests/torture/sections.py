"""Sections of docs/reliability-figures.md that programs beside run.py write, each its own, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PAGE = Path("docs", "reliability-figures.md")
ENDS = "## How a loop ends"
"""The headline of loop_ends.py's section."""
LOOPS = "## Several loops on one state database"
"""The headline of loops.py's."""
TURNS = "## Turns with nothing to do"
"""The headline of loop_turns.py's."""
_ORDER = (ENDS, LOOPS, TURNS)
_AFTER = "\n## What these figures do not say\n"


def of(text: str) -> dict[str, str]:
    """Those that the page `text` has, by headline."""
    found = {}
    for headline in _ORDER:
        _, heading, after = text.partition(f"\n{headline}\n")
        if heading:
            found[headline] = f"{headline}\n" + after.partition("\n## ")[0].rstrip("\n") + "\n"
    return found


def replaced(text: str, *sections: str) -> str:
    """The page `text` with these in place of those of the same headlines; where it has none, where they belong."""
    there = of(text) | {one.partition("\n")[0]: one for one in sections}
    before, heading, after = text.partition(_AFTER)
    for headline in _ORDER:
        before = before.partition(f"\n{headline}\n")[0]
    told = "".join(f"\n{there[headline]}" for headline in _ORDER if headline in there)
    return before.rstrip("\n") + "\n" + told + heading + after


def controls(found: Mapping[str, int], what: str) -> list[str]:
    """The lines of a table of known-bad variants, and of how often each was found out; none where none was run."""
    rows = [f"| {name} | {count} |" for name, count in found.items()]
    return ["", f"| known-bad variant | {what} |", "|---|---:|", *rows] if rows else []


def write(page: Path, section: str) -> None:
    """Puts it into the file."""
    page.write_text(replaced(page.read_text(encoding="utf-8"), section), encoding="utf-8")
    print(f"written: {PAGE}, {section.partition(chr(10))[0].lstrip('# ')}")
