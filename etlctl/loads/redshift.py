"""Redshift: how a load's table is kept there, and what is done to it after the load. Knows no database and no SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etlctl.db.columns import Column, Kind
from etlctl.errors import LoadError
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

_STYLES = ("auto", "even", "key", "all")
_ENCODINGS = (
    "az64", "bytedict", "delta", "delta32k", "lzo", "mostly8", "mostly16", "mostly32", "raw", "runlength", "text255",
    "text32k", "zstd",
)  # fmt: skip
_MOST_SORTED = {False: 400, True: 8}
"""Columns of a sort key, by whether it is interleaved ("CREATE TABLE" in Redshift's guide)."""


@dataclass(frozen=True)
class Redshift:
    """`redshift = Redshift(distkey="carrier", sortkey="date")` in a LoadTable, QueryTable, CopyTable or Incremental.

    The table gets these properties when it is made; one that is there keeps its own. Other databases pass over it, but
    a column that there is not is a LoadError on all of them.
    """

    distkey: str | None = None
    """The column by whose value rows are put onto nodes; the style is then KEY."""
    diststyle: str | None = None
    """auto, even, key or all; None leaves it to Redshift."""
    sortkey: str | Sequence[str] | None = None
    """The columns by which rows are sorted, in order."""
    interleaved: bool = False
    """Gives the columns of `sortkey` equal weight."""
    encode: Mapping[str, str] = field(default_factory=dict)
    """Column -> encoding (az64, zstd, …); Redshift chooses for those that are left out."""
    analyze: bool = False
    """ANALYZE of the table after the load's commit; a failure is a note, the load is done all the same."""
    vacuum: bool = False
    """VACUUM of the table after the load's commit, before ANALYZE."""

    @property
    def sort_columns(self) -> tuple[str, ...]:
        """`sortkey` as names."""
        if self.sortkey is None:
            return ()
        return (self.sortkey,) if isinstance(self.sortkey, str) else tuple(self.sortkey)

    def check(self, columns: Sequence[Column], *, where: str) -> None:
        """LoadError, with what was meant, for what no table of these columns can be made with; `where` is the class."""
        self._check_words(where)
        by_name = {column.name.lower(): column for column in columns}
        named = [("distkey", name) for name in (self.distkey,) if name is not None]
        named += [("sortkey", name) for name in self.sort_columns]
        named += [("encode", name) for name in self.encode]
        for what, name in named:
            column = by_name.get(str(name).lower())
            if column is None:
                names = [one.name for one in columns]
                raise LoadError(
                    f"{where}.redshift: {what} names the column {shortened(str(name))}, which the table has not; it "
                    f"has: {shortened(', '.join(names), 300)}.{did_you_mean(str(name), names)}"
                )
            if what != "encode" and column.type.kind is Kind.JSON:
                raise LoadError(f"{where}.redshift: {what} cannot be {shortened(str(name))}: SUPER has no order.")
        doubled = _doubled(name.lower() for name in self.sort_columns)
        if doubled is not None:
            raise LoadError(f"{where}.redshift: sortkey names the column {shortened(doubled)} twice.")

    def _check_words(self, where: str) -> None:
        style = self.diststyle
        if style is not None and (not isinstance(style, str) or style.lower() not in _STYLES):
            near = did_you_mean(str(style).lower(), _STYLES)
            raise LoadError(
                f"{where}.redshift: diststyle is {shortened(repr(style))}; there are {', '.join(_STYLES)}.{near}"
            )
        if style is not None and (style.lower() == "key") != (self.distkey is not None):
            raise LoadError(f"{where}.redshift: diststyle 'key' and a distkey go together; the other styles have none.")
        if self.interleaved and not self.sort_columns:
            raise LoadError(f"{where}.redshift: interleaved is of a sortkey, and there is none.")
        most = _MOST_SORTED[self.interleaved]
        if len(self.sort_columns) > most:
            raise LoadError(f"{where}.redshift: sortkey has {len(self.sort_columns)} columns; Redshift takes {most}.")
        for name, encoding in self.encode.items():
            if not isinstance(encoding, str) or encoding.lower() not in _ENCODINGS:
                near = did_you_mean(str(encoding).lower(), _ENCODINGS)
                raise LoadError(
                    f"{where}.redshift: encode of {shortened(str(name))} is {shortened(repr(encoding))}; there are "
                    f"{', '.join(_ENCODINGS)}.{near}"
                )

    def table_options(self, columns: Sequence[Column]) -> dict[str, Any]:
        """What `sa.Table` takes for a CREATE TABLE of Redshift."""
        own = {column.name.lower(): column.name for column in columns}
        sorted_by = [own[name.lower()] for name in self.sort_columns]
        given = {
            "redshift_diststyle": "KEY" if self.distkey else self.diststyle and self.diststyle.upper(),
            "redshift_distkey": own[self.distkey.lower()] if self.distkey else None,
            "redshift_interleaved_sortkey" if self.interleaved else "redshift_sortkey": sorted_by or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def column_options(self) -> dict[str, dict[str, Any]]:
        """What `sa.Column` takes, by the column's name in lower case."""
        return {name.lower(): {"redshift_encode": encoding.lower()} for name, encoding in self.encode.items()}


def check(given: Any, columns: Sequence[Column], *, where: str) -> None:
    """LoadError for an attribute `redshift` of the class `where` that fits no table of these columns."""
    if given is None:
        return
    if not isinstance(given, Redshift):
        raise LoadError(
            f'{where}.redshift is {shortened(repr(given))}; write redshift = Redshift(distkey="column", …).'
        )
    given.check(columns, where=where)


def table_options(given: Redshift | None, columns: Sequence[Column], dialect: str) -> dict[str, Any] | None:
    """What `words.table_of` takes; None where `dialect` is another database."""
    if given is None or dialect != "redshift":
        return None
    given.check(columns, where="the table")
    return {"column_options": given.column_options(), **given.table_options(columns)}


def _doubled(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
