from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etlctl.core import context
from flight_loads import CSV
from warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty project; its Context is in place."""
    found = Warehouse(tmp_path)
    with context.use(found.context):
        yield found
    found.databases.close()


@pytest.fixture
def flights(warehouse: Warehouse) -> Path:
    """A day of two flights."""
    path = warehouse.project / "flights.csv"
    path.write_text(CSV)
    return path
