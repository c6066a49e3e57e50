"""The tables that a query reads."""

from __future__ import annotations

import pytest

from etlctl.errors import QueryError
from etlctl.loads.tablenames import tables_read


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1", ()),
        ("SELECT * FROM flights WHERE date = :date", ("flights",)),
        ("SELECT * FROM flights f JOIN weather AS w ON f.hour = w.hour LEFT JOIN airlines USING (carrier)",
         ("flights", "weather", "airlines")),
        ("SELECT * FROM a, b AS x, c y, d WHERE 1", ("a", "b", "c", "d")),
        ('SELECT * FROM staging."My Flights", [other one]', ("staging.My Flights", "other one")),
        ("WITH x AS (SELECT * FROM flights), y (n) AS MATERIALIZED (SELECT 1 FROM x) SELECT * FROM y, x, airports",
         ("flights", "airports")),
        ("WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT * FROM n", ()),
        ("SELECT extract(year FROM date), trim(both FROM name) FROM t WHERE a IS DISTINCT FROM b", ("t",)),
        ("SELECT * FROM (SELECT * FROM inner_one) AS s, outer_one", ("outer_one", "inner_one")),
        ("SELECT * FROM (a JOIN b ON a.x = b.x)", ("a", "b")),
        ("SELECT * FROM json_each('[1]') j, t", ("t",)),
        ("SELECT 'FROM nowhere' -- FROM nowhere\n/* JOIN nowhere */ FROM t", ("t",)),
        ("SELECT (SELECT max(x) FROM u) FROM t WHERE EXISTS (SELECT 1 FROM v)", ("u", "t", "v")),
        ("SELECT * FROM t ORDER BY a, b", ("t",)),
        ("INSERT INTO made SELECT * FROM t", ("t",)),
        ("DELETE FROM t WHERE id IN (SELECT id FROM u)", ("t", "u")),
        ("SELECT * FROM Flights JOIN flights", ("Flights", "flights")),
        ("SELECT * FROM", ()),
        ("SELECT * FROM (", ()),
    ],
)  # fmt: skip
def test_tables_read_are_those_after_from_and_join(sql: str, names: tuple[str, ...]) -> None:
    """Names of WITH, functions, comments, texts and the FROM of EXTRACT are none."""
    assert tables_read(sql) == names


def test_open_quote_is_an_error() -> None:
    """A text that cannot be cut into tokens says so."""
    with pytest.raises(QueryError):
        tables_read("SELECT 'open")
