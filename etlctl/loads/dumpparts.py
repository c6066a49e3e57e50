"""A dump in parts: files of a given size that end where a record ends, and the manifest that names them, written last.

    FOLDER/flights.csv.gz.manifest                      the target
    FOLDER/flights.csv.gz.parts/TOKEN/0000.csv.gz       a part; each attempt has a TOKEN of its own

written_in_parts()
  write()                 block by block, cut by RecordCuts; each part begins with the header
  manifest published      from now on readers see the parts, all of them
  or, after an error      the parts are removed again; those of a killed process stay, and no manifest names them

Knows no row and no database; which targets there are it tells by what they can: `open`, `beside`, `remove`.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from typing import Any

from etlctl.core import context
from etlctl.errors import EtlctlError, TransientError
from etlctl.loads.filenames import PACKED
from etlctl.loads.manifest import SUFFIX, Entry, manifest_text
from etlctl.text import shortened


class RecordCuts:
    """Cuts a stream of bytes behind the record with which a part has reached `part_bytes`; goes once.

    `quotes`: a line end inside of quotes ends no record (CSV); where they mean nothing, every line is one. `begun` are
    the bytes that each part has before its records. Where it is cut does not depend on how the stream comes in blocks.
    """

    def __init__(self, part_bytes: int, *, quotes: bool, begun: int = 0) -> None:
        self._room = max(part_bytes - begun, 0)
        self._left = self._room
        self._has_quotes = quotes
        self._is_quoted = False
        """Whether the next byte stands inside of quotes."""

    def cut(self, block: bytes) -> Iterator[tuple[bytes, bool]]:
        """The block in pieces, each with whether its part ends behind it."""
        start = 0
        while start < len(block):
            end = self._end_of_part(block, start)
            if end == 0:
                yield (block[start:] if start else block), False
                return
            yield block[start:end], True
            start = end

    def _end_of_part(self, block: bytes, start: int) -> int:
        """Behind the record that fills the part; 0 where it does not end in this block."""
        at = start + max(self._left - 1, 0)
        if at >= len(block):
            self._pass(block, start, len(block))
            self._left -= len(block) - start
            return 0
        self._pass(block, start, at)
        while (line_end := block.find(b"\n", at)) >= 0:
            self._pass(block, at, line_end)
            at = line_end + 1
            if not self._is_quoted:
                self._left = self._room
                return at
        self._pass(block, at, len(block))
        self._left = 0
        return 0

    def _pass(self, block: bytes, start: int, end: int) -> None:
        if self._has_quotes and block.count(b'"', start, end) % 2:
            self._is_quoted = not self._is_quoted


@contextmanager
def written_in_parts(target: Any, *, part_bytes: int, head: bytes, quotes: bool) -> Iterator[Callable[[bytes], None]]:
    """What is written, without `head`, goes into parts; when the block has ended well, into the manifest at `target`.

    There is one part at least, with the head alone if nothing is written. `quotes` as for RecordCuts. Raises what the
    targets raise; nothing is published then.
    """
    parts = _Parts(target, part_bytes, head, quotes)
    try:
        yield parts.write
        parts.end()
    except BaseException:
        parts.discard()
        raise
    parts.publish()


def parts_folder(target: Any) -> str:
    """A name beside the manifest at `target`, for the parts of one attempt: `flights.csv.gz.parts/TOKEN`."""
    return f"{_whole(target)}.parts/{secrets.token_hex(8)}"


def publish_manifest(target: Any, entries: Sequence[Entry], shown: str, discard: Callable[[], object]) -> None:
    """Writes the manifest of parts that are there, in the folder `shown`; calls `discard` where it is surely not, and
    cannot be, what readers see. Raises what the target raises."""
    content = manifest_text(entries).encode()
    with ExitStack() as publishing:
        try:
            out = publishing.enter_context(target.open("wb"))
            out.write(content)
            publishing.close()
        except BaseException as error:
            if _is_published_by(target, content, error):
                context.attempt().notes.append(f"the parts in {shown} stay: the manifest may name them")
            else:
                discard()
            raise
    if getattr(out, "published", True) is False:  # another manifest was there first, and is to stay
        discard()


class _Parts:
    def __init__(self, target: Any, part_bytes: int, head: bytes, quotes: bool) -> None:
        self._target = target
        self._head = head
        self._cuts = RecordCuts(part_bytes, quotes=quotes, begun=len(head))
        self._folder = parts_folder(target)
        self._suffix = suffix_of(_whole(target))
        self._made: list[tuple[str, Any]] = []
        """Name and target of each part, the one being written included."""
        self._entries: list[Entry] = []
        self._open = ExitStack()
        self._write: Callable[[bytes], object] | None = None

    def write(self, block: bytes) -> None:
        for piece, is_end in self._cuts.cut(block):
            write = self._write or self._begin()
            write(piece)
            if is_end:
                self._end_part()

    def end(self) -> None:
        """Ends the last part."""
        if self._write is None and not self._made:
            self._begin()
        if self._write is not None:
            self._end_part()

    def publish(self) -> None:
        """Writes the manifest."""
        publish_manifest(self._target, self._entries, self._shown, self.discard)

    def discard(self) -> None:
        """Removes the parts; what cannot be removed is told in the summary."""
        self._write = None
        try:
            self._open.__exit__(*sys.exc_info())
        finally:
            parts = [part for _, part in self._made]
            if not all(map(_removed, [*parts, self._target.beside(self._folder)])):
                context.attempt().notes.append(
                    f"parts of this attempt could not be removed; no manifest names them: {self._shown}"
                )

    def _begin(self) -> Callable[[bytes], object]:
        name = f"{self._folder}/{len(self._made):04}{self._suffix}"
        part = self._target.beside(name)
        self._made.append((name, part))
        write: Callable[[bytes], object] = self._open.enter_context(part.open("wb")).write
        self._write = write
        if self._head:
            write(self._head)
        return write

    def _end_part(self) -> None:
        self._write = None
        self._open.close()
        name, part = self._made[-1]
        size = part.size()
        if size is None:
            raise TransientError(f"{part} was written, and is not there: something else removes it. Run again.")
        path = str(part.path)
        self._entries.append(Entry(path if "://" in path else name, size))

    @property
    def _shown(self) -> str:
        return shortened(str(self._target.beside(self._folder)), 200)


def _whole(target: Any) -> str:
    return PurePosixPath(str(target.path)).name.removesuffix(SUFFIX)


def suffix_of(name: str) -> str:
    """What the parts of `flights.2013.csv.gz` end with: `.csv.gz`."""
    suffixes = PurePosixPath(name).suffixes
    return "".join(suffixes[-2:] if suffixes[-1:] and suffixes[-1].lower() in PACKED else suffixes[-1:])


def _removed(part: Any) -> bool:
    try:
        if part.exists():
            part.remove()
    except EtlctlError:  # the error that led here matters more; the caller tells of this one
        return False
    return True


def _is_published_by(target: Any, content: bytes, error: BaseException) -> bool:
    """Whether the manifest may be what readers see, although writing it has failed: its parts must then stay."""
    if isinstance(error, TransientError) or not isinstance(error, Exception):
        return True  # the store has perhaps carried it out, or will yet
    try:
        with target.open("rb") as found:
            return bool(found.read(len(content) + 1) == content)
    except FileNotFoundError:
        return False
    except (EtlctlError, OSError):
        return not isinstance(error, EtlctlError)
