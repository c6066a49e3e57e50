"""Colours and the live display: the only file that knows rich. Nothing goes through rich's markup.

Every text that comes here is a Span, printable already; rich gets it as a Text with one style.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from etlctl.cli.layout import Line, Style, fold, span
from etlctl.cli.streams import columns_of

_STYLES = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.DIM: "dim",
    Style.GOOD: "green",
    Style.WARN: "yellow",
    Style.BAD: "bold red",
}
_TICK_S = 0.1


def write(stream: TextIO, lines: Iterable[Line], width: int) -> None:
    """Writes lines in colour to a terminal. They are folded already: rich breaks none."""
    console = _console(stream, width)
    console.print(_text(lines), soft_wrap=True)


class LiveScreen:
    """Draws the state of a run at the foot of a terminal, ten times a second; what is said scrolls by above it.

    One thread does all the drawing, so the run only puts lines into a queue. Within the block print() and stderr of
    the tasks reach the screen as lines too. A terminal that goes away (ssh, a closed window) is no error of the run:
    nothing is drawn from then on.
    """

    def __init__(self, terminal: TextIO, state: Callable[[], list[Line]], *, colours: bool) -> None:
        self._terminal = terminal
        self._state = state
        self._said: SimpleQueue[Line] = SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="etlctl-screen", daemon=True)
        self._colours = colours
        self._console = _console(terminal, None)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._before: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)

    def say(self, one: Line) -> None:
        """Lets the line scroll by above the live part."""
        self._said.put(one)

    def say_text(self, text: str) -> None:
        """The same for text of several lines, which is made printable."""
        for one in text.split("\n"):
            self._said.put((span(one),))

    def __enter__(self) -> Self:
        self._before = (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = _LineCatcher(self.say_text)
        self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        caught = sys.stdout
        sys.stdout, sys.stderr = self._before
        if isinstance(caught, _LineCatcher):
            caught.end()
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._print_said()
        with suppress(OSError):
            self._live.stop()

    def _text(self, lines: Iterable[Line]) -> Text:
        return _text(lines, colours=self._colours)

    def _draw(self) -> None:
        with suppress(OSError):
            while not self._over.wait(_TICK_S):
                self._print_said()
                width = columns_of(self._terminal)
                lines = [piece for one in self._state() for piece in fold(one, width - 1)]
                self._live.update(Group(*(self._text([one]) for one in lines)), refresh=True)

    def _print_said(self) -> None:
        """All that was said since the last time, in one go: many quick tasks cost no more than their text."""
        width = columns_of(self._terminal)
        lines: list[Line] = []
        while True:
            try:
                lines.extend(fold(self._said.get_nowait(), width))
            except Empty:
                break
        if lines:
            self._console.print(self._text(lines), soft_wrap=True)


class _LineCatcher(io.TextIOBase):
    """A stream that hands on whole lines; stands in for stdout and stderr while the screen is live."""

    encoding = "utf-8"

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for one in whole:
            self._say(one)
        return len(text)

    def end(self) -> None:
        """Hands on a last line that has no end."""
        if self._begun:
            self._say(self._begun)
            self._begun = ""


def _console(stream: TextIO, width: int | None) -> Console:
    return Console(file=stream, width=width, force_terminal=True, markup=False, emoji=False, highlight=False)


def _text(lines: Iterable[Line], *, colours: bool = True) -> Text:
    text = Text(no_wrap=True, overflow="ignore", end="")
    for index, one in enumerate(lines):
        if index:
            text.append("\n")
        for part in one:
            text.append(part.text, _STYLES[part.style] if colours else "")
    text.end = "\n"
    return text
