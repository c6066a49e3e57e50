from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etlctl.core import context
from warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty project; its Context is in place."""
    found = Warehouse(tmp_path)
    with context.use(found.context):
        yield found
    found.databases.close()
