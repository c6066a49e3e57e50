"""A job as a service of systemd and the timer that starts it."""

from __future__ import annotations

import re
from typing import NamedTuple

from etlctl.schedule.calendar import calendar_events
from etlctl.schedule.jobs import Job, checked
from etlctl.schedule.times import Cron, Every, Times

_PLAIN = r"[A-Za-z0-9_@+=:,./-]+"


class Unit(NamedTuple):
    """A unit's file."""

    file: str
    """Its name, without a folder."""
    text: str


def units(job: Job) -> tuple[Unit, Unit]:
    """The service and its timer; UsageError where a timer cannot say when."""
    return _service(checked(job)), _timer(job)


def _service(job: Job) -> Unit:
    zone = [f"Environment=TZ={job.zone}"] if job.zone is not None else []
    program, *words = job.command
    lines = [
        *(f"# {note}" for note in job.notes),
        "[Unit]",
        f"Description=etlctl: {_specifiers(job.title)}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={_specifiers(job.folder)}",
        *zone,
        *([f"EnvironmentFile=/etc/etlctl/{job.name}.env"] if job.variables else []),
        f"ExecStart={' '.join([_word(program), *(_word(word).replace('$', '$$') for word in words)])}",
        "# Asked to end, the build lets its workers come to an end by itself.",
        "KillMode=mixed",
    ]
    return Unit(f"etlctl-{job.name}.service", "\n".join([*lines, ""]))


def _timer(job: Job) -> Unit:
    lines = [
        "[Unit]",
        f"Description=etlctl: {_specifiers(job.title)}, {_specifiers(job.times.text)}",
        "",
        "[Timer]",
        *_when(job.times),
        *([f"RandomizedDelaySec={job.jitter_s:g}s"] if job.jitter_s else []),
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return Unit(f"etlctl-{job.name}.timer", "\n".join([*lines, ""]))


def _when(times: Times) -> list[str]:
    if isinstance(times, Every):
        return ["OnActiveSec=0", f"OnUnitActiveSec={times.seconds:g}s"]
    assert isinstance(times, Cron)  # noqa: S101  there are two
    # Persistent: what was missed while the machine was off is made up for, once
    return [*(f"OnCalendar={event}" for event in calendar_events(times)), "Persistent=true"]


def _word(text: str) -> str:
    """A word of ExecStart=, by systemd.service(5); it holds no backslash, and a `$` is the caller's."""
    word = _specifiers(text)
    return word if re.fullmatch(_PLAIN, text) else '"' + word.replace('"', '\\"') + '"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
