"""What the stand-in's own tests share: sessions of psycopg2 itself, and a COPY to try things with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from servers.redshift.fixtures import STANDIN_ROLE

ROLE = f"IAM_ROLE '{STANDIN_ROLE}'"
Rows = list[tuple[Any, ...]]
Connect = Callable[[], Any]
Put = Callable[[str, bytes], None]
Copy = Callable[..., Rows]


def ask(connection: Any, sql: str) -> Rows:
    """The rows of a statement, none for one that returns none."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def short(rows: Rows) -> Rows:
    """The first two columns."""
    return [row[:2] for row in rows]


def until(true: Callable[[], bool]) -> None:
    """Waits for it."""
    deadline = time.monotonic() + 40
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
