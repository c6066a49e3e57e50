"""The schedule that a command line describes: TASKs with --every or --cron and what goes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from etlctl.cli.ages import age, wait_s
from etlctl.cli.tasks import Request
from etlctl.errors import UsageError

if TYPE_CHECKING:
    from etlctl.schedule import Schedule

_DAY_S = 86_400
_MOST_NAME = 100
_WORDS = ("every", "cron", "timezone", "date", "window", "jitter", "overlap", "deadline")


def schedule_options() -> list[click.Parameter]:
    """`--every`, `--cron` and the others, for commands that take such a schedule."""
    return [
        click.Option(["--every"], metavar="AGE", help="Begin at once, and then every 30m, 6h, 1d."),
        click.Option(["--cron"], metavar="LINE", help='Begin by a line of crontab: "0 6 * * *".'),
        click.Option(["--timezone"], metavar="ZONE", help="Whose clocks and calendar hold. [default: UTC]"),
        click.Option(["--date"], metavar="DAY", help="The day to ask for: yesterday, today, -3d."),
        click.Option(["--window"], metavar="AGE", help="Ask for so many days that end with --date, oldest first: 7d."),
        click.Option(["--jitter"], metavar="AGE", help="Begin up to so much later, by chance. [default: 0s]"),
        click.Option(
            ["--overlap"],
            type=click.Choice(["skip", "queue"]),
            help="What is due while the turn before runs is left out, or begun after it. [default: skip]",
        ),
        click.Option(["--deadline"], metavar="TIME", help="Alert once when it is not done by then: 07:00."),
    ]


def asked_schedule(request: Request, given: Mapping[str, Any]) -> Schedule | None:
    """What the command line asks for; None where it names no TASK. Raises UsageError."""
    told = {name: given[name] for name in _WORDS if given.get(name) is not None}
    if not request.classes:
        if told:
            raise UsageError(f"--{next(iter(told))} goes with a TASK, and none is named: TASK --every 30m.")
        return None
    if ("every" in told) == ("cron" in told):
        both = "both --every and --cron are" if "every" in told else "neither --every nor --cron is"
        raise UsageError(f'{both} given: TASKs take one of them, as in --every 30m or --cron "0 6 * * *".')
    if "window" in told and "date" not in told:
        raise UsageError("--window needs --date, which is its last day: --date yesterday --window 7d.")
    from etlctl.schedule import schedule_of
    from etlctl.settings import ScheduleSettings

    return schedule_of(
        ScheduleSettings(
            name=_name(request, told),
            tasks=tuple(cls.task_family for cls in request.classes),
            every_s=wait_s(told["every"], "--every") if "every" in told else None,
            cron=told.get("cron"),
            timezone=told.get("timezone", "UTC"),
            date=told.get("date"),
            window_s=_window_s(told["window"]) if "window" in told else None,
            params=dict(request.texts),
            jitter_s=wait_s(told["jitter"], "--jitter") if "jitter" in told else 0,
            overlap=told.get("overlap", "skip"),
            deadline=told.get("deadline"),
            place="the command line",
        ),
        lambda key: f"--{key}",
    )


def _window_s(text: str) -> float:
    found = age(text, "--window").total_seconds()
    if found < _DAY_S or found % _DAY_S:
        raise UsageError(f"--window cannot take {text}: it is whole days, 1d at least, as in 7d.")
    return found


def _name(request: Request, told: Mapping[str, Any]) -> str:
    """The same for the same words: by it loops on several hosts know that they are about the same turns."""
    same = (f"--{name} {value}" for name, value in told.items() if name not in ("jitter", "deadline"))
    name = " ".join([replace(request, now=None).words, *same])
    if len(name) > _MOST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{name[: _MOST_NAME - 10]}… {digest}"
    return name
