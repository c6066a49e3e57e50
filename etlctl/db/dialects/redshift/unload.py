"""The rows of a query into S3 by Redshift's UNLOAD; publishes nothing: what was written is told to who asked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from etlctl.db.dialects.objects import Unloaded
from etlctl.db.dialects.postgresql.guard import driver_connection
from etlctl.db.dialects.redshift.access import access_of, region_option
from etlctl.db.dialects.redshift.connection import run_bare
from etlctl.db.dialects.redshift.statements import Form, unload_statement
from etlctl.errors import LoadError

_LIMITED = re.compile(r"\bLIMIT\b", re.IGNORECASE)


def unload(connection: sa.Connection, query: str, parameters: Any, prefix: str, form: Form) -> list[Unloaded]:
    """See `Unloads.unload`. Redshift's own manifest, `<prefix>manifest`, tells what it wrote."""
    from etlctl.s3.address import parse
    from etlctl.s3.reader import open_object

    given = {**region_option(), **form.options, "manifest": "verbose"}
    statement = unload_statement(
        _with_values(connection, query, parameters), prefix, access_of(connection), replace(form, options=given)
    )
    run_bare(connection, statement)
    try:
        with open_object(parse(f"{prefix}manifest")) as file:
            told = json.load(file)
    except FileNotFoundError:  # a query without rows writes nothing at all
        return []
    try:
        return [_unloaded(entry) for entry in told["entries"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{prefix}manifest, which Redshift wrote, cannot be read: it has no entries.") from error


def _with_values(connection: sa.Connection, query: str, parameters: Any) -> str:
    """The query as the driver would send it: UNLOAD takes no placeholders, and no LIMIT on the outside."""
    with driver_connection(connection).cursor() as cursor:
        text = cursor.mogrify(query, parameters or ()).decode()
    text = text.strip().rstrip(";")
    return f"SELECT * FROM (\n{text}\n) AS etlctl_unloaded" if _LIMITED.search(text) else text  # noqa: S608  the task's own


def _unloaded(entry: dict[str, Any]) -> Unloaded:
    meta = entry.get("meta") or {}
    return Unloaded(entry["url"], meta.get("content_length"), meta.get("record_count"))
