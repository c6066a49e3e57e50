"""What the settings say about running: history, logs, pools, jobs and executor, leases. Reads nothing itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from etlctl.settings import ages, keys
from etlctl.settings.keys import Key, dotted
from etlctl.settings.model import BuildSettings, LogSettings
from etlctl.settings.resolver import Resolver, one_of, place_of
from etlctl.text import printable, shortened

EXECUTORS = ("local", "dask")
LOG_FORMATS = ("text", "json")
MOST_JOBS = keys.BUILD_JOBS.most
_POOL = r"\w[\w.-]*"
_MOST_POOL = 100
_IN_S3 = r"s3://[A-Za-z0-9._-]{3,255}(/.*)?"
_ADDRESS = r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)(.*)"
"""Of anything; with one slash too, which is what is left of two where a path was made of it."""


def logs(resolver: Resolver) -> LogSettings:
    """The table `[logs]`."""
    path = keys.LOGS_STORE.path
    store = resolver.text(path, str(keys.LOGS_STORE.default))
    address = re.fullmatch(_ADDRESS, store, re.DOTALL)
    if address is not None and not re.fullmatch(_IN_S3, store, re.DOTALL):
        scheme, second_slash, _ = address.groups()
        folder = "" if second_slash else f" A folder of this name is ./{printable(shortened(scheme, 40))}:/…"
        resolver.refuse(
            path,
            f"{place_of(resolver.entry(path, store), path)} must be a folder or s3://BUCKET/PREFIX, "
            f"not '{printable(shortened(scheme, 40))}:/{second_slash}…'.{folder}",
        )
        store = str(keys.LOGS_STORE.default)
    if not store.startswith("s3://"):
        store = os.path.abspath(resolver.project / store)
    return LogSettings(
        store,
        age_s(resolver, keys.LOGS_KEEP),
        int(number(resolver, keys.LOGS_MAX_BYTES)),
        one_of(resolver, keys.LOGS_FORMAT, LOG_FORMATS),
    )


def build(resolver: Resolver) -> BuildSettings:
    """The tables `[build]` and `[executors.dask]`."""
    return BuildSettings(
        jobs=int(number(resolver, keys.BUILD_JOBS)),
        wait_held_s=wait_s(resolver, keys.BUILD_WAIT_HELD),
        executor=one_of(resolver, keys.BUILD_EXECUTOR, EXECUTORS),
        dask_address=resolver.optional(keys.DASK_ADDRESS.path),
    )


def pools(resolver: Resolver) -> Mapping[str, int]:
    """The table `[pools]`."""
    found: dict[str, int] = {}
    for path in resolver.entries:
        if path[0] == keys.POOL_LIMIT.path[0]:
            entry = resolver.entry(path, None)
            if not re.fullmatch(_POOL, path[1]) or len(path[1]) > _MOST_POOL:
                resolver.refuse(
                    path,
                    f"{place_of(entry, path)}: a pool's name is letters, digits, _, - and dots, {_MOST_POOL} at most. "
                    "Rename it.",
                )
            found[path[1]] = int(entry.value)
    return MappingProxyType(found)


def number(resolver: Resolver, key: Key) -> float:
    """The number at `key`, or its default."""
    return float(resolver.entry(key.path, key.default).value)


def is_on(resolver: Resolver, key: Key) -> bool:
    """The switch at `key`, or its default."""
    return bool(resolver.entry(key.path, key.default == "true").value)


def age_s(resolver: Resolver, key: Key) -> float:
    """The age at `key`, or its default, in seconds."""
    return _seconds(resolver, key, ages.age_s)


def wait_s(resolver: Resolver, key: Key) -> float:
    """The wait at `key`, or its default, in seconds."""
    return _seconds(resolver, key, ages.wait_s)


def _seconds(resolver: Resolver, key: Key, read: Callable[[str], float | None]) -> float:
    found = read(resolver.entry(key.path, key.default).value)
    if found is None:  # entries.py has looked at what is given, a test at the defaults
        raise AssertionError(f"{dotted(key.path)} was let through unread")
    return found
