"""Many rows in few statements, on each database of the state. Knows how rows travel, and nothing of what they mean.

`INSERT … VALUES (…), (…)`: Python hands over hundreds of rows at once, and other threads go on while the database
works. `executemany` of sqlite3 takes Python's lock for each row; a thread beside a busy one waits 5 ms for it
each time (sys.getswitchinterval).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from etlctl.db.state.store import Session
from etlctl.db.state.words import Kind

PLAIN: Final = "plain"
MOMENT: Final = "moment"
"""A TIMESTAMP without zone that is given as epoch seconds and kept as UTC."""
_SIZES: Final = (256, 32, 4, 1)
"""Rows of one statement: few texts, so that SQLite finds them prepared."""
_MOMENTS: Final[Mapping[Kind, str]] = {
    # microseconds, since older SQLAlchemy reads three digits as that many of them
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', ?, 'unixepoch') || '000'",
    "postgresql": "to_timestamp(?) AT TIME ZONE 'UTC'",
    "mysql": "FROM_UNIXTIME(?)",  # of the session's zone, as is what a TIMESTAMP takes: together they are the instant
}


def insert(
    session: Session,
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
    *,
    key: tuple[str, ...] = (),
) -> None:
    """Inserts `rows`, whose values stand in the order of `columns` (name -> PLAIN or MOMENT).

    With `key`, the columns of a unique key: a row that is there takes the new values instead.
    """
    for part in _parts(rows):
        sql = _statement(session.kind, table, tuple(columns.items()), key, len(part))
        session.run_values(sql, list(chain.from_iterable(part)))


def insert_counted(
    session: Session, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> list[int]:
    """Inserts `rows` into a table whose `id` counts by itself, and returns their ids, in order."""
    if session.kind != "mysql":
        ids = _new_ids(session, table, len(rows))
        insert(session, table, {"id": PLAIN, **columns}, [(id_, *row) for id_, row in zip(ids, rows, strict=True)])
        return ids
    # ids of one INSERT have no gaps between them: "InnoDB AUTO_INCREMENT Lock Mode Usage Implications" in MySQL's
    # manual, under simple inserts; servers of a cluster count in steps
    found: list[int] = []
    for part in _parts(rows):
        insert(session, table, columns, part)
        ((first, step),) = session.run("SELECT LAST_INSERT_ID(), @@auto_increment_increment")
        found.extend(int(first) + n * int(step) for n in range(len(part)))
    return found


def _new_ids(session: Session, table: str, number: int) -> list[int]:
    """On SQLite they are ours as long as the write transaction lasts, which is the only one."""
    if session.kind == "postgresql":
        sql = "SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :number)"
        return [int(row[0]) for row in session.run(sql, {"table": table, "number": number})]
    ((last,),) = session.run(f"SELECT coalesce(max(id), 0) FROM {table}")
    return list(range(int(last) + 1, int(last) + 1 + number))


def _parts(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


@lru_cache(maxsize=64)
def _statement(kind: Kind, table: str, columns: tuple[tuple[str, str], ...], key: tuple[str, ...], number: int) -> str:
    names = [name for name, _ in columns]
    one = ", ".join("?" if form == PLAIN else _MOMENTS[kind] for _, form in columns)
    text = f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([f'({one})'] * number)}"
    if not key:
        return text
    if kind == "mysql":
        changed = ", ".join(f"{name} = VALUES({name})" for name in names if name not in key)
        return f"{text} ON DUPLICATE KEY UPDATE {changed}"
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return f"{text} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"
