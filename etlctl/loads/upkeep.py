"""VACUUM and ANALYZE of a Redshift table after its load: outside any transaction, and never a reason to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlctl.core import context
from etlctl.db import ambient
from etlctl.errors import EtlctlError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.loads.redshift import Redshift


def tend(database: Database, table: str, wanted: Redshift, doing: str) -> None:
    """What `wanted` asks for; what fails is a note of the attempt. Inside an open transaction nothing can be done."""
    commands = [word for word, is_wanted in (("VACUUM", wanted.vacuum), ("ANALYZE", wanted.analyze)) if is_wanted]
    if not commands:
        return
    notes = context.attempt().notes
    if ambient.session_of(database) is not None:
        notes.append(f"{' and '.join(commands)} of {shortened(table)} cannot be run inside an open transaction")
        return
    for command in commands:
        try:
            _run(database, table, command, doing)
        except EtlctlError as error:
            notes.append(f"{command} of {shortened(table)} failed after the load, which is done: {error}")


def _run(database: Database, table: str, command: str, doing: str) -> None:
    from etlctl.db.words import in_quotes

    with database.unguarded(f"{doing}: {command}") as connection:
        connection.exec_driver_sql(f"{command} {in_quotes(database.dialect.table_name(table), connection)}")
