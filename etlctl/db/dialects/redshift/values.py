"""How Redshift keeps the values of our column types: its words in DDL, values as psycopg2 binds them. Runs no SQL.

A VARCHAR(n) counts bytes there, so ours of n characters is made four times as long; `text` is the longest there is. A
bare NUMERIC would be one without fractions: ours is DECIMAL(38,9), as on MySQL, and what it would round is refused.
JSON is SUPER, which keeps the document and not its text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy.ext.compiler import compiles

from etlctl.db.columns import MAX_LENGTH, BadValueError, ColumnType, Kind
from etlctl.db.dialects.bare import BARE_PRECISION, BARE_SCALE, check_bare
from etlctl.db.dialects.postgresql import values as postgresql_values
from etlctl.db.values import Value
from etlctl.db.words import exact_text, same_text
from etlctl.errors import LoadError

BYTES_PER_CHARACTER = 4
"""Of UTF-8 at most."""
_LONGEST = MAX_LENGTH
_DDL = {
    Kind.NUMERIC: f"DECIMAL({BARE_PRECISION},{BARE_SCALE})",
    Kind.FLOAT: "DOUBLE PRECISION",
    Kind.TEXT: f"VARCHAR({_LONGEST})",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPTZ: "TIMESTAMPTZ",
    Kind.TIME: "TIME",
    Kind.JSON: "SUPER",
}


def ddl(type_: ColumnType) -> str:
    """The type's words in a CREATE TABLE; LoadError for bytes, whose text in a file is read otherwise there."""
    if type_.kind is Kind.BYTES:
        raise LoadError(
            "a column of bytes cannot be loaded into Redshift: keep what it holds as text (hexadecimal, base64), or "
            "leave it in S3 and load its address."
        )
    if type_.kind is Kind.INTEGER:
        return str(type_).upper()
    if type_.length is not None:
        return f"VARCHAR({min(type_.length * BYTES_PER_CHARACTER, _LONGEST)})"
    if type_.precision is not None:
        return f"DECIMAL({type_.precision},{type_.scale})"
    return _DDL[type_.kind]


def stored(type_: ColumnType, value: Any) -> Value | None:
    """What stands for a column of the type: text or Python value; BadValueError when the type refuses it."""
    sizes = (type_.precision, type_.scale)
    is_bare = type_.kind is Kind.NUMERIC and sizes in ((None, None), (BARE_PRECISION, BARE_SCALE))
    kept = postgresql_values.stored(ColumnType(Kind.NUMERIC) if is_bare else type_, value)
    if is_bare and isinstance(kept, Decimal):
        check_bare(kept, value, "Redshift")
    if isinstance(kept, str):
        size = len(kept.encode())
        if size > _LONGEST:
            raise BadValueError(value, f"has {size} bytes, and a VARCHAR of Redshift holds {_LONGEST}")
        if "\0" in kept:
            raise BadValueError(value, "holds a NUL character, which Redshift cannot keep")
    return kept


bound = postgresql_values.bound
"""A parameter's value as psycopg2 writes it into a statement."""


# -- texts, letter for letter: to Redshift blanks at the end of a text mean nothing


@compiles(same_text, "redshift")
def _same(element: same_text, compiler: Any, **options: Any) -> str:
    first, second = (compiler.process(part, **options) for part in element.clauses)
    return f"({first} = {second} AND octet_length({first}) = octet_length({second}))"


@compiles(exact_text, "redshift")
def _exact(element: exact_text, compiler: Any, **options: Any) -> str:
    (text,) = (compiler.process(part, **options) for part in element.clauses)
    return f"({text} || '.')"


# -- types as the server tells them: PostgreSQL's numbers, and two of its own

_SUPER = 4000


def type_of(oid: int, modifier: int) -> ColumnType | None:
    """Our type for the server's type number and modifier; the length of a VARCHAR is in bytes, and none at the most."""
    if oid == _SUPER:
        return ColumnType(Kind.JSON)
    found = postgresql_values.type_of(oid, modifier)
    if found is not None and found.length is not None and found.length >= _LONGEST:
        return ColumnType(Kind.TEXT)
    return None if found is not None and found.kind is Kind.BYTES else found
