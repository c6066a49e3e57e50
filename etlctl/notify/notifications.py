"""All notifiers of a project, told by a run as its observer and by the loop when something is late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from etlctl.core.context import Attempt
from etlctl.core.private import private_values
from etlctl.core.results import RunSummary, Status
from etlctl.core.task import Task
from etlctl.errors import EtlctlError
from etlctl.notify import digest as digests
from etlctl.notify import options
from etlctl.notify.channel import Channel
from etlctl.notify.digest import About, Told, Wanted
from etlctl.notify.kinds import made
from etlctl.notify.memory import LocalMemory, Memory
from etlctl.notify.recalling import Recalling
from etlctl.notify.selection import WORDS, Selection
from etlctl.settings import NotifySettings, Secret
from etlctl.settings.masks import Mask
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

CLOSE_WAIT_S = 5.0
"""How long a command waits at its end for messages that are on their way, all of them together."""


class _Way(NamedTuple):
    wanted: Wanted
    channel: Channel


class Notifications:
    """An Observer that tells each notifier of a run what it asks for. Thread-safe; raises nothing, waits in close()."""

    def __init__(self, ways: Sequence[_Way], about: About, mask: Mask, memory: Memory) -> None:
        self._ways = tuple(ways)
        self._about = about
        self._mask = mask
        self._memory = memory
        self._is_closing = False
        for _, channel in self._ways:
            channel.on_idle = self._close_memory

    def __bool__(self) -> bool:
        return bool(self._ways)

    def run_started(self, run_id: str, tasks: Sequence[Task], to_run: Sequence[Task]) -> None:
        """See Observer."""

    def task_started(self, task: Task, attempt: Attempt) -> None:
        """See Observer."""

    def task_finished(self, result: object, number: int, total: int) -> None:
        """See Observer."""

    def run_finished(self, summary: RunSummary) -> None:
        """See Observer: one message for each notifier that asks for something that happened."""
        for wanted, channel in self._ways:
            channel.offer(self._digest_of(summary, wanted))

    def alert(self, kind: str, title: str, text: str, task: Task | None = None) -> None:
        """Tells those who have `kind` in their `on`: `deadline`, or `alert` for anything else. Of a task, those who
        hear of it; of none, all of them."""
        message = digests.alert(kind, title, text, self._about, task)
        told = Told(message.masked(self._mask_for([task] if task is not None else [])), frozenset(), frozenset())
        for wanted, channel in self._ways:
            selection = wanted.selection
            if kind in selection.on and (task is None or selection.takes(task)):
                channel.offer(lambda: told)

    def given_up(self, run_id: str, error: EtlctlError) -> None:
        """Tells those who hear of failures that a run ended before its tasks had a result each, once for one reason."""
        for wanted, channel in self._ways:
            if Status.FAIL.lower() in wanted.selection.on:
                channel.offer(self._giving_up(run_id, error, wanted))

    def close(self, timeout_s: float = CLOSE_WAIT_S) -> None:
        """Waits that long at most for what is on its way; a warning names who has not got it. The last call."""
        until = time.monotonic() + timeout_s
        for _, channel in self._ways:
            channel.finish(until)
        self._is_closing = True
        self._close_memory()

    def _close_memory(self) -> None:
        """Once nobody can ask it any more: a thread that was given up may do so until its endpoint lets go of it."""
        if self._is_closing and all(channel.is_idle for _, channel in self._ways):
            self._memory.close()

    def _digest_of(self, summary: RunSummary, wanted: Wanted) -> Callable[[], Told | None]:
        def make() -> Told | None:
            told = digests.digest(summary, wanted, self._about, self._memory)
            return told._replace(message=told.message.masked(self._mask_for(summary.tasks))) if told else None

        return make

    def _giving_up(self, run_id: str, error: EtlctlError, wanted: Wanted) -> Callable[[], Told | None]:
        def make() -> Told | None:
            told = digests.given_up(run_id, error, wanted, self._about, self._memory)
            return told._replace(message=told.message.masked(self._mask)) if told else None

        return make

    def _mask_for(self, tasks: Iterable[Task]) -> Mask:
        return self._mask.and_(private_values(tasks))


def opened(
    settings: Mapping[str, NotifySettings],
    *,
    project: Path,
    profile: str | None,
    secrets: Iterable[Secret] = (),
    memory: Callable[[], Memory] | None = None,
) -> Notifications:
    """The notifiers of the settings; nothing is connected to, no thread begins.

    `secrets` is what no message may hold; `memory` opens the one that all processes share, at its first use; without
    it, and while it cannot be used, this process remembers by itself. SettingsError for a notifier that cannot work,
    UsageError where its extra is not installed.
    """
    mask = Mask(secrets)
    about = About.of(project.name or "etlctl", profile)
    kept = Recalling(memory) if memory is not None else LocalMemory()
    ways = []
    for one in settings.values():
        _check(one)
        wanted = Wanted(f"{project.name}/{profile or ''}/{one.name}", Selection.of(one), one.repeat_s)
        ways.append(
            _Way(wanted, Channel(one.name, made(one, project, mask), retries=one.retries, memory=kept, mask=mask))
        )
    return Notifications(ways, about, mask, kept)


def _check(settings: NotifySettings) -> None:
    for word in settings.on:
        if word not in WORDS:
            hint = did_you_mean(word, WORDS)
            raise options.wrong(
                settings, "on", f"holds '{printable(shortened(word))}'.{hint} It takes: {', '.join(WORDS)}."
            )
    if not settings.on:
        raise options.wrong(settings, "on", f"is empty, so nothing would be told. It takes: {', '.join(WORDS)}.")
