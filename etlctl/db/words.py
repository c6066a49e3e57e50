"""Table definitions from columns whose types are words of one dialect; makes SQLAlchemy objects, runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import UserDefinedType

from etlctl.db.columns import Column, ColumnType
from etlctl.errors import LoadError


class TypeWords(UserDefinedType[Any]):
    """A type that is written in DDL exactly as the dialect gave it, and converts nothing."""

    cache_ok = True

    def __init__(self, words: str) -> None:
        self.words = words

    def get_col_spec(self, **_: Any) -> str:
        """The words."""
        return self.words


def table_of(
    name: str,
    columns: Sequence[Column],
    type_ddl: Callable[[ColumnType], str],
    *,
    schema: str | None = None,
    unique: Sequence[str] = (),
) -> sa.Table:
    """A SQLAlchemy Table of `columns`, for CREATE TABLE; `unique` columns get a constraint together."""
    checked_name(name, "a table")
    parts: list[Any] = [
        sa.Column(
            quoted(checked_name(column.name, f"a column of {name}")),
            TypeWords(type_ddl(column.type)),
            nullable=column.nullable and not column.primary_key,
            primary_key=column.primary_key,
            autoincrement=False,
        )
        for column in columns
    ]
    if unique:
        parts.append(sa.UniqueConstraint(*unique))
    return sa.Table(quoted(name), sa.MetaData(), *parts, schema=schema)


def named_table(name: str, columns: Iterable[str], *, schema: str | None = None) -> sa.TableClause:
    """A table for statements, with columns of these names."""
    return sa.table(quoted(name), *(sa.column(quoted(column)) for column in columns), schema=schema)


def quoted(name: str) -> quoted_name:
    """`name`, always in quotes: SQLAlchemy's own list of reserved words lacks some of SQLite's (`nothing`)."""
    return quoted_name(name, quote=True)


def checked_name(name: str, what: str) -> str:
    """`name` itself; LoadError for one that no database can hold. Any other text is quoted, not refused."""
    if not name or "\0" in name:
        raise LoadError(f"{name!r} cannot be the name of {what}: it is empty or holds a NUL character.")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise LoadError(f"{name!r} cannot be the name of {what}: it is no valid Unicode text.") from error
    return name
