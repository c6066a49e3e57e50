"""A job as a line of crontab(5), with the zone that it is meant in."""

from __future__ import annotations

import re
from shlex import quote

from etlctl.errors import UsageError
from etlctl.schedule.jobs import Job, checked
from etlctl.schedule.times import Cron, Every, Times

_MOST_COMMAND = 998
"""MAX_COMMAND of Debian's cron, less the line's end."""
_LAST = {"minute": 59, "hour": 23, "day of month": 31, "month": 12, "day of week": 7}
_INSTEAD = "print a systemd timer (--systemd), or use etlctl loop"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def crontab(job: Job) -> str:
    """Comments, `CRON_TZ` and the line, each with a line break at its end; UsageError where cron cannot do it."""
    fields, zone = fields_of(job.times)
    return "\n".join(
        [
            f"# {job.name}: {job.title}, {job.times.text}"
            if job.name != job.title
            else f"# {job.title}, {job.times.text}",
            *(f"# {note}" for note in job.notes),
            *(["# Jitter is left out: crontab has no such thing."] if job.jitter_s else []),
            "# CRON_TZ is cronie's; a cron that does not know it, as Debian's, goes by the machine's zone.",
            f"CRON_TZ={zone}",
            f"{fields} {command_of(job)}",
            "",
        ]
    )


def command_of(job: Job) -> str:
    """The command as crontab takes it: for sh, and each `%` escaped, which is a line break to cron otherwise."""
    words = " ".join(quote(word) for word in checked(job).command)
    zone = f"TZ={quote(job.zone)} " if job.zone is not None else ""
    command = f"cd {quote(job.folder)} && {zone}{words}".replace("%", r"\%")
    if len(command.encode()) > _MOST_COMMAND:
        raise UsageError(f"a line of crontab holds {_MOST_COMMAND} bytes, which is not enough here: {_INSTEAD}.")
    return command


def fields_of(times: Times) -> tuple[str, str]:
    """The five fields, as every cron reads them, and the zone; UsageError where they cannot say it."""
    if isinstance(times, Cron):
        fields = dict(zip(_LAST, times.fields.split(), strict=True))
        return " ".join(_field(times, name, text) for name, text in fields.items()), times.zone
    assert isinstance(times, Every)  # noqa: S101  there are two
    return _every(times), "UTC"


def _field(times: Cron, name: str, text: str) -> str:
    if "#" in text or "L" in text.upper().replace("JUL", ""):
        raise UsageError(f"'{times.fields}' has a {name} ({text}) that cron does not know: {_INSTEAD}.")
    # a start with a step and without an end, as in 5/15, is understood by some crons alone
    return ",".join(re.sub(r"^(\w+)/(\d+)$", rf"\1-{_LAST[name]}/\2", one) for one in text.split(","))


def _every(times: Every) -> str:
    seconds = times.seconds
    for unit_s, whole_s, form in (
        (_MINUTE_S, _HOUR_S, "{} * * * *"),
        (_HOUR_S, _DAY_S, "0 {} * * *"),
        (_DAY_S, _DAY_S, "0 0 * * *"),
    ):
        if seconds >= unit_s and seconds % unit_s == 0 and whole_s % seconds == 0:
            step = int(seconds // unit_s)
            return form.format("*" if step == 1 else "0" if seconds == whole_s else f"*/{step}")
    raise UsageError(f"crontab cannot say '{times.text}': it has steps that divide an hour or a day. {_INSTEAD}.")
