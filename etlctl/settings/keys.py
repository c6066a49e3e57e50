"""Every key a settings file may hold, once; the reader, the environment and the reference page all go by this list.

This package makes named tuples where etlctl has frozen dataclasses, and compiles patterns where they are used: both
are a matter of start-up, where each frozen dataclass costs a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from etlctl.text import printable

KeyPath: TypeAlias = tuple[str, ...]
Tree: TypeAlias = "dict[str, Tree | Key]"

FAMILY, NAME, PARAMETER, POOL, OPTION, HEADER = "FAMILY", "NAME", "PARAMETER", "POOL", "OPTION", "HEADER"
_PLACEHOLDERS = {FAMILY, NAME, PARAMETER, POOL, OPTION, HEADER}


class Kind(Enum):
    """What a key takes; the value ends the sentence "… must be"."""

    TEXT = "a text in quotes"
    URL = "a text in quotes, a database URL"
    TEXTS = "a list of texts in quotes"
    SECRET = "a text in quotes, a key or a reference to one"  # noqa: S105  # the words of a sentence
    SECONDS = "a number of seconds"
    COUNT = "a whole number"
    AGE = "a text such as 90d, 12h or 30m"
    WAIT = "a number of seconds or a text such as 30s, 10m or 2h"
    SWITCH = "true or false"
    ANY = "any value"


class Key(NamedTuple):
    """One key: `NAME` and the like stand for a name that the user chooses."""

    path: KeyPath
    kind: Kind
    default: str | None = None
    """As one would write it in a variable."""
    variable: str | None = None
    """The environment variable that overrides it."""
    least_s: float = 0
    """Of seconds: the smallest number that means anything."""
    least: int = 1
    """Of a whole number."""
    most: int = 100


def _of_s3(name: str, kind: Kind = Kind.TEXT, default: str | None = None, least_s: float = 0) -> Key:
    return Key(("s3", name), kind, default, f"ETLCTL_S3_{name.upper()}", least_s)


def _of_a_schedule(name: str, kind: Kind = Kind.TEXT, default: str | None = None) -> Key:
    return Key(("schedules", NAME, name), kind, default)


def _of_the_loop(name: str, kind: Kind, default: str | None = None, most: int = 100) -> Key:
    return Key(("loop", name), kind, default, f"ETLCTL_LOOP_{name.upper()}", most=most)


def _of_a_notifier(name: str, kind: Kind = Kind.TEXT, default: str | None = None, least: int = 1, most: int = 1) -> Key:
    return Key(("notify", NAME, name), kind, default, least=least, most=most)


LEAST_S, MOST_S = 0.001, 2_000_000
"""The shortest and the longest timeout: PostgreSQL counts them in milliseconds, in 31 bits."""

STATE_URL = Key(("state", "url"), Kind.URL, "sqlite:///.etlctl/state.db", "ETLCTL_STATE_URL")
LEASE_TTL = Key(("state", "lease_ttl"), Kind.SECONDS, "60", "ETLCTL_STATE_LEASE_TTL", 2)
HISTORY_ENABLED = Key(("history", "enabled"), Kind.SWITCH, "true", "ETLCTL_HISTORY_ENABLED")
HISTORY_KEEP = Key(("history", "keep"), Kind.AGE, "90d", "ETLCTL_HISTORY_KEEP")
LOGS_STORE = Key(("logs", "store"), Kind.TEXT, ".etlctl/logs", "ETLCTL_LOGS_STORE")
LOGS_KEEP = Key(("logs", "keep"), Kind.AGE, "30d", "ETLCTL_LOGS_KEEP")
LOGS_FORMAT = Key(("logs", "format"), Kind.TEXT, "text", "ETLCTL_LOGS_FORMAT")
LOGS_MAX_BYTES = Key(("logs", "max_bytes"), Kind.COUNT, "10485760", "ETLCTL_LOGS_MAX_BYTES", most=2**40)
POOL_LIMIT = Key(("pools", POOL), Kind.COUNT, "1", most=1_000_000)
BUILD_JOBS = Key(("build", "jobs"), Kind.COUNT, "1", "ETLCTL_BUILD_JOBS", most=1_000)
BUILD_WAIT_HELD = Key(("build", "wait_held"), Kind.WAIT, "600", "ETLCTL_BUILD_WAIT_HELD")
BUILD_EXECUTOR = Key(("build", "executor"), Kind.TEXT, "local", "ETLCTL_BUILD_EXECUTOR")
DASK_ADDRESS = Key(("executors", "dask", "address"), Kind.TEXT, None, "ETLCTL_EXECUTORS_DASK_ADDRESS")
DEFAULT_CONNECTION = Key(("default_connection",), Kind.TEXT, "warehouse", "ETLCTL_DEFAULT_CONNECTION")
PIPELINES_PATH = Key(("pipelines", "path"), Kind.TEXT, "pipelines", "ETLCTL_PIPELINES_PATH")
PIPELINES_MODULES = Key(("pipelines", "modules"), Kind.TEXTS, None, "ETLCTL_PIPELINES_MODULES")
CONNECTION_URL = Key(
    ("connections", NAME, "url"), Kind.URL, "sqlite:///.etlctl/warehouse.db", "ETLCTL_CONNECTIONS_NAME_URL"
)
MARKER_TABLE = Key(
    ("connections", NAME, "marker_table"), Kind.TEXT, "table_updates", "ETLCTL_CONNECTIONS_NAME_MARKER_TABLE"
)
MARKER_SCHEMA = Key(("connections", NAME, "marker_schema"), Kind.TEXT, None, "ETLCTL_CONNECTIONS_NAME_MARKER_SCHEMA")
CONNECT_TIMEOUT = Key(
    ("connections", NAME, "connect_timeout"), Kind.SECONDS, "10", "ETLCTL_CONNECTIONS_NAME_CONNECT_TIMEOUT", 1
)
STATEMENT_TIMEOUT = Key(
    ("connections", NAME, "statement_timeout"), Kind.SECONDS, "0", "ETLCTL_CONNECTIONS_NAME_STATEMENT_TIMEOUT"
)
LOCK_TIMEOUT = Key(
    ("connections", NAME, "lock_timeout"), Kind.SECONDS, "60", "ETLCTL_CONNECTIONS_NAME_LOCK_TIMEOUT", LEAST_S
)
AUDIT = Key(("connections", NAME, "audit"), Kind.SWITCH, "false", "ETLCTL_CONNECTIONS_NAME_AUDIT")
S3_STAGING = Key(("connections", NAME, "s3_staging"), Kind.TEXT, None, "ETLCTL_CONNECTIONS_NAME_S3_STAGING")
IAM_ROLE = Key(("connections", NAME, "iam_role"), Kind.TEXT, None, "ETLCTL_CONNECTIONS_NAME_IAM_ROLE")
STATIC_KEYS = Key(("connections", NAME, "static_keys"), Kind.SWITCH, "false", "ETLCTL_CONNECTIONS_NAME_STATIC_KEYS")
S3_REGION = _of_s3("region")
S3_ENDPOINT_URL = _of_s3("endpoint_url")
S3_ADDRESSING_STYLE = _of_s3("addressing_style", default="auto")
S3_PROFILE = _of_s3("profile")
S3_ACCESS_KEY_ID = _of_s3("access_key_id", Kind.SECRET)
S3_SECRET_ACCESS_KEY = _of_s3("secret_access_key", Kind.SECRET)
S3_SESSION_TOKEN = _of_s3("session_token", Kind.SECRET)
S3_ROLE_ARN = _of_s3("role_arn")
S3_ROLE_SESSION_NAME = _of_s3("role_session_name", default="etlctl")
S3_EXTERNAL_ID = _of_s3("external_id")
S3_MAX_ATTEMPTS = _of_s3("max_attempts", Kind.COUNT, "5")
S3_CONNECT_TIMEOUT = _of_s3("connect_timeout", Kind.SECONDS, "10", LEAST_S)
S3_READ_TIMEOUT = _of_s3("read_timeout", Kind.SECONDS, "60", LEAST_S)
S3_EXISTENCE = _of_s3("existence", default="auto")
S3_GC = _of_s3("gc", Kind.TEXTS)
PARAMS = Key(("params", FAMILY, PARAMETER), Kind.ANY)
SCHEDULE_TASKS = _of_a_schedule("tasks", Kind.TEXTS)
SCHEDULE_EVERY = _of_a_schedule("every", Kind.WAIT)
SCHEDULE_CRON = _of_a_schedule("cron")
SCHEDULE_TIMEZONE = _of_a_schedule("timezone", default="UTC")
SCHEDULE_DATE = _of_a_schedule("date")
SCHEDULE_WINDOW = _of_a_schedule("window", Kind.AGE)
SCHEDULE_JITTER = _of_a_schedule("jitter", Kind.WAIT, "0")
SCHEDULE_OVERLAP = _of_a_schedule("overlap", default="skip")
SCHEDULE_DEADLINE = _of_a_schedule("deadline")
SCHEDULE_PARAMS = Key(("schedules", NAME, "params", PARAMETER), Kind.ANY)
LOOP_GRACE = _of_the_loop("grace", Kind.WAIT, "30")
LOOP_BACKOFF_MAX = _of_the_loop("backoff_max", Kind.WAIT, "5m")
LOOP_HEALTH_PORT = _of_the_loop("health_port", Kind.COUNT, most=65_535)
LOOP_HEALTH_HOST = _of_the_loop("health_host", Kind.TEXT, "127.0.0.1")
LOOP_HEALTH_FILE = _of_the_loop("health_file", Kind.TEXT)
LOOP_LOCAL_STATE_OK = _of_the_loop("local_state_ok", Kind.SWITCH, "false")
NOTIFY_KIND = _of_a_notifier("kind")
NOTIFY_ON = _of_a_notifier("on", Kind.TEXTS, "fail,blocked,held,recovered,deadline,alert")
NOTIFY_TASKS = _of_a_notifier("tasks", Kind.TEXTS)
NOTIFY_TAGS = _of_a_notifier("tags", Kind.TEXTS)
NOTIFY_URL = _of_a_notifier("url", Kind.SECRET)
NOTIFY_TIMEOUT = _of_a_notifier("timeout", Kind.WAIT, "10")
NOTIFY_RETRIES = _of_a_notifier("retries", Kind.COUNT, "3", least=0, most=20)
NOTIFY_REPEAT = _of_a_notifier("repeat", Kind.AGE, "6h")
NOTIFY_HEADERS = Key(("notify", NAME, "headers", HEADER), Kind.SECRET)
NOTIFY_OPTIONS = Key(("notify", NAME, "options", OPTION), Kind.ANY)
METRICS_TEXTFILE = Key(("metrics", "textfile"), Kind.TEXT, None, "ETLCTL_METRICS_TEXTFILE")

OF_A_CONNECTION = (
    CONNECTION_URL,
    MARKER_TABLE,
    MARKER_SCHEMA,
    CONNECT_TIMEOUT,
    STATEMENT_TIMEOUT,
    LOCK_TIMEOUT,
    AUDIT,
    S3_STAGING,
    IAM_ROLE,
    STATIC_KEYS,
)
OF_S3 = (
    S3_REGION,
    S3_ENDPOINT_URL,
    S3_ADDRESSING_STYLE,
    S3_PROFILE,
    S3_ACCESS_KEY_ID,
    S3_SECRET_ACCESS_KEY,
    S3_SESSION_TOKEN,
    S3_ROLE_ARN,
    S3_ROLE_SESSION_NAME,
    S3_EXTERNAL_ID,
    S3_MAX_ATTEMPTS,
    S3_CONNECT_TIMEOUT,
    S3_READ_TIMEOUT,
    S3_EXISTENCE,
    S3_GC,
)
OF_A_SCHEDULE = (
    SCHEDULE_TASKS,
    SCHEDULE_EVERY,
    SCHEDULE_CRON,
    SCHEDULE_TIMEZONE,
    SCHEDULE_DATE,
    SCHEDULE_WINDOW,
    SCHEDULE_JITTER,
    SCHEDULE_OVERLAP,
    SCHEDULE_DEADLINE,
)
OF_THE_LOOP = (
    LOOP_GRACE,
    LOOP_BACKOFF_MAX,
    LOOP_HEALTH_PORT,
    LOOP_HEALTH_HOST,
    LOOP_HEALTH_FILE,
    LOOP_LOCAL_STATE_OK,
)
OF_A_NOTIFIER = (
    NOTIFY_KIND,
    NOTIFY_ON,
    NOTIFY_TASKS,
    NOTIFY_TAGS,
    NOTIFY_URL,
    NOTIFY_TIMEOUT,
    NOTIFY_RETRIES,
    NOTIFY_REPEAT,
)
OF_ONE_KIND = (
    _of_a_notifier("command", Kind.TEXTS),
    _of_a_notifier("dsn", Kind.SECRET),
    _of_a_notifier("from"),
    _of_a_notifier("host"),
    _of_a_notifier("password", Kind.SECRET),
    _of_a_notifier("port", Kind.COUNT, most=65_535),
    _of_a_notifier("starttls", Kind.SWITCH),
    _of_a_notifier("to", Kind.TEXTS),
    _of_a_notifier("user"),
)
"""What only some kinds of notifier take; a notifier finds these among its options."""
TREE: Tree = {
    "default_connection": DEFAULT_CONNECTION,
    "pipelines": {"path": PIPELINES_PATH, "modules": PIPELINES_MODULES},
    "state": {"url": STATE_URL, "lease_ttl": LEASE_TTL},
    "history": {"enabled": HISTORY_ENABLED, "keep": HISTORY_KEEP},
    "logs": {"store": LOGS_STORE, "keep": LOGS_KEEP, "max_bytes": LOGS_MAX_BYTES, "format": LOGS_FORMAT},
    "build": {"jobs": BUILD_JOBS, "wait_held": BUILD_WAIT_HELD, "executor": BUILD_EXECUTOR},
    "pools": {POOL: POOL_LIMIT},
    "executors": {"dask": {"address": DASK_ADDRESS}},
    "connections": {NAME: {key.path[-1]: key for key in OF_A_CONNECTION}},
    "s3": {key.path[-1]: key for key in OF_S3},
    "params": {FAMILY: {PARAMETER: PARAMS}},
    "schedules": {NAME: {key.path[-1]: key for key in OF_A_SCHEDULE} | {"params": {PARAMETER: SCHEDULE_PARAMS}}},
    "loop": {key.path[-1]: key for key in OF_THE_LOOP},
    "notify": {
        NAME: {
            **{key.path[-1]: key for key in OF_A_NOTIFIER + OF_ONE_KIND},
            "headers": {HEADER: NOTIFY_HEADERS},
            "options": {OPTION: NOTIFY_OPTIONS},
        }
    },
    "metrics": {"textfile": METRICS_TEXTFILE},
}
PROFILES = "profiles"
INHERITS = "inherits"
"""Of a profile: the name of another one, over which its own keys are laid."""
CONFIG_VARIABLE = "ETLCTL_CONFIG"
PROFILE_VARIABLE = "ETLCTL_PROFILE"


def all_keys(table: Tree = TREE) -> Iterator[Key]:
    """The keys within a table, the whole tree unless told."""
    for below in table.values():
        if isinstance(below, Key):
            yield below
        else:
            yield from all_keys(below)


def child(table: Tree, name: str) -> Tree | Key | None:
    """What `name` means in `table`; None for a name that it does not know."""
    placeholder = next((known for known in table if known in _PLACEHOLDERS), None)
    return table.get(placeholder or name)


def key_of(path: KeyPath) -> Key | None:
    """The key that a path of names means."""
    found: Tree | Key | None = TREE
    for part in path:
        found = child(found, part) if isinstance(found, dict) else None
    return found if isinstance(found, Key) else None


def dotted(path: KeyPath) -> str:
    """The key as one would write it on one line of TOML, safe to show."""
    return ".".join(part if _is_bare(part) else f'"{printable(part)}"' for part in path)


def _is_bare(part: str) -> bool:
    return part.isascii() and part.replace("-", "_").replace("_", "a").isalnum()
