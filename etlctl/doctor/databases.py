"""Connections and the state database, looked at: reachable, rights, clock, TLS, marker table, schema of the state.

Nothing is written, and no SQLite file is made. Databases are asked at once, each by a thread: ten that do not answer
take no longer than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from etlctl.doctor import places
from etlctl.doctor.asking import answers
from etlctl.doctor.findings import Finding, failed, ok, warning
from etlctl.doctor.hosts import url_of, way_of
from etlctl.errors import EtlctlError
from etlctl.settings import ConnectionSettings, Settings
from etlctl.settings.urls import is_sqlite, sqlite_file

if TYPE_CHECKING:
    from etlctl.db.connections import Database
    from etlctl.db.examination import Examination

_MOST_AT_ONCE = 8
_MOST_SKEW_S = 2.0
"""From here on times in logs, markers and history do not tell what came first; leases go by the database's clock."""
_STATE = "state"


def connection_findings(settings: Settings, database: Callable[[str], Database]) -> list[Finding]:
    """Every connection of the settings, in their order, then the state."""
    asked: list[Callable[[], list[Finding]]] = []
    asked += [partial(_connection, one, database) for one in settings.connections.values()]
    asked.append(partial(_state, settings))
    return [finding for found in answers(asked, at_once=_MOST_AT_ONCE) for finding in found]


def _connection(given: ConnectionSettings, database: Callable[[str], Database]) -> list[Finding]:
    area = f"connection {given.name}"
    try:
        found = database(given.name)
        if found.is_absent:
            return [_absent(area, found, "the first load")]
        told = _examined(found)
    except EtlctlError as error:
        return [_unusable(area, given, error), *_way(area, given, None)]
    findings = [_reached(area, found, told), *_way(area, given, told), *_clock(area, told)]
    return [*findings, *_rights(area, given, told), _markers(area, found, told), *_torn(area, told)]


def _examined(database: Database) -> Examination:
    from etlctl.db.examination import examine  # SQLAlchemy comes with it

    return examine(database)


def _absent(area: str, database: Database, who: str) -> Finding:
    """A SQLite file that is not there yet is no fault, as long as it can be made."""
    folder, reason = places.unwritable(sqlite_file(database.url) or Path())
    if reason:
        text = f"{database.shown_url} does not exist yet, and cannot be made: {folder} cannot be written: {reason}."
        return failed(area, text, "give a path whose folder this user can write, or make the folder.")
    return ok(area, f"{database.shown_url} does not exist yet: {who} makes it")


def _unusable(area: str, given: ConnectionSettings, error: EtlctlError) -> Finding:
    what = "path, folder, rights" if is_sqlite(url_of(given.url)) else "host, port, user, password; is the server up?"
    return failed(area, str(error), f"look at {given.place or given.name}: {what}")


def _reached(area: str, database: Database, told: Examination) -> Finding:
    return ok(area, f"{database.shown_url}: {told.version}, answered in {told.answered_s * 1000:.0f} ms")


def _way(area: str, given: ConnectionSettings, told: Examination | None) -> list[Finding]:
    """TLS is a warning only where the connection leaves this machine."""
    url = url_of(given.url)
    if is_sqlite(url):
        return []
    way = way_of(url)
    if not way.is_far:
        return []
    if told is not None and told.is_encrypted is False:
        text = f"the connection to {way.host} is not encrypted: passwords and rows can be read on the way."
        return [warning(area, text, f"{way.mend}.")]
    if not way.is_verified:
        text = f"nothing makes sure that the connection to {way.host} is encrypted, and that it is the right server."
        return [warning(area, text, f"{way.mend}.")]
    return [ok(area, f"the connection to {way.host} asks for TLS and looks at the certificate")]


def _clock(area: str, told: Examination) -> list[Finding]:
    if told.skew_s is None or abs(told.skew_s) <= _MOST_SKEW_S:
        return []
    which = "ahead of" if told.skew_s > 0 else "behind"
    text = f"its clock is {abs(told.skew_s):.1f} s {which} this machine's: times in logs and markers do not agree."
    return [warning(area, text, "set both by NTP (chrony, systemd-timesyncd).")]


def _rights(area: str, given: ConnectionSettings, told: Examination) -> list[Finding]:
    if told.is_read_only:
        text = "the database takes no writes: it is a standby, or is set read-only."
        return [failed(area, text, "name the primary in its URL, or take read-only off.")]
    if not is_sqlite(url_of(given.url)) and told.place is None:
        text = "no schema is to be seen: search_path names none that exists, so no table has a place."
        return [failed(area, text, "ALTER ROLE … SET search_path = …, or add ?options=-csearch_path%3DSCHEMA.")]
    if told.lacking:
        text = f"this user lacks {', '.join(told.lacking)} on the marker table {given.marker_table}."
        return [failed(area, text, f"GRANT {', '.join(told.lacking)} ON {given.marker_table} TO the user.")]
    return [] if told.can_create is not False else [_without_create(area, given, told)]


def _without_create(area: str, given: ConnectionSettings, told: Examination) -> Finding:
    from etlctl.db.examination import MarkerTable

    where = f" in {told.place}" if told.place else ""
    if is_sqlite(url_of(given.url)):
        return failed(area, "the file, or its folder, cannot be written.", "give this user the right to write both.")
    if told.marker_table is MarkerTable.CURRENT:
        text = f"this user may make no tables{where}: loads go into tables that are there."
        return warning(area, text, "is it meant (docs/security.md)? Else GRANT CREATE.")
    text = f"this user may make no tables{where}, and the marker table {given.marker_table} must be made or changed."
    return failed(area, text, f"GRANT CREATE, or let an owner say `etlctl markers adopt --connection {given.name}`.")


def _markers(area: str, database: Database, told: Examination) -> Finding:
    from etlctl.db.examination import MarkerTable

    name = database.marker_table
    if told.marker_table is MarkerTable.ABSENT:
        return ok(area, f"there is no marker table {name} yet: the first load makes it")
    if told.marker_table is MarkerTable.CURRENT:
        return ok(area, f"the marker table {name} is as this version makes it")
    if told.marker_table is MarkerTable.FOREIGN:
        text = f"the table {name} there is no marker table: it has no column update_id."
        return failed(area, text, f'name another: [connections.{database.name}] marker_table = "…".')
    text = f"the marker table {name} is Luigi's, or of an older version: the first load adopts it, under a lock."
    return warning(area, text, f"do it at a quiet hour: etlctl markers adopt --connection {database.name}")


def _torn(area: str, told: Examination) -> Iterable[Finding]:
    if told.torn:
        loads = "load is" if told.torn == 1 else "loads are"
        mend = "etlctl markers list --state torn, then etlctl markers resolve TASK --loaded | --absent"
        yield failed(area, f"{told.torn} {loads} torn: nobody can tell whether the rows are whole.", mend)


# -- the state


def _state(settings: Settings) -> list[Finding]:
    from etlctl.db.connections import Database as Opened

    given = settings.state
    try:
        found = Opened(given)
        if found.is_absent:
            return [_absent(_STATE, found, "the first build"), *_shared(settings)]
        try:
            told = _examined(found)
        finally:
            found.close()
    except EtlctlError as error:
        return [_unusable(_STATE, given, error), *_way(_STATE, given, None), *_shared(settings)]
    findings = [_reached(_STATE, found, told), *_way(_STATE, given, told), *_clock(_STATE, told)]
    return [*findings, *_writable(given, told), _schema(given), *_shared(settings)]


def _writable(given: ConnectionSettings, told: Examination) -> list[Finding]:
    if told.is_read_only or (is_sqlite(url_of(given.url)) and told.can_create is False):
        return [failed(_STATE, "the state cannot be written, so nothing can be built.", "give this user the right to.")]
    return []


def _schema(given: ConnectionSettings) -> Finding:
    from etlctl.db.state import schema
    from etlctl.db.state.store import Store

    store = Store(given)
    try:
        found = schema.version_of(store)
        schema.check(store)
    except EtlctlError as error:
        return failed(_STATE, str(error), "upgrade etlctl here, or name another state database.")
    finally:
        store.close()
    ours = schema.CURRENT.version
    if found is None:
        return ok(_STATE, "it holds nothing yet: the first build makes its tables")
    if found < ours:
        return ok(_STATE, f"its schema is {found}: the next build brings it up to {ours}")
    newer = "" if found == ours else f", newer than the {ours} of this version, which can use it"
    return ok(_STATE, f"its schema is {found}{newer}")


def _shared(settings: Settings) -> Iterable[Finding]:
    """A state that only this machine sees keeps nobody else from building the same."""
    far = [
        one.name
        for one in settings.connections.values()
        if not is_sqlite(url_of(one.url)) and way_of(url_of(one.url)).is_far
    ]
    if is_sqlite(url_of(settings.state_url)) and far:
        text = (
            f"the state is a file of this machine, while {', '.join(far)} is shared: builds of other machines do not "
            "see what runs here, and pools and pauses do not hold there."
        )
        mend = 'give them one state database: [state] url = "postgresql://…".'
        yield warning(_STATE, text, mend)
