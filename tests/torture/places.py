"""The databases that are tortured, seen through their bare drivers and never through the code under test."""

from __future__ import annotations

import contextlib
import csv
import gzip
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
from sqlalchemy import make_url

from etlctl import settings as settings_module
from etlctl.app import App
from torture.loads import NUMBERS, PACKED, SOURCE, TABLES_BEFORE, numbers

MARKERS = "table_updates"


class Place(ABC):
    """One empty database and a project folder whose default connection it is."""

    name: str
    unique_violation: type[Exception]
    """What the driver raises for a key that is there already."""
    integrity = ""
    """A statement whose one row says `ok`; none where the server watches over itself."""

    def __init__(self, url: str, project: Path, *, seen_url: str | None = None, more: str = "") -> None:
        """`seen_url` is the way of the loads to the database, where it is not the checker's: through a proxy."""
        self.url = url
        self.project = project
        (project / "config").mkdir(parents=True, exist_ok=True)
        (project / "config" / "etlctl.toml").write_text(
            f'[pipelines]\nmodules = ["torture.loads"]\n[connections.warehouse]\nurl = "{seen_url or url}"\n{more}'
        )
        with (project / NUMBERS).open("w", newline="") as file:
            csv.writer(file).writerows([("number", "payload"), *numbers()])
        (project / PACKED).write_bytes(gzip.compress((project / NUMBERS).read_bytes()))

    def app(self) -> App:
        """The product, on this project's settings."""
        path = self.project / "config" / "etlctl.toml"
        return App.open(settings_module.load(path, environ={}, cwd=self.project))

    @abstractmethod
    def connect(self) -> Any:
        """A new connection of the driver, with transactions begun by it or by `snapshot`."""

    @abstractmethod
    def snapshot(self, connection: Any) -> None:
        """Begins a transaction whose questions all see the same state."""

    @abstractmethod
    def tables(self, connection: Any) -> set[str]:
        """The tables there are."""

    @abstractmethod
    def version(self) -> str:
        """Of the server, for the figures."""

    @abstractmethod
    def drop_all(self) -> None:
        """Drops every table."""

    def is_passing(self, error: Exception) -> bool:
        """Whether an error of a look says no more than that a table was made or dropped meanwhile."""
        return False

    def sessions(self, connection: Any) -> list[int]:
        """The ids of the sessions that other processes have in this database; none where there is no server."""
        return []

    def end_session(self, connection: Any, session: int) -> None:
        """Has the server end a session, if it is still there."""
        raise NotImplementedError(f"{self.name} has no sessions")

    def is_down(self, error: Exception) -> bool:
        """Whether an error says that the server has gone, or does not take connections yet."""
        return False

    def ask(self, connection: Any, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query with %s for values."""
        cursor = connection.cursor()
        try:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def prepare(self) -> None:
        """An empty database but for the source of the queries and what loads expect to be there."""
        self.drop_all()
        with contextlib.closing(self.connect()) as connection:
            self.ask(connection, f"CREATE TABLE {SOURCE} (number INTEGER, payload VARCHAR(40))")
            cursor = connection.cursor()
            cursor.executemany(self.placed(f"INSERT INTO {SOURCE} VALUES (%s, %s)"), list(numbers()))
            for table in TABLES_BEFORE:
                cursor.execute(f"CREATE TABLE {table} (part INTEGER, number INTEGER, payload VARCHAR(40))")
            connection.commit()

    def placed(self, sql: str) -> str:
        """`sql` with the driver's own sign for a value."""
        return sql


class SqlitePlace(Place):
    """A file in the project."""

    name = "sqlite"
    unique_violation = sqlite3.IntegrityError
    integrity = "PRAGMA integrity_check"

    def __init__(self, project: Path, *, more: str = "") -> None:
        self.file = project / "warehouse.db"
        super().__init__(f"sqlite:///{self.file}", project, more=more)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=60, isolation_level="DEFERRED")

    def snapshot(self, connection: Any) -> None:
        connection.rollback()
        connection.execute("BEGIN")

    def tables(self, connection: Any) -> set[str]:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def drop_all(self) -> None:
        for path in self.project.glob("warehouse.db*"):
            path.unlink()

    def ask(self, connection: Any, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(connection.execute(self.placed(sql), values).fetchall())

    def placed(self, sql: str) -> str:
        return sql.replace("%s", "?")


class PostgresPlace(Place):
    """A database of a server."""

    name = "postgresql"
    unique_violation = psycopg2.IntegrityError

    def connect(self) -> Any:
        return psycopg2.connect(self.url)

    def snapshot(self, connection: Any) -> None:
        connection.rollback()
        connection.set_session(isolation_level="REPEATABLE READ")

    def tables(self, connection: Any) -> set[str]:
        query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        return {name for (name,) in self.ask(connection, query)}

    def version(self) -> str:
        with contextlib.closing(self.connect()) as connection:
            return "PostgreSQL " + str(self.ask(connection, "SHOW server_version")[0][0]).split(" ")[0]

    def sessions(self, connection: Any) -> list[int]:
        mine = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self.ask(connection, f"SELECT pid FROM pg_stat_activity WHERE {mine} ORDER BY pid")]

    def end_session(self, connection: Any, session: int) -> None:
        self.ask(connection, "SELECT pg_terminate_backend(%s, 5000)", session)

    def is_down(self, error: Exception) -> bool:
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)

    def drop_all(self) -> None:
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            for session in self.sessions(connection):
                self.end_session(connection, session)
            self.ask(connection, "DROP SCHEMA public CASCADE")
            self.ask(connection, "CREATE SCHEMA public")


class MysqlPlace(Place):
    """A database of a MariaDB or MySQL."""

    name = "mysql"
    unique_violation = pymysql.err.IntegrityError
    _DEFINITION_CHANGED = 1412
    _NO_SUCH_TABLE = 1146

    def connect(self) -> Any:
        at = make_url(self.url)
        return pymysql.connect(
            host=at.host,
            port=at.port or 3306,
            user=at.username,
            password=at.password or "",
            database=at.database,
            ssl_disabled=True,  # or each connection reads the certificates of the system: 40 ms
        )

    def snapshot(self, connection: Any) -> None:
        connection.rollback()
        self.ask(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.ask(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def tables(self, connection: Any) -> set[str]:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
        return {name for (name,) in self.ask(connection, query)}

    def version(self) -> str:
        with contextlib.closing(self.connect()) as connection:
            found = str(self.ask(connection, "SELECT version()")[0][0])
        return f"MariaDB {found.split('-')[0]}" if "Maria" in found else f"MySQL {found}"

    def drop_all(self) -> None:
        with contextlib.closing(self.connect()) as connection:
            for session in self.sessions(connection):
                self.end_session(connection, session)
            for table in self.tables(connection):
                self.ask(connection, f"DROP TABLE `{table}`")

    def sessions(self, connection: Any) -> list[int]:
        mine = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        return sorted(number for (number,) in self.ask(connection, mine))

    def end_session(self, connection: Any, session: int) -> None:
        with contextlib.suppress(pymysql.err.OperationalError):  # it has just ended by itself
            self.ask(connection, f"KILL {int(session)}")

    def is_down(self, error: Exception) -> bool:
        lost = (pymysql.err.OperationalError, pymysql.err.InterfaceError)
        return isinstance(error, lost) and not self.is_passing(error)

    def is_passing(self, error: Exception) -> bool:
        codes = (self._DEFINITION_CHANGED, self._NO_SUCH_TABLE)
        return isinstance(error, pymysql.err.Error) and error.args[0] in codes


@contextlib.contextmanager
def read_state(place: Place, connection: Any) -> Iterator[set[str]]:
    """One snapshot: the tables there are."""
    place.snapshot(connection)
    try:
        yield place.tables(connection)
    finally:
        connection.rollback()


def place_for(url: str, project: Path, *, seen_url: str | None = None, more: str = "") -> Place:
    """The Place of a database by its URL; a SQLite one is a file of the project's own."""
    if url.startswith("sqlite"):
        return SqlitePlace(project, more=more)
    kind = PostgresPlace if url.startswith("postgresql") else MysqlPlace
    return kind(url, project, seen_url=seen_url, more=more)
