"""A warehouse in any of the databases, looked at with the bare driver and not through the code under test."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import make_url

from etlctl.core import context
from etlctl.core.context import Context
from etlctl.db.connections import Database, Databases
from etlctl.db.dialects.base import Dialect
from etlctl.settings import ConnectionSettings, Secret, load
from servers.process import LOOPBACK


class AnyWarehouse:
    """One project folder with the connection `warehouse`, and a Context to use it in."""

    def __init__(self, url: str, project: Path, **settings: Any) -> None:
        self.url = url
        self.kind = url.partition(":")[0].partition("+")[0]
        """sqlite, postgresql, mysql or redshift."""
        self.databases = Databases(
            {"warehouse": ConnectionSettings("warehouse", Secret(url), **settings)}, "warehouse", project
        )
        given = load(None, environ=os.environ, cwd=project) if self.kind == "redshift" else None  # S3 is theirs
        self.context = Context(project=project, database=self.databases.get, settings=given)

    @property
    def database(self) -> Database:
        return self.databases.get("warehouse")

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """A connection of the bare driver, which commits at the end."""
        connection = self._connected()
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query over a connection of its own, which sees what is committed."""
        with self.driver() as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def write(self, *statements: str) -> None:
        """Runs and commits statements."""
        with self.driver() as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)

    def quoted(self, name: str) -> str:
        """`name` in the quotes of the database."""
        mark = "`" if self.kind == "mysql" else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def count(self, table: str) -> int:
        return int(self.ask(f"SELECT count(*) FROM {self.quoted(table)}")[0][0])

    def markers(self) -> list[tuple[Any, ...]]:
        """(update_id, target_table, state, row_count), in order."""
        return self.ask("SELECT update_id, target_table, state, row_count FROM table_updates ORDER BY 1, 2")

    def _connected(self) -> Any:
        if self.kind in ("postgresql", "redshift"):
            url = make_url(self.url).set(drivername="postgresql")
            return psycopg2.connect(url.render_as_string(hide_password=False))
        if self.kind == "sqlite":
            return sqlite3.connect(make_url(self.url).database or "", timeout=20)
        import pymysql

        url = make_url(self.url)
        options: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
        given = {name: value for name, value in options.items() if value is not None}
        # looking for TLS reads the certificates of the system each time, which takes 40 ms
        is_ours = url.host == LOOPBACK
        return pymysql.connect(**given, database=url.database, charset="utf8mb4", ssl_disabled=is_ours)


@contextmanager
def in_place(url: str, project: Path, **settings: Any) -> Iterator[AnyWarehouse]:
    """A warehouse on the URL, whose Context is in place; keyword arguments are the connection's settings."""
    found = AnyWarehouse(url, project, **settings)
    try:
        with context.use(found.context):
            yield found
    finally:
        found.databases.close()
