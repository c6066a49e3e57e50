"""A load whose target is the marker table itself."""

from __future__ import annotations

from typing import Any

import pytest

from etlctl.db.table_target import TableTarget
from etlctl.errors import LoadError
from etlctl.loads.modes import replace
from etlctl.loads.query import QueryTable
from etlctl.loads.table import LoadTable
from warehouse import Warehouse


class Load(LoadTable):
    table = "Table_Updates"
    columns = {"n": "integer"}
    evolve = True

    def rows(self) -> Any:
        return [(1,)]


class Query(QueryTable):
    table = "table_updates"
    mode = replace(recreate=True)
    query = "SELECT 1 AS n"


@pytest.mark.parametrize("kind", [Load, Query])
@pytest.mark.parametrize("is_there", [True, False])
def test_the_marker_table_is_no_target(warehouse: Warehouse, kind: Any, is_there: bool) -> None:
    """It would get columns, or be made anew; refused before anything is written, whatever the case of the name."""
    if is_there:
        TableTarget("t", "a").touch()

    with pytest.raises(LoadError, match=r"is the marker table .* Give the load another table, or \[connections"):
        kind().run()

    assert warehouse.file.exists() == is_there
    if is_there:
        assert warehouse.markers() == [("a", "t", "done", None)]
