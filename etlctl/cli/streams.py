"""Where a command writes: results on stdout, the story on stderr; nothing else may write to this process's stdout.

Pipelines are users' code and may print. While a command works, `claimed()` points Python's stdout and descriptor 1 at
stderr, so that stdout carries the result alone and `--json` is one document whatever a task prints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

STREAMS = "etlctl.streams"
"""Where `ctx.meta` holds the streams of a call."""

_NEEDED = "█·…×├└│─"
_ASCII = str.maketrans({"█": "#", "·": ".", "…": "...", "×": "x", "├": "|", "└": "`", "│": "|", "─": "-", "–": "-"})

NARROWEST = 40
"""A terminal narrower than this is written as if it had this many columns."""


class Streams:
    """The two streams of one command. Writing never raises: a reader that went away (`| head`) is no error, and
    anything else is kept in `error` for the end."""

    def __init__(self, out: TextIO | None, err: TextIO | None) -> None:
        self.out = out
        self.err = err
        self.error: OSError | None = None
        """Why results could not be written, other than a reader that went away."""
        self.diverted: Callable[[str], None] | None = None
        """Takes the story instead of stderr while a live display owns the terminal."""
        self.told: Callable[[str, str], str] | None = None
        """Makes the line that is written of a text of the story and its level; None writes the text."""
        self.hidden: Callable[[str], str] = lambda text: text
        """Takes out of an error's text what the settings keep secret, once they are read."""
        self._is_gone = out is None

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads the results as they come."""
        return _is_terminal(self.out)

    @property
    def story_is_terminal(self) -> bool:
        """Whether a person reads stderr as it comes."""
        return _is_terminal(self.err)

    def result(self, text: str) -> None:
        """Writes `text` and a line end to stdout, at once."""
        if self._is_gone or self.out is None:
            return
        try:  # no `with` block: each task has such a line
            _write(self.out, text)
        except OSError as error:
            self._fail(error)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """For what writes to `out` by other means: an error of the block is kept in `error`, as that of `result` is."""
        try:
            yield
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.error = error
        self.give_up()

    def story(self, text: str, level: str = "info") -> None:
        """Writes `text` and a line end to stderr, at once; `level` is for those who read it as data."""
        if self.diverted is not None:
            self.diverted(text)
        else:
            self.line(text if self.told is None else self.told(text, level))

    def line(self, text: str) -> None:
        """Writes `text` to stderr as it is, whatever the story looks like."""
        if self.err is not None:
            with suppress(OSError, ValueError):  # there is no place left to tell it
                _write(self.err, text)

    def give_up(self) -> None:
        """Nobody reads stdout any more: further results go nowhere, and Python's own flush at exit finds it open."""
        self._is_gone = True
        if self.out is not None:
            _point_at_nothing(self.out)

    def settle(self) -> None:
        """The last call. What a terminal that went away left unwritten is dropped: Python would flush it once more at
        exit, fail, and leave with 120 in place of the command's own code."""
        for stream in (sys.__stdout__, sys.__stderr__):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):
                _point_at_nothing(stream)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Within the block, whatever else writes to stdout (print(), a subprocess, a C library) reaches stderr."""
        before = sys.stdout
        sys.stdout = sys.stderr
        real = self.out
        is_process_stdout = self.out is sys.__stdout__
        if real is None or not is_process_stdout or _descriptor(real) != 1:
            try:
                yield
            finally:
                sys.stdout = before
            return

        real.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        self.out = open(kept, "w", encoding=real.encoding, errors=real.errors, closefd=True)  # noqa: SIM115  closed below
        try:
            yield
        finally:
            with suppress(OSError):
                os.dup2(kept, 1)
                self.out.close()
            self.out, sys.stdout = real, before


def of_process() -> Streams:
    """The streams of this process. A descriptor that the caller closed is opened on /dev/null first: the next file
    opened, a database perhaps, would otherwise take its number and be written into."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # help texts of tasks in a locale that lacks a character
    return Streams(sys.stdout, sys.stderr)


def takes_blocks(stream: TextIO | None) -> bool:
    """Whether `stream`'s encoding has the block and line characters of our screens."""
    try:
        _NEEDED.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write(stream: TextIO, text: str) -> None:
    if not text.isascii():
        if not takes_blocks(stream):
            text = text.translate(_ASCII)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(f"{text}\n")
    stream.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1


def _point_at_nothing(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError):
        if stream is None:
            return
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)


def columns_of(terminal: TextIO | None) -> int:
    """Columns of a terminal; COLUMNS of the environment goes first."""
    told = os.environ.get("COLUMNS", "")
    columns = int(told) if told.isdecimal() else 0
    if not columns and terminal is not None:
        with suppress(OSError, ValueError):
            columns = os.get_terminal_size(terminal.fileno()).columns
    return max(columns or 100, NARROWEST)
