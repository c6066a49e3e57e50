"""What pauses and wishes to end, kept in the state database, do to the builds of an app."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl import IntParameter, LocalTarget, MockTarget, Task, history
from etlctl.app import App
from etlctl.core import context
from etlctl.core.results import Status
from etlctl.db.state.operations import Operations
from etlctl.db.state.store import Store
from etlctl.errors import ExitCode
from etlctl.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of an empty project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etlctl.toml").write_text("", encoding="utf-8")
    MockTarget.clear_all()
    return load(tmp_path / "etlctl.toml", environ={}, cwd=tmp_path)


@pytest.fixture
def operations(settings: Settings) -> Iterator[Operations]:
    store = Store(settings.state)
    yield Operations(store)
    store.close()


class Counted(Task):
    number = IntParameter(default=1)

    def output(self) -> Any:
        return LocalTarget(f"out/{self.number}.txt")

    def run(self) -> Any:
        with self.output().open("w") as file:
            file.write("x")


class Asking(Counted):
    """Asks for the end of its own run, and goes on until the run must have heard of it."""

    def run(self) -> Any:
        store = Store(context.current().settings.state)
        run_id = context.attempt().run_id
        Operations(store).request_stop(run_id, by="ann@etl-1", reason="an upgrade")
        store.close()
        until = time.monotonic() + 60
        while not context.current().stop() and time.monotonic() < until:
            time.sleep(0.02)
        super().run()


class After(Counted):
    number = IntParameter(default=2)

    def requires(self) -> Any:
        return Asking()


def test_build_begins_nothing_that_its_hold_keeps_back(settings: Settings, operations: Operations) -> None:
    operations.pause("Counted", reason="", by="ann@etl-1")

    with App.open(settings) as app:
        held = app.build([Counted(), After()], hold=lambda task: "")
        paused = app.build([Counted(number=7)], hold=operations.holding())
        operations.resume("Counted", by="ann@etl-1")
        again = app.build([Counted(number=7)], hold=operations.holding(every_s=0))

    assert held.interrupted is ExitCode.TERMINATED  # Asking has asked
    assert paused.exit_code is ExitCode.HELD
    assert paused.results[0].reason.startswith("paused by ann@etl-1 since ")
    assert again.exit_code is ExitCode.DONE


def test_build_by_hand_tells_pauses_in_one_line_and_goes_on(
    settings: Settings, operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that concern it alone; nothing where all is done."""
    operations.pause("Counted", reason="the feed is moved", by="ann@etl-1")
    operations.pause("Asking", reason="", by="bob@etl-2")

    with App.open(settings) as app:
        assert app.build([Counted()])
        assert app.build([Counted()])

    (told,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert told.startswith("Counted is paused by ann@etl-1 since ")
    assert told.endswith("UTC: the feed is moved. Loops heed that, a build by hand goes on all the same.")


def test_build_that_is_asked_to_stop_ends_as_by_a_signal_and_says_who_asked(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Within seconds; what runs ends first. The run's own observers are told who it was, and history keeps the code."""
    finished: list[Any] = []

    class Watcher:
        def __getattr__(self, name: str) -> Any:
            return finished.append if name == "run_finished" else lambda *told: None

    watcher: Any = Watcher()
    with App.open(settings) as app:
        summary = app.build([After()], observers=[watcher])

        assert [one.status for one in summary.results] == [Status.OK, Status.SKIP]
        assert (summary.exit_code, summary.stopped) == (ExitCode.TERMINATED, "stopped by ann@etl-1: an upgrade")
        assert finished == [summary]
        assert "stopped by ann@etl-1: an upgrade: stopping when what runs has ended." in caplog.messages
        (run,) = history.find_runs()
        assert (run.status, run.exit_code) == ("interrupted", 143)
        assert app.build([After()]).exit_code is ExitCode.DONE
