"""The history of a large run, written by a process of its own: two cores share the work, and no thread of this process
waits for Python's lock beside the one that runs the tasks.

    run_started …      as History: a call appends to a queue and returns
      thread:          what was told until now -> pipe -> scribe_process.py: History -> the state database
    close()            waits for that process's last word

It lives as long as the pipe is open. When this process is killed, the other writes what it has got and tells the run as
killed. Where it cannot be started, the thread writes itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import etlctl
from etlctl.core.results import RunSummary
from etlctl.core.task import Task
from etlctl.db.state import dictation
from etlctl.db.state.dictation import Dictation, Words
from etlctl.db.state.history import About, History
from etlctl.db.state.logs import LogStore
from etlctl.db.state.store import Store

DONE: Final = "written"
"""The last word of a process that has written all there was."""
_CODE = "import sys; sys.path[:] = {path!r}; from etlctl.db.state.scribe_process import main; main()"
_MOST_WORDS = 500
"""Of one piece: the other end begins before the last of them is packed."""


class Scribe(History):
    """A History whose thread dictates. `store` is a file, and so are the logs."""

    def __init__(self, store: Store, about: About, *, logs: LogStore, **more: Any) -> None:
        super().__init__(store, about, logs=logs, **more)
        self._folder = logs.folder
        self._dictation = Dictation()
        self._words: list[Words] = []
        self._pen: _Pen | None = None

    def _write_all(self) -> None:
        try:
            self._pen = _Pen()
            self._pen.send([self._introduction()])
        except OSError:  # too many processes, no interpreter of its own
            self._put_down()
        super()._write_all()

    def _write_once(self) -> bool:
        pen = self._pen
        if pen is None:
            return super()._write_once()
        summary = self._summary  # before what it ends is taken from the queue
        self._moments = 0
        for moment in self._taken():
            self._words.extend(self._dictation.words(moment))
            self._moments += 1
        words, self._words = self._words, []
        is_end = not self._planned and not self._told and (summary is not None or self._closing.is_set())
        if is_end:
            words.append(_end_of(summary))
        try:
            pen.send(words)
        except OSError:
            self._give_up(pen.last_words())
            return False
        if is_end:
            said = pen.last_words()
            self._is_over = said == DONE
            if not self._is_over:
                self._give_up(said)
        return not is_end or self._is_over

    def _note_planned(self, task: Task) -> None:
        if self._pen is None:
            super()._note_planned(task)
        else:
            self._words.extend(self._dictation.plan(task, self._planned_s))

    def close(self, patience_s: float = 10) -> None:
        """See `History.close`."""
        super().close(patience_s)
        self._put_down()

    def _introduction(self) -> Words:
        about, process = self._about, self._process
        told = {**asdict(about), "project": os.fspath(about.project), "process": tuple(process)}
        return ("run", self._store.opening, self._folder, told, self._plan_count)

    def _put_down(self) -> None:
        pen, self._pen = self._pen, None
        if pen is not None:
            pen.close()


class _Pen:
    """The other process, as it is seen from here. OSError where it cannot be started, or has ended."""

    def __init__(self) -> None:
        home = os.fspath(Path(etlctl.__file__).parents[1])
        path = [one for one in sys.path if one]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE.format(path=path if home in path else [home, *path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C, or the end of the terminal, is not for it
        )

    def send(self, words: list[Words]) -> None:
        """Waits where more is told than the other takes."""
        ink = self._process.stdin
        if ink is not None and words:
            for start in range(0, len(words), _MOST_WORDS):
                ink.write(dictation.piece(words[start : start + _MOST_WORDS]))
            ink.flush()

    def last_words(self) -> str:
        """DONE, or why not all is written. Waits for its end."""
        said = self._process.stdout.read() if self._process.stdout is not None else b""
        return said.decode(errors="replace") or "the process that wrote it has ended"

    def close(self) -> None:
        """It is over, whatever is left to write."""
        self._process.kill()
        with suppress(OSError), self._process:
            pass


def _end_of(summary: RunSummary | None) -> Words:
    if summary is None:
        return ("end", None)
    counts = {status.value: number for status, number in summary.counts.items()}
    code = None if summary.interrupted is None else int(summary.interrupted)
    return ("end", (code, int(summary.exit_code), counts, sorted(summary.found_complete)))
