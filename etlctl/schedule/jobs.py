"""A `Job`: one schedule's build as a command, for whoever starts commands by the clock; the texts that hold one."""

from __future__ import annotations

import re
from typing import NamedTuple

from etlctl.errors import UsageError
from etlctl.schedule.times import Times
from etlctl.text import printable, shortened


class Job(NamedTuple):
    """What is started, where and when."""

    name: str
    """Letters, digits, `-`, `_` and dots: part of a unit's file name."""
    title: str
    """For people: the tasks."""
    command: tuple[str, ...]
    """Its words, the full path of the program first."""
    folder: str
    """Absolute: where it is started."""
    times: Times
    zone: str | None
    """Whose calendar the words for dates in the command mean; None where it has none."""
    jitter_s: float = 0
    variables: tuple[str, ...] = ()
    """Environment variables that the settings ask for, of which a service manager knows nothing."""
    left_out: tuple[str, ...] = ()
    """What the schedule asks for and only the loop can do: `deadline`."""

    @property
    def notes(self) -> list[str]:
        """Sentences for the comments."""
        notes = []
        if self.variables:
            notes.append(f"The settings ask for these variables, which nobody sets here: {', '.join(self.variables)}.")
        if self.left_out:
            notes.append(f"Left out, since only `etlctl loop` can do it: {', '.join(self.left_out)}.")
        return notes


def checked(job: Job) -> Job:
    """The job; UsageError where a word of it could end a line, or mean something else in one."""
    for text in (*job.command, job.folder):
        if not text.isprintable():
            raise UsageError(f"a line cannot hold '{printable(shortened(text))}': it has control characters.")
        if "\\" in text:  # which cron takes apart differently from system to system, and systemd at the end of a line
            raise UsageError(f"a line cannot hold '{printable(shortened(text))}': leave its backslash out.")
    if job.folder != job.folder.strip():
        raise UsageError(f"a line cannot hold the folder '{printable(shortened(job.folder))}': it ends in a blank.")
    return job


def job_name(text: str) -> str:
    """`text` as it may stand in a unit's file name, 60 letters at most."""
    return re.sub("[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:60] or "job"
