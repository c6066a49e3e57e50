"""A load and its lease: the session is registered before the marker, and a lost lease stops it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl import faultpoints
from etlctl.core import context
from etlctl.core.context import Attempt, LeaseOfAttempt
from etlctl.db.markers import MarkerKey
from etlctl.db.sessions import open_session
from etlctl.errors import HeldError
from etlctl.settings import Settings, load

Opened = Callable[..., AnyWarehouse]


def attempt(register: Callable[[str, str], None]) -> Attempt:
    return Attempt(run_id="r", lease=LeaseOfAttempt("k" * 64, "owner", 3, register))


def load_one(house: AnyWarehouse, key: str = "u") -> None:
    with open_session(house.database, "loading t") as session:
        session.ensure_markers()
        with session.load(MarkerKey(key, "t")):
            pass


def settings_with(state: str, folder: Path) -> Settings:
    return load(None, environ=os.environ | {"ETLCTL_STATE_URL": state}, cwd=folder)


def test_load_registers_its_session_before_its_marker(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    house = opened()
    passed: list[str] = []
    registered: list[tuple[str, str]] = []
    monkeypatch.setattr(faultpoints, "point", passed.append)

    with context.attempting(attempt(lambda *session: registered.append(session))):
        load_one(house)

    if house.kind == "sqlite":
        assert registered == []
    else:
        assert [name for name, _ in registered] == ["warehouse"]
        assert passed.index("load.begun") < passed.index("lease.registered") < passed.index("load.marker")


def test_loads_in_one_transaction_register_the_same_session(opened: Opened) -> None:
    house = opened()
    registered: list[tuple[str, str]] = []

    noting = context.attempting(attempt(lambda *session: registered.append(session)))
    with noting, open_session(house.database, "both") as outer:
        outer.ensure_markers()
        with outer.transaction():
            load_one(house, "u1")
            load_one(house, "u2")

    assert len(set(registered)) == (0 if house.kind == "sqlite" else 1)
    assert [row[0] for row in house.markers()] == ["u1", "u2"]


def test_load_does_not_begin_under_a_lost_lease(opened: Opened) -> None:
    house = opened()

    def refuse(connection: str, backend: str) -> None:
        raise HeldError("taken over")

    with context.attempting(attempt(refuse)):
        if house.kind == "sqlite":
            load_one(house)  # nobody asks: a dead process frees the file by itself
            return
        with pytest.raises(HeldError, match="taken over"):
            load_one(house)

    assert house.markers() == []


def test_load_without_a_lease_asks_for_none(opened: Opened) -> None:
    house = opened()

    load_one(house)

    assert len(house.markers()) == 1


def test_fence_is_asked_where_the_state_is_the_same_database_alone(postgres_url: str, tmp_path: Path) -> None:
    """With another user, another search_path: whose table of leases it would be is not known, so the marker decides."""
    house = AnyWarehouse(postgres_url, tmp_path)
    elsewhere = sa.make_url(postgres_url).update_query_dict({"options": "-csearch_path=other"})
    try:
        for state, is_fenced in ((postgres_url, True), (elsewhere.render_as_string(hide_password=False), False)):
            object.__setattr__(house.context, "settings", settings_with(state, tmp_path))
            house.write(
                "DROP TABLE IF EXISTS etlctl_leases",
                "CREATE TABLE etlctl_leases (lease_key text, owner text, fence bigint, state text)",
            )
            with context.use(house.context), context.attempting(attempt(lambda *session: None)):
                if is_fenced:
                    with pytest.raises(HeldError, match=r"its lease \(fence 3\) was taken over"):
                        load_one(house)
                else:
                    load_one(house)
        assert len(house.markers()) == 1
    finally:
        house.databases.close()
