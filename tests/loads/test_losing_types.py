from __future__ import annotations

from pathlib import Path

import pytest

from any_warehouse import AnyWarehouse
from etlctl import LoadTable
from etlctl.core import context
from etlctl.errors import LoadError


@pytest.mark.parametrize(
    ("own", "declared"),
    [
        ("integer", "numeric"),
        ("bigint", "double precision"),
        ("integer", "text"),
        ("date", "timestamp"),
        ("numeric(8, 2)", "varchar(20)"),
    ],
)
def test_a_type_whose_values_the_tables_own_would_change_is_refused(
    database_url: str, tmp_path: Path, own: str, declared: str
) -> None:
    """MySQL rounds 1.5 to 2 in an integer column, PostgreSQL cuts the time off a date; neither says a word."""
    warehouse = AnyWarehouse(database_url, tmp_path)
    warehouse.database.prepare_to_write("testing")
    warehouse.write(f"CREATE TABLE t (x {own})")

    class Load(LoadTable):
        table = "t"
        columns = {"x": declared}

        def rows(self):
            yield ("1",)

    with (
        context.use(warehouse.context),
        pytest.raises(LoadError, match=r"the column x of t is .*would be changed.*Declare "),
    ):
        Load().run()

    assert warehouse.count("t") == 0
    warehouse.databases.close()
