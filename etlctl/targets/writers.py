"""Files open for writing that publish on close and on nothing else; where the bytes go is for a Pending to know.

A writer ends in one of three ways:
    close(), or the end of its `with` block     published
    an exception out of its `with` block        discarded
    dropped, never closed                       discarded, with a ResourceWarning
"""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Protocol, Self

from etlctl.targets import formats


class Pending(Protocol):
    """Content on its way to a target: not there for anybody until published."""

    name: str
    """The target, for messages."""
    raw: Any
    """An unbuffered binary file that takes the bytes; `Any` since the io module has no one type for it."""

    @property
    def published(self) -> bool | None:
        """None while it is open; then whether this content is what the target now holds."""

    def publish(self) -> None:
        """Makes what `raw` took the target's content; on failure raises, and the caller discards."""

    def mute(self) -> None:
        """From now on `raw` swallows what it is given, so that the layers above can be closed at no risk."""

    def discard(self) -> None:
        """Removes every trace of the content; called once the layers above `raw` are closed."""


class _Publishes:
    """The ending of both writers; `_close_layers` pushes down what they hold, and closes all but the Pending."""

    _pending: Pending
    _sink: io.BufferedWriter | None
    _is_settled = True  # until __init__ is through: what was never open is nobody's to discard

    @property
    def name(self) -> str:
        """The final path, not the temporary one."""
        return self._pending.name

    @property
    def published(self) -> bool | None:
        """None while open; then True when this content is what the target holds, False when it was discarded.

        False after a close() without error means: the target has `if_absent=True`, and another writer was first.
        """
        return self._pending.published

    def close(self) -> None:
        """Publishes, durably; a second call does nothing. On any failure the target stays as it was."""
        if self._is_settled:
            return
        self._is_settled = True
        try:
            self._close_all()
            self._pending.publish()
        except BaseException:
            self._drop()
            raise

    def discard(self) -> None:
        """Closes without publishing."""
        if not self._is_settled:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        if self._is_settled:
            return
        self._drop()
        warnings.warn(
            f"{self._pending.name} was opened for writing and never closed: discarded", ResourceWarning, stacklevel=2
        )

    def _drop(self) -> None:
        self._is_settled = True
        self._pending.mute()
        with suppress(OSError, ValueError):  # ValueError: a layer that is closed already
            self._close_all()
        self._pending.discard()

    def _close_all(self) -> None:
        self._close_layers()
        if self._sink is not None:
            self._sink.close()

    def _close_layers(self) -> None:
        raise NotImplementedError


class BytesWriter(_Publishes, io.BufferedWriter):
    """`open("wb")`."""

    def __init__(self, pending: Pending, below: Any, sink: io.BufferedWriter | None) -> None:
        super().__init__(below)
        self._pending, self._sink, self._is_settled = pending, sink, False

    @property
    def mode(self) -> str:
        """As the built-in open() sets it; libraries look whether there is a `b` in it."""
        return "wb"

    def _close_layers(self) -> None:
        io.BufferedWriter.close(self)


class TextWriter(_Publishes, io.TextIOWrapper):
    """`open("w")`."""

    def __init__(self, pending: Pending, below: Any, sink: io.BufferedWriter | None, form: formats.Format) -> None:
        super().__init__(below, encoding=form.encoding, errors=form.errors, newline=form.newline)
        self._pending, self._sink, self._is_settled = pending, sink, False

    @property
    def mode(self) -> str:
        """As the built-in open() sets it."""
        return "w"

    def _close_layers(self) -> None:
        io.TextIOWrapper.close(self)


def open_writer(pending: Pending, form: formats.Format) -> IO[Any]:
    """A BytesWriter or TextWriter on `pending`, packed as `form` says; takes `pending` over."""
    try:
        if form.compression is formats.Compression.NONE and not form.is_text:
            return BytesWriter(pending, pending.raw, None)
        sink = io.BufferedWriter(pending.raw)
        below = formats.packed(sink, form.compression) or sink
        return TextWriter(pending, below, sink, form) if form.is_text else BytesWriter(pending, below, sink)
    except BaseException:
        pending.mute()
        pending.discard()
        raise
