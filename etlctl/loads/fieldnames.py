"""The names of the fields in files that another program reads by their place: a CSV's header, a Parquet's schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import BinaryIO

from etlctl.errors import BadDataError
from etlctl.loads.parquet import check_pyarrow, column_names, unpacked_zstd
from etlctl.loads.places import Place
from etlctl.loads.source import SourceFile
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

_AT_ONCE = 16
_SUFFIX = {None: "", "gzip": ".gz", "bzip2": ".bz2", "zstd": ""}


def of_delimited(places: Sequence[Place], packing: str | None, delimiter: str) -> tuple[str, ...] | None:
    """The header of all files; None where every one is empty. BadDataError for headers that are not alike.

    `packing` is gzip, bzip2, zstd or None, whatever the files are called.
    """

    def header(place: Place) -> Sequence[str]:
        return SourceFile(_Packed(place, packing), wanted=(), delimiter=delimiter).header_names()

    return _alike(places, header, "header")


def of_parquet(places: Sequence[Place]) -> tuple[str, ...] | None:
    """The columns of all files. BadDataError for one that is no Parquet, and for files that are not alike."""
    check_pyarrow()

    def columns(place: Place) -> Sequence[str]:
        with place.open() as raw:
            return column_names(raw, place.shown)

    return _alike(places, columns, "schema")


def placed(names: Sequence[str], wanted: Sequence[str], shown: str, *, takes_all: bool) -> list[int | None]:
    """Which of `wanted` each of `names` is, by its number; None of one that nobody wants.

    BadDataError for one that is wanted and not there. With `takes_all` a name may differ by case, and one that nobody
    wants is an error: every column of such a file is read.
    """
    own = [name.lower() for name in names] if takes_all else list(names)
    asked = [name.lower() for name in wanted] if takes_all else list(wanted)
    lacking = next((wanted[number] for number, name in enumerate(asked) if name not in own), None)
    if lacking is not None:
        free = [name for name in names if name not in wanted]
        raise BadDataError(
            f"{shown}: has no column {shortened(lacking)}; it has: {shortened(', '.join(names), 300)}."
            f"{did_you_mean(lacking, free)}"
        )
    numbers = [asked.index(name) if name in asked else None for name in own]
    if takes_all and None in numbers:
        extra = names[numbers.index(None)]
        raise BadDataError(
            f"{shown}: has the column {shortened(extra)}, which is not loaded, and COPY of Parquet takes all columns "
            "of a file. Add it to columns, or leave it out of the file."
        )
    return numbers


def _alike(places: Sequence[Place], names_of: Callable[[Place], Sequence[str]], what: str) -> tuple[str, ...] | None:
    first: tuple[str, ...] | None = None
    shown = ""
    for place, found in zip(places, _of_each(names_of, places), strict=True):
        if not found:  # an empty file has no rows either
            continue
        names = tuple(found)
        if first is None:
            first, shown = names, place.shown
        elif names != first:
            raise BadDataError(
                f"{place.shown}: its {what} is not that of {shown}, and Redshift finds fields by their place. Give the "
                "files the same columns in the same order."
            )
    return first


def _of_each(names_of: Callable[[Place], Sequence[str]], places: Sequence[Place]) -> list[Sequence[str]]:
    with ThreadPoolExecutor(min(_AT_ONCE, len(places)), thread_name_prefix="etlctl-names") as pool:
        asked = [pool.submit(copy_context().run, names_of, place) for place in places]
        return [one.result() for one in asked]


class _Packed:
    """A Place whose packing is known by other means than its name."""

    def __init__(self, place: Place, packing: str | None) -> None:
        self._place = place
        self._packing = packing
        self.name = f"file{_SUFFIX[packing]}"
        self.shown = place.shown
        self.check_unchanged = place.check_unchanged
        self.described = place.described

    def open(self) -> BinaryIO:
        """See Place."""
        raw = self._place.open()
        return unpacked_zstd(raw) if self._packing == "zstd" else raw
