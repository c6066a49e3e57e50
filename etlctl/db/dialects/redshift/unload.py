"""The rows of a query into S3 by Redshift's UNLOAD; publishes nothing: what was written is told to who asked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from etlctl.db.columns import ColumnType, Kind
from etlctl.db.dialects.objects import Unloaded
from etlctl.db.dialects.postgresql.guard import driver_connection
from etlctl.db.dialects.redshift.access import access_of, region_option
from etlctl.db.dialects.redshift.connection import run_bare
from etlctl.db.dialects.redshift.statements import Form, identifier, unload_statement
from etlctl.errors import LoadError

_KINDS = (
    Kind.INTEGER,
    Kind.NUMERIC,
    Kind.TEXT,
    Kind.BOOLEAN,
    Kind.DATE,
    Kind.TIMESTAMP,
    Kind.TIMESTAMPTZ,
)
_EXPRESSIONS = {
    Kind.BOOLEAN: "CASE WHEN {0} THEN 'true' WHEN NOT {0} THEN 'false' END",
    Kind.TIMESTAMPTZ: "{0} AT TIME ZONE 'UTC'",
}
_LIMITED = re.compile(r"\bLIMIT\b", re.IGNORECASE)
_ORDERED = re.compile(r"\bORDER\b", re.IGNORECASE)


def can_unload(query: str, types: Sequence[ColumnType | None]) -> bool:
    """Not floats, whose digits are Redshift's own, and nothing whose text in a file is not known for certain; nor what
    has an order and would stand inside another SELECT, which need not keep it."""
    if _ORDERED.search(query) and (_LIMITED.search(query) or any(one and one.kind in _EXPRESSIONS for one in types)):
        return False
    return bool(types) and all(
        type_ is not None and type_.kind in _KINDS and (type_.kind is not Kind.NUMERIC or type_.scale is not None)
        for type_ in types
    )


def unload(
    connection: sa.Connection,
    query: str,
    parameters: Any,
    prefix: str,
    form: Form,
    columns: Sequence[tuple[str, ColumnType | None]] = (),
) -> list[Unloaded]:
    """See `Unloads.unload`. Redshift's own manifest, `<prefix>manifest`, tells what it wrote.

    LoadError where that is not what the session says it unloaded.
    """
    from etlctl.s3.address import parse
    from etlctl.s3.reader import open_object

    given = {**region_option(), **form.options, "manifest": "verbose"}
    statement = unload_statement(
        _formed(_with_values(connection, query, parameters), columns),
        prefix,
        access_of(connection),
        replace(form, options=given),
    )
    run_bare(connection, statement)
    sent = int(connection.exec_driver_sql("SELECT pg_last_unload_count()").scalar_one())
    try:
        with open_object(parse(f"{prefix}manifest")) as file:
            told = json.load(file)
    except FileNotFoundError:  # a query without rows writes nothing at all
        told = {"entries": []}
    try:
        written = [_unloaded(entry) for entry in told["entries"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{prefix}manifest, which Redshift wrote, cannot be read: it has no entries.") from error
    _check_count(prefix, written, sent)
    return written


def _check_count(prefix: str, written: Sequence[Unloaded], sent: int) -> None:
    """LoadError where rows that were sent are in no object.

    No page says whether a header counts as a record, in the one number or in the other.
    """
    counts = [one.rows for one in written if one.rows is not None]
    rows = sum(counts)
    is_short = len(counts) == len(written) and abs(rows - sent) not in (0, len(written))
    if is_short or (sent and not written):
        raise LoadError(
            f"Redshift unloaded {sent:,} rows, and {prefix}manifest tells of {rows:,}: it may have been removed, or "
            "written into another S3 than the endpoint_url of [s3] is. Nothing was published."
        )


def _with_values(connection: sa.Connection, query: str, parameters: Any) -> str:
    """The query as the driver would send it: UNLOAD takes no placeholders, and no LIMIT on the outside."""
    with driver_connection(connection).cursor() as cursor:
        text = cursor.mogrify(query, parameters or ()).decode()
    text = text.strip().rstrip(";")
    return f"SELECT * FROM (\n{text}\n) AS etlctl_unloaded" if _LIMITED.search(query) else text  # noqa: S608  the task's own


def _formed(query: str, columns: Sequence[tuple[str, ColumnType | None]]) -> str:
    """The query itself where every column has the form already; its columns are named anew, as they may be alike."""
    forms = [_EXPRESSIONS.get(type_.kind, "{0}") if type_ is not None else "{0}" for _, type_ in columns]
    if all(form == "{0}" for form in forms):
        return query
    places = [f"c{number}" for number in range(len(columns))]
    fields = (
        f"{form.format(f'q.{place}')} AS {identifier(name)}"
        for form, place, (name, _) in zip(forms, places, columns, strict=True)
    )
    return f"SELECT {', '.join(fields)} FROM (\n{query}\n) AS q ({', '.join(places)})"  # noqa: S608  quoted


def _unloaded(entry: dict[str, Any]) -> Unloaded:
    meta = entry.get("meta") or {}
    return Unloaded(entry["url"], meta.get("content_length"), meta.get("record_count"))
