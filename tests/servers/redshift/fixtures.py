"""Fixtures: `redshift` (the stand-in, one a pytest process), `redshift_url` (one database a test) and what COPY needs.

ETLCTL_TEST_REDSHIFT_URL names a real cluster instead: databases are made in it. ETLCTL_TEST_REDSHIFT_ROLE is the role
that it loads and unloads by, ETLCTL_TEST_REDSHIFT_STAGING an `s3://bucket/prefix/` that role and test may both use.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import make_url

from servers.postgres import Postgres
from servers.redshift.standin import Standin
from servers.redshift.storage import S3Access
from servers.s3 import S3Service, folder_in, named

REDSHIFT_URL = "ETLCTL_TEST_REDSHIFT_URL"
REDSHIFT_ROLE = "ETLCTL_TEST_REDSHIFT_ROLE"
REDSHIFT_STAGING = "ETLCTL_TEST_REDSHIFT_STAGING"
STANDIN_ROLE = "arn:aws:iam::123456789012:role/etlctl-tests"


@pytest.fixture(scope="session")
def redshift_standin(postgres_server: Postgres, s3_server: S3Service) -> Iterator[Standin]:
    """The proxy of this pytest process; `redshift` is it, made clean for a test."""
    with Standin(postgres_server, S3Access(s3_server.url, s3_server.key_id, s3_server.secret, s3_server.region)) as one:
        yield one


@pytest.fixture
def redshift(redshift_standin: Standin) -> Iterator[Standin]:
    """The stand-in, without faults and with an empty log: for tests that look into it or make it fail."""
    if os.environ.get(REDSHIFT_URL):
        pytest.skip(f"looks into the stand-in: not into the cluster of {REDSHIFT_URL}")
    redshift_standin.forget()
    yield redshift_standin
    redshift_standin.forget()


@pytest.fixture
def redshift_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """`redshift+psycopg2://…` of a new, empty database."""
    if url := os.environ.get(REDSHIFT_URL):
        yield from _database_of_cluster(url)
        return
    standin: Standin = request.getfixturevalue("redshift")
    url = standin.new_database()
    yield url
    standin.drop_database(url)


@pytest.fixture
def redshift_role() -> str:
    """What COPY and UNLOAD name as IAM_ROLE."""
    return os.environ.get(REDSHIFT_ROLE, STANDIN_ROLE)


@pytest.fixture
def redshift_staging(request: pytest.FixtureRequest) -> Iterator[str]:
    """`s3://bucket/prefix/` of a new, empty folder that Redshift reads and writes; etlctl's settings lead there too."""
    if url := os.environ.get(REDSHIFT_STAGING):
        service = named(os.environ)
        with closing(service), folder_in(service, url) as folder:
            yield folder
        return
    yield str(request.getfixturevalue("s3_url"))


def _database_of_cluster(url: str) -> Iterator[str]:
    name = f"etlctl_{uuid.uuid4().hex[:16]}"
    connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
            cursor.execute(f"DROP DATABASE {name}")
    finally:
        connection.close()
