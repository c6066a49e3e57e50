"""With one job: processes that a task leaves running end with it, and nobody else's do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl import MockTarget, Parameter, Task
from etlctl.core.context import Attempt
from etlctl.engine.executors.in_process import InProcessExecutor

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody lists children")
started: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    started.clear()


def _start(command: str) -> subprocess.Popen[bytes]:
    """Without a shell where none is needed: Popen then comes back when the program has its own name."""
    if "|" in command:
        started.append(subprocess.Popen(command, shell=True, stdout=subprocess.PIPE))
    else:
        started.append(subprocess.Popen(command.split(), stdout=subprocess.PIPE))
    return started[-1]


class Starts(Task):
    """Starts a command, and may wait for a task meanwhile."""

    command = Parameter()
    waits = Parameter(default="")

    def output(self) -> Any:
        return MockTarget(self.task_id)

    def run(self) -> Any:
        process = _start(self.command)
        if self.waits:
            yield Starts(self.waits)
        if self.command == "true":
            process.wait()
        with self.output().open("w") as file:
            file.write("done")


def _carried_out(executor: InProcessExecutor, task: Task) -> list[str]:
    """The notes of its attempt."""
    attempt = Attempt()
    executor.submit(task, attempt)
    outcome = executor.wait()
    assert outcome is not None and outcome.failure is None
    return attempt.notes


def test_what_a_task_leaves_running_ends_with_it() -> None:
    """The shell, and what it runs, which holds the pipe: its reader would wait for 100 s."""
    notes = _carried_out(InProcessExecutor(Path("/")), Starts("sleep 100 | cat; true"))

    began = time.monotonic()
    assert started[0].communicate()[0] == b""
    assert time.monotonic() - began < 30
    assert len(notes) == 1
    assert notes[0].startswith("run() left 1 process running, which was ended: sh (pid ")


def test_what_has_ended_is_not_told() -> None:
    """A task that waited for what it started left nothing."""
    assert _carried_out(InProcessExecutor(Path("/")), Starts("true")) == []


def test_processes_of_the_program_around_go_on() -> None:
    """Those that were there before the task, and were not started by it."""
    before = _start("sleep 100")

    notes = _carried_out(InProcessExecutor(Path("/")), Starts("sleep 101"))

    assert len(notes) == 1
    assert before.poll() is None


def test_processes_of_a_task_that_waits_go_on_until_it_ends() -> None:
    """Another task begins and ends meanwhile; when the first ends, so do they."""
    executor, attempt = InProcessExecutor(Path("/")), Attempt()
    task = Starts("sleep 102", "true")
    executor.submit(task, attempt)
    outcome = executor.wait()
    assert outcome is not None and outcome.needs == (Starts("true"),)

    assert _carried_out(executor, Starts("true")) == []
    assert started[0].poll() is None
    executor.resume(task)
    outcome = executor.wait()

    assert outcome is not None and outcome.failure is None
    assert "sleep" in attempt.notes[0]
    assert started[0].wait(30) == -9


def test_processes_of_a_task_that_is_given_up_while_it_waits_end() -> None:
    """Its generator is closed, and they are killed."""
    executor = InProcessExecutor(Path("/"))
    task = Starts("sleep 103", "true")
    executor.submit(task, Attempt())
    executor.wait()

    executor.abandon(task)

    assert started[0].wait(30) == -9
