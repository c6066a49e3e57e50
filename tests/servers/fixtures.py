"""Fixtures: one server a pytest process, started when first asked for, and one database a test.

ETLCTL_TEST_POSTGRES_URL and ETLCTL_TEST_MYSQL_URL name servers to use instead; their databases are new ones too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.mariadb import MariadbServer, Mysql, mariadb, missing
from servers.mariadb import database_in as mysql_database_in
from servers.postgres import Postgres, PostgresServer, postgres
from servers.postgres import database_in as postgres_database_in

POSTGRES_URL = "ETLCTL_TEST_POSTGRES_URL"
MYSQL_URL = "ETLCTL_TEST_MYSQL_URL"
REQUIRE_MYSQL = "ETLCTL_REQUIRE_MYSQL"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL for many tests: do not stop it (`crashing_postgres` is there for that)."""
    if url := os.environ.get(POSTGRES_URL):
        yield Postgres(url)
        return
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Mysql]:
    """A MariaDB, or the MySQL of ETLCTL_TEST_MYSQL_URL, for many tests: do not stop it."""
    if url := os.environ.get(MYSQL_URL):
        yield Mysql(url)
        return
    need_mariadb()
    with mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def crashing_postgres() -> Iterator[PostgresServer]:
    """A durable PostgreSQL for the tests of one file, which may stop, crash and start it."""
    if os.environ.get(POSTGRES_URL):
        pytest.skip(f"crashes a server: not the one of {POSTGRES_URL}")
    with postgres(durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def crashing_mariadb() -> Iterator[MariadbServer]:
    """A durable MariaDB for the tests of one file, which may stop, crash and start it."""
    if os.environ.get(MYSQL_URL):
        pytest.skip(f"crashes a server: not the one of {MYSQL_URL}")
    need_mariadb()
    with mariadb(durable=True) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """`postgresql://…` of a new, empty database."""
    with postgres_database_in(postgres_server) as url:
        yield url


@pytest.fixture
def mysql_url(mariadb_server: Mysql) -> Iterator[str]:
    """`mysql+pymysql://…` of a new, empty database."""
    with mysql_database_in(mariadb_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """`sqlite:///…` of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'warehouse.db'}"


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn, for what must hold on all three."""
    names = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mysql": "mysql_url"}
    return str(request.getfixturevalue(names[request.param]))


def need_mariadb() -> None:
    if not (reason := missing()):
        return
    if os.environ.get(REQUIRE_MYSQL):
        pytest.fail(f"{REQUIRE_MYSQL} is set and there is {reason}")
    pytest.skip(reason)
