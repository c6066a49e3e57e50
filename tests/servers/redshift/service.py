"""The stand-in's process: takes clients, and orders of the test, a JSON object a line, on its standard input.

python -m servers.redshift.service        ends when its standard input does
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import sys
import threading
import traceback
from collections import deque
from dataclasses import asdict
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from sqlalchemy import make_url

from servers.postgres import Postgres
from servers.process import LOOPBACK
from servers.redshift.ddl import Said
from servers.redshift.errors import Refusal
from servers.redshift.faults import Fault, Faults
from servers.redshift.session import Session
from servers.redshift.storage import S3Access

MOST_LOGGED = 20_000


class Service:
    """What sessions share. `roles` are those that may be named, None for all of the right form."""

    def __init__(self, admin_url: str, isolation: str, s3: S3Access | None) -> None:
        self.s3 = s3
        self.isolation = self._first_isolation = isolation
        self.roles: set[str] | None = None
        self.is_serverless = False
        self.log: deque[tuple[int, str]] = deque(maxlen=MOST_LOGGED)
        self.said: dict[tuple[str, str], Said] = {}
        self.failures: list[str] = []
        self.faults = Faults()
        self._server = Postgres(admin_url)
        url = make_url(admin_url)
        self.upstream = (url.host or LOOPBACK, url.port or 5432)
        self._queries = itertools.count(1000)
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])

    def accept(self) -> None:
        """Takes clients for ever, each in a thread."""
        while True:
            client, _ = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client):
            try:
                session = Session(self, client)
            except OSError:  # the server behind takes nobody: the client sees the same
                return
            try:
                session.serve()
            except Exception:
                self.failures.append(traceback.format_exc())
                raise
            finally:
                session.close()

    def next_query(self) -> int:
        """The number of a COPY or an UNLOAD."""
        return next(self._queries)

    def table_id(self, database: str, table: str) -> int:
        """The OID of a table that is committed, 0 for others."""
        found = self._server.ask("SELECT to_regclass(%s)::oid::bigint", table, url=self._server.url(database))
        return int(found[0][0] or 0)

    def note_load_error(self, database: str, values: dict[str, object]) -> None:
        """Notes an error for the system tables, in a session of its own: it stays when the COPY is rolled back."""
        names = ", ".join(f'"{name}"' for name in values)
        connection = psycopg2.connect(self._server.url(database))
        try:
            with connection, connection.cursor() as cursor:
                execute_values(
                    cursor, f"INSERT INTO pg_catalog.standin_load_errors ({names}) VALUES %s", [tuple(values.values())]
                )
        finally:
            connection.close()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Does what `Standin` asks for, and answers."""
        match order.pop("do"):
            case "fault":
                self._add_fault(order)
            case "roles":
                self.roles = set(order["roles"])
            case "serverless":
                self.is_serverless = True
            case "isolate":
                self.isolation = order["isolation"]
            case "forget":
                return self._forget()
            case "log":
                return {"log": list(self.log)}
            case "said":
                return {"said": [(*names, asdict(said)) for names, said in list(self.said.items())]}
        return {"struck": self.faults.struck}

    def _add_fault(self, order: dict[str, Any]) -> None:
        pattern, said = re.compile(order.pop("pattern"), re.IGNORECASE), order.pop("refusal")
        fault = Fault(pattern, **order)
        if said is not None:
            fault.refusal = Refusal(**said)
        self.faults.add(fault)

    def _forget(self) -> dict[str, Any]:
        failures, self.failures = self.failures, []
        self.faults.clear()
        self.log.clear()
        self.said.clear()
        self.roles, self.is_serverless, self.isolation = None, False, self._first_isolation
        return {"failures": failures}


def main() -> None:
    start = json.loads(sys.stdin.readline())
    s3 = S3Access(**start["s3"]) if start["s3"] else None
    service = Service(start["admin_url"], start["isolation"], s3)
    threading.Thread(target=service.accept, daemon=True).start()
    _tell({"port": service.port})
    for line in sys.stdin:
        _tell(service.obey(json.loads(line)))


def _tell(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
