"""Which failures somebody was told of already, over all processes and hosts: the memory of notifications.

It shares `etlctl_alerts` with the alerts of deadlines; its keys begin with `notify:`. Instants are the database's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from etlctl.db.state import bulk
from etlctl.db.state.bulk import PLAIN
from etlctl.db.state.store import Session, Store

_LOCK = "etlctl:notices"
_SOME = 500
"""Keys of one statement."""


class Notices:
    """A `notify.Memory` in a state database whose tables are there. Each call is one short transaction."""

    def __init__(self, store: Store) -> None:
        """`store` is closed by close()."""
        self._store = store

    def first(self, keys: Sequence[str], *, again_after_s: float) -> set[str]:
        """Those that no process has had from here for `again_after_s`; they are on record as told now."""
        with self._store.transaction() as session:
            session.lock(_LOCK)
            now = session.now()
            told = _told(session, keys)
            fresh = [key for key in dict.fromkeys(keys) if key not in told or now - told[key] >= again_after_s]
            columns = {"alert_key": PLAIN, "alerted_at": PLAIN}
            bulk.insert(session, "etlctl_alerts", columns, [(key, now) for key in fresh], key=("alert_key",))
        return set(fresh)

    def open(self, prefix: str) -> set[str]:
        """The keys on record that begin with `prefix`, which holds neither % nor _."""
        with self._store.transaction(write=False) as session:
            rows = session.run(
                "SELECT alert_key FROM etlctl_alerts WHERE alert_key LIKE :pattern", {"pattern": f"{prefix}%"}
            )
        return {str(key) for (key,) in rows}

    def settle(self, keys: Sequence[str]) -> set[str]:
        """Those that this call has taken off the record."""
        with self._store.transaction() as session:
            session.lock(_LOCK)
            found = set(_told(session, keys))
            for some in _cut(sorted(found)):
                session.run("DELETE FROM etlctl_alerts WHERE alert_key IN :keys", {"keys": some})
        return found

    def close(self) -> None:
        """Closes the store."""
        self._store.close()


def _told(session: Session, keys: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for some in _cut(keys):
        rows = session.run("SELECT alert_key, alerted_at FROM etlctl_alerts WHERE alert_key IN :keys", {"keys": some})
        found.update((str(key), float(at)) for key, at in rows)
    return found


def _cut(keys: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _SOME):
        yield list(keys[start : start + _SOME])
