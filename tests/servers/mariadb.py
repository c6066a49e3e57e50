"""MariaDB for tests, torture and benches: `with mariadb() as server: …`.

The programs are the system's; its service is not touched. No wheel has them, so they may be missing (`missing`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy import make_url

from servers.process import LOOPBACK, ServerError, ServerProcess

FAST = ("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--innodb-flush-method=nosync")
DURABLE = ("--innodb-flush-log-at-trx-commit=1", "--innodb-doublewrite=ON")
ALWAYS = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=64M",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    "--default-time-zone=+00:00",
    "--max-connections=200",
    "--skip-name-resolve",
    "--local-infile=1",
)
GREETING = 10
"""The fifth byte a server sends: the version of its protocol."""


class Mysql:
    """A server by its URL: databases are made and dropped in it."""

    has_tls = True

    def __init__(self, admin_url: str) -> None:
        self._admin = make_url(admin_url).set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"})

    def url(self, database: str | None = None) -> str:
        """`mysql+pymysql://…?charset=utf8mb4` of a database; without one, of that which tests do not write to."""
        url = self._admin if database is None else self._admin.set(database=database)
        return url.render_as_string(hide_password=False)

    def ask(self, sql: str, *values: Any, url: str | None = None) -> list[tuple[Any, ...]]:
        """Rows of a statement in a session of its own with autocommit; none for one that returns none."""
        place = make_url(url or self.url())
        connection = pymysql.connect(
            host=place.host,
            port=place.port or 3306,
            user=place.username,
            password=place.password or "",
            database=place.database,
            charset="utf8mb4",
            autocommit=True,
            ssl_disabled=not self.has_tls,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"etlctl_{uuid.uuid4().hex[:16]}"
        self.ask(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops a database made by `new_database`; sessions that a test left open in it are ended, with their locks."""
        name = make_url(url).database
        for (session,) in self.ask("SELECT id FROM information_schema.processlist WHERE db = %s", name):
            with contextlib.suppress(pymysql.err.OperationalError):  # it has just ended by itself
                self.ask(f"KILL {int(session)}")
        self.ask(f"DROP DATABASE IF EXISTS `{name}`")


class MariadbServer(ServerProcess, Mysql):
    """A server of our own. Its superuser is `root`, without a password, on loopback and by `socket_path`."""

    name = "my"
    stop_signals = {"fast": signal.SIGTERM, "crash": signal.SIGKILL}
    has_tls = False  # PyMySQL 1.2 looks for it first, and reads the system's certificates each time: 40 ms

    def __init__(self, *, durable: bool = False, settings: Sequence[str] = ()) -> None:
        self._mariadbd, self._install = _programs()
        self.bindir = self._mariadbd.parent
        super().__init__(durable=durable, settings=settings)

    @property
    def socket_path(self) -> Path:
        return self.work / "s"

    def url(self, database: str | None = None) -> str:
        return f"mysql+pymysql://root@{LOOPBACK}:{self.port}/{database or 'mysql'}?charset=utf8mb4"

    def initialize(self) -> None:
        options = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
        sizes = [option for option in ALWAYS if option.startswith("--innodb-log-file-size")]
        self.run(self._install, "--no-defaults", *self._folders(), *options, *sizes)

    def command(self) -> list[str]:
        place = [*self._folders(), f"--socket={self.socket_path}", f"--pid-file={self.work / 'pid'}"]
        network = [f"--bind-address={LOOPBACK}", f"--port={self.port}"]
        rest = (*ALWAYS, *(DURABLE if self.durable else FAST), *self.settings)
        return [str(self._mariadbd), "--no-defaults", *place, *network, *rest]

    def _folders(self) -> list[str]:
        """Where it writes. Not to /tmp: a server that starts removes all temporary tables there, of others too."""
        return [f"--datadir={self.data}", f"--tmpdir={self.work}"]

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(str(self.socket_path))
            hello = probe.recv(5)
            return len(hello) == 5 and hello[4] == GREETING
        return False


def mariadb(*, durable: bool = False, settings: Sequence[str] = ()) -> MariadbServer:
    """A new MariaDB, to be entered with `with`. `settings` are like "--max-connections=20" and win over ours."""
    return MariadbServer(durable=durable, settings=settings)


def missing() -> str:
    """Why there is no MariaDB on this machine; empty where there is one."""
    try:
        _programs()
    except ServerError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def database_in(server: Mysql) -> Iterator[str]:
    """The URL of a new database, dropped in the end."""
    url = server.new_database()
    try:
        yield url
    finally:
        server.drop_database(url)


def _programs() -> tuple[Path, Path]:
    """The server and the program that makes its data folder."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])  # not on everybody's PATH
    server, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if server is None or install is None:
        raise ServerError(
            "no MariaDB on this machine: apt install mariadb-server-core mariadb-client-core (programs, no service), "
            "or name a server by ETLCTL_TEST_MYSQL_URL"
        )
    return Path(server), Path(install)
