"""What the server's description of a query means on Redshift, for types that the stand-in has not."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg2.extensions import Column

from etlctl.db.columns import ColumnType, Kind
from etlctl.db.dialects.redshift.catalog import query_columns
from etlctl.db.dialects.redshift.dialect import RedshiftDialect

SUPER, VARCHAR, NUMERIC, GEOMETRY = 4000, 1043, 1700, 3000


def described(type_code: int, **sizes: Any) -> Any:
    """A connection that describes any query as one column, as psycopg2 does."""
    column = Column("c", type_code, None, sizes.get("size"), sizes.get("precision"), sizes.get("scale"), None)
    result = SimpleNamespace(cursor=SimpleNamespace(description=(column,)))
    return SimpleNamespace(exec_driver_sql=lambda statement, parameters: nullcontext(result))


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (described(SUPER, size=-1), ColumnType(Kind.JSON)),
        (described(VARCHAR, size=12), ColumnType(Kind.TEXT, length=12)),
        (described(VARCHAR, size=65535), ColumnType(Kind.TEXT)),
        (described(NUMERIC, precision=12, scale=2), ColumnType(Kind.NUMERIC, precision=12, scale=2)),
        (described(GEOMETRY), None),
    ],
)
def test_a_column_of_a_query_has_redshifts_type(connection: Any, expected: ColumnType | None) -> None:
    """A document stays one, in a table made from the query and in a line of JSON."""
    dialect = RedshiftDialect("redshift", "x")

    assert query_columns(connection, "SELECT c", ()) == [("c", expected)]
    assert dialect.result_types(connection, "SELECT c", (), without_parameters="SELECT c") == [expected]
