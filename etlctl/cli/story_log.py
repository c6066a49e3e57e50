"""Log records as part of the story on stderr, printable and never inside a live display."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING

from etlctl.cli.streams import Streams
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.cli.json_log import JsonLog

_TELL_KEYS = ("boto3", "botocore", "s3transfer")
"""Their DEBUG records hold session tokens, signatures and the answers that keys come in; and what they warn of with a
traceback, such as credentials that could not be renewed, comes out as an error of ours as well, or did no harm."""


@contextmanager
def installed(streams: Streams, *, debug: bool, json_log: JsonLog | None = None) -> Iterator[None]:
    """Warnings and worse, with `debug` everything but what tells keys, go to `streams` while the block goes on."""
    handler = _StoryHandler(streams, json_log)
    form = "%(levelname)s %(name)s: %(message)s" if json_log is None else "%(message)s"
    handler.setFormatter(_PrintableFormatter(form, debug=debug))
    handler.addFilter(_tells_no_keys)
    if not debug:
        handler.addFilter(_is_no_traceback_of_theirs)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def _tells_no_keys(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG or record.name.partition(".")[0] not in _TELL_KEYS


def _is_no_traceback_of_theirs(record: logging.LogRecord) -> bool:
    return not record.exc_info or record.name.partition(".")[0] not in _TELL_KEYS


class _StoryHandler(logging.Handler):
    """Hands each record to the story, so that it does not run into a live display."""

    def __init__(self, streams: Streams, json_log: JsonLog | None) -> None:
        super().__init__()
        self._streams = streams
        self._json_log = json_log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self._streams.hidden(self.format(record))
            if self._json_log is not None:
                self._streams.line(self._json_log.record(record, text))
            else:
                self._streams.story(text)
        except Exception:  # noqa: BLE001  what the logging module asks of every handler
            self.handleError(record)


class _PrintableFormatter(logging.Formatter):
    """Log lines whose control characters are written out; line ends stay. Ours have tracebacks with `debug` alone."""

    def __init__(self, form: str, *, debug: bool) -> None:
        super().__init__(form)
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and not self._debug and record.name == "etlctl":
            record = copy(record)  # others, the log of an attempt among them, get the whole
            record.msg, record.args = f"{record.getMessage()} (--debug shows the traceback)", None
            record.exc_info = record.exc_text = None
        return "\n".join(printable(one) for one in super().format(record).split("\n"))
