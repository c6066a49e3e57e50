"""Where a database's URL leads, and whether what goes there is encrypted for certain. Connects to nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from etlctl.errors import EtlctlError
from etlctl.settings import Secret

_CHECKED = ("verify-ca", "verify-full")
_HERE = ("", "localhost")


class Way(NamedTuple):
    """How a connection is made."""

    host: str
    is_far: bool
    """Whether it leaves this machine."""
    is_verified: bool
    """Whether the settings ask for TLS and for a look at the server's certificate."""
    mend: str
    """What makes it so."""


def url_of(secret: Secret) -> str:
    """The URL itself; empty where it cannot be had, which whoever connects is told."""
    try:
        return secret.reveal()
    except EtlctlError:
        return ""


def way_of(url: str, environ: Mapping[str, str] = os.environ) -> Way:
    """The way that the URL of a server takes. A name that is not `localhost` is far: nothing is looked up."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    is_mysql = parts.scheme.startswith(("mysql", "mariadb"))
    if is_mysql:
        host = "" if "unix_socket" in options else parts.hostname or ""
        is_verified = "ssl_ca" in options and options.get("ssl_check_hostname", "true").lower() != "false"
        return Way(host, _is_far(host), is_verified, "add ?ssl_ca=/path/ca.pem to its URL")
    host = options.get("host") or parts.hostname or environ.get("PGHOST", "")
    mode = options.get("sslmode") or environ.get("PGSSLMODE", "prefer")
    return Way(host, _is_far(host), mode in _CHECKED, "add ?sslmode=verify-full&sslrootcert=/path/ca.pem to its URL")


def _is_far(host: str) -> bool:
    if host.lower() in _HERE or host.startswith("/"):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True
