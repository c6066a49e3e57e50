"""`etlctl logs`: what the tasks of a run printed; with -f as they print it, also from another host."""

from __future__ import annotations

import codecs
import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import click

from etlctl.cli import documents, history_documents, runs
from etlctl.cli.layout import Line, Style, line, span
from etlctl.cli.options import Command
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.standing import moment_text
from etlctl.core import dates
from etlctl.core.parameters import DateParameter
from etlctl.errors import EtlctlError, UsageError
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    from etlctl.db.state.logs import LogStore
    from etlctl.db.state.records import AttemptRecord, LogTail

_LOOK_S = 0.5
_LOOKED_AT = 50
"""Attempts among which one that was begun is looked for."""
_EXAMPLES = """
etlctl logs                                  # what failed in the newest run
etlctl logs last                             # of every task of the newest run
etlctl logs last LoadFlights --date 2013-01-02
etlctl logs 20261122T100000-1f3a -f          # as it is written, until the run has ended
"""


def _logs(ctx: click.Context, words: tuple[str, ...], by_name: tuple[str, ...], follow: bool) -> int:
    call = session(ctx)
    if follow and call.asked.json:
        raise UsageError("--json is one document, which -f never ends: give one of the two.")
    run_word = words[0] if words and runs.looks_like_run(words[0]) else None
    wanted = _Wanted.read(words[1:] if run_word else words, by_name, call.now)
    run_id = _run_of(call, run_word, wanted)
    attempts = wanted.chosen(call.history.attempts_of_run(run_id), run_id)
    if run_word is None:
        attempts = _first_to_look_at(call, run_id, attempts)
    store = _store(call)
    if follow:
        _Follower(call, store, run_id, wanted).follow()
        return 0
    told = [(attempt, *_text_of(call, store, attempt)) for attempt in attempts if attempt.started_at is not None]
    written = [(attempt, text, whole) for attempt, text, whole in told if text]
    if call.asked.json:
        call.streams.result(documents.dump(history_documents.logs_document(run_id, written)))
        return 0
    for attempt, text, whole in written:
        lines = [_heading(call, attempt, whole=whole)]
        lines += [line(one) for one in text.removesuffix("\n").split("\n")]
        show(call.streams, lines)
    if not written:
        show(call.streams, _nothing(call, run_id, attempts))
    return 0


def _run_of(call: Session, word: str | None, wanted: _Wanted) -> str:
    """The run that was named; else the newest that has tried the TASK, or the newest of all."""
    if word is None and wanted.name:
        tried = call.history.attempts_at(wanted.name.partition("(")[0], wanted.parameters, limit=_LOOKED_AT)
        begun = [one for one in tried if one.started_at is not None]
        if begun:
            return begun[0].run_id
    return runs.found_run(call, word or runs.LAST).run_id


def _first_to_look_at(call: Session, run_id: str, attempts: list[AttemptRecord]) -> list[AttemptRecord]:
    """What failed, where no RUN was named and something has; stderr says which run it is, and how to see the rest."""
    failed = [one for one in attempts if one.status in ("failed", "lost")]
    shown = failed if failed and len(failed) < len(attempts) else attempts
    rest = f"; all that it printed: etlctl logs {run_id}{call.words}" if shown is failed else ""
    call.streams.story(f"etlctl: {'what failed in ' if shown is failed else ''}run {run_id}{rest}")
    return shown


class _Wanted(NamedTuple):
    """The TASK of a command line with its parameters, which no pipeline is imported for."""

    name: str
    """Its name, label or id; empty for all."""
    words: tuple[str, ...]
    """What its label is to hold."""
    parameters: Mapping[str, list[str]]
    """The texts that each may be."""

    @classmethod
    def read(cls, words: Sequence[str], by_name: Sequence[str], now: dt.datetime) -> _Wanted:
        """Words, `--date 2013-01-02` or `--date=2013-01-02` among them; `-p date=2013-01-02` besides."""
        plain: list[str] = []
        pairs = [one.partition("=")[::2] for one in by_name]
        rest = iter(words)
        for word in rest:
            if not word.startswith("--"):
                plain.append(word)
                continue
            name, equals, text = word[2:].partition("=")
            value = text if equals else next(rest, None)
            if value is None:
                raise UsageError(f"{shortened(word)} needs a value, as a parameter of a TASK has: --date 2013-01-02.")
            pairs.append((name, value))
        if pairs and not plain:
            raise UsageError("parameters narrow down a TASK, and none is named.")
        texts = {name.replace("-", "_"): _texts(value, now) for name, value in pairs}
        return cls(plain[0] if plain else "", tuple(plain[1:]), texts)

    def chosen(self, attempts: Sequence[AttemptRecord], run_id: str) -> list[AttemptRecord]:
        """Those of `attempts` that are meant. UsageError, with what there is, where none is."""
        if not self.name:
            return list(attempts)
        found = [one for one in attempts if self.name in _names(one)]
        if not found and attempts:
            near = did_you_mean(self.name, {one.name for one in attempts})
            raise UsageError(
                f"run {run_id} has no task {shortened(self.name)}.{near} `etlctl history {run_id}` lists those it has."
            )
        known = {parameter for one in found for parameter in one.parameters}
        for name in self.parameters:
            if found and name not in known:
                near = did_you_mean(name, known)
                raise UsageError(f"{found[0].name} has no public parameter {shortened(name)}.{near}")
        narrowed = [one for one in found if self._is_meant(one)]
        if not narrowed and found:
            labels = ", ".join(dict.fromkeys(one.label for one in found[:5]))
            more = " …" if len(found) > 5 else ""
            raise UsageError(f"run {run_id} has no {self._asked(found[0].name)}; it has {labels}{more}.")
        return narrowed

    def _asked(self, name: str) -> str:
        """What was asked for, as it was written: `LoadFlights with late, date 2013-01-02`."""
        pairs = [f"{parameter} {texts[0]}" for parameter, texts in self.parameters.items()]
        return f"{name} with {shortened(', '.join([*self.words, *pairs]))}"

    def _is_meant(self, attempt: AttemptRecord) -> bool:
        return all(word in attempt.label for word in self.words) and all(
            attempt.parameters.get(name) in texts for name, texts in self.parameters.items()
        )


def _names(attempt: AttemptRecord) -> tuple[str, ...]:
    return attempt.name, attempt.name.rpartition(".")[2], attempt.label, attempt.task_id


def _texts(text: str, now: dt.datetime) -> list[str]:
    """What a parameter given as `text` may be kept as: itself, and the days that it means."""
    day = DateParameter()
    try:
        return [text, *(day.serialize(one) for one in dates.expand(day, text, now))]
    except (EtlctlError, ValueError, OverflowError):
        return [text]


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
    begun = [one for one in attempts if one.started_at is not None]
    if begun:
        what = begun[0].label if len(attempts) == 1 else "its tasks"
        why = runs.said_of(begun[0]) if len(attempts) == 1 and begun[0].error else ""
        said = f"{what} printed nothing{f' ({why})' if why else ''}, or it was removed since (keep in [logs])"
    elif len(attempts) == 1:
        why = runs.said_of(attempts[0])
        said = f"{attempts[0].label} did not begin: {attempts[0].status}{f', {why}' if why else ''}"
    else:
        said = "no task has begun"
    return [
        line(f"run {run_id}: {said}"),
        line("what it did: ", span(f"etlctl history {run_id}{call.words}", Style.STRONG)),
    ]


class _Follower:
    """Tells what attempts write, as they write it, until their run is over."""

    def __init__(self, call: Session, store: LogStore, run_id: str, wanted: _Wanted) -> None:
        self._call = call
        self._store = store
        self._run_id = run_id
        self._wanted = wanted
        self._seen: dict[tuple[int, int], int] = {}
        """Bytes of each attempt's output that were told."""
        self._begun: dict[tuple[int, int], str] = {}
        """The last line of each, which has no end yet."""
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self._last: tuple[int, int] | None = None

    def follow(self) -> None:
        while True:
            run = runs.found_run(self._call, self._run_id)  # before its attempts, so that none is left out
            attempts = self._wanted.chosen(self._call.history.attempts_of_run(self._run_id), self._run_id)
            for attempt in attempts:
                if attempt.started_at is not None:
                    self._tell(attempt)
            over = run.status != "running" or (
                bool(self._wanted.name) and all(one.status not in ("running", "pending") for one in attempts)
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
        click.Argument(["words"], nargs=-1, metavar="[RUN] [TASK [WORD]...]", type=click.UNPROCESSED),
        click.Option(["-f", "--follow"], is_flag=True, help="Go on as it is written, until the run has ended."),
        click.Option(
            ["-p", "--param", "by_name"],
            multiple=True,
            metavar="NAME=VALUE",
            help="A parameter of the TASK, also one whose name is a built-in option.",
        ),
    ],
    context_settings={"ignore_unknown_options": True},  # the TASK's parameters, for which no pipeline is imported
    options_metavar="[--PARAMETER VALUE]... [OPTIONS]",
    help="What the tasks of a RUN (its id, the last four letters of it, or `last`) printed and logged. A TASK is a "
    "task's name; its parameters are options, as everywhere, and WORDs that its short name holds narrow it down too. "
    "Without a RUN it is the newest that tried the TASK, and what failed in it. The whole is read from [logs] store of "
    "the settings; where that is another machine's folder, the last 64 KB of each from the state database.",
    examples=_EXAMPLES,
)
