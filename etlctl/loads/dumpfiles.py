"""The file that a dump writes: its form, by suffix or as it is given, and how it is opened; knows no row."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from etlctl.errors import BadDataError, LoadError
from etlctl.loads.dumpparts import written_in_parts
from etlctl.loads.filenames import PACKED
from etlctl.loads.manifest import SUFFIX, is_manifest
from etlctl.text import shortened

Write = Callable[[str | bytes], object]

LEAST_PART_BYTES = 64 * 1024
"""Smaller ones are surely meant as megabytes."""
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class DumpFile:
    """A target as a dump uses it."""

    target: Any
    form: str
    """One of csv, tsv, jsonl and parquet."""
    part_bytes: int | None = None
    """The size of a part, where the target is the manifest of several."""

    @contextmanager
    def opened(self, head: str | bytes, doing: str) -> Iterator[Write]:
        """Takes text, or bytes in UTF-8, behind `head`; published when the block ends well, else nothing is there.

        `doing` begins the sentence of a BadDataError about a character that the file cannot hold.
        """
        if self.part_bytes is not None:
            start = head.encode() if isinstance(head, str) else head
            has_quotes = self.form in ("csv", "tsv")
            with written_in_parts(self.target, part_bytes=self.part_bytes, head=start, quotes=has_quotes) as write:
                yield _as_bytes(write, doing)
            return
        mode = "wb" if self.form == "parquet" or _is_utf8(self.target) else "w"
        with self.target.open(mode) as out:
            write_any = _as_bytes(out.write, doing) if "b" in getattr(out, "mode", "w") else _as_text(out.write, doing)
            if head:
                write_any(head)
            yield write_any


def dump_file(targets: Sequence[Any], *, owner: str, form: Any, part_bytes: Any) -> DumpFile:
    """The one target of a DumpTable, with what it declares; LoadError, naming its class `owner`, for what cannot be."""
    if len(targets) != 1 or not callable(getattr(targets[0], "open", None)):
        found = ", ".join(shortened(str(target)) for target in targets) or "nothing"
        raise LoadError(
            f'{owner}.output() must give one file, such as LocalTarget("reports/x.csv"), and gives: {found}.'
        )
    (target,) = targets
    if str(getattr(target, "path", target)).endswith("/"):
        shown = shortened(str(target), 200)
        raise LoadError(f"{owner}: {shown} names a folder: name the file in it, such as {shown}rows.csv.")
    _check_parts(target, owner, part_bytes)
    form = form if form is not None else _form_by_suffix(target, owner)
    if form not in _SUFFIXES.values():
        raise LoadError(f"{owner}: format is {shortened(repr(form))}; there are csv, tsv, jsonl and parquet.")
    if form == "parquet" and part_bytes is not None:
        raise LoadError(
            f"{owner}: a Parquet file cannot be cut into parts of a given size, since its end tells where all in it "
            "is. Leave part_bytes out, or dump csv or jsonl."
        )
    if form == "parquet" and _path_of(target).suffix.lower() in PACKED:
        raise LoadError(
            f"{owner}: {shortened(str(target), 200)}: Parquet is packed inside, and nothing reads a packed file of it. "
            "Name it .parquet."
        )
    return DumpFile(target, str(form), part_bytes)


def _check_parts(target: Any, owner: str, part_bytes: Any) -> None:
    named = is_manifest(str(getattr(target, "path", target)))
    if part_bytes is None:
        if named:
            raise LoadError(
                f"{owner}: {shortened(str(target), 200)} names a manifest, which goes with a dump in parts: set "
                f"part_bytes = 64 * 2**20, or leave {SUFFIX} out."
            )
        return
    if not isinstance(part_bytes, int) or isinstance(part_bytes, bool) or part_bytes < LEAST_PART_BYTES:
        raise LoadError(
            f"{owner}: part_bytes is {shortened(repr(part_bytes))}; it is the size of a part in bytes, at least "
            f"{LEAST_PART_BYTES:,}: 64 * 2**20 for 64 MiB."
        )
    if not named:
        raise LoadError(
            f"{owner}: with part_bytes the output is the manifest that names the parts; call it "
            f"{shortened(str(target), 200)}{SUFFIX}, and what stands before {SUFFIX} says what each part is."
        )
    if not callable(getattr(target, "beside", None)):
        raise LoadError(
            f"{owner}: a {type(target).__name__} cannot have parts beside it; part_bytes takes an S3Target or a "
            "LocalTarget."
        )


def _form_by_suffix(target: Any, owner: str) -> str:
    path = _path_of(target)
    plain = PurePosixPath(path.stem) if path.suffix.lower() in PACKED else path
    found = _SUFFIXES.get(plain.suffix.lower())
    if found is None:
        raise LoadError(
            f"{owner}: {shortened(str(target), 200)} does not end with .csv, .tsv or .jsonl (then .gz or .bz2, if it "
            'is to be packed), nor with .parquet. Name it so, or set format = "csv".'
        )
    return found


def _path_of(target: Any) -> PurePosixPath:
    return PurePosixPath(str(getattr(target, "path", target)).removesuffix(SUFFIX))


def _is_utf8(target: Any) -> bool:
    """Whether opening for bytes gives the same file: one of UTF-8 text whose line ends stay as they are."""
    form = getattr(target, "format", None)
    encoding = getattr(form, "encoding", None)
    if not isinstance(encoding, str) or codecs.lookup(encoding).name != "utf-8":
        return False
    return getattr(form, "errors", None) == "strict" and getattr(form, "newline", None) in ("", "\n")


def _as_bytes(write: Callable[[bytes], object], doing: str) -> Write:
    def write_any(part: str | bytes) -> None:
        try:
            write(part.encode() if isinstance(part, str) else part)
        except UnicodeEncodeError as error:
            raise BadDataError(
                f"{doing}: {shortened(ascii(error.object[error.start : error.end]))} is half a character (a lone "
                "surrogate), which no text in UTF-8 can hold."
            ) from error

    return write_any


def _as_text(write: Callable[[str], object], doing: str) -> Write:
    decoder = codecs.getincrementaldecoder("utf-8")()  # a block may end inside a character

    def write_any(part: str | bytes) -> None:
        try:
            write(part if isinstance(part, str) else decoder.decode(part))
        except UnicodeEncodeError as error:
            raise BadDataError(
                f"{doing}: {shortened(repr(error.object[error.start : error.end]))} cannot be written in "
                f"{error.encoding}, the encoding that the output's format names; UTF-8 holds every character."
            ) from error

    return write_any
