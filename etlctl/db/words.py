"""Table definitions from columns whose types are words of one dialect; makes SQLAlchemy objects, runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

from etlctl.db.columns import Column
from etlctl.db.dialects.base import TableName
from etlctl.errors import LoadError

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Dialect


class TypeWords(UserDefinedType[Any]):
    """A type that is written in DDL exactly as the dialect gave it, and converts nothing."""

    cache_ok = True

    def __init__(self, words: str) -> None:
        self.words = words

    def get_col_spec(self, **_: Any) -> str:
        """The words."""
        return self.words


class exact_text(FunctionElement[str]):  # noqa: N801  it is called as a function
    """A text as what is compared letter for letter, for the sides of IN; see `same_text`."""

    type = sa.String()
    inherit_cache = True


@compiles(exact_text)
def _as_it_is(element: exact_text, compiler: Any, **options: Any) -> str:
    (text,) = (compiler.process(part, **options) for part in element.clauses)
    return str(text)


class same_text(FunctionElement[bool]):  # noqa: N801  it is called as a function
    """Whether two texts are the same, letter for letter, whatever a column's own collation takes for equal.

    A dialect whose columns may have other collations compiles it in its own way; elsewhere it is `=`.
    """

    type = sa.Boolean()
    inherit_cache = True


@compiles(same_text)
def _compiled(element: same_text, compiler: Any, **options: Any) -> str:
    first, second = (compiler.process(part, **options) for part in element.clauses)
    return f"{first} = {second}"


def table_of(
    name: TableName,
    columns: Sequence[Column],
    dialect: Dialect,
    *,
    unique: Sequence[str] = (),
    column_options: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> sa.Table:
    """A SQLAlchemy Table of `columns`, for CREATE TABLE; `unique` columns get a constraint together.

    `options` go to `sa.Table`, `column_options`, by a column's name in lower case, to `sa.Column`. LoadError for a
    column whose name the database cannot hold.
    """
    further = column_options or {}
    parts: list[Any] = [
        sa.Column(
            quoted(dialect.checked_column(column.name, name.name)),
            TypeWords(dialect.type_ddl(column.type, is_key=column.primary_key or column.name in unique)),
            nullable=column.nullable and not column.primary_key,
            primary_key=column.primary_key,
            autoincrement=False,
            **further.get(column.name.lower(), {}),
        )
        for column in columns
    ]
    if unique:
        parts.append(sa.UniqueConstraint(*unique))
    return sa.Table(name.name, sa.MetaData(), *parts, schema=name.schema, **options)


def named_table(name: TableName, columns: Iterable[str]) -> sa.TableClause:
    """A table for statements, with columns of these names."""
    return sa.table(name.name, *(sa.column(quoted(column)) for column in columns), schema=name.schema)


def table_name(name: str, schema: str | None = None) -> TableName:
    """The two names as they are, quoted."""
    return TableName(None if schema is None else quoted(schema), quoted(name))


def is_same_name(first: TableName, second: TableName) -> bool:
    """Whether both are one table, as far as names tell, for a database that passes over case."""
    return [str(part).lower() for part in first] == [str(part).lower() for part in second]


def in_quotes(name: TableName, connection: sa.Connection) -> str:
    """The table's place as SQL text: `"schema"."table"`."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    return ".".join(quote(part) for part in name if part is not None)


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
