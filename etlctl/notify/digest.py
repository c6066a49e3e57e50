"""From the end of a run to the one message a notifier gets of it, or to none. Sends nothing.

digest(summary, wanted, about, memory)
├── chosen      by task, tag and result
├── fresh       of what is bad: what was not told within `repeat`; it is on record as told from here on
├── recovered   what is done now and was told as bad
└── Message     None where nothing of it is left
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from etlctl.core.results import RunSummary, Status, TaskResult, command_words, failure_lines, total_line
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, ExitCode
from etlctl.notify.memory import NO_TASK, Memory, key_of, key_of_run, prefix_of, stem_of
from etlctl.notify.message import Item, Message
from etlctl.notify.selection import BAD, INTERRUPTED, RECOVERED, Selection
from etlctl.text import printable, shortened

MOST_ITEMS = 100
MOST_LINES = 120
_MOST_OTHERS = 20
"""Lines of text for what is blocked, held, recovered or done, each."""
_LONGEST_REASON = 500
_DONE = (Status.OK, Status.UPTODATE)
_ORDER = (Status.FAIL, Status.BLOCKED, Status.HELD)


@dataclass(frozen=True)
class About:
    """Whose messages they are."""

    project: str
    """The name of its folder."""
    profile: str | None = None
    options: str = ""
    """What a command needs besides to find the same settings, a blank first: ` --profile production`."""
    host: str = ""

    @classmethod
    def of(cls, project: str, profile: str | None) -> About:
        """Of this host."""
        options = f" --profile {printable(profile)}" if profile else ""
        return cls(printable(project), profile, options, socket.gethostname())

    @property
    def shown(self) -> str:
        """`etlctl acme (production)`."""
        return f"etlctl {self.project}{f' ({printable(self.profile)})' if self.profile else ''}"


class Wanted(NamedTuple):
    """What one notifier asks for."""

    notifier: str
    selection: Selection
    repeat_s: float
    """How long the same failure of a task is not told again."""
    leaves_outages: bool = False
    """Whether tasks that could not use something are left out: a loop tries them again, and tells of that itself."""


class Told(NamedTuple):
    """A message, and what the memory has been changed by it; to be undone where it cannot be sent."""

    message: Message
    recorded: frozenset[str]
    settled: frozenset[str]


class _News(NamedTuple):
    bad: list[TaskResult]
    recovered: list[TaskResult]
    others: list[TaskResult]
    told_before: int
    recorded: frozenset[str]
    settled: frozenset[str]
    put_off: int
    """Tasks left out, since the loop tries them again."""


def digest(summary: RunSummary, wanted: Wanted, about: About, memory: Memory) -> Told | None:
    """The message of a run for one notifier; None where it asks for nothing that happened. As Memory raises."""
    news = _news(summary, wanted, memory)
    is_cut = summary.interrupted is not None and INTERRUPTED in wanted.selection.on
    if not (news.bad or news.recovered or news.others or is_cut):
        return None
    items = [_item(result, summary, about) for result in news.bad]
    items += [_item(result, summary, about, RECOVERED) for result in news.recovered]
    items += [_item(result, summary, about) for result in news.others]
    message = Message(
        id=secrets.token_hex(8),
        kind="run",
        at=datetime.now(UTC),
        title=f"{about.shown}: {_said(news, is_cut=is_cut)}",
        text="\n".join(map(printable, _lines(summary, news, about))),
        is_bad=bool(news.bad) or is_cut,
        project=about.project,
        profile=about.profile,
        host=about.host,
        run_id=summary.run_id,
        exit_code=int(summary.exit_code),
        started_at=summary.started_at,
        duration_s=summary.duration_s,
        counts={status.value: number for status, number in summary.counts.items()},
        items=tuple(items[:MOST_ITEMS]),
        left_out=max(0, len(items) - MOST_ITEMS),
        told_before=news.told_before,
    )
    return Told(message, news.recorded, news.settled)


def alert(kind: str, title: str, text: str, about: About, task: Task | None = None) -> Message:
    """A message of its own, such as of a deadline that has passed."""
    lines = [printable(line) for line in text.splitlines()]
    items: tuple[Item, ...] = ()
    if task is not None:
        reason = shortened(text, _LONGEST_REASON)
        items = (Item(task.task_label, task.task_id, task.task_family, kind, reason),)
    return Message(
        id=secrets.token_hex(8),
        kind=kind,
        at=datetime.now(UTC),
        title=f"{about.shown}: {shortened(title, 200)}",
        text="\n".join([*lines[:MOST_LINES], f"on {about.host}"]),
        is_bad=True,
        project=about.project,
        profile=about.profile,
        host=about.host,
        items=items,
    )


def given_up(run_id: str, error: EtlctlError, wanted: Wanted, about: About, memory: Memory) -> Told | None:
    """The message of a run that ended with an error of its own, such as a state database that is gone; None where it
    was told before. As Memory raises."""
    text = str(error)
    fresh = memory.first([key_of_run(wanted.notifier, text)], again_after_s=wanted.repeat_s)
    if not fresh:
        return None
    title = f"a run was given up: {type(error).__name__}"
    message = replace(alert("fail", title, text, about), run_id=run_id, exit_code=int(error.exit_code))
    return Told(message, frozenset(fresh), frozenset())


def _news(summary: RunSummary, wanted: Wanted, memory: Memory) -> _News:
    on, name = wanted.selection.on, wanted.notifier
    taken = [result for result in summary.results if wanted.selection.takes(result.task)]
    chosen = [result for result in taken if not (wanted.leaves_outages and result.exit_code is ExitCode.UNAVAILABLE)]
    bad = [result for result in _causes(chosen, wanted.selection) if result.status.lower() in on]
    keys = {key_of(name, result): result for result in bad}
    fresh = memory.first(list(keys), again_after_s=wanted.repeat_s) if keys else set()
    recovered, settled = _recovered(chosen, name, memory)
    gone = {id(result) for result in recovered}
    others = [one for one in chosen if one.status in _DONE and one.status.lower() in on and id(one) not in gone]
    told = sorted((keys[key] for key in keys if key in fresh), key=lambda result: _ORDER.index(result.status))
    is_told = RECOVERED in on
    return _News(
        told,
        recovered if is_told else [],
        others,
        len(keys) - len(fresh),
        frozenset(fresh),
        frozenset(settled if is_told else ()),
        len(taken) - len(chosen),
    )


def _causes(chosen: Sequence[TaskResult], selection: Selection) -> list[TaskResult]:
    """What is bad; of what is blocked the inputs that are missing, unless tasks were chosen that need them."""
    bad = [result for result in chosen if result.status in BAD]
    if not selection.is_of_all or not any(_is_missing_input(result) for result in bad):
        return bad
    return [result for result in bad if result.status is not Status.BLOCKED or _is_missing_input(result)]


def _is_missing_input(result: TaskResult) -> bool:
    return result.status is Status.BLOCKED and result.task.is_external


def _recovered(chosen: Sequence[TaskResult], name: str, memory: Memory) -> tuple[list[TaskResult], set[str]]:
    """What is done and was told as bad; its keys are off the record now, and this call alone has taken them off."""
    done = [result for result in chosen if result.status in _DONE]
    known = memory.open(prefix_of(name))
    if of_runs := [key for key in known if key.startswith(stem_of(name, NO_TASK))]:
        memory.settle(of_runs)  # this one has come to its end: the next that does not is told anew
    if not known or not done:
        return [], set()
    by_stem: dict[str, list[str]] = {}
    for key in known:
        by_stem.setdefault(f"{key.rpartition(':')[0]}:", []).append(key)
    keys_of = {index: by_stem.get(stem_of(name, result.task.task_id), []) for index, result in enumerate(done)}
    wanted = [key for keys in keys_of.values() for key in keys]
    settled = memory.settle(wanted) if wanted else set()
    return [done[index] for index, keys in keys_of.items() if not settled.isdisjoint(keys)], settled


def _item(result: TaskResult, summary: RunSummary, about: About, word: str = "") -> Item:
    return Item(
        task=result.task.task_label,
        task_id=printable(result.task.task_id),
        family=printable(result.task.task_family),
        result=word or result.status.lower(),
        reason=shortened(result.reason, _LONGEST_REASON),
        where=printable(result.where),
        error=_kind_of(result.error),
        command=_command(result, summary, about) if result.status is Status.FAIL else "",
    )


def _kind_of(error: BaseException | None) -> str:
    return str(getattr(error, "kind", "") or type(error).__name__) if error is not None else ""


def _command(result: TaskResult, summary: RunSummary, about: About) -> str:
    words = command_words(result.task)
    if result.log:
        return f"etlctl logs {summary.run_id} {words}{about.options}"
    return f"etlctl build {words}{about.options} --debug"


def _said(news: _News, *, is_cut: bool) -> str:
    """`2 failed, 1 blocked: CarrierDelays(2013-01-02) and 2 more`."""
    words = {Status.FAIL: "failed", Status.BLOCKED: "blocked", Status.HELD: "held"}
    counts = [(sum(one.status is status for one in news.bad), word) for status, word in words.items()]
    counts += [(len(news.recovered), "recovered"), (len(news.others), "done")]
    told = [f"{number:,} {word}" for number, word in counts if number]
    if is_cut:
        told.append("interrupted")
    named = [*news.bad, *news.recovered, *news.others]
    if not named:
        return ", ".join(told)
    more = f" and {len(named) - 1:,} more" if len(named) > 1 else ""
    return f"{', '.join(told)}: {named[0].task.task_label}{more}"


def _lines(summary: RunSummary, news: _News, about: About) -> list[str]:
    failed = [result for result in news.bad if result.status is Status.FAIL]
    lines = failure_lines(replace(summary, results=tuple(failed)), about.options)[1:] if failed else []
    for status in (Status.BLOCKED, Status.HELD):
        lines += _short(status, [one for one in news.bad if one.status is status])
    lines += _short(RECOVERED.upper(), news.recovered)
    lines += _short("DONE", news.others)
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES:,} more lines", ""]
    if summary.stopped:
        lines.append(summary.stopped)
    if news.told_before:
        lines.append(f"{news.told_before:,} more as told before")
    if news.put_off:
        lines.append(f"{news.put_off:,} more could not use what they need, and will be tried again")
    return [*lines, total_line(summary), f"run {summary.run_id} on {about.host}"]


def _short(word: str, results: Sequence[TaskResult]) -> list[str]:
    if not results:
        return []
    lines = [
        f"{word}  {one.task.task_label}{f'   {shortened(one.reason, _LONGEST_REASON)}' if one.reason else ''}"
        for one in results[:_MOST_OTHERS]
    ]
    more = [f"… and {len(results) - _MOST_OTHERS:,} more"] if len(results) > _MOST_OTHERS else []
    return [*lines, *more, ""]
