"""Log records as part of the story on stderr, printable and never inside a live display."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from etlctl.cli.streams import Streams
from etlctl.text import printable


@contextmanager
def installed(streams: Streams, *, debug: bool) -> Iterator[None]:
    """Warnings and worse, with `debug` everything, go to `streams` while the block goes on."""
    handler = _StoryHandler(streams)
    handler.setFormatter(_PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


class _StoryHandler(logging.Handler):
    """Hands each record to the story, so that it does not run into a live display."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._streams.story(self.format(record))
        except Exception:  # noqa: BLE001  what the logging module asks of every handler
            self.handleError(record)


class _PrintableFormatter(logging.Formatter):
    """Log lines whose control characters are written out; line ends stay."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(one) for one in super().format(record).split("\n"))
