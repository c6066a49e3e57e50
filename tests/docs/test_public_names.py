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
