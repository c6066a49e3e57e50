"""A Redshift for tests: a proxy in front of a real PostgreSQL, which speaks, refuses and loads as Redshift does.

    with postgres() as server, Standin(server, S3Access("http://127.0.0.1:5000")) as redshift:
        url = redshift.new_database()      # redshift+psycopg2://…?sslmode=disable
        redshift.fault("^UNLOAD", "kill", after_parts=1)

Real in it: the client's transaction (COPY and UNLOAD take part in it), S3 over HTTP, SERIALIZABLE isolation, COPY's
formats, options, errors and their system tables, UNLOAD's files and manifests, write locks on tables, TRUNCATE's
commit, bytes in VARCHAR(n). Refused as Redshift refuses it: savepoints, RETURNING, ON CONFLICT, FOR UPDATE, advisory
locks, LOCK with a mode, settings and types that Redshift has not, and more of that kind (rules.py).

What it does not know:
* It is PostgreSQL's planner, types and functions behind. What is not named in rules.py passes, although Redshift may
  refuse it; Redshift's own functions are missing but for GETDATE, SYSDATE, NVL and LEN; SUPER is text.
* SERIALIZABLE looks at rows and pages, Redshift at whole tables: Redshift has more violations, never fewer. With
  `isolation="snapshot"` (Redshift's default for new clusters) it is PostgreSQL's REPEATABLE READ, which fails an UPDATE
  or DELETE of rows that another transaction changed since the snapshot.
* COPY: no FIXEDWIDTH, AVRO, ORC, LZOP, MAXERROR above 0, DynamoDB, SSH; Parquet's types are read as text. Every object
  is held in memory. UNLOAD: no PARTITION BY, ENCRYPTED, KMS; two slices. A role is checked by form and against `roles`,
  and stands for the stand-in's own keys; REGION is not compared with the bucket's.
* Texts of errors are Redshift's where they are known from its pages or from users' reports (errors.py); the others
  carry Redshift's SQLSTATE and say the same in our words.
* Layout (DISTKEY, SORTKEY, ENCODE) and keys are noted in `said`, not shown in the catalog: no PG_TABLE_DEF, SVV_…
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
import uuid
from pathlib import Path
from typing import Literal, Self

import psycopg2
from psycopg2.extras import execute_values
from sqlalchemy import make_url

from servers.postgres import Postgres
from servers.process import LOOPBACK
from servers.redshift.ddl import Said
from servers.redshift.errors import Refusal
from servers.redshift.faults import Fault, Faults, Kind
from servers.redshift.session import Session
from servers.redshift.storage import S3Access

SETUP = Path(__file__).with_name("setup.sql")
_ISOLATION = {"serializable": "serializable", "snapshot": "repeatable\\ read"}


class Standin:
    """The proxy. `log` holds (session, text) of all that clients sent; `said` what CREATE TABLE said of a layout.

    `roles` are those that COPY and UNLOAD may name, None for every role of the right form. `is_serverless`: errors
    point to sys_load_error_detail instead of stl_load_errors.
    """

    def __init__(
        self,
        server: Postgres,
        s3: S3Access | None = None,
        *,
        isolation: Literal["serializable", "snapshot"] = "serializable",
    ) -> None:
        self.s3 = s3
        self.roles: set[str] | None = None
        self.is_serverless = False
        self.log: list[tuple[int, str]] = []
        self.said: dict[tuple[str, str], Said] = {}
        self.faults = Faults()
        self.session_options = (
            f"-c default_transaction_isolation={_ISOLATION[isolation]} -c standard_conforming_strings=off "
            "-c escape_string_warning=off -c backslash_quote=on -c client_connection_check_interval=100"
        )
        self._server = server
        self._queries = itertools.count(1000)
        self._sessions: dict[Session, threading.Thread] = {}
        self._lock = threading.Lock()
        self._template = f"etlctl_template_{uuid.uuid4().hex[:12]}"

    @property
    def upstream(self) -> tuple[str, int]:
        """Where the server behind listens."""
        url = make_url(self._server.url())
        return url.host or LOOPBACK, url.port or 5432

    def __enter__(self) -> Self:
        self._make_template()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name="redshift-standin", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        with self._lock:
            left = dict(self._sessions)
        for session, thread in left.items():
            session.hang_up()
            thread.join(10)
        self._server.ask(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")

    def url(self, database: str) -> str:
        """`redshift+psycopg2://…` of a database."""
        url = make_url(self._server.url(database)).set(
            drivername="redshift+psycopg2", host=LOOPBACK, port=self.port, query={"sslmode": "disable"}
        )
        return url.render_as_string(hide_password=False)

    def dsn(self, database_url: str) -> str:
        """The same for psycopg2 itself: `postgresql://…`."""
        return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"etlctl_{uuid.uuid4().hex[:16]}"
        self._server.ask(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops it; sessions that a test left open are ended."""
        self._server.drop_database(url)

    def behind(self, url: str) -> str:
        """The same database on the server behind, past the stand-in: for looking."""
        return self._server.url(make_url(url).database)

    def fault(
        self,
        pattern: str,
        kind: Kind,
        *,
        times: int = 1,
        after_parts: int | None = None,
        delay_s: float = 0.0,
        refusal: Refusal | None = None,
    ) -> None:
        """What happens at the next statement that the pattern is found in, letters of both cases.

        `kill`: the session is cut before it; `lose_reply`: it is carried out, and the session cut before the answer;
        `fail`: by `refusal`; `delay`. With `after_parts`: after so many files of an UNLOAD, or objects of a COPY.
        """
        fault = Fault(re.compile(pattern, re.IGNORECASE), kind, times, after_parts, delay_s)
        if refusal is not None:
            fault.refusal = refusal
        self.faults.add(fault)

    def forget(self) -> None:
        """Makes the stand-in as new for the next test; databases stay."""
        self.faults.clear()
        self.log.clear()
        self.said.clear()
        self.roles, self.is_serverless = None, False

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

    def _make_template(self) -> None:
        self._server.ask(f"CREATE DATABASE {self._template} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy")
        self._server.ask(SETUP.read_text(), url=self._server.url(self._template))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                session = Session(self, client)
            except OSError:  # the server behind takes nobody: the client sees the same
                client.close()
                continue
            thread = threading.Thread(target=self._serve, args=(session,), daemon=True)
            with self._lock:
                self._sessions[session] = thread
            thread.start()

    def _serve(self, session: Session) -> None:
        try:
            session.serve()
        finally:
            session.close()
            with self._lock:
                self._sessions.pop(session, None)
