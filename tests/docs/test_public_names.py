"""What `from etlctl import …` offers is in the reference."""

from __future__ import annotations

import re

import etlctl
from docs.walkthrough import ROOT


def test_every_public_name_is_in_the_reference() -> None:
    """As code, on a page of docs/reference; `__version__` is what `--version` prints."""
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`|^```.*?^```$", text, re.DOTALL | re.MULTILINE))))

    assert {name for name in etlctl.__all__ if name != "__version__"} <= words


def test_every_event_is_in_the_reference() -> None:
    """The table of events on the page of tasks and targets, in both directions."""
    page = (ROOT / "docs" / "reference" / "tasks-and-targets.md").read_text(encoding="utf-8")
    section = page.split("## Events\n", 1)[1].split("\n## ")[0]

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)) == {event.name for event in etlctl.Event}


def test_every_status_is_in_the_concepts() -> None:
    """How a task can stand at the end of a run."""
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `([A-Z]+)` \|", page, re.MULTILINE)) == {status.value for status in etlctl.Status}
