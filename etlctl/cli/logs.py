"""`etlctl logs`: what the tasks of a run printed; with -f as they print it, also from another host."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from etlctl.cli import documents, history_documents, runs
from etlctl.cli.layout import Line, Style, line, span
from etlctl.cli.options import Command
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.standing import moment_text
from etlctl.errors import EtlctlError, UsageError
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    from etlctl.db.state.logs import LogStore
    from etlctl.db.state.records import AttemptRecord, LogTail

_LOOK_S = 0.5
_EXAMPLES = """
etlctl logs last                             # of every task of the newest run
etlctl logs last LoadFlights 2013-01-02
etlctl logs 20261122T100000-1f3a -f          # as it is written, until the run has ended
"""


def _logs(ctx: click.Context, run: str, words: tuple[str, ...], follow: bool) -> int:
    call = session(ctx)
    if follow and call.asked.json:
        raise UsageError("--json is one document, which -f never ends: give one of the two.")
    found = runs.found_run(call.history, run)
    attempts = _chosen(call.history.attempts_of_run(found.run_id), found.run_id, words)
    store = _store(call)
    if follow:
        _Follower(call, store, found.run_id, words).follow()
        return 0
    told = [(attempt, *_text_of(call, store, attempt)) for attempt in attempts if attempt.started_at is not None]
    written = [(attempt, text, whole) for attempt, text, whole in told if text]
    if call.asked.json:
        call.streams.result(documents.dump(history_documents.logs_document(found.run_id, written)))
        return 0
    for attempt, text, whole in written:
        lines = [_heading(call, attempt, whole=whole)]
        lines += [line(one) for one in text.removesuffix("\n").split("\n")]
        show(call.streams, lines)
    if not written:
        show(call.streams, _nothing(call, found.run_id, attempts))
    return 0


def _chosen(attempts: Sequence[AttemptRecord], run_id: str, words: Sequence[str]) -> list[AttemptRecord]:
    """The attempts whose task is the first of `words` (its name, label or id), and whose label holds the others."""
    if not words:
        return list(attempts)
    first, *rest = words
    found = [one for one in attempts if first in (one.name, one.label, one.task_id, one.name.rpartition(".")[2])]
    if not found and attempts:
        names = {one.name for one in attempts}
        raise UsageError(
            f"run {run_id} has no task {shortened(first)}.{did_you_mean(first, names)} "
            f"`etlctl history {run_id}` lists those it has."
        )
    narrowed = [one for one in found if all(word in one.label for word in rest)]
    if not narrowed and found:
        labels = ", ".join(dict.fromkeys(one.label for one in found[:5]))
        raise UsageError(f"none of these has {shortened(' '.join(rest))} in its name: {labels}.")
    return narrowed


def _store(call: Session) -> LogStore:
    from etlctl.db.state.logs import LogStore

    return LogStore(call.settings.logs.store, call.settings.project)


def _text_of(call: Session, store: LogStore, attempt: AttemptRecord) -> tuple[str, bool]:
    """What an attempt wrote, and whether that is all of it: from its place, else what the state database has."""
    if attempt.log:
        try:
            call.app  # noqa: B018  the client of S3 is that of the settings in place
            return _shown(b"".join(store.opened(attempt.log))), True
        except FileNotFoundError:
            pass
        except (EtlctlError, OSError) as error:
            call.streams.story(f"etlctl: {printable(str(error))} Its end follows, as the state database has it.")
    tail = call.history.log_tail(attempt)
    if tail is None:
        return "", True
    return _shown(tail.tail), len(tail.tail) == tail.size_bytes


def _shown(raw: bytes) -> str:
    """As text that a terminal can take: lines stay, whatever else would move the cursor is written out."""
    text = raw.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "\n".join(printable(one.expandtabs()) for one in text.split("\n"))


def _heading(call: Session, attempt: AttemptRecord, *, whole: bool = True) -> Line:
    again = f" attempt {attempt.number}," if attempt.number > 1 else ""
    begin = moment_text(attempt.started_at, call.now)
    end = "" if whole else "   (its last 64 KB; the whole is on the machine it ran on)"
    return line(
        span("==> ", Style.DIM),
        span(attempt.label, Style.STRONG),
        span(f" {again} ", Style.DIM),
        span(attempt.status, runs.STYLES[attempt.status]),
        span(f", begun {begin} on {attempt.host}:{attempt.pid}{end}", Style.DIM),
    )


def _nothing(call: Session, run_id: str, attempts: Sequence[AttemptRecord]) -> list[Line]:
    said = "its tasks printed nothing" if any(one.started_at is not None for one in attempts) else "no task has begun"
    return [
        line(f"run {run_id}: {said}, or it was removed since (keep in [logs] of the settings)"),
        line("what it did: ", span(f"etlctl history {run_id}{call.words}", Style.STRONG)),
    ]


class _Follower:
    """Tells what attempts write, as they write it, until their run is over."""

    def __init__(self, call: Session, store: LogStore, run_id: str, words: Sequence[str]) -> None:
        self._call = call
        self._store = store
        self._run_id = run_id
        self._words = words
        self._seen: dict[tuple[int, int], int] = {}
        """Bytes of each attempt's output that were told."""
        self._begun: dict[tuple[int, int], str] = {}
        """The last line of each, which has no end yet."""
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self._last: tuple[int, int] | None = None

    def follow(self) -> None:
        while True:
            run = runs.found_run(self._call.history, self._run_id)  # before its attempts, so that none is left out
            attempts = _chosen(self._call.history.attempts_of_run(self._run_id), self._run_id, self._words)
            for attempt in attempts:
                if attempt.started_at is not None:
                    self._tell(attempt)
            over = run.status != "running" or (
                bool(self._words) and all(one.status not in ("running", "pending") for one in attempts)
            )
            if over:
                return
            time.sleep(_LOOK_S)

    def _tell(self, attempt: AttemptRecord) -> None:
        key = (attempt.task_record, attempt.number)
        lines: list[str] = []
        for left_out, data in self._new(attempt, self._seen.get(key, 0)):
            if left_out:
                lines.append(f"[{left_out:,} bytes were written too quickly to be told from here]")
            self._seen[key] = self._seen.get(key, 0) + left_out + len(data)
            lines += self._whole_lines(key, data)
        if attempt.status != "running" and self._begun.get(key):
            lines.append(self._begun.pop(key))
        if lines:
            heading = [] if self._last == key else [_heading(self._call, attempt)]
            self._last = key
            show(self._call.streams, [*heading, *(line(_shown(one.encode("utf-8", "surrogatepass"))) for one in lines)])

    def _whole_lines(self, key: tuple[int, int], data: bytes) -> list[str]:
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        *whole, self._begun[key] = (self._begun.get(key, "") + decoder.decode(data)).split("\n")
        return whole

    def _new(self, attempt: AttemptRecord, seen: int) -> Iterator[tuple[int, bytes]]:
        """What came after the first `seen` bytes, and how many before it cannot be had any more."""
        if attempt.log:
            with suppress(OSError), open(self._store.local_of(attempt.log), "rb") as file:
                file.seek(seen)
                while data := file.read(1024 * 1024):
                    yield 0, data
                return
        tail: LogTail | None = self._call.history.log_tail(attempt)
        if tail is not None and tail.size_bytes > seen:
            new = min(tail.size_bytes - seen, len(tail.tail))
            yield tail.size_bytes - seen - new, tail.tail[-new:]


command = Command(
    "logs",
    callback=click.pass_context(_logs),
    params=[
        click.Argument(["run"], metavar="RUN"),
        click.Argument(["words"], nargs=-1, metavar="[TASK [WORD]...]"),
        click.Option(["-f", "--follow"], is_flag=True, help="Go on as it is written, until the run has ended."),
    ],
    help="What the tasks of a RUN (its id, the last four letters of it, or `last`) printed and logged. A TASK is a "
    "task's name; WORDs that its label holds narrow it down. The whole is read from [logs] store of the settings, and "
    "where that is another machine's folder, the last 64 KB of each from the state database.",
    examples=_EXAMPLES,
)
