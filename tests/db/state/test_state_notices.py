"""What was told already is kept once for all processes, on each kind of database."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from etlctl.db.state import schema
from etlctl.db.state.notices import Notices
from etlctl.db.state.store import Store

HOUR_S = 3_600.0


@pytest.fixture
def notices(store: Store) -> Notices:
    """A memory on each kind of database in turn."""
    schema.ensure(store)
    return Notices(store)


def test_notices_tell_a_key_once(notices: Notices) -> None:
    """Until `again_after_s` has passed by the database's clock."""
    assert notices.first(["notify:a:1", "notify:a:2"], again_after_s=HOUR_S) == {"notify:a:1", "notify:a:2"}
    assert notices.first(["notify:a:2", "notify:a:3"], again_after_s=HOUR_S) == {"notify:a:3"}
    assert notices.first(["notify:a:1"], again_after_s=0) == {"notify:a:1"}


def test_notices_are_open_until_one_settles_them(notices: Notices) -> None:
    """By their prefix alone; the second to settle one has nothing."""
    notices.first(["notify:a:1", "notify:b:1"], again_after_s=HOUR_S)

    assert notices.open("notify:a:") == {"notify:a:1"}
    assert notices.settle(["notify:a:1", "notify:a:9"]) == {"notify:a:1"}
    assert notices.settle(["notify:a:1"]) == set()
    assert notices.first(["notify:a:1"], again_after_s=HOUR_S) == {"notify:a:1"}


def test_notices_take_many_keys_at_once(notices: Notices) -> None:
    """More than one statement has room for."""
    keys = [f"notify:a:{number}" for number in range(1_203)]

    assert notices.first(keys, again_after_s=HOUR_S) == set(keys)
    assert notices.first(keys, again_after_s=HOUR_S) == set()
    assert notices.open("notify:a:") == set(keys)
    assert notices.settle(keys) == set(keys)


def test_four_at_once_tell_each_key_once_between_them(
    notices: Notices, database_url: str, open_store: Callable[[str], Store]
) -> None:
    """Four loops see the same failures in the same moment."""
    told: list[set[str]] = []
    start = threading.Barrier(4)
    memories = [Notices(open_store(database_url)) for _ in range(4)]

    def tell(memory: Notices) -> None:
        start.wait(20)
        for turn in range(5):
            told.append(memory.first([f"notify:{turn}:{number}" for number in range(20)], again_after_s=HOUR_S))

    threads = [threading.Thread(target=tell, args=(memory,)) for memory in memories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(map(len, told)) == 100
    assert len(set().union(*told)) == 100
