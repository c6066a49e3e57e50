"""What goes wrong in a worker stays there: real processes that die, hang, flood and leave things behind (F10 to F12,
F61 to F67)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from dask_servers import pids_in
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.engine.executors import supervisor
from etlctl.engine.executors.workers import LocalExecutor
from etlctl.engine.failures import Failure
from etlctl.engine.logs import tail_of
from etlctl.errors import ExitCode
from executor_house import (
    Dies,
    FileTask,
    Floods,
    Hangs,
    HoldsLock,
    Leaves,
    PausesWithinTimeout,
    QuickFile,
    ReadsInput,
    ShortFile,
    Sleeps,
    Spins,
    StartsProgram,
    Yields,
    YieldsAndCleansUp,
    built,
    carried_out,
    reason,
    timed_out,
    within,
)
from orphans import assert_no_orphans, pool_of, template_of
from running import statuses

_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="process groups are all that macOS has")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exit 0", "its process left by os._exit(0), or a library's exit(), before the task had ended"),
        ("exit 3", "its process left by os._exit(3), or a library's exit(), before the task had ended"),
        ("segfault", "its process was killed by signal 11 (SIGSEGV): a library it uses crashed; its log holds where"),
        (
            "killed",
            "its process was killed by signal 9 (SIGKILL); the kernel's OOM killer does that when memory runs out",
        ),
        ("terminated", "its process was told to end by signal 15 (SIGTERM)"),
        ("memory", "MemoryError"),
    ],
)
def test_worker_that_dies_fails_its_own_task(workers: LocalExecutor, how: str, said: str) -> None:
    """The cause in words, a retry allowed where a process was killed; the next task has another worker (F12, F62)."""
    outcome = carried_out(workers, Dies(name=how))

    assert reason(outcome) == said
    assert outcome.failure is not None
    assert outcome.failure.can_retry is (how != "memory")
    assert outcome.failure.exit_code is ExitCode.FAILED
    assert "executor_house.py:" in outcome.failure.where
    assert not outcome.interrupted
    assert carried_out(workers, FileTask()).failure is None


def test_log_of_a_crash_holds_where_it_was(workers: LocalExecutor, tmp_path: Path) -> None:
    """Python's frames at the moment of the segmentation fault, and our sentence."""
    carried_out(workers, Dies(name="segfault"), Attempt(log=str(tmp_path / "crash")))

    log = (tmp_path / "crash").read_text()
    assert "Fatal Python error: Segmentation fault" in log
    assert "executor_house.py" in log
    assert "its process was killed by signal 11" in log


def test_timeout_ends_a_task_by_an_exception_that_it_cannot_take_for_its_own(
    workers: LocalExecutor, project: Path
) -> None:
    """`except Exception: try again` does not catch it, `finally` runs, on_failure() and Event.TIMEOUT are told."""
    timed_out.clear()
    with within(20):
        outcome = carried_out(workers, Hangs(name="obeys"))

    said = "took longer than its timeout of 0.3 s, and was ended"
    assert reason(outcome) == said
    assert outcome.failure is not None
    assert outcome.failure.details == ("told of TaskTimeoutError",)
    assert (project / "ended-obeys").exists()
    assert timed_out == [("Hangs(obeys)", said)]
    assert not outcome.failure.can_retry


def test_timeout_kills_a_task_that_ignores_sigterm(workers: LocalExecutor, project: Path) -> None:
    """Five seconds later, and says so; on_failure() is called in the building process then (F63)."""
    timed_out.clear()
    with within(30):
        outcome = carried_out(workers, Hangs(name="ignores"))

    assert reason(outcome).endswith("was ended; it had not ended 5 s later, so its process was killed")
    assert outcome.failure is not None
    assert outcome.failure.details == ("told of TaskTimeoutError",)
    assert len(timed_out) == 1
    assert not (project / "ended-ignores").exists()
    assert carried_out(workers, FileTask()).failure is None


def test_timeout_holds_with_one_job_as_well(project: Path) -> None:
    """That one task goes to a worker; nothing is forked for the others."""
    executor = LocalExecutor(project, jobs=1)
    try:
        assert carried_out(executor, FileTask()).failure is None
        assert Path(FileTask().output().path).read_text() == str(os.getpid())
        with pytest.raises(AssertionError):
            template_of(executor)
        assert "took longer than its timeout" in reason(carried_out(executor, Hangs()))
    finally:
        executor.close()


def test_timeout_clock_stands_still_while_a_generator_waits(workers: LocalExecutor) -> None:
    """What it waits for takes longer than it may itself."""
    assert carried_out(workers, PausesWithinTimeout()).failure is None


def test_cancel_ends_an_attempt_with_the_failure_it_is_given(workers: LocalExecutor) -> None:
    """A running one and one that waits for its needs."""
    why = Failure("taken over by host b", exit_code=ExitCode.HELD)
    running, waiting = Sleeps(name="cancelled"), YieldsAndCleansUp()
    workers.submit(waiting, Attempt())
    outcome = workers.wait(30)
    while outcome is not None and outcome.needs == ():
        workers.resume(waiting)
        outcome = workers.wait(30)
    workers.submit(running, Attempt())

    workers.cancel(waiting, why)
    first = workers.wait(30)
    workers.cancel(running, why)
    with within(20):
        second = workers.wait(30)

    assert first is not None and first.task == waiting and first.failure is why
    assert second is not None and second.task == running and second.failure is why
    assert carried_out(workers, FileTask()).failure is None


def test_process_that_dies_while_it_waits_fails_when_it_is_resumed(workers: LocalExecutor, project: Path) -> None:
    """The runner hears of it when it has the task under way again."""
    task = Yields(depth=1)
    workers.submit(task, Attempt())
    outcome = workers.wait(30)
    assert outcome is not None and outcome.needs == (Yields(depth=0),)
    (job,) = pool_of(workers)._jobs.values()
    assert job.worker is not None and job.worker.pid is not None
    os.kill(job.worker.pid, signal.SIGKILL)
    assert carried_out(workers, Yields(depth=0)).failure is None

    workers.resume(task)
    ended = workers.wait(30)

    assert ended is not None
    assert "was killed by signal 9 (SIGKILL)" in reason(ended)


def test_output_without_end_is_capped_and_never_blocks(workers: LocalExecutor, tmp_path: Path) -> None:
    """300 MB of bytes that are no text, in one line: the log's begin and end with notices, memory flat (F64)."""
    before = _resident_bytes()
    log = tmp_path / "flood"

    outcome = carried_out(workers, Floods(megabytes=300), Attempt(log=str(log)))

    assert outcome.failure is None
    data = log.read_bytes()
    assert len(data) < 11 << 20
    assert data.startswith(bytes(range(128, 256)))
    assert data.endswith(b"the end\n")
    assert data.count(b"[etlctl: ") == 2
    assert tail_of(log).endswith(b"the end\n")
    assert _resident_bytes() - before < 64 << 20


def test_output_of_a_worker_reaches_the_screen_in_printable_lines(project: Path) -> None:
    """What programs write too; binary garbage is written out."""
    shown: list[str] = []
    executor = LocalExecutor(project, jobs=2, shown=lambda task, line: shown.append(f"{task.task_label}: {line}"))
    try:
        carried_out(executor, StartsProgram())
        carried_out(executor, Floods(megabytes=0))
    finally:
        executor.close()

    assert shown == [
        "StartsProgram(): out of a program",
        "StartsProgram(): on stderr",
        "Floods(megabytes=0): the end",
    ]


def test_stdin_of_a_task_is_empty(workers: LocalExecutor) -> None:
    """It does not read what is typed to the program around it."""
    task = ReadsInput()

    assert carried_out(workers, task).failure is None
    assert Path(task.output().path).read_text() == "''b''"


@_LINUX
@pytest.mark.parametrize("what", ["child", "daemon"])
def test_processes_that_a_task_leaves_are_ended(workers: LocalExecutor, token: str, what: str) -> None:
    """Those that made a session of their own too, as soon as the task has ended (F65)."""
    attempt = Attempt()

    outcome = carried_out(workers, Leaves(name=what), attempt)

    assert outcome.failure is None
    assert "running, which were ended" in attempt.notes[0]
    assert_no_orphans(token, session=-1)


def test_threads_that_a_task_leaves_end_with_their_process(workers: LocalExecutor) -> None:
    """It is told (F67), and the next task has another process."""
    attempt = Attempt()

    assert carried_out(workers, Leaves(name="thread"), attempt).failure is None

    assert attempt.notes == ["run() left 1 thread (forgotten) running; the process was ended"]
    first = Path(Leaves(name="thread").output().path).read_text()
    assert carried_out(workers, FileTask()).failure is None
    assert Path(FileTask().output().path).read_text() != first


def test_child_that_comes_back_from_run_is_no_second_worker(workers: LocalExecutor) -> None:
    """os.fork() in a task, whose child returns as if it were the task."""
    assert carried_out(workers, Leaves(name="fork")).failure is None
    assert carried_out(workers, FileTask()).failure is None
    assert workers.wait(0.2) is None


def test_what_a_task_does_to_its_process_does_not_reach_the_next(workers: LocalExecutor, tmp_path: Path) -> None:
    """Another folder, closed streams, attributes that nothing can pickle (F66)."""
    assert carried_out(workers, Leaves(name="folder")).failure is None
    assert carried_out(workers, Leaves(name="lambda")).failure is None
    for name in ("a", "b"):
        assert carried_out(workers, StartsProgram(name=name), Attempt(log=str(tmp_path / name))).failure is None
        assert (tmp_path / name).read_text() == "out of a program\non stderr\n"


def test_forty_tasks_of_which_four_go_wrong(workers: LocalExecutor) -> None:
    """One segfaults, one leaves by os._exit(0), one hangs past its timeout, one eats memory: the others are done."""
    wrong = [Dies(name="segfault"), Dies(name="exit 0"), Hangs(name="ignores"), Dies(name="memory")]
    good = [FileTask(name=str(number)) for number in range(36)]

    summary = built(workers, *good[:18], *wrong, *good[18:])

    assert summary.exit_code is ExitCode.FAILED
    assert {result.task for result in summary.results if result.status == "FAIL"} == set(wrong)
    assert sum(one == "OK" for one in statuses(summary).values()) == 36
    assert len({result.reason for result in summary.results if result.status == "FAIL"}) == 4


@pytest.mark.long
def test_more_than_a_hundred_waiting_generators_fail(workers: LocalExecutor) -> None:
    """Each keeps a process, so a nest without end is told as one."""
    summary = built(workers, Yields(depth=105))

    assert summary.exit_code is ExitCode.FAILED
    assert "more than 100 tasks wait for tasks that they have yielded" in summary.text


@_LINUX
def test_kill_of_the_template_fails_what_ran_and_the_next_task_finds_another(workers: LocalExecutor) -> None:
    """Its workers end with it."""
    task = Spins(name="orphaned")
    workers.submit(task, Attempt())
    pids_in(context.current().project / "spins")
    os.kill(template_of(workers), signal.SIGKILL)

    outcome = workers.wait(30)

    assert outcome is not None
    assert "ended with the process that all workers are forked from" in reason(outcome)
    assert carried_out(workers, FileTask()).failure is None


_SUPERVISED = """
    import sys, time
    from pathlib import Path
    from etlctl.core import context
    from etlctl.core.context import Attempt
    from etlctl.engine.executors.workers import LocalExecutor
    import executor_house as house

    with context.use(context.Context(project=Path(sys.argv[1]))):
        executor = LocalExecutor(Path(sys.argv[1]), jobs=2)
        executor.submit(house.Hangs(name="ignores"), Attempt())
        executor.submit(house.StartsAndHangs(), Attempt())
        print(executor._pool._crew.template.pid, flush=True)
        executor.wait(60)
"""


@_LINUX
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_end_of_the_building_process_is_the_end_of_all(project: Path, token: str, signum: signal.Signals) -> None:
    """However it ends, in a moment: workers, their children, daemons among these (F11)."""
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_SUPERVISED), str(project)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    )
    assert program.stdout is not None
    session = int(program.stdout.readline())
    until = time.monotonic() + 60
    while not (project / "started").exists() or not list(project.glob("pid-*")):
        assert time.monotonic() < until
        time.sleep(0.02)

    program.send_signal(signum)
    program.wait(60)
    program.stdout.close()

    assert_no_orphans(token, session)


def test_close_ends_what_runs_at_once(project: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that obeys within moments, with its transaction rolled back: no grace is waited for."""
    monkeypatch.setattr(supervisor, "CLOSE_GRACE_S", 60.0)
    executor = LocalExecutor(project, jobs=2)
    session = template_of(executor)
    executor.submit(Sleeps(), Attempt())
    executor.submit(YieldsAndCleansUp(), Attempt())
    assert executor.wait(30) is not None
    with within(40):
        executor.close()
    assert_no_orphans(token, session)
    assert (project / "closed").exists()


@pytest.mark.parametrize(("kind", "count"), [(QuickFile, 600), (ShortFile, 200)])
@pytest.mark.parametrize(
    ("signum", "said"),
    [(signal.SIGKILL, "was killed by signal 9 (SIGKILL)"), (signal.SIGTERM, "signal 15 (SIGTERM)")],
)
def test_workers_killed_at_any_moment_fail_their_own_task_alone(
    workers: LocalExecutor, project: Path, kind: type[QuickFile], count: int, signum: int, said: str
) -> None:
    """Forty signals among many short tasks: each has one end, done or killed, and the run comes to its own (F10)."""
    (project / "out").mkdir()
    over = threading.Event()
    sent = []

    def kill_now_and_then() -> None:
        chance = random.Random(7)
        for _ in range(40):
            if over.wait(chance.uniform(0.001, 0.03)):
                return
            pids = [worker.pid for worker in list(pool_of(workers)._crew.workers.values()) if worker.pid]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(pids), signum)
                    sent.append(signum)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        summary = built(workers, *[kind(number=number) for number in range(count)])
    finally:
        over.set()
        killer.join()

    assert len(summary.results) == len({result.task for result in summary.results}) == count
    for result in summary.results:
        assert result.status == "OK" or said in result.reason
        assert result.status != "OK" or result.task.complete()
    assert sum(result.status != "OK" for result in summary.results) <= len(sent)


def test_task_that_holds_pythons_lock_keeps_no_thread_of_the_building_process(workers: LocalExecutor) -> None:
    """A C library that never lets go, for two seconds: whatever beats beside it goes on beating (F36)."""
    workers.submit(HoldsLock(), Attempt())
    beats = 0
    while (outcome := workers.wait(0.05)) is None:
        beats += 1

    assert outcome.failure is None
    assert outcome.active_s > 1.9
    assert beats > 3


def _resident_bytes() -> int:
    if not sys.platform.startswith("linux"):
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_project_of_the_tests_is_the_one_workers_see(workers: LocalExecutor) -> None:
    """Their context is that of the building process."""
    assert carried_out(workers, FileTask()).failure is None
    assert (context.current().project / "out").is_dir()
