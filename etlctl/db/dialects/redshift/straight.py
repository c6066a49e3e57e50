"""A delimited file in S3 into a staging table by Redshift itself, where that surely means what our reader makes of it.

    stage_file()
      look_at()         the ends of each object: one header, one packing, and how long it is
      COPY              every field as the text that it is, into a temporary table; of these objects and no others, by
                        a manifest of our own
      _check()          one question: is each field a null word, or of a form that both read alike, and are they all?
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
from etlctl.db.dialects.redshift.accounting import Counts, Files, InDoubtError, counts_of, look_at
from etlctl.db.dialects.redshift.connection import options_of, own_transaction, run_bare
from etlctl.db.dialects.redshift.encode import made_up_null
from etlctl.db.dialects.redshift.errors import said_by
from etlctl.db.dialects.redshift.folder import AttemptFolder, new_folder
from etlctl.db.dialects.redshift.statements import Form, copy_statement, identifier
from etlctl.db.dialects.redshift.values import ddl
from etlctl.db.words import TypeWords
from etlctl.text import shortened

_DELIMITERS = ",;|\t:^~"
_MOST_COLUMNS = 500
_DIGITS = {16: 4, 32: 9, 64: 18}
_YEAR = "[1-9][0-9]{3}"
_LEAP_YEAR = "([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)"
_MONTH_AND_DAY = (
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_DAY = f"({_YEAR}-{_MONTH_AND_DAY}|{_LEAP_YEAR}-02-29)"
"""Days that there are, from the year 1000 on: what a cast makes of others, no page of the manual says."""
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
_TRUE, _FALSE = ("t", "true", "1", "yes", "y", "on"), ("f", "false", "0", "no", "n", "off")
_Text = sa.ColumnElement[Any]


def stage_file(connection: sa.Connection, name: str, columns: Sequence[Column], records: Records) -> Staged | None:
    """The rows of `records.file` in a new staging table; None where our own reader must have them, and there is none.

    Outside a transaction only: what fails here is rolled back.
    """
    file, nulls = records.file, records.null_values
    if file is None or not file.objects or nulls is None or connection.in_transaction():
        return None
    if options_of(connection).s3_staging is None or not _is_worth_trying(file, records.columns):
        return None
    folder = AttemptFolder(new_folder(connection))
    try:
        files = look_at(file)
        folder.put_manifest([one.location for one in file.objects])
        with own_transaction(connection):
            texts = _copied(connection, name, file, folder)
            rows = _check(connection, texts, records, file, files)
            staged = _converted(connection, name, columns, records, file, texts)
    except InDoubtError:
        return None
    except (psycopg2.Error, sa.exc.DBAPIError) as error:
        _note_refusal(error, file)
        return None
    finally:
        folder.remove()
    if records.progress is not None:
        records.progress(rows)
    return Staged(staged, tuple(column.name for column in columns), rows)


def _note_refusal(error: psycopg2.Error | sa.exc.DBAPIError, file: DelimitedFile) -> None:
    """Tells why the file is read here; raises the error again where the connection is lost."""
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        raise error
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(cause, psycopg2.Error) or not cause.pgcode:
        raise error
    first, *others = (one.location for one in file.objects)
    them = f"{shortened(first, 200)} and {len(others):,} others" if others else shortened(first, 200)
    context.attempt().notes.append(f"Redshift did not take {them} by itself ({said_by(cause)}); it was read here")


def _is_worth_trying(file: DelimitedFile, wanted: Sequence[Column]) -> bool:
    """Without a header the file may begin with a byte order mark, which would be part of its first field; where it has
    one column, an empty line may be a row, or none."""
    names = list(file.names)
    is_named = file.has_header and 1 < len({*names}) == len(names) <= _MOST_COLUMNS
    has_lines = any(mark in name for name in names for mark in "\r\n")
    return (
        file.delimiter in _DELIMITERS
        and is_named
        and not has_lines
        and {column.name for column in wanted} <= {*names}
        and all(_condition_of(column.type) is not None for column in wanted)
    )


def _copied(connection: sa.Connection, name: str, file: DelimitedFile, folder: AttemptFolder) -> sa.TableClause:
    """Every field as text, in a temporary table of its own; no text becomes NULL."""
    columns = [f"c{number}" for number in range(len(file.names))]
    texts = f"etlctl_{name}_texts".lower()
    body = ", ".join(f"{column} VARCHAR(65535)" for column in columns)
    connection.exec_driver_sql(f"CREATE TEMP TABLE {identifier(texts)} ({body})")
    options = region_option() | {
        "manifest": True,
        "compression": "gzip" if file.objects[0].packing else None,
        "delimiter": file.delimiter,
        "ignoreheader": 1,
        "null_as": made_up_null(),
        "compupdate": False,
        "statupdate": False,
    }
    form = Form("csv", options=options)
    run_bare(connection, copy_statement(identifier(texts), columns, str(folder.manifest), access_of(connection), form))
    return sa.table(texts, *map(sa.column, columns))


def _check(
    connection: sa.Connection, texts: sa.TableClause, records: Records, file: DelimitedFile, files: Files
) -> int:
    """How many rows there are; InDoubtError where one of them, or one that is not there, may be something else."""
    nulls = tuple(records.null_values or ())
    by_name = dict(zip(file.names, texts.columns, strict=True))
    conditions = [_is_alike(by_name[column.name], column, nulls) for column in records.columns]
    in_doubt = sa.func.sum(sa.case((sa.and_(sa.true(), *conditions), 0), else_=1))
    counted = counts_of([column.name for column in texts.columns], file.delimiter)
    doubts, rows, *sums = connection.execute(sa.select(in_doubt, *counted).select_from(texts)).one()
    if not rows or doubts:
        raise InDoubtError("fields of another form, or no rows, which is worth a second look")
    counts = Counts(int(rows), *map(int, sums))
    if counts.returns or not files.hold_just(counts):
        raise InDoubtError("not all that is in the files")
    return counts.rows


def _converted(
    connection: sa.Connection,
    name: str,
    columns: Sequence[Column],
    records: Records,
    file: DelimitedFile,
    texts: sa.TableClause,
) -> sa.TableClause:
    """The staging table of the values; the texts are gone."""
    nulls = tuple(records.null_values or ())
    by_name = dict(zip(file.names, texts.columns, strict=True))
    values = {column: _value_of(by_name[column.name], column.type, nulls) for column in records.columns}
    return redshift_staging.convert_staged(connection, name, columns, values, records.constants or {}, texts)


# -- texts as values


def _is_alike(text: _Text, column: Column, nulls: tuple[str, ...]) -> sa.ColumnElement[bool]:
    condition = _condition_of(column.type)
    if condition is None:
        raise InDoubtError("a type that is not copied so")
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
