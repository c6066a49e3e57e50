"""What some dialects can do besides `Dialect`: their databases read and write S3 themselves. Holds no SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.columns import Column, ColumnType
    from etlctl.db.dialects.base import Staged


@dataclass(frozen=True)
class Unloaded:
    """One object that a database has written into S3."""

    location: str
    """`s3://bucket/key`."""
    size: int | None
    """In bytes."""
    rows: int | None


@runtime_checkable
class Unloads(Protocol):
    """A Dialect whose database writes the rows of a query into S3 itself."""

    def can_unload(self, query: str, types: Sequence[ColumnType | None]) -> bool:
        """Whether `unload` writes columns of these types in the form of `loads/writers.py`, NULL as an empty field, and
        rows in the order that the query speaks of."""

    def unload(
        self,
        connection: sa.Connection,
        query: str,
        parameters: Any,
        prefix: str,
        *,
        format: str = "csv",
        options: Mapping[str, Any] | None = None,
        columns: Sequence[tuple[str, ColumnType | None]] = (),
    ) -> list[Unloaded]:
        """Writes the rows into objects whose names begin with `prefix`, which no other attempt has; what was written.

        `query` and `parameters` are what `Connection.exec_driver_sql` takes, `options` those of the database's own
        UNLOAD by an allow-list. With `columns`, the names and types of what the query gives, values are written in the
        form that `can_unload` speaks of; else as the database does. None of a query without rows. Whoever asked
        publishes them: a killed attempt leaves objects that nothing names.
        """


@runtime_checkable
class CopiesObjects(Protocol):
    """A Dialect whose database reads objects in S3 itself, in forms of its own."""

    def check_copy(self, *, format: str, paths: str, options: Mapping[str, Any]) -> None:
        """LoadError, with what was meant, for what `stage_objects` does not take; asks nobody."""

    def stage_objects(
        self,
        connection: sa.Connection,
        name: str,
        columns: Sequence[Column],
        objects: Sequence[tuple[str, int]],
        *,
        format: str = "csv",
        paths: str = "auto",
        options: Mapping[str, Any] | None = None,
        constants: Mapping[Column, Any] | None = None,
    ) -> Staged:
        """Copies objects, each told by address and size in bytes, into a new staging table `name`.

        Values are read as the database reads them: csv and parquet by their place, in the order of `columns`; json and
        avro by name, or by the file of paths. Every row gets `constants` besides, in the form the database stores.
        `options` are those of its own COPY by an allow-list. BadDataError names file, line and column of what it
        refuses; LoadError an option that there is not. Called where `stage_records` is.
        """
