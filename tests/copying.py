"""Two databases of a project, `shop` to copy from and `warehouse` to copy to, of any kind; asked past the code under
test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from etlctl.core.context import Context
from etlctl.db.connections import Database, Databases
from etlctl.settings import ConnectionSettings, Secret
from servers.process import LOOPBACK


class Place:
    """One database, with a connection of its own for every question."""

    def __init__(self, url: str) -> None:
        self.url = url
        # PyMySQL's search for TLS reads the certificates of the system each time, which takes 40 ms
        options = (
            {"connect_args": {"ssl_disabled": True}} if sa.make_url(url).host == LOOPBACK and "mysql" in url else {}
        )
        driven = url.replace("postgresql:", "postgresql+psycopg2:")
        self._engine = sa.create_engine(driven, poolclass=NullPool, **options)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._engine.connect() as connection:
            result = connection.exec_driver_sql(self._formed(sql), values)
            return [tuple(row) for row in result]

    def write(self, *statements: str) -> None:
        with self._engine.begin() as connection:
            bare = connection.execution_options(no_parameters=True)
            for statement in statements:
                bare.exec_driver_sql(statement)

    def insert(self, table: str, *rows: tuple[Any, ...]) -> None:
        if not rows:
            return
        marks = ", ".join("?" for _ in rows[0])
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._formed(f"INSERT INTO {table} VALUES ({marks})"), list(rows))

    def _formed(self, sql: str) -> str:
        return sql if self.url.startswith("sqlite") else sql.replace("%", "%%").replace("?", "%s")


class Pair:
    """A project with the two; its Context is to be put in place."""

    def __init__(self, project: Path, shop: str, warehouse: str) -> None:
        self.shop, self.warehouse = Place(shop), Place(warehouse)
        settings = {
            name: ConnectionSettings(name, Secret(url)) for name, url in (("shop", shop), ("warehouse", warehouse))
        }
        self.databases = Databases(settings, "warehouse", project)
        self.context = Context(project=project, database=self.databases.get)

    @property
    def database(self) -> Database:
        return self.databases.get("warehouse")


@contextmanager
def new_pair(project: Path, kinds: tuple[str, str], server: Callable[[str], Any]) -> Iterator[Pair]:
    """A Pair of new databases; `server(kind)` gives what `.new_database()` and `.drop_database()` can be asked of."""
    with ExitStack() as stack:
        urls = []
        for name, kind in zip(("shop", "warehouse"), kinds, strict=True):
            if kind == "sqlite":
                urls.append(f"sqlite:///{project / f'{name}.db'}")
                continue
            found = server(kind)
            url = found.new_database()
            stack.callback(found.drop_database, url)
            urls.append(url)
        pair = Pair(project, *urls)
        stack.callback(pair.databases.close)
        yield pair
