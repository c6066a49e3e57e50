"""What the errors of MySQL and MariaDB mean, as sentences with the exit code they deserve. Knows codes, runs nothing.

Source of the codes: dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and, where MariaDB has its own
(from 1901 on), mariadb.com/kb/en/mariadb-error-code-reference/.
"""

from __future__ import annotations

from sqlalchemy import exc, make_url

from etlctl.db.dialects.mysql.connection import ConnectError, MySQLError
from etlctl.errors import (
    BadDataError,
    EtlctlError,
    LoadError,
    LockTimeoutError,
    QueryError,
    TransientError,
    UnavailableError,
)
from etlctl.text import shortened

_LOCKS = {
    1205: "waited for a lock of another transaction for as long as lock_timeout_s allows",
    3058: "would have waited for a lock that waits for this one",
    3572: "found a lock taken",
}
_TRANSIENT = {
    1213: "ended the transaction, because it and another one waited for each other (a deadlock)",
    3101: "rolled the transaction back, since it clashed with another server's",
    1020: "found a row changed by another transaction since it was read",
    1927: "ended the connection",
    1053: "is shutting down",
    1077: "is shutting down",
    1152: "lost the connection",
    1158: "lost the connection",
    1159: "lost the connection",
    1160: "lost the connection",
    1161: "lost the connection",
    2006: "closed the connection",
    2013: "was lost in the middle of a statement",
    2055: "was lost in the middle of a statement",
    4031: "closed the connection, which was idle for too long",
    1040: "has no connection free (max_connections)",
    1203: "gives this user no further connection (max_user_connections)",
    1226: "gives this user no further connection or query for now",
    1317: "was told by somebody to stop the statement (KILL)",
}
_READ_ONLY = "is read-only: a replica, or one set so. Name the primary server in the URL"
_FULL = "has no room left: its disk, or its temporary folder, is full. Nothing was kept"
_UNAVAILABLE = {
    1290: _READ_ONLY,
    1792: _READ_ONLY,
    1836: _READ_ONLY,
    1021: _FULL,
    1114: _FULL,
    3675: _FULL,
    1045: "refuses the user or the password",
    1044: "does not let this user into the database",
    1130: "lets nobody in from this host",
    1129: "lets nobody in from this host, after many failed connections (FLUSH HOSTS)",
    1049: "has no database of this name. CREATE DATABASE makes it",
    1251: "wants another way to log in than the driver knows",
    2003: "cannot be reached: is the server running, and are host and port right?",
    2002: "cannot be reached: is the server running, and is the path of its socket right?",
    2005: "has a host name that is not known",
    2026: "and this client agree on no encryption",
    2059: "wants a way to log in that the driver does not have",
    3159: "lets nobody in without TLS; ?ssl_ca=FILE in the URL asks for it",
}
_ELSEWHERE = {
    1049: "CREATE DATABASE makes it; or name the table without it",
    1044: "GRANT gives the right to it",
}
"""Of a statement, which names another database than the connection's."""
_OF_STATEMENTS = 1000
"""Lower codes are those of its operating system."""
_REFUSED = (1142, 1143, 1227, 1370, 1419)
"""Rights to a table, a column, a routine."""
_DATA = frozenset(
    (
        1048, 1062, 1169, 1216, 1217, 1364, 1451, 1452, 1557, 1586, 1761, 1762, 3819, 4025,  # constraints
        1264, 1265, 1292, 1365, 1366, 1367, 1406, 1411, 1416, 1425, 1441, 1690, 3140, 3141, 3156, 3903, 4038,  # values
        1153,  # a packet larger than max_allowed_packet
    )
)  # fmt: skip
_STATEMENT_TIMEOUT = (3024, 1969, 1028)
_LOADS = {
    1071: "an index over these columns would be too long: give the key columns a varchar(n) that is shorter",
    1118: "a row of these columns would be too long: declare some of them text",
    1137: "the server cannot read a temporary table twice in one statement",
    1286: "the server has no InnoDB, whose transactions loads need",
    1665: "the server's binlog_format is STATEMENT, which READ COMMITTED cannot use; set it to ROW",
    1273: "the server is too old: loads need MariaDB 10.2 or MySQL 8.0.17",
    1115: "the server is too old: loads need MariaDB 10.2 or MySQL 8.0.17",
}


def translated(error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
    """See `Dialect.translated`."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, EtlctlError):
        return cause
    if isinstance(cause, MySQLError):
        return _of_driver(cause, doing, shown_url, is_connecting=isinstance(cause, ConnectError))
    if isinstance(error, exc.SQLAlchemyError):
        return QueryError(f"{doing}: {_first_line(str(error.orig if isinstance(error, exc.DBAPIError) else error))}.")
    return None


def _of_driver(error: MySQLError, doing: str, shown_url: str, *, is_connecting: bool) -> EtlctlError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = _first_line(str(error.args[1]) if len(error.args) > 1 else str(error))
    server = f"{doing}: {_place(shown_url)}"
    told = f"(MySQL error {code}: {said})."
    if code in _LOCKS:
        return LockTimeoutError(f"{server} {_LOCKS[code]} {told}")
    if is_connecting and (code < _OF_STATEMENTS or code in (2006, 2013)):
        return UnavailableError(f"{server} does not answer as a MySQL server does: is the port right? {told}")
    if code in _TRANSIENT:
        return TransientError(f"{server} {_TRANSIENT[code]} {told}")
    if code in _ELSEWHERE and not is_connecting:
        return LoadError(f"{doing}: {said}. {_ELSEWHERE[code]}.")
    if "No space left" in said:
        return UnavailableError(f"{server} {_FULL} {told}")
    if code in _UNAVAILABLE:
        return UnavailableError(f"{server} {_UNAVAILABLE[code]} {told}")
    if code == 0 and not said.strip("( )"):
        return TransientError(f"{server} closed the connection.")
    if is_connecting:
        return UnavailableError(f"{server} refuses a session as loads need it {told}")
    if 0 < code < _OF_STATEMENTS:
        return UnavailableError(f"{server} has trouble with its files {told}")
    return _of_statement(code, said, doing)


def _of_statement(code: int, said: str, doing: str) -> EtlctlError:
    if code in _REFUSED:
        return LoadError(f"{doing}: this user may not do that: {said}. GRANT gives the right.")
    if code in _STATEMENT_TIMEOUT:
        return QueryError(f"{doing}: a statement took longer than statement_timeout_s allows ({said}).")
    if code in _LOADS:
        return LoadError(f"{doing}: {_LOADS[code]} ({said}).")
    if code in _DATA:
        return BadDataError(f"{doing}: the database refused a row: {said}.")
    return QueryError(f"{doing}: {said}.")


def _place(shown_url: str) -> str:
    """`db.example:3306/dw`: where it is, for people; never user or password."""
    try:
        url = make_url(shown_url)
    except exc.ArgumentError:
        return shown_url
    socket = url.query.get("unix_socket")
    if isinstance(socket, str):
        return f"{socket} ({url.database})"
    return f"{url.host or 'localhost'}:{url.port or 3306}/{url.database}"


def _first_line(text: str) -> str:
    """MySQL ends the first line of a syntax error with the rest of the statement, and its line at the very end."""
    return shortened(" ".join(text.split()), 300).rstrip(".")
