"""Objects of S3 into a staging table by Redshift's own COPY, which reads them; nothing of theirs passes through here.

    stage_objects()
      the manifest       names exactly the objects, under `s3_staging`: COPY takes any other address for a prefix
      COPY … MANIFEST    into a temporary table; the rows are counted
      INSERT … SELECT    into a second one, where every row gets something besides

What was asked for is written as COPY takes it for the format (redshift/statements.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg2
import sqlalchemy as sa

from etlctl.core import context
from etlctl.db.columns import Column
from etlctl.db.dialects.base import Staged
from etlctl.db.dialects.redshift import staging as redshift_staging
from etlctl.db.dialects.redshift.access import access_of, region_option
from etlctl.db.dialects.redshift.connection import own_transaction, run_bare
from etlctl.db.dialects.redshift.copy import count_rows
from etlctl.db.dialects.redshift.encode import made_up_null
from etlctl.db.dialects.redshift.folder import AttemptFolder, new_folder
from etlctl.db.dialects.redshift.loaderrors import load_error
from etlctl.db.dialects.redshift.statements import Access, Form, copy_statement, identifier
from etlctl.errors import BadDataError, LoadError, SettingsError
from etlctl.text import shortened

_BY_NAME = ("json", "avro")
_ROLE = Access(role="default")


def check_copy(form: Form) -> None:
    """LoadError for what COPY does not take. Asks nobody."""
    if "manifest" in form.options:
        raise LoadError(
            "COPY gets its manifest from etlctl; a requirement whose path ends in .manifest is read as one."
        )
    copy_statement('"t"', [], "s3://bucket/key", _ROLE, form)


def stage_objects(
    connection: sa.Connection,
    name: str,
    columns: Sequence[Column],
    objects: Sequence[tuple[str, int]],
    form: Form,
    constants: Mapping[Column, Any],
) -> Staged:
    """See `CopiesObjects.stage_objects`."""
    check_copy(form)
    access = access_of(connection)
    if form.format == "parquet" and access.role is None:
        raise SettingsError("COPY of Parquet takes a role, and no keys: set iam_role of the connection.")
    copied = f"{name}_copied" if constants else name
    into = identifier(redshift_staging.staged_name(copied).name)
    names = [identifier(one.name) for one in columns]
    folder = AttemptFolder(new_folder(connection))
    statement = copy_statement(into, names, str(folder.manifest), access, replace(form, options=_options(form)))
    try:
        folder.put_manifest([url for url, _ in objects], [size for _, size in objects])
        with own_transaction(connection):
            staged = redshift_staging.create_staging(connection, copied, columns)
            run_bare(connection, statement)
            rows = count_rows(connection, staged, None)
            if form.format in _BY_NAME and rows:
                _note_empty(connection, staged, rows)
            if constants:
                own = {column: staged.c[column.name] for column in columns}
                every = (*columns, *constants)
                staged = redshift_staging.convert_staged(connection, name, every, own, constants, staged)
    except psycopg2.Error as error:
        told = load_error(connection, error)
        if told is None:
            raise
        raise BadDataError(f"{told}.") from error
    finally:
        folder.remove()
    return Staged(staged, tuple(column.name for column in (*columns, *constants)), rows)


def _options(form: Form) -> dict[str, Any]:
    """Those asked for, and what stands for those that were not: nothing is NULL that nobody called so."""
    given: dict[str, Any] = {"statupdate": False}
    if form.format != "parquet":
        given |= region_option() | {"compupdate": False, "dateformat": "auto", "timeformat": "auto"}
    if form.format == "csv":
        given["null_as"] = made_up_null()
    return given | dict(form.options) | {"manifest": True}


def _note_empty(connection: sa.Connection, staged: sa.TableClause, rows: int) -> None:
    """A note about columns without any value: to COPY a key of another name, or in other letters, is a NULL."""
    counts = connection.execute(sa.select(*(sa.func.count(column) for column in staged.columns))).one()
    empty = [column.name for column, count in zip(staged.columns, counts, strict=True) if not count]
    if empty:
        context.attempt().notes.append(
            f"NULL in all {rows:,} rows: {shortened(', '.join(empty), 300)}. Look at how the files spell it, in "
            'small and large letters too (jsonpaths = "auto ignorecase")'
        )
