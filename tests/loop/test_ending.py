"""What a loop's end is made of: waits that signals wake, a grace, and a watch that does not count on handlers."""

from __future__ import annotations

import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO

import pytest

from etlctl.errors import ExitCode
from etlctl.loop.ending import Ending

PROGRAM = """
import os, sys, time
from etlctl.core.interruption import heard
from etlctl.loop.ending import Ending

ending = Ending(float(sys.argv[1]), on_end=lambda: os.write(1, b"told\\n"))
try:
    with ending:
        print("there", flush=True)
        {body}
except KeyboardInterrupt as error:
    heard(error)
    print("cut short" if ending.is_cut_short else "interrupted", flush=True)
sys.exit(ending() or 0)
"""
NEVER_PYTHON = """import sqlite3, threading
        connection = sqlite3.connect(":memory:")
        def tells():
            began = time.process_time()
            while time.process_time() - began < 0.2:  # so much is used by the statement alone
                time.sleep(0.02)
            print("begun", flush=True)
        threading.Thread(target=tells, daemon=True).start()
        connection.execute(
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c").fetchone()"""
LEAVES_A_THREAD = """import threading
        threading.Thread(target=time.sleep, args=(60,)).start()
        ending.wait(60)"""
SLEEPS = "time.sleep(60)"
USES_ASYNCIO = """import asyncio, signal
        async def waits():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, print)
            loop.remove_signal_handler(signal.SIGUSR1)
            await asyncio.sleep({seconds})
        asyncio.run(waits())
        time.sleep(60)"""
IS_IGNORED = """import signal
        print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, flush=True)"""
FORKS = """import os, signal
        def ended(pause_s):
            pid = os.fork()
            while pid == 0:
                time.sleep(0.05)  # a signal that comes just before it begins to wait would be heard after it
            time.sleep(pause_s)
            os.kill(pid, signal.SIGTERM)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        codes = {ended(0) for _ in range(20)} | {ended(0.2)}  # many get it before they have run at all
        print(codes, ending(), flush=True)"""
POOL = """import multiprocessing
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.apply_async(time.sleep, (60,))
            time.sleep(0.3)
        print(ending(), flush=True)"""
TAKES_NO_HEED = """while True:
            try:
                print("begun", flush=True)
                time.sleep(60)
            except BaseException: print("no heed", flush=True)"""
HAS_TIME = "import etlctl.loop.ending as limits; limits.HEARD_S = limits.LEAVE_S = 40\n        "
"""For a busy machine, where it is not the watch that ends the process."""
PATIENCE_S = 25.0
"""What a busy machine may need for what takes 3 s at most; less than the graces and sleeps that are not waited for."""


def ran(
    body: str, *numbers: int, begins: str = "there", answers: Sequence[str] = (), grace_s: float = 1.0
) -> tuple[int, float, str]:
    """Exit code, seconds from the first of the signals on, and what it wrote.

    The first signal is sent when it has said `begins`, and each further one when it has said its part of `answers`.
    """
    assert len(answers) == max(0, len(numbers) - 1)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("{body}", body), str(grace_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = _read_until(begins, process.stdout)
            began = time.monotonic()
            for number, answer in zip_longest(numbers, answers):
                process.send_signal(number)
                said += _read_until(answer, process.stdout) if answer else ""
            said += process.communicate(timeout=60)[0]
        finally:
            process.kill()
    return process.returncode, time.monotonic() - began, said


def _read_until(begin: str, stream: IO[str]) -> str:
    read = ""
    for line in stream:
        read += line
        if line.startswith(begin):
            return read
    raise AssertionError(f"it ended before it said {begin!r}: {read}")


def test_end_does_not_wait_for_python_code() -> None:
    """A statement that SQLite computes for ever keeps the handlers from running: the watch ends the process."""
    code, took_s, out = ran(NEVER_PYTHON, signal.SIGTERM, begins="begun")

    assert (code, 1 <= took_s < PATIENCE_S) == (143, True), out
    assert "told\n" in out and "what runs did not end in time" in out


def test_second_signal_does_not_wait_for_python_code() -> None:
    """Nor for the grace; the code is that of the first."""
    code, took_s, out = ran(NEVER_PYTHON, signal.SIGINT, signal.SIGTERM, begins="begun", answers=["told"], grace_s=30)

    assert (code, took_s < PATIENCE_S) == (130, True), out


def test_grace_that_is_over_ends_what_runs() -> None:
    """By the exception that a second signal raises."""
    code, took_s, out = ran(HAS_TIME + SLEEPS, signal.SIGTERM)

    assert (code, 1 <= took_s < PATIENCE_S, out.splitlines()[-1]) == (143, True, "cut short")


@pytest.mark.parametrize("seconds", [0, 60], ids=["after it", "within it"])
def test_event_loop_of_a_task_keeps_no_signal_from_the_watch(seconds: int) -> None:
    """asyncio takes the wake-up descriptor for itself, and leaves none."""
    code, took_s, out = ran(USES_ASYNCIO.replace("{seconds}", str(seconds)), signal.SIGTERM)

    assert (code, 1 <= took_s < PATIENCE_S) == (143, True), out


def test_thread_that_a_task_has_left_does_not_keep_the_process() -> None:
    """Python would wait for it."""
    code, took_s, out = ran(LEAVES_A_THREAD, signal.SIGTERM, grace_s=30)

    assert (code, took_s < PATIENCE_S) == (143, True), out
    assert "etlctl: what was still open did not end in time; left without it." in out


def test_third_signal_ends_what_takes_no_heed() -> None:
    """At once, by the signal itself."""
    code, took_s, out = ran(
        HAS_TIME + TAKES_NO_HEED,
        *[signal.SIGTERM] * 3,
        begins="begun",
        answers=["etlctl: stopping", "no heed"],
        grace_s=30,
    )

    assert (code, took_s < PATIENCE_S) == (-signal.SIGTERM, True), out


@pytest.mark.parametrize(("body", "told"), [(FORKS, "{-15} None"), (POOL, "None")], ids=["fork", "multiprocessing"])
def test_signal_to_a_process_that_a_task_forked_is_not_ours(body: str, told: str) -> None:
    """It ends that process, and not the loop."""
    code, _, out = ran(body)

    assert (code, out) == (0, f"there\n{told}\n")


def test_signal_that_was_ignored_stays_so() -> None:
    """A shell starts what runs in the background so."""
    command = [sys.executable, "-c", PROGRAM.replace("{body}", IS_IGNORED), "1"]

    out = subprocess.run(["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command], capture_output=True, text=True).stdout

    assert out == "there\nTrue\n"


# -- in this process


def waited(ending: Ending, seconds: float) -> float:
    began = time.monotonic()
    ending.wait(seconds)
    return time.monotonic() - began


def soon(do: Callable[[], object]) -> None:
    threading.Timer(0.2, do).start()


def test_wait_returns_when_its_time_is_over_and_not_before() -> None:
    with Ending(1) as ending:
        assert 0.2 <= waited(ending, 0.2) < 5
        assert waited(ending, -1) < 5


@pytest.mark.parametrize("is_before", [True, False])
def test_wake_ends_a_wait(is_before: bool) -> None:
    """Also one that has not begun; and only one."""
    with Ending(1) as ending:
        if is_before:
            ending.wake()
        else:
            soon(ending.wake)

        assert waited(ending, 60) < 20
        assert waited(ending, 0.2) >= 0.2


def test_hang_up_is_told_once_and_ends_nothing() -> None:
    with Ending(1) as ending:
        soon(lambda: os.kill(os.getpid(), signal.SIGHUP))

        assert waited(ending, 60) < 20
        assert (ending.take_reload(), ending.take_reload(), ending()) == (True, False, None)


def test_no_reload_is_told_once_the_end_was_asked_for() -> None:
    """What has ended reads nothing anew."""
    with Ending(30, leave=lambda code: None, says=lambda text: None) as ending:
        ending._hung_up(signal.SIGHUP, None)
        ending.end()

        assert not ending.take_reload()


def test_patience_of_an_end_is_what_is_left_of_the_grace() -> None:
    """For ever without an end; from it on less and less, and never to the very end."""
    with Ending(30, leave=lambda code: None, says=lambda text: None) as ending:
        before = ending.patience_s()
        ending.end()
        first = ending.patience_s()
        time.sleep(0.05)
        second = ending.patience_s()

    assert before == math.inf
    assert 30 > first > second > 0


def test_end_from_a_thread_is_as_a_signal() -> None:
    """The wait ends, later ones do not begin; the process has its time from then on."""
    left: queue.Queue[int] = queue.Queue()
    told = threading.Event()
    with Ending(30, on_end=told.set, leave=left.put) as ending:
        soon(ending.end)

        assert waited(ending, 60) < 20
        assert waited(ending, 60) < 20
        assert ending() is ExitCode.TERMINATED
        assert told.wait(20)

    assert left.get(timeout=20) == 143


def test_ending_without_a_signal_leaves_nothing_behind() -> None:
    """Handlers, threads, descriptors and the wake-up descriptor are as before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGURG)

    def now() -> object:
        fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(fd)
        files = len(os.listdir("/proc/self/fd")) if Path("/proc").exists() else 0
        return [signal.getsignal(one) for one in numbers], files, fd

    before, threads = now(), set(threading.enumerate())  # threads of the test before may be ending just now
    with Ending(1) as ending:
        ending.wait(0)

    assert now() == before
    assert set(threading.enumerate()) <= threads
    ending.wake()
