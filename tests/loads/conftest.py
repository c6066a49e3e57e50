from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from any_warehouse import AnyWarehouse, in_place
from copy_house import House
from copying import Pair, new_pair
from etlctl.core import context
from etlctl.s3 import client as s3_client
from etlctl.settings import load as load_settings
from flight_loads import CSV
from servers.s3 import S3Service
from warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty project; its Context is in place."""
    found = Warehouse(tmp_path)
    with context.use(found.context):
        yield found
    found.databases.close()


@pytest.fixture
def anywhere(database_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    """An empty database of each kind in turn, for what must hold on all three; its Context is in place."""
    with in_place(database_url, tmp_path) as found:
        yield found


@pytest.fixture
def flights(warehouse: Warehouse) -> Path:
    """A day of two flights."""
    path = warehouse.project / "flights.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def pair_of(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Pair]]:
    """Makes a Pair of two kinds of database, and puts its Context in place."""
    servers = {"postgresql": "postgres_server", "mysql": "mariadb_server"}
    with ExitStack() as stack:

        def make(shop: str = "sqlite", warehouse: str = "sqlite") -> Pair:
            server = lambda kind: request.getfixturevalue(servers[kind])  # noqa: E731  asked for only where it is needed
            pair = stack.enter_context(new_pair(tmp_path, (shop, warehouse), server))
            stack.enter_context(context.use(pair.context))
            return pair

        yield make


@pytest.fixture
def beside_s3(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., AnyWarehouse]]:
    """Makes an empty database of a kind, and puts its Context in place with the settings of the environment, so with
    those of S3: ask for `bucket`, `s3_url` or the like as well."""
    with ExitStack() as stack:

        def make(kind: str) -> AnyWarehouse:
            url = request.getfixturevalue(f"{kind.replace('postgresql', 'postgres')}_url")
            found = AnyWarehouse(url, tmp_path)
            stack.callback(found.databases.close)
            stack.callback(s3_client.close)
            settings = load_settings(None, environ=os.environ, cwd=tmp_path)
            found.context = replace(found.context, settings=settings)
            stack.enter_context(context.use(found.context))
            return found

        yield make


@pytest.fixture
def copy_house(
    redshift_url: str, redshift_role: str, s3_url: str, s3_server: S3Service, tmp_path: Path
) -> Iterator[House]:
    """Where COPY loads into, with all settings that it needs."""
    yield House(tmp_path, redshift_url, s3_url, s3_server, s3_staging=f"{s3_url}staging/", iam_role=redshift_role)
    s3_client.close()
