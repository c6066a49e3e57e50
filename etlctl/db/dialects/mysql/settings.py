"""What every MySQL session of ours is set to, whatever the server's own settings are; sends nothing."""

from __future__ import annotations

import re
import socket
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etlctl.db.dialects.mysql.connection import LoadConnection

_MODES = (
    "STRICT_ALL_TABLES",  # a value that does not fit is an error, never cut or made zero
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION",  # ENGINE=InnoDB is InnoDB, or an error
    "NO_AUTO_VALUE_ON_ZERO",  # a 0 that is loaded stays 0
    "PIPES_AS_CONCAT",  # a || b joins texts, as on the other databases
)
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A server that is gone without a word is noticed after a minute, also while it is only waited for."""
_UNACKNOWLEDGED_MS = 60_000


@lru_cache(maxsize=1)
def unverified() -> ssl.SSLContext:
    """A TLS context for who asked for none: it verifies nothing, and reads no certificates for that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def keep_alive(sock: Any) -> None:
    """Lets the system find out that the other side is gone."""
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


def settings_of(connection: LoadConnection) -> str:
    """One SET for all of a session's settings."""
    options = connection.options
    modes = [*_MODES] if connection.is_mariadb else [*_MODES, "ONLY_FULL_GROUP_BY"]  # MySQL's own default, and standard
    lock_s = max(1, round(options.lock_timeout_s))
    isolation = "tx_isolation" if connection.is_mariadb and _version(connection) < (11, 1) else "transaction_isolation"
    settings = {
        "autocommit": "0",
        "sql_mode": f"'{','.join(modes)}'",
        "time_zone": "'+00:00'",
        isolation: "'READ-COMMITTED'",
        "lock_wait_timeout": str(lock_s),
        "innodb_lock_wait_timeout": str(lock_s),
        "group_concat_max_len": "1073741824",  # MySQL cuts GROUP_CONCAT at a thousand bytes
    }
    if options.statement_timeout_s is not None:
        timeout_s = options.statement_timeout_s
        if connection.is_mariadb:
            settings["max_statement_time"] = f"{timeout_s:f}"
        else:
            settings["max_execution_time"] = str(max(1, round(timeout_s * 1000)))
    return "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items())


def _version(connection: LoadConnection) -> tuple[int, ...]:
    """Of a MariaDB, whose greeting may begin with `5.5.5-` for the sake of old clients."""
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)", str(connection.server_version))
    return (int(found[1]), int(found[2])) if found else (0, 0)
