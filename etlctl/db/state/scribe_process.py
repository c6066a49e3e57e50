"""The process that writes the history of another one's run: takes dictation from stdin until it ends (see scribe.py).

Says on stdout whether all of it is written. What ends the process group of the run, or the other process itself, does
not end this one before what it was told is written; a minute without the state database does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from etlctl.core.results import RunSummary, Status
from etlctl.db.state.dictation import Transcript, Words
from etlctl.db.state.history import About, History
from etlctl.db.state.logs import LogStore
from etlctl.db.state.owners import is_dead
from etlctl.db.state.provenance import Process
from etlctl.db.state.scribe import DONE
from etlctl.db.state.store import Store
from etlctl.errors import ExitCode
from etlctl.settings import ConnectionSettings, Secret

_LOOK_S = 1.0
"""How often it is looked whether the other process lives: a child of it may have the pipe open, too."""
_PATIENCE_S = 8.0
"""For the last transactions: less than the other process has for us."""
_DYING_S = 5.0
"""The most between the end of a process's descriptors and its own."""
_BLOCK = 1 << 16


class _Summary(RunSummary):
    """What a history asks of a summary, as it was dictated."""

    def __init__(self, interrupted: int | None, code: int, counts: dict[str, int], complete: list[str]) -> None:
        code_of = None if interrupted is None else ExitCode(interrupted)
        super().__init__("", (), datetime.now(UTC), 0.0, code_of)
        vars(self)["exit_code"] = ExitCode(code)
        vars(self)["counts"] = {Status(name): number for name, number in counts.items()}
        vars(self)["found_complete"] = frozenset(complete)


def main() -> None:
    """Writes until nothing more comes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    words = _words(parent)
    history, owner = _begun(next(words, ()))
    transcript = Transcript(history)
    is_left = True
    for one in words:
        if one[0] == "end":
            is_left = False
            if one[1] is not None:
                history.run_finished(_Summary(*one[1]))
            break
        transcript.take(one)
    if is_left:
        _wait_for_end(owner)
    history.close(_PATIENCE_S)
    os.write(1, (history.missing or DONE).encode(errors="replace"))


def _begun(introduction: Words) -> tuple[History, str]:
    """And the process whose run it is."""
    if not introduction:
        sys.exit(1)
    _, (url, connect_s, lock_s), logs, about, planned = introduction
    store = Store(ConnectionSettings("state", Secret(url), connect_timeout_s=connect_s, lock_timeout_s=lock_s))
    project, process = Path(about["project"]), Process(*about["process"])
    told: dict[str, Any] = {**about, "project": project, "process": process}
    history = History(store, About(**told), logs=LogStore(logs, project), warn=lambda text: None)  # noqa: ARG005
    history.begin(planned)
    return history, process.owner


def _words(parent: int) -> Iterator[Words]:
    """What is dictated, until the pipe is closed or the process `parent` has ended."""
    pending = b""
    while True:
        if not select.select([0], [], [], _LOOK_S)[0]:
            if os.getppid() != parent:
                return
            continue
        block = os.read(0, _BLOCK)
        if not block:
            return
        *lines, pending = (pending + block).split(b"\n")
        for line in lines:
            yield from json.loads(line)


def _wait_for_end(owner: str) -> None:
    """Its descriptors are closed first, then its children have another parent: only later can it be told as killed."""
    until = time.monotonic() + _DYING_S
    while not is_dead(owner) and time.monotonic() < until:
        time.sleep(0.01)
