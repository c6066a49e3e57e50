"""What the bytes of a file mean: text or binary, compressed or not. Nothing here knows a path's folder or a target.

The names are Luigi's (`luigi.format`): `Text`, `UTF8`, `Nop` (bytes as they are), `Gzip`, `Bzip2`, chained by `>>`
from what the program writes to what the disk holds: `Text >> Gzip`. As in Luigi, `Gzip` and `Bzip2` alone take bytes.
"""

from __future__ import annotations

import codecs
import io
import os
from dataclasses import dataclass, replace
from enum import Enum
from typing import IO, TYPE_CHECKING, Any, assert_never

if TYPE_CHECKING:
    import bz2
    import gzip

LEVEL_GZIP = 6
"""The gzip program's own default: half the time of zlib's best, for a percent of the size."""

_UNPACKED_BYTES = 64 * 1024


class Compression(Enum):
    """How the bytes are packed on the disk."""

    NONE = "none"
    GZIP = "gzip"
    BZIP2 = "bzip2"


@dataclass(frozen=True)
class Format:
    """How a file is read and written.

    `encoding` None means bytes. Text is exact: no newline is translated in either direction (`newline=""`, what the
    csv module asks for), so a file reads back as the very characters that were written.
    """

    encoding: str | None = None
    errors: str = "strict"
    newline: str | None = ""
    compression: Compression = Compression.NONE

    def __post_init__(self) -> None:
        """Refuses an unknown encoding here, before a file is opened with it (LookupError)."""
        if self.encoding is not None:
            codecs.lookup(self.encoding)

    def __rshift__(self, other: Format) -> Format:
        """`self`, with what it writes packed by `other`; TypeError where `other` takes text or both compress."""
        if other.encoding is not None:
            raise TypeError(f"{self} >> {other}: the right side takes text, but the left side writes bytes")
        if Compression.NONE not in (self.compression, other.compression):
            raise TypeError(f"{self} >> {other}: both sides compress")
        return replace(
            self, compression=other.compression if self.compression is Compression.NONE else self.compression
        )

    @property
    def is_text(self) -> bool:
        """Whether `open("r")` and `open("w")` speak str."""
        return self.encoding is not None


def TextFormat(encoding: str = "utf-8", errors: str = "strict", newline: str | None = "") -> Format:  # noqa: N802  Luigi's name
    """Text in another encoding, or with Python's newline translation (`newline=None`)."""
    return Format(encoding=encoding, errors=errors, newline=newline)


Text = Format(encoding="utf-8")
UTF8 = Text
Nop = Format()
Gzip = Format(compression=Compression.GZIP)
Bzip2 = Format(compression=Compression.BZIP2)


def by_suffix(path: str) -> Format:
    """UTF-8 text, packed as the suffix says: `.gz` and `.bz2`, in any case."""
    if not path.lower().endswith((".gz", ".bz2")):  # nearly all, and each task makes its targets several times
        return Text
    match os.path.splitext(path)[1].lower():
        case ".gz":
            return Text >> Gzip
        case ".bz2":
            return Text >> Bzip2
        case _:
            return Text


@dataclass(frozen=True)
class Mode:
    """What a caller of open() asks for."""

    writes: bool
    format: Format


def parse_mode(mode: str, declared: Format) -> Mode:
    """`r` and `w` speak what the format says; a `b` asks for bytes, a `t` for text (UTF-8 where the format names none).

    ValueError for anything else: a target is whole or absent, so there is no appending and no updating in place.
    """
    match mode:
        case "r" | "w":
            chosen = declared
        case "rb" | "wb":
            chosen = replace(declared, encoding=None)
        case "rt" | "wt":
            chosen = declared if declared.is_text else replace(declared, encoding="utf-8")
        case _:
            raise ValueError(f"a target opens with 'r' or 'w', each also with 'b' or 't'; not with {mode!r}")
    return Mode(writes=mode[0] == "w", format=chosen)


def open_reader(source: str | IO[bytes], form: Format) -> IO[Any]:
    """The content of a path, or of an open binary file, unpacked and decoded; raises what open() raises."""
    plain: Any  # GzipFile and BZ2File are binary files in all but their declared bases
    match form.compression:
        case Compression.NONE:
            plain = open(source, "rb") if isinstance(source, str) else source  # noqa: SIM115  the caller closes it
        case Compression.GZIP:
            import gzip  # a pipeline that is merely listed opens nothing

            plain = _unpacked(gzip.open(source, "rb"), source)  # noqa: SIM115  as above
        case Compression.BZIP2:
            import bz2  # as above

            plain = _unpacked(bz2.open(source, "rb"), source)  # noqa: SIM115  as above
        case _:
            assert_never(form.compression)
    if form.encoding is None:
        content: IO[Any] = plain
        return content
    return io.TextIOWrapper(plain, encoding=form.encoding, errors=form.errors, newline=form.newline)


class _Unpacked(io.BufferedReader):
    """Closes the file below the unpacker too, which by itself leaves open what it was given open."""

    def __init__(self, unpacker: Any, source: IO[bytes]) -> None:
        super().__init__(unpacker, _UNPACKED_BYTES)
        self._source = source

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._source.close()


def _unpacked(unpacker: Any, source: str | IO[bytes]) -> Any:
    return unpacker if isinstance(source, str) else _Unpacked(unpacker, source)


def packed(sink: io.BufferedWriter, compression: Compression) -> gzip.GzipFile | bz2.BZ2File | None:
    """A compressor in front of `sink`, which it does not close; None where nothing is compressed.

    The same content makes the same gzip bytes: the header holds no time and no name (RFC 1952, 2.3.1).
    """
    match compression:
        case Compression.NONE:
            return None
        case Compression.GZIP:
            import gzip

            return gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0, compresslevel=LEVEL_GZIP)
        case Compression.BZIP2:
            import bz2

            return bz2.BZ2File(sink, "wb")
        case _:
            assert_never(compression)
