"""What the tests of the stand-in for Redshift ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from servers.redshift.standin import Standin
from servers.redshift.trying import ROLE, Connect, Copy, Put, Rows, ask
from servers.s3 import S3Service, split_url


@pytest.fixture
def connect(redshift: Standin, redshift_url: str) -> Iterator[Connect]:
    """Opens sessions of psycopg2 itself; all are closed in the end."""
    opened: list[Any] = []

    def open_one() -> Any:
        opened.append(psycopg2.connect(redshift.dsn(redshift_url)))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def connection(connect: Connect) -> Any:
    """A session, with a table t."""
    opened = connect()
    ask(opened, "CREATE TABLE t (a int, b varchar(8), c decimal(8, 2), d date, e timestamp)")
    opened.commit()
    return opened


@pytest.fixture
def put(redshift_staging: str, s3_server: S3Service) -> Put:
    """Makes an object below the test's folder."""
    bucket, prefix = split_url(redshift_staging)

    def put_one(name: str, content: bytes) -> None:
        s3_server.put(bucket, prefix + name, content)

    return put_one


@pytest.fixture
def copy(connection: Any, redshift_staging: str) -> Copy:
    """COPY of table t from what begins so, and what is in t then."""

    def copy_from(name: str, options: str = "", *, table: str = "t", columns: str = "") -> Rows:
        ask(connection, f"COPY {table} {columns} FROM '{redshift_staging}{name}' {ROLE} {options}")
        return ask(connection, f"SELECT * FROM {table} ORDER BY 1, 2")

    return copy_from
