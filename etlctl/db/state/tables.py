"""The tables of the state database, as data: Luigi's three of its task history, and ours, which begin with `etlctl_`.

Luigi's are those of luigi/db_task_history.py 3.8, to the letter, so that a Luigi and its viewer go on with them. Times
in ours are seconds since 1970 by the database's clock. No foreign keys between ours: history is removed in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from etlctl.db.state.words import Words

SERIAL, INTEGER, BIG, DOUBLE, TEXT, SHORT_TEXT, BYTES, MOMENT = (
    "serial",
    "integer",
    "bigint",
    "double",
    "text",
    "short text",
    "bytes",
    "moment",
)
"""Types of columns; a number stands for a text of so many characters."""
Type = str | int


class Table(NamedTuple):
    """One table. What it may lack when it is found is added: columns that may be NULL, and indexes."""

    name: str
    columns: Mapping[str, Type]
    key: tuple[str, ...] = ()
    """The primary key; empty where a column is SERIAL."""
    indexes: Mapping[str, str] = {}
    """Name -> column."""
    required: frozenset[str] = frozenset()
    """Columns that are never NULL, the key's aside."""
    references: Mapping[str, str] = {}
    """Column -> the table whose `id` it names."""
    is_luigis: bool = False


TASKS = Table(
    "tasks",
    {"id": SERIAL, "task_id": 200, "name": 128, "host": 128},
    indexes={"ix_tasks_task_id": "task_id", "ix_tasks_name": "name"},
    is_luigis=True,
)
TASK_EVENTS = Table(
    "task_events",
    {"id": SERIAL, "task_id": INTEGER, "event_name": 20, "ts": MOMENT},
    indexes={"ix_task_events_task_id": "task_id", "ix_task_events_ts": "ts"},
    required=frozenset({"ts"}),
    references={"task_id": "tasks"},
    is_luigis=True,
)
TASK_PARAMETERS = Table(
    "task_parameters",
    {"task_id": INTEGER, "name": 128, "value": SHORT_TEXT},
    key=("task_id", "name"),
    references={"task_id": "tasks"},
    is_luigis=True,
)
RUNS = Table(
    "etlctl_runs",
    {
        "run_id": 64,
        "command": TEXT,
        "profile": 128,
        "host": 128,
        "user_name": 128,
        "pid": INTEGER,
        "owner": 200,
        "code_version": 64,
        "etlctl_version": 32,
        "status": 16,
        "started_at": DOUBLE,
        "heartbeat_at": DOUBLE,
        "ended_at": DOUBLE,
        "exit_code": INTEGER,
        "planned": INTEGER,
        "ok_count": INTEGER,
        "fail_count": INTEGER,
        "skip_count": INTEGER,
        "blocked_count": INTEGER,
        "held_count": INTEGER,
        "uptodate_count": INTEGER,
    },
    key=("run_id",),
    indexes={"etlctl_runs_started": "started_at", "etlctl_runs_status": "status"},
    required=frozenset({"status", "started_at", "heartbeat_at"}),
)
ATTEMPTS = Table(
    "etlctl_attempts",
    {
        "task_record": INTEGER,
        "number": INTEGER,
        "run_id": 64,
        "task_id": 200,
        "label": 200,
        "status": 16,
        "started_at": DOUBLE,
        "ended_at": DOUBLE,
        "duration_s": DOUBLE,
        "row_count": BIG,
        "host": 128,
        "pid": INTEGER,
        "error": TEXT,
        "error_place": 400,
        "notes": TEXT,
        "log": 1000,
    },
    key=("task_record", "number"),
    indexes={"etlctl_attempts_run": "run_id", "etlctl_attempts_task": "task_id"},
    required=frozenset({"run_id", "task_id", "status"}),
)
LOGS = Table(
    "etlctl_logs",
    {"task_record": INTEGER, "number": INTEGER, "size_bytes": BIG, "tail": BYTES, "updated_at": DOUBLE},
    key=("task_record", "number"),
)
LEASES = Table(
    "etlctl_leases",
    {
        "lease_key": 64,
        "task_id": 250,
        "owner": 250,
        "fence": BIG,
        "state": 16,
        "granted_at": DOUBLE,
        "expires_at": DOUBLE,
        "ended_at": DOUBLE,
        "reason": TEXT,
        "sessions": TEXT,
    },
    key=("lease_key",),
    required=frozenset({"task_id", "owner", "fence", "state", "granted_at", "expires_at"}),
)
POOLS = Table("etlctl_pools", {"name": 128}, key=("name",))
POOL_USES = Table(
    "etlctl_pool_uses",
    {"lease_key": 64, "pool": 128, "units": INTEGER, "owner": 250},
    key=("lease_key", "pool"),
    indexes={"etlctl_pool_uses_pool": "pool"},
    required=frozenset({"units", "owner"}),
)
PAUSES = Table(
    "etlctl_pauses",
    {
        "id": SERIAL,
        "profile": 128,
        "task": 250,
        "label": 250,
        "reason": TEXT,
        "paused_by": 250,
        "paused_at": DOUBLE,
        "resumed_by": 250,
        "resumed_at": DOUBLE,
    },
    indexes={"etlctl_pauses_resumed": "resumed_at"},
    required=frozenset({"task", "paused_at"}),
)
"""`task` is a family, a task_id, or empty for everything; without `resumed_at` it holds."""
STOPS = Table(
    "etlctl_stops",
    {"run_id": 64, "stopped_by": 250, "stop_at": DOUBLE, "reason": TEXT},
    key=("run_id",),
    required=frozenset({"stop_at"}),
)
TURNS = Table(
    "etlctl_turns",
    {
        "profile": 128,
        "schedule": 128,
        "number": BIG,
        "due": DOUBLE,
        "owner": 250,
        "began_at": DOUBLE,
        "ended_at": DOUBLE,
        "code": INTEGER,
        "run_id": 64,
        "tasks": TEXT,
    },
    key=("profile", "schedule", "number"),
    indexes={"etlctl_turns_began": "began_at"},
    required=frozenset({"due", "owner", "began_at"}),
)
"""`profile` is empty for none, since a key is never NULL; `number` counts the turns of one schedule. `tasks` are its
families, a line each."""
ALERTS = Table("etlctl_alerts", {"alert_key": 190, "alerted_at": DOUBLE}, key=("alert_key",))
ALL = (
    *(TASKS, TASK_EVENTS, TASK_PARAMETERS, RUNS, ATTEMPTS, LOGS, LEASES, POOLS, POOL_USES),
    *(PAUSES, STOPS, TURNS, ALERTS),
)


def declared(table: Table, column: str, words: Words) -> str:
    """The column's name and type in CREATE TABLE or ADD COLUMN, with NOT NULL where it is required."""
    kind = table.columns[column]
    is_needed = column in table.required or column in table.key
    return f"{column} {_type(kind, words)}{' NOT NULL' if is_needed else ''}"


def create(table: Table, words: Words) -> str:
    """CREATE TABLE, without its indexes; does nothing where the table is there."""
    parts = [declared(table, column, words) for column in table.columns]
    parts += [f"PRIMARY KEY ({', '.join(table.key)})"] if table.key else []
    parts += [f"FOREIGN KEY ({column}) REFERENCES {other} (id)" for column, other in table.references.items()]
    return f"CREATE TABLE IF NOT EXISTS {table.name} ({', '.join(parts)}){words.table}"


def _type(kind: Type, words: Words) -> str:
    if isinstance(kind, int):
        return f"{words.name}({kind})"
    return {
        SERIAL: words.serial,
        INTEGER: "INTEGER",
        BIG: "BIGINT",
        DOUBLE: words.double,
        TEXT: words.text,
        SHORT_TEXT: "TEXT",
        BYTES: words.long_bytes,
        MOMENT: "TIMESTAMP",
    }[kind]
