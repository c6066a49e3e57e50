from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse
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
            found = AnyWarehouse(database_url, tmp_path, **settings)
            stack.callback(found.databases.close)
            stack.enter_context(context.use(found.context))
            found.database.prepare_to_write("testing")
            return found

        yield open_
