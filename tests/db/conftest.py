from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl.core import context
from warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty project; its Context is in place."""
    found = Warehouse(tmp_path)
    with context.use(found.context):
        yield found
    found.databases.close()


@pytest.fixture
def opened(database_url: str, tmp_path: Path) -> Iterator[Callable[..., AnyWarehouse]]:
    """Puts a project on each kind of database in place; keyword arguments are the connection's settings."""
    with ExitStack() as stack:

        def open_(**settings: Any) -> AnyWarehouse:
            found = stack.enter_context(in_place(database_url, tmp_path, **settings))
            found.database.prepare_to_write("testing")
            return found

        yield open_


@pytest.fixture
def open_house(postgres_url: str, tmp_path: Path) -> Iterator[Callable[..., AnyWarehouse]]:
    """Makes projects on one PostgreSQL database, by other URLs and settings; puts none in place."""
    with ExitStack() as stack:

        def make(change: Callable[[sa.URL], sa.URL] = lambda url: url, **settings: Any) -> AnyWarehouse:
            url = change(sa.make_url(postgres_url)).render_as_string(hide_password=False)
            found = AnyWarehouse(url, tmp_path, **settings)
            stack.callback(found.databases.close)
            return found

        yield make
