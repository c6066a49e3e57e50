"""A state file that is removed, or replaced, under a build: nobody goes on in a file that nobody else can see."""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlctl.core.leases import Ended, EndState, Granted, Wanted
from etlctl.core.results import RunSummary
from etlctl.db.state import owners, schema
from etlctl.db.state.history import About, History
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import RemovedError, Store
from etlctl.engine.leases import DispensableLeases

_NOW = dt.datetime(2013, 1, 2, tzinfo=dt.UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of the state."""
    return tmp_path / "state.db"


@pytest.fixture
def local(file: Path, open_store: Callable[[str], Store]) -> Store:
    """The state, with its tables."""
    store = open_store(f"sqlite:///{file}")
    schema.ensure(store)
    return store


def remove(file: Path) -> None:
    """As `rm -r` does, with what belongs to it."""
    for name in os.listdir(file.parent):
        (file.parent / name).unlink()


def leases_on(store: Store, **options: Any) -> StoreLeases:
    given: dict[str, Any] = {"owner": owners.this_process(), "began_at": 0.0, "ttl_s": 3.0} | options
    return StoreLeases(store, **given)


def lost_within(leases: StoreLeases | DispensableLeases, patience_s: float) -> dict[str, str]:
    """What is lost first."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if lost := leases.lost():
            return dict(lost)
        time.sleep(0.05)
    return {}


@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
def test_store_refuses_a_file_that_was_taken_away_under_it(local: Store, file: Path, is_replaced: bool) -> None:
    remove(file)
    if is_replaced:
        other = Store(local.settings)
        schema.ensure(other)
        other.close()

    with pytest.raises(RemovedError, match=r"state\.db was removed, or another file put in its place"):
        local.now()


def test_store_makes_the_file_anew_once_it_was_closed(local: Store, file: Path) -> None:
    remove(file)

    local.close()
    schema.ensure(local)

    assert local.is_there()


def test_leases_of_a_chosen_state_are_lost_with_its_file(local: Store, file: Path) -> None:
    """As with a server that does not come back: another process may have the task."""
    leases = leases_on(local)
    leases.claim([Wanted("a", "A")])

    remove(file)

    lost = lost_within(leases, 40)
    assert list(lost) == ["a"]
    assert "was removed" in lost["a"]
    leases.close()


def test_claim_in_a_removed_state_is_refused_at_once(local: Store, file: Path) -> None:
    """Waiting for it, as for one that is locked, would not bring it back."""
    leases = leases_on(local, ttl_s=600)
    remove(file)

    began = time.monotonic()
    with pytest.raises(RemovedError):
        leases.claim([Wanted("a", "A")])

    assert time.monotonic() - began < 30
    leases.close()


def test_build_without_a_chosen_state_goes_on_and_says_so_once(
    local: Store, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The beat finds it out, though nothing is claimed any more."""
    leases = DispensableLeases(leases_on(local, is_dispensable=True), {})
    leases.claim([Wanted("a", "A")])

    with caplog.at_level(logging.WARNING, "etlctl"):
        remove(file)
        until = time.monotonic() + 40
        while not caplog.messages and time.monotonic() < until:
            assert leases.lost() == {}
            time.sleep(0.05)
        leases.end(Ended("a", EndState.DONE))
        answers = leases.claim([Wanted("b", "B")])
        leases.close()

    assert answers == [Granted(1)]
    (said,) = caplog.messages
    assert said.startswith("other builds are not heeded any more: the state database: ")
    assert not file.exists()


def test_history_in_a_removed_state_is_given_up_in_one_sentence(local: Store, file: Path) -> None:
    said: list[str] = []
    history = History(local, About("20261122T100000-aaaa", "etlctl build A", file.parent), warn=said.append)
    history.run_started("20261122T100000-aaaa", [], [])
    until = time.monotonic() + 40
    while not _runs(local) and time.monotonic() < until:
        time.sleep(0.02)

    remove(file)
    history.run_finished(RunSummary("20261122T100000-aaaa", (), _NOW, 1.0))
    history.close()

    (sentence,) = said
    assert sentence.startswith("the history of run 20261122T100000-aaaa is not complete: the state database: ")
    assert "was removed" in sentence
    assert not file.exists()


def _runs(store: Store) -> int:
    with store.transaction(write=False) as session:
        return int(session.run("SELECT count(*) FROM etlctl_runs")[0][0])
