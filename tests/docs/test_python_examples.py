"""Python on the pages that are read and not walked: every block compiles, and those of a page run in their order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs.walkthrough import ROOT, blocks_of

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
RUN = (
    "docs/concepts.md",
    "docs/reference/history.md",
    "docs/reference/loads.md",
    "docs/reference/parameters.md",
    "docs/reference/tasks-and-targets.md",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_compiles(page: Path) -> None:
    """A reader who copies a block gets no syntax error."""
    for block in blocks_of(page):
        if block.language == "python":
            compile(block.text, block.place, "exec")


@pytest.mark.parametrize("name", RUN)
def test_the_examples_of_a_page_run(name: str, tmp_path: Path) -> None:
    """The blocks of a page one after the other, as one program, in an empty folder; its asserts hold."""
    blocks = [block for block in blocks_of(ROOT / name) if block.language == "python"]
    program = tmp_path / "examples.py"
    program.write_text("\n\n".join(block.text for block in blocks), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-W", "error", program.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
