"""A Redshift for tests: a proxy in front of a real PostgreSQL, which speaks, refuses and loads as Redshift does.

    with postgres() as server, Standin(server, S3Access("http://127.0.0.1:5000")) as redshift:
        url = redshift.new_database()      # redshift+psycopg2://…?sslmode=disable
        redshift.fault("^UNLOAD", "kill", after_parts=1)

It runs as a process of its own (service.py): psycopg2's cancel() holds the GIL until the server has answered.

Real in it: the client's transaction (COPY and UNLOAD take part in it), S3 over HTTP, SERIALIZABLE isolation, COPY's
formats, options, errors and their system tables, UNLOAD's files and manifests, write locks on tables, TRUNCATE's
commit, bytes in VARCHAR(n). Refused as Redshift refuses it: savepoints, RETURNING, ON CONFLICT, FOR UPDATE, advisory
locks, LOCK with a mode, settings and types that Redshift has not, and more of that kind (rules.py).

What it does not know:
* It is PostgreSQL's planner, types and functions behind. What is not named in rules.py passes, although Redshift may
  refuse it; Redshift's own functions are missing but for GETDATE, SYSDATE, NVL and LEN; SUPER is text.
* SERIALIZABLE looks at rows and pages, Redshift at whole tables: Redshift has more violations. With
  `isolate("snapshot")` (Redshift's default for new clusters) it is PostgreSQL's REPEATABLE READ, which fails an UPDATE
  or DELETE of rows that another transaction changed since the snapshot.
* COPY: no FIXEDWIDTH, ORC, LZOP, MAXERROR above 0, DynamoDB, SSH; Parquet's types are read as text. Every object
  is held in memory. UNLOAD: no PARTITION BY, ENCRYPTED, KMS; two slices. A role is checked by form (and by
  `accept_roles`), and stands for the stand-in's own keys; REGION is not compared with the bucket's.
* Errors are Redshift's in text and SQLSTATE where its pages or users' reports show them (errors.py). The others are in
  our words, with the SQLSTATE that PostgreSQL has for the like: do not build on either.
* Layout (DISTKEY, SORTKEY, ENCODE) and keys are noted in `said`, not shown in the catalog: no PG_TABLE_DEF, SVV_…
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import make_url

from servers.postgres import Postgres
from servers.process import LOOPBACK, ServerError
from servers.redshift.ddl import Said
from servers.redshift.errors import Refusal
from servers.redshift.faults import Kind
from servers.redshift.storage import S3Access

SETUP = Path(__file__).with_name("setup.sql")
STOP_S = 20.0
Isolation = Literal["serializable", "snapshot"]


class Standin:
    """The stand-in, from the side of a test. `port` is where it listens, on loopback."""

    def __init__(
        self,
        server: Postgres,
        s3: S3Access | None = None,
        *,
        isolation: Isolation = "serializable",
    ) -> None:
        self._server = server
        self._start = {
            "admin_url": server.url(),
            "isolation": isolation,
            "s3": asdict(s3) if s3 is not None else None,
        }
        self._template = f"etlctl_template_{uuid.uuid4().hex[:12]}"
        self._asking = threading.Lock()
        self.port = 0

    def __enter__(self) -> Self:
        self._make_template()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "servers.redshift.service"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SETUP.parents[2])},
            start_new_session=True,  # the terminal's ^C is for pytest only
        )
        self.port = int(self._asked(self._start)["port"])
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
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
        said = None if refusal is None else {"message": refusal.message, "code": refusal.code, "detail": refusal.detail}
        self._asked(
            {"do": "fault", "pattern": pattern, "kind": kind, "times": times}
            | {"after_parts": after_parts, "delay_s": delay_s, "refusal": said}
        )

    def isolate(self, isolation: Isolation) -> None:
        """What sessions that begin from now on have as their database's isolation level."""
        self._asked({"do": "isolate", "isolation": isolation})

    def accept_roles(self, *roles: str) -> None:
        """COPY and UNLOAD are then refused to all other roles, as to those that Redshift may not assume."""
        self._asked({"do": "roles", "roles": list(roles)})

    def be_serverless(self) -> None:
        """COPY's errors then point to sys_load_error_detail, in place of stl_load_errors."""
        self._asked({"do": "serverless"})

    def forget(self) -> None:
        """Makes the stand-in as new for the next test; databases stay. Raises when it failed itself in the meantime."""
        self._asked({"do": "forget"})

    @property
    def log(self) -> list[tuple[int, str]]:
        """Session and text of the last 20,000 queries that clients have sent."""
        return [(int(pid), str(text)) for pid, text in self._asked({"do": "log"})["log"]]

    @property
    def said(self) -> dict[tuple[str, str], Said]:
        """What the last CREATE TABLE of a table said of layout and keys, by database and table."""
        found = self._asked({"do": "said"})["said"]
        return {(database, table): _said(values) for database, table, values in found}

    @property
    def struck(self) -> int:
        """How many faults have struck."""
        return int(self._asked({"do": "struck"})["struck"])

    def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        with self._asking:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failures": ["the stand-in's process has ended"]}
        if answer.get("failures"):
            raise ServerError("the stand-in for Redshift failed itself:\n" + "\n".join(answer["failures"]))
        return answer

    def _make_template(self) -> None:
        self._server.ask(f"CREATE DATABASE {self._template} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy")
        self._server.ask(SETUP.read_text(), url=self._server.url(self._template))


def _said(values: dict[str, Any]) -> Said:
    """As it was before it became JSON."""
    keys = [(str(kind), tuple(columns)) for kind, columns in values.pop("keys")]
    return Said(keys=keys, sortkey=tuple(values.pop("sortkey")), **values)
