"""What every executor promises; each of them runs all of this."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlctl import Task
from etlctl.core.context import Attempt, LeaseOfAttempt
from etlctl.engine.executors.base import Executor
from etlctl.engine.executors.workers import LocalExecutor
from executor_house import (
    BadTimeout,
    FileTask,
    InMemory,
    LeavesAtOnce,
    Raises,
    Registers,
    Requires,
    Tells,
    Writes,
    WritesNothing,
    Yields,
    YieldsAndCleansUp,
    YieldsMemory,
    built,
    carried_out,
    reason,
    within,
)
from running import statuses


def test_executor_runs_a_task_and_tells_that_it_ended_well(executor: Executor) -> None:
    """No needs, no failure, its seconds; its output is there."""
    task = FileTask()

    outcome = carried_out(executor, task)

    assert outcome.task is task
    assert outcome.failure is None and outcome.needs is None
    assert 0 < outcome.active_s < 30
    assert task.complete()


def test_executor_hands_what_a_task_tells_to_the_live_attempt(executor: Executor, project: Path) -> None:
    """Rows, progress, status and notes come back; run, number, force and module go there."""
    attempt = Attempt(run_id="r7", number=2, forced=True, module="pipelines.x", notes=["before"])

    outcome = carried_out(executor, Tells(), attempt)

    assert outcome.failure is None
    assert (attempt.rows, attempt.progress, attempt.status) == (943, (3, 4), "nearly")
    assert attempt.notes == ["before", "a note"]
    assert (project / "out" / Tells().task_id).read_text() == "r7 2 True pipelines.x"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ValueError", "ValueError: bad row"),
        ("BaseException", "BaseException: odd"),
        ("SystemExit", "its code called sys.exit(0)"),
        ("StopIteration", "StopIteration: early"),
        ("GeneratorExit", "GeneratorExit: early"),
        ("KeyboardInterrupt", "interrupted by a signal, or by a KeyboardInterrupt that its code raised"),
    ],
)
def test_executor_tells_whatever_a_task_raises_as_its_failure(executor: Executor, kind: str, said: str) -> None:
    """SystemExit(0) is no success (F61); on_failure() is called once; where it was raised is told."""
    outcome = carried_out(executor, Raises(name=kind))

    failure = outcome.failure
    assert failure is not None
    assert failure.reason == said
    assert failure.details == (f"told of {kind}",)
    assert "executor_house.py:" in failure.where
    assert kind in failure.traceback
    assert carried_out(executor, FileTask()).failure is None


def test_executor_fails_a_task_that_leaves_its_output_out(executor: Executor) -> None:
    """run() returned, and that is not enough."""
    assert "its output" in reason(carried_out(executor, WritesNothing()))


def test_executor_asks_for_requirements_that_are_not_known_to_be_met(executor: Executor) -> None:
    """The first step of an attempt may come to needs: the tasks of requires(), equal to those made here."""
    task = Requires()
    executor.submit(task, Attempt())

    outcome = executor.wait(30)

    assert outcome is not None
    assert outcome.needs == (FileTask(name="first"), FileTask(name="second"))
    executor.abandon(task)


def test_executor_runs_a_graph_in_its_order(executor: Executor) -> None:
    """Requirements first, whichever process has them."""
    summary = built(executor, Requires())

    assert summary.exit_code == 0, summary.text
    assert [result.task for result in summary.results][-1] == Requires()


def test_executor_resumes_a_generator_with_the_outputs_it_asked_for(executor: Executor) -> None:
    """Six deep, one in the other, with fewer places than that."""
    task = Yields(depth=6)

    summary = built(executor, task)

    assert summary.exit_code == 0, summary.text
    assert Path(task.output().path).read_text() == "7"


def test_executor_closes_the_generator_of_an_abandoned_attempt(executor: Executor, project: Path) -> None:
    """Its `finally` runs, and the executor goes on with others."""
    task = YieldsAndCleansUp()
    executor.submit(task, Attempt(log=str(project / "logs" / "x")))
    outcome = executor.wait(30)
    while outcome is not None and outcome.needs == ():
        executor.resume(task)
        outcome = executor.wait(30)
    assert outcome is not None and outcome.needs == (FileTask(name="needed"),)

    executor.abandon(task)

    assert carried_out(executor, FileTask()).failure is None
    executor.close()
    assert (project / "closed").read_text() == "yes"


def test_executor_keeps_what_an_attempt_writes_in_its_log(executor: Executor, tmp_path: Path) -> None:
    """print(), stderr and log records; nobody else's."""
    log = tmp_path / "logs" / "r1" / "writes.log"
    assert carried_out(executor, Writes(name="other")).failure is None

    outcome = carried_out(executor, Writes(), Attempt(log=str(log)))

    assert outcome.failure is None
    text = log.read_text()
    assert text.count("printed") == text.count("complained") == 1
    assert "WARNING pipelines: logged ä" in text


def test_executor_puts_the_traceback_of_a_failure_at_the_end_of_its_log(executor: Executor, tmp_path: Path) -> None:
    """The screen gets the sentence, the log the rest."""
    log = tmp_path / "raises.log"

    carried_out(executor, Raises(name="ValueError"), Attempt(log=str(log)))

    assert log.read_text().endswith("ValueError: bad row\n")
    assert "Traceback" in log.read_text()


def test_executor_makes_no_log_for_an_attempt_that_writes_nothing(executor: Executor, tmp_path: Path) -> None:
    """Ten thousand quiet tasks make no file."""
    assert carried_out(executor, FileTask(), Attempt(log=str(tmp_path / "quiet.log"))).failure is None

    assert not (tmp_path / "quiet.log").exists()


def test_executor_runs_what_lives_in_memory_in_this_process(executor: Executor) -> None:
    """A MockTarget is seen by what requires or yields it."""
    summary = built(executor, InMemory(), YieldsMemory())

    assert summary.exit_code == 0, summary.text
    assert Path(YieldsMemory().output().path).read_text() == str(os.getpid())


def test_executor_runs_a_class_that_no_other_process_finds(executor: Executor) -> None:
    """Made in a function, as in a notebook."""

    class Inner(FileTask):
        pass

    assert carried_out(executor, Inner()).failure is None
    assert Path(Inner().output().path).read_text() == str(os.getpid())


def test_executor_registers_the_session_of_a_load_before_it_goes_on(executor: Executor) -> None:
    """The lease's own register() is called in the building process, and an error of it is the load's."""
    told: list[tuple[str, str, int]] = []
    refusals: list[Exception] = []

    def register(connection: str, backend: str) -> None:
        told.append((connection, backend, os.getpid()))
        for refusal in refusals:
            raise refusal

    lease = LeaseOfAttempt("key", "host:1", 4, register)
    assert carried_out(executor, Registers(), Attempt(lease=lease)).failure is None
    assert Path(Registers().output().path).read_text() == "key host:1 4"
    assert told == [("warehouse", "17", os.getpid())]

    refusals.append(ConnectionError("the state database is away"))
    assert "the state database is away" in reason(carried_out(executor, Registers(name="b"), Attempt(lease=lease)))


def test_executor_waits_no_longer_than_it_is_asked_to(executor: Executor) -> None:
    """Where nothing is under way the time passes, and None is told."""
    with within(15):
        assert executor.wait(0.05) is None
        assert executor.wait(0) is None


def test_executor_is_closed_twice_without_harm(executor: Executor) -> None:
    """Also before anything ran."""
    executor.close()
    executor.close()


def test_executor_fails_the_one_task_whose_timeout_is_no_number(project: Path) -> None:
    """The others go on."""
    executor = LocalExecutor(project, jobs=2, tasks=[BadTimeout()])
    try:
        summary = built(executor, BadTimeout(), FileTask())
    finally:
        executor.close()

    assert sorted(statuses(summary).values()) == ["FAIL", "OK"]
    assert "its timeout is 'soon'; give seconds" in summary.text


def test_executors_keep_a_task_equal_across_processes() -> None:
    """What the house's tasks need: they can be named anywhere."""
    assert isinstance(FileTask(), Task)
    assert FileTask.__module__ != "__main__"


def test_executor_lets_nobody_end_a_process_and_call_it_success(executor: Executor) -> None:
    """os._exit(0) fails the task, in whatever process; the next one runs (F62)."""
    outcome = carried_out(executor, LeavesAtOnce())

    assert outcome.failure is not None and not isinstance(outcome.failure.error, ImportError)
    assert outcome.failure.kind == "WorkerDiedError"
    assert carried_out(executor, FileTask()).failure is None
