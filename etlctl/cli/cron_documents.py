"""The document that `etlctl cron --json` prints, and how it is made; see documents.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, head

if TYPE_CHECKING:
    from etlctl.schedule.units import Unit


class UnitDocument(TypedDict):
    """One file of systemd."""

    file: Annotated[str, "its name, for /etc/systemd/system"]
    text: Annotated[str, "what it holds"]


class CronDocument(Document):
    """`etlctl cron`."""

    lines: Annotated[list[str], "a schedule each, for crontab: comments, zone and line; empty with `--systemd`"]
    units: Annotated[list[UnitDocument], "with `--systemd`: the service and the timer of each schedule"]


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/cron": CronDocument}


def cron_document(lines: Sequence[str], units: Sequence[Unit]) -> CronDocument:
    """What was made of the schedules."""
    return {
        **head("etlctl/cron"),
        "lines": list(lines),
        "units": [{"file": unit.file, "text": unit.text} for unit in units],
    }
