"""The ambient context: what a thread sees that a task has started, and what one sees that belongs to no project."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import etlctl
from etlctl import IntParameter, MockTarget, Task
from etlctl.app import App
from etlctl.core import context
from etlctl.core.context import Attempt, Context
from etlctl.errors import UsageError
from etlctl.settings import load


def in_thread(call: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_current_in_a_thread_is_that_of_the_project_it_was_started_in(tmp_path: Path) -> None:
    """Not the settings of the current folder: a pool inside run() must not load into another database."""
    here = Context(tmp_path)

    with context.use(here):
        assert in_thread(context.current) is here


def test_current_in_a_thread_is_the_innermost_of_nested_projects(tmp_path: Path) -> None:
    """A build inside a task's run() has its own settings, and so have its threads."""
    outer, inner = Context(tmp_path), Context(tmp_path / "inner")

    with context.use(outer):
        with context.use(inner):
            assert in_thread(context.current) is inner
        assert in_thread(context.current) is outer


def test_current_in_a_thread_outside_of_two_projects_is_refused(tmp_path: Path) -> None:
    """It cannot tell which of them it belongs to, and to guess would be to write into the wrong one."""
    is_open, may_end = Event(), Event()

    def elsewhere() -> None:
        with context.use(Context(tmp_path / "b")):
            is_open.set()
            may_end.wait(10)

    other = Thread(target=elsewhere)
    other.start()
    try:
        assert is_open.wait(10)
        with context.use(Context(tmp_path / "a")), pytest.raises(UsageError, match="copy_context"):
            in_thread(context.current)
    finally:
        may_end.set()
        other.join()


def test_attempt_in_a_thread_is_that_of_the_task_at_hand() -> None:
    """Rows counted by a pool inside run() are the task's."""
    mine = Attempt()

    with context.attempting(mine):
        assert in_thread(context.attempt) is mine
    assert in_thread(context.attempt) is not mine


def test_attempt_in_a_thread_is_the_innermost_of_nested_ones() -> None:
    """A pool in a step of a Sequence counts for the step, and sees whether it is forced."""
    outer, inner = Attempt(), Attempt(forced=True)

    with context.attempting(outer):
        with context.attempting(inner):
            assert in_thread(context.attempt) is inner
        assert in_thread(context.attempt) is outer


def test_attempt_in_a_thread_beside_two_is_nobodys() -> None:
    """Rows are never counted for a task that may not have written them."""
    is_open, may_end = Event(), Event()

    def elsewhere() -> None:
        with context.attempting(Attempt()):
            is_open.set()
            may_end.wait(10)

    other = Thread(target=elsewhere)
    other.start()
    try:
        assert is_open.wait(10)
        with context.attempting(Attempt(run_id="r")):
            assert in_thread(context.attempt) == Attempt()
    finally:
        may_end.set()
        other.join()


def test_current_is_whole_for_threads_that_ask_first_at_once(tmp_path: Path) -> None:
    """In a script that has imported nothing of etlctl but a target: one thread imports the app, the others wait."""
    code = (
        "import sys, threading\n"
        "from etlctl.core import context\n"
        "sys.setswitchinterval(1e-6)\n"
        "asked = []\n"
        "threads = [threading.Thread(target=lambda: asked.append(context.current())) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(len(asked))"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout == "8\n", done.stderr


def test_load_in_a_pool_inside_run_goes_to_the_profile_of_the_build(tmp_path: Path, monkeypatch: Any) -> None:
    """The rows are in the production file, and nothing is made in the default profile's."""
    (tmp_path / "etlctl.toml").write_text(
        '[connections.warehouse]\nurl = "sqlite:///dev.db"\n'
        '[profiles.production]\nconnections.warehouse.url = "sqlite:///prod.db"\n'
    )
    monkeypatch.chdir(tmp_path)
    settings = load(tmp_path / "etlctl.toml", environ={}, cwd=tmp_path, profile="production")

    class Part(etlctl.LoadTable):
        number = IntParameter()
        table = "parts"
        columns = {"number": "integer"}

        def rows(self) -> Any:
            return [(self.number,)]

    class InPool(Task):
        def output(self) -> Any:
            return MockTarget("context-in-pool")

        def run(self) -> Any:
            with ThreadPoolExecutor(1) as pool:
                list(pool.map(lambda number: Part(number).run(), range(3)))
            self.output().open("w").close()

    MockTarget("context-in-pool").remove()
    with App.open(settings) as app:
        assert app.build([InPool()])

    assert (tmp_path / "prod.db").exists()
    assert not (tmp_path / "dev.db").exists()
