"""A run's ear for wishes that it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etlctl.core.results import RunSummary
from etlctl.core.task import Task
from etlctl.db.state.operations import Operations, Stop
from etlctl.db.state.stopping import StopAsked
from etlctl.db.state.store import Store
from etlctl.errors import ExitCode, UnavailableError

SUMMARY = RunSummary("r1", (), datetime(2026, 11, 23, tzinfo=UTC), 0.0)


class StopTask(Task):
    pass


@pytest.fixture
def hearing(open_store: Callable[[str], Store], tmp_path: Path) -> Iterator[tuple[StopAsked, Operations, list[str]]]:
    """An ear that asks often, the operations of its store, and what it has said."""
    store = open_store(f"sqlite:///{tmp_path}/state.db")
    said: list[str] = []
    ear = StopAsked(store, "r1", every_s=0.02, say=said.append)
    yield ear, Operations(store), said
    ear.close()


def heard(ear: StopAsked) -> ExitCode | None:
    """What it says, as soon as it says anything."""
    until = time.monotonic() + 40
    while ear() is None and time.monotonic() < until:
        time.sleep(0.01)
    return ear()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "etlctl-stop"]


def test_a_wish_is_heard_said_once_and_told_with_who_and_why(hearing: Any) -> None:
    ear, operations, said = hearing
    ear.run_started("r1", [StopTask()], [StopTask()])
    operations.request_stop("r2", by="ann@h")
    time.sleep(0.1)
    before = ear(), ear.sentence

    operations.request_stop("r1", by="ann@etl-1", reason="an upgrade")

    assert before == (None, "")
    assert heard(ear) is ExitCode.TERMINATED
    ear.close()
    assert ear.sentence == "stopped by ann@etl-1: an upgrade"
    assert said == ["stopped by ann@etl-1: an upgrade: stopping when what runs has ended."]
    assert threads() == []


def test_a_state_that_is_gone_for_a_while_is_asked_again(hearing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ear, _, said = hearing
    answers: list[Any] = [UnavailableError("gone"), UnavailableError("gone"), Stop("ann@h", SUMMARY.started_at, "")]

    def stop_of(self: Operations, run_id: str) -> Stop | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Stop)
        return answer

    monkeypatch.setattr(Operations, "stop_of", stop_of)
    ear.run_started("r1", [StopTask()], [StopTask()])

    assert heard(ear) is ExitCode.TERMINATED
    ear.close()
    assert said == ["stopped by ann@h: stopping when what runs has ended."]


def test_nothing_is_asked_where_nothing_is_to_run_nor_after_the_end(
    hearing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear, _, _ = hearing
    asked: list[str] = []
    monkeypatch.setattr(Operations, "stop_of", lambda self, run_id: asked.append(run_id))

    ear.run_started("r1", [StopTask()], [])
    assert threads() == []
    ear.run_started("r1", [StopTask()], [StopTask()])
    ear.run_finished(SUMMARY)
    ear.close()
    number = len(asked)
    time.sleep(0.1)

    assert threads() == [] and len(asked) == number
