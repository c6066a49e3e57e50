"""Several CSV or TSV files as one stream of records, or of bytes; each is read by source.py, with its own header."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import BinaryIO, cast

from etlctl.errors import LoadError
from etlctl.loads.places import Place
from etlctl.loads.source import SourceFile

_BLOCK = 1 << 18
_MARK = b"\xef\xbb\xbf"


class NotAsOneError(Exception):
    """The bytes of the files, one after the other, are not surely the records of the files."""


class SourceFiles:
    """As a SourceFile, of files that are read in their order; one of them at least.

    Each has its own header, whose columns may stand in another order than those of the first. `shown` is what they are
    together, for messages about all of them; whatever is wrong names the very file.
    """

    def __init__(
        self,
        places: Sequence[Place],
        shown: str,
        *,
        wanted: Sequence[str],
        header: bool = True,
        delimiter: str | None = None,
    ) -> None:
        self.shown = shown
        self._has_header = header
        self._files = [SourceFile(place, wanted=wanted, header=header, delimiter=delimiter) for place in places]
        self._current = self._files[0]
        self.delimiter = self._files[0].delimiter
        other = next((file for file in self._files if file.delimiter != self.delimiter), None)
        if other is not None:
            raise LoadError(
                f"{shown}: the fields of {self._files[0].shown} end otherwise than those of {other.shown}, by their "
                'names. Set delimiter = "," in the task, or what it is.'
            )

    @property
    def rows(self) -> int:
        """Records handed out, as SourceFile.rows."""
        return sum(file.rows for file in self._files)

    def place(self, column: str | None = None) -> str:
        """Where the record handed out last is: file, line, column."""
        return self._current.place(column)

    def note(self, rows: int) -> str | None:
        """A sentence about files that were read and held no records, else None."""
        if rows:
            return None
        return f"none of the {len(self._files):,} files of {self.shown} holds a record: 0 rows"

    def header_names(self) -> Sequence[str]:
        """The columns of the first file that has any, in its order."""
        return next((names for file in self._files if (names := file.header_names())), ())

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return chain.from_iterable(self._each())

    def text_columns(self) -> Iterator[Sequence[Sequence[str]]]:
        """See `TextsByColumns`; columns must be wanted."""
        for file in self._each():
            yield from file.text_columns()

    def _each(self) -> Iterator[SourceFile]:
        for file in self._files:
            self._current = file
            yield file

    @contextmanager
    def opened_bytes(self) -> Iterator[BinaryIO]:
        """The bytes of all, unpacked, as one file would have them: the header once, and a line end behind each file.

        Reading raises NotAsOneError where they are not that for certain, such as after a header that differs.
        """
        blocks = self._blocks()
        try:
            yield cast(BinaryIO, _Joined(blocks))
        finally:
            blocks.close()

    def _blocks(self) -> Generator[bytes, None, None]:
        header: bytes | None = None
        line_end = b"\n"
        for file in self._files:
            with file.opened_bytes() as stream:
                block = stream.read(_BLOCK).removeprefix(_MARK)
                if not block:
                    continue
                if self._has_header:
                    line, block = _first_line(block, stream)
                    names = line.rstrip(b"\r\n")
                    line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
                    if header is None:
                        header = names
                        yield names + line_end
                    elif header != names:
                        raise NotAsOneError(f"the header of {file.shown}")
                yield from _whole_records(block, stream, line_end, file.shown)


def _first_line(block: bytes, stream: BinaryIO) -> tuple[bytes, bytes]:
    """The first line of a file, with its end where it has one, and what was read beyond it."""
    while (end := block.find(b"\n")) < 0:
        more = stream.read(_BLOCK)
        if not more:
            end = len(block) - 1
            break
        block += more
        if len(block) > 4 * _BLOCK:
            raise NotAsOneError("a header that does not end")
    line = block[: end + 1]
    if line.count(b'"') % 2 or b"\r" in line.rstrip(b"\r\n"):
        raise NotAsOneError("a header of several lines")
    return line, block[end + 1 :]


def _whole_records(block: bytes, stream: BinaryIO, line_end: bytes, shown: str) -> Iterator[bytes]:
    """The rest of a file; NotAsOneError where a quote is open at its end, which the next file would close."""
    quotes = 0
    last = b""
    block = block or stream.read(_BLOCK)
    while block:
        quotes += block.count(b'"')
        last = block
        yield block
        block = stream.read(_BLOCK)
    if quotes % 2:
        raise NotAsOneError(f"an open quote in {shown}")
    if last and not last.endswith(b"\n"):
        yield line_end


class _Joined:
    """Blocks, for who reads a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._held = b""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        block = self._held or next(self._blocks, b"")
        self._held = block[size:]
        return block[:size]
