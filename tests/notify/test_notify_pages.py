"""The pages of notifications and metrics name what there is, and what they show to type does what they say."""

from __future__ import annotations

import re
from pathlib import Path

from docs.walkthrough import ROOT, Walk, blocks_of, stand_ins
from etlctl.metrics.figures import ALL, Kind
from etlctl.notify.kinds import KINDS
from etlctl.notify.notifications import CLOSE_WAIT_S
from etlctl.notify.selection import WORDS

NOTIFICATIONS = ROOT / "docs" / "notifications.md"
METRICS = ROOT / "docs" / "metrics.md"


def test_page_of_notifications_does_what_it_shows(tmp_path: Path) -> None:
    """Its files are written and its commands typed, in its order."""
    walk = Walk(tmp_path, stands_for=stand_ins())

    problems = [problem for block in blocks_of(NOTIFICATIONS) for _, _, problem in walk.take(block) if problem]

    assert not problems, "\n".join(problems)


def test_page_of_notifications_names_every_kind_and_word() -> None:
    """A new one has its line."""
    text = NOTIFICATIONS.read_text(encoding="utf-8")

    assert [kind for kind in KINDS if f"### {kind}\n" not in text] == []
    assert [word for word in WORDS if f"`{word}`" not in text] == []
    assert f"{CLOSE_WAIT_S:g} seconds at most" in text


def test_page_of_metrics_names_every_figure_with_its_labels() -> None:
    """And none that is not there."""
    rows = re.findall(r"^\| `(etlctl_\w+)` \| (\w+) \|([^|]*)\|", METRICS.read_text(encoding="utf-8"), re.MULTILINE)
    told = {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

    total = {Kind.COUNTER: "_total"}
    assert told == {(f"{one.name}{total.get(one.kind, '')}", one.kind.value, one.labels) for one in ALL}
