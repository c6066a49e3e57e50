"""All notifiers of a project, told by a run as its observer and by the loop when something is late."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from etlctl.core.context import Attempt
from etlctl.core.private import private_values
from etlctl.core.results import RunSummary, Status
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, ExitCode
from etlctl.notify import digest as digests
from etlctl.notify import options, troubles
from etlctl.notify.channel import Channel
from etlctl.notify.digest import About, Told, Wanted
from etlctl.notify.kinds import made
from etlctl.notify.memory import LocalMemory, Memory
from etlctl.notify.recalling import Recalling
from etlctl.notify.selection import ALERT, WORDS, Selection
from etlctl.notify.troubles import Trouble
from etlctl.settings import NotifySettings, Secret
from etlctl.settings.masks import Mask
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

CLOSE_WAIT_S = 5.0
"""How long a command waits at its end for messages that are on their way, all of them together."""


_OfTrouble: TypeAlias = Callable[[Trouble, Wanted, About, Memory], Told | None]
_HEARS_TROUBLES = frozenset({ALERT, Status.FAIL.lower()})


class _Way(NamedTuple):
    wanted: Wanted
    channel: Channel


class Notifications:
    """An Observer that tells each notifier of a run what it asks for. Thread-safe; raises nothing, waits in close()."""

    def __init__(
        self, ways: Sequence[_Way], about: About, mask: Mask, memory: Memory, private: Callable[[], Collection[str]]
    ) -> None:
        self._ways = tuple(ways)
        self._about = about
        self._mask = mask
        self._private = private
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

    def trouble(self, trouble: Trouble) -> None:
        """Tells those who hear of alerts, or of failures, what goes wrong in a loop itself; once for one text, over
        all processes."""
        self._offer_trouble(trouble, troubles.begun)

    def trouble_is_over(self, trouble: Trouble) -> None:
        """Tells those whom a trouble of this subject was told that it is over, where they hear of what has
        recovered."""
        self._offer_trouble(trouble, troubles.over)

    def given_up(self, run_id: str, error: EtlctlError) -> None:
        """Tells those who hear of failures that a run ended before its tasks had a result each, once for one reason."""
        for wanted, channel in self._ways:
            is_left = wanted.leaves_outages and error.exit_code is ExitCode.UNAVAILABLE
            if Status.FAIL.lower() in wanted.selection.on and not is_left:
                channel.offer(self._giving_up(run_id, error, wanted))

    def is_idle(self, timeout_s: float = 0.0) -> bool:
        """Whether nothing is on its way, for which it waits so long."""
        until = time.monotonic() + timeout_s
        return all(channel.is_done(until) for _, channel in self._ways)

    def close(self, timeout_s: float = CLOSE_WAIT_S) -> None:
        """Waits that long at most for what is on its way, and no longer than to a second signal; a warning names who
        has not got it. The last call."""
        until = time.monotonic() + timeout_s
        try:
            for _, channel in self._ways:
                channel.finish(until)
        except KeyboardInterrupt:
            for _, channel in self._ways:
                channel.finish(0.0)
            raise
        finally:
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

    def _offer_trouble(self, trouble: Trouble, what: _OfTrouble) -> None:
        for wanted, channel in self._ways:
            if not _HEARS_TROUBLES.isdisjoint(wanted.selection.on):
                channel.offer(self._of_trouble(trouble, wanted, what))

    def _of_trouble(self, trouble: Trouble, wanted: Wanted, what: _OfTrouble) -> Callable[[], Told | None]:
        def make() -> Told | None:
            told = what(trouble, wanted, self._about, self._memory)
            return told._replace(message=told.message.masked(self._mask_for([]))) if told else None

        return make

    def _giving_up(self, run_id: str, error: EtlctlError, wanted: Wanted) -> Callable[[], Told | None]:
        def make() -> Told | None:
            told = digests.given_up(run_id, error, wanted, self._about, self._memory)
            return told._replace(message=told.message.masked(self._mask_for([]))) if told else None

        return make

    def _mask_for(self, tasks: Iterable[Task]) -> Mask:
        return self._mask.and_(private_values(tasks) | {*self._private()})


def opened(
    settings: Mapping[str, NotifySettings],
    *,
    project: Path,
    profile: str | None,
    secrets: Iterable[Secret] = (),
    private: Callable[[], Collection[str]] = frozenset,
    memory: Callable[[], Memory] | None = None,
    is_of_loop: bool = False,
) -> Notifications:
    """The notifiers of the settings; nothing is connected to, no thread begins. Those of a loop are told nothing of
    tasks that could not use something: it tries them again, and has its own word for that.

    `secrets` is what no message may hold, nor what `private()` tells when it is made; `memory` opens the one that all
    processes share, at its first use; without it, and while it cannot be used, this process remembers by itself.
    SettingsError for a notifier that cannot work, UsageError where its extra is not installed.
    """
    mask = Mask(secrets)
    about = About.of(project.name or "etlctl", profile)
    kept = Recalling(memory) if memory is not None else LocalMemory()
    ways = []
    for one in settings.values():
        _check(one)
        wanted = Wanted(f"{project.name}/{profile or ''}/{one.name}", Selection.of(one), one.repeat_s, is_of_loop)
        ways.append(
            _Way(wanted, Channel(one.name, made(one, project, mask), retries=one.retries, memory=kept, mask=mask))
        )
    return Notifications(ways, about, mask, kept, private)


def _check(settings: NotifySettings) -> None:
    for word in settings.on:
        if word not in WORDS:
            hint = did_you_mean(word, WORDS)
            raise options.wrong(
                settings, "on", f"holds '{printable(shortened(word))}'.{hint} It takes: {', '.join(WORDS)}."
            )
    if not settings.on:
        raise options.wrong(settings, "on", f"is empty, so nothing would be told. It takes: {', '.join(WORDS)}.")
