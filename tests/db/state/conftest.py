from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from etlctl.db.state import leases
from etlctl.db.state.store import Store
from etlctl.settings import ConnectionSettings, Secret


@pytest.fixture(autouse=True)
def claims_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test has claimed is not given back because the machine is busy."""
    monkeypatch.setattr(leases, "_MOST_IDLE_S", 3600.0)


@pytest.fixture
def open_store() -> Iterator[Callable[[str], Store]]:
    """Makes stores, closed in the end."""
    made: list[Store] = []

    def make(url: str) -> Store:
        made.append(Store(ConnectionSettings("state", Secret(url), lock_timeout_s=20)))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(database_url: str, open_store: Callable[[str], Store]) -> Store:
    """A store on each kind of database in turn; nothing is in it."""
    return open_store(database_url)
