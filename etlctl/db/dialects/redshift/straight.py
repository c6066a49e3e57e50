"""A delimited file in S3 into a staging table by Redshift itself, where that surely means what our reader makes of it.

    stage_file()
      COPY              every field as the text that it is, into a temporary table
      _Doubts           one question: is each field a null word, or of a form that both read alike?
      INSERT … SELECT   the texts as values, null words as NULL

Redshift's own conversions are not trusted: it rounds by cutting, takes more words for dates, and says nothing of it.
Whatever is in doubt, and whatever it refuses, goes by our reader from the beginning, which names the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
import sqlalchemy as sa

from etlctl.core import context
from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.dialects.base import DelimitedFile, Records, Staged
from etlctl.db.dialects.redshift import staging as redshift_staging
from etlctl.db.dialects.redshift.access import access_of, region_option
from etlctl.db.dialects.redshift.connection import own_transaction, run_bare
from etlctl.db.dialects.redshift.encode import made_up_null
from etlctl.db.dialects.redshift.errors import said_by
from etlctl.db.dialects.redshift.statements import Form, copy_statement, identifier
from etlctl.db.dialects.redshift.values import ddl
from etlctl.db.words import TypeWords
from etlctl.text import shortened

_PACKINGS = {".gz": "gzip", ".bz2": "bzip2"}
_MANIFEST = ".manifest"
_MOST_COLUMNS = 500
_DIGITS = {16: 4, 32: 9, 64: 18}
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
_TRUE, _FALSE = ("t", "true", "1", "yes", "y", "on"), ("f", "false", "0", "no", "n", "off")
_Text = sa.ColumnElement[Any]


class _InDoubtError(Exception):
    """The texts may mean something else to Redshift."""


def stage_file(connection: sa.Connection, name: str, columns: Sequence[Column], records: Records) -> Staged | None:
    """The rows of `records.file` in a new staging table; None where our own reader must have them, and there is none.

    Outside a transaction only: what fails here is rolled back.
    """
    file, nulls = records.file, records.null_values
    if file is None or file.location is None or nulls is None or connection.in_transaction():
        return None
    if not _is_worth_trying(file, records.columns):
        return None
    try:
        with own_transaction(connection):
            staged, rows = _staged(connection, name, columns, records, file, tuple(nulls))
    except _InDoubtError:
        return None
    except (psycopg2.Error, sa.exc.DBAPIError) as error:
        if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
            raise
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if not isinstance(cause, psycopg2.Error) or not cause.pgcode:  # the connection is lost
            raise
        context.attempt().notes.append(
            f"Redshift did not take {shortened(file.location, 200)} by itself ({said_by(cause)}); it was read here"
        )
        return None
    if records.progress is not None:
        records.progress(rows)
    return Staged(staged, tuple(column.name for column in columns), rows)


def _is_worth_trying(file: DelimitedFile, wanted: Sequence[Column]) -> bool:
    """Without a header the file may begin with a byte order mark, which would be part of its first field."""
    names = list(file.names)
    is_plain = len(file.delimiter) == 1 and file.delimiter.isascii() and file.delimiter not in '"\r\n\0'
    is_named = file.has_header and len({*names}) == len(names) <= _MOST_COLUMNS
    has_lines = any(mark in name for name in names for mark in "\r\n")
    return (
        is_plain
        and is_named
        and not has_lines
        and {column.name for column in wanted} <= {*names}
        and all(_condition_of(column.type) is not None for column in wanted)
    )


def _staged(
    connection: sa.Connection,
    name: str,
    columns: Sequence[Column],
    records: Records,
    file: DelimitedFile,
    nulls: tuple[str, ...],
) -> tuple[sa.TableClause, int]:
    texts = _copied(connection, name, file)
    by_name = dict(zip(file.names, texts.columns, strict=True))
    last = by_name[file.names[-1]]
    conditions = [_is_alike(by_name[column.name], column, nulls) for column in records.columns]
    conditions.append(sa.func.strpos(last, "\r") == 0)  # a line end of two characters may be half of one here
    in_doubt = sa.func.sum(sa.case((sa.and_(*conditions), 0), else_=1))
    rows, doubts = connection.execute(sa.select(sa.func.count(), in_doubt).select_from(texts)).one()
    if doubts:
        raise _InDoubtError
    staged = redshift_staging.create_staging(connection, name, columns)
    values = [_value_of(by_name[column.name], column.type, nulls) for column in records.columns]
    constants = records.constants or {}
    values += [sa.cast(sa.literal(value), TypeWords(ddl(column.type))) for column, value in constants.items()]
    into = [staged.c[column.name] for column in (*records.columns, *constants)]
    connection.execute(sa.insert(staged).from_select(into, sa.select(*values).select_from(texts)))
    connection.exec_driver_sql(f"DROP TABLE {identifier(texts.name)}")
    return staged, int(rows)


def _copied(connection: sa.Connection, name: str, file: DelimitedFile) -> sa.TableClause:
    """Every field as text, in a temporary table of its own; no text becomes NULL."""
    location = file.location or ""
    is_manifest = location.endswith(_MANIFEST)
    plain = location.removesuffix(_MANIFEST)
    columns = [f"c{number}" for number in range(len(file.names))]
    texts = f"etlctl_{name}_texts".lower()
    body = ", ".join(f"{column} VARCHAR(65535)" for column in columns)
    connection.exec_driver_sql(f"CREATE TEMP TABLE {identifier(texts)} ({body})")
    options = region_option() | {
        "manifest": is_manifest,
        "compression": next((word for suffix, word in _PACKINGS.items() if plain.endswith(suffix)), None),
        "delimiter": file.delimiter,
        "ignoreheader": 1,
        "null_as": made_up_null(),
        "compupdate": False,
        "statupdate": False,
    }
    access = access_of(connection)
    run_bare(connection, copy_statement(identifier(texts), columns, location, access, Form("csv", options=options)))
    return sa.table(texts, *map(sa.column, columns))


# -- texts as values


def _is_alike(text: _Text, column: Column, nulls: tuple[str, ...]) -> sa.ColumnElement[bool]:
    condition = _condition_of(column.type)
    if condition is None:
        raise _InDoubtError
    is_null = _is_null(text, nulls)
    return sa.or_(is_null, condition(text)) if column.nullable else sa.and_(sa.not_(is_null), condition(text))


def _is_null(text: _Text, nulls: tuple[str, ...]) -> sa.ColumnElement[bool]:
    """Letter for letter: to Redshift blanks at the end of a text mean nothing."""
    same = [sa.and_(text == word, sa.func.octet_length(text) == len(word.encode())) for word in nulls]
    return sa.or_(sa.false(), *same)


def _condition_of(type_: ColumnType) -> Callable[[_Text], sa.ColumnElement[bool]] | None:
    """Whether a text is one that a cast to the type reads as `db/values.py` does; None where nothing is certain."""
    match type_.kind:
        case Kind.TEXT if type_.length is None:
            return lambda text: text.is_not(None)
        case Kind.TEXT:
            return lambda text: sa.func.char_length(text) <= type_.length
        case Kind.BOOLEAN:
            return lambda text: text.in_((*_TRUE, *_FALSE))
    pattern = _pattern_of(type_)
    return None if pattern is None else lambda text: text.op("~")(f"^{pattern}$")


def _pattern_of(type_: ColumnType) -> str | None:
    match type_.kind:
        case Kind.INTEGER:
            return f"[-+]?[0-9]{{1,{_DIGITS[type_.bits]}}}"
        case Kind.NUMERIC:
            precision, scale = type_.precision or 38, 9 if type_.scale is None else type_.scale
            if precision == scale:
                return None
            fraction = f"([.][0-9]{{1,{scale}}})?" if scale else ""
            return f"[-+]?[0-9]{{1,{precision - scale}}}{fraction}"
        case Kind.DATE:
            return _DAY
        case Kind.TIMESTAMP:
            return f"{_DAY}[ T]{_CLOCK}"
    return None


def _value_of(text: _Text, type_: ColumnType, nulls: tuple[str, ...]) -> _Text:
    words = TypeWords(ddl(type_))
    if type_.kind is Kind.BOOLEAN:
        return sa.case((_is_null(text, nulls), sa.null()), (text.in_(_TRUE), sa.true()), else_=sa.false())
    kept: _Text = sa.func.replace(text, "T", " ") if type_.kind is Kind.TIMESTAMP else text
    value = sa.case((_is_null(text, nulls), sa.null()), else_=kept)
    return value if type_.kind is Kind.TEXT else sa.cast(value, words)
