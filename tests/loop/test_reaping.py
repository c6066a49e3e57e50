"""etlctl as the first process of a container: an init stands before it, which hands signals on and reaps orphans."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from etlctl.loop.reaping import stand_before
from looping import PATIENCE_S, UNSHARE, environment, looping, make_project, why_not_first

BEGIN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from etlctl.loop.reaping import stand_before
if os.getpid() == 1:
    stand_before()
print("pid", os.getpid(), "parent", os.getppid(), flush=True)
"""

ORPHANS = """
def states():
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.append(path.read_text().rpartition(")")[2].split()[0])
        except OSError:  # reaped meanwhile
            pass
    return found

# each shell ends before the sleep it has begun: an orphan
for _ in range(30):
    subprocess.run(["sh", "-c", "sleep 0.2 &"])
ours = [subprocess.Popen(["sh", "-c", f"exit {code}"]) for code in range(1, 6)]
until = time.monotonic() + 30
while (left := states()).count("Z") != len(ours) or len(left) > len(ours) + 2:  # the init and this process
    if time.monotonic() > until:
        break
    time.sleep(0.05)
zombies, others = left.count("Z") - len(ours), len(left) - len(ours)
print("zombies", zombies, "others", others, "codes", [one.wait() for one in ours], flush=True)
"""
SLEEPS = "time.sleep(60)"
LEAVES = "sys.exit(7)"
IS_KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
COUNTS = """
got = []
signal.signal(signal.SIGINT, lambda *a: got.append(1))
signal.signal(signal.SIGTERM, lambda *a: got.append(15))
print("there", flush=True)
until = time.monotonic() + 30
while not got and time.monotonic() < until:
    time.sleep(0.05)
time.sleep(0.5)  # for one too many
print("got", got, flush=True)
"""


@pytest.fixture(autouse=True)
def _permitted() -> None:
    if why := why_not_first():
        pytest.skip(why)


def begun(body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*UNSHARE, sys.executable, "-c", BEGIN + body], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_orphans_are_reaped_and_no_status_is_stolen() -> None:
    """What subprocess has started keeps its exit code, however late it is asked for."""
    out, err = begun(ORPHANS).communicate(timeout=PATIENCE_S)

    assert out.splitlines()[1:] == ["zombies 0 others 2 codes [1, 2, 3, 4, 5]"], err
    assert out.splitlines()[0].endswith("parent 1")


@pytest.mark.parametrize(("body", "code"), [(LEAVES, 7), (IS_KILLED, 137)])
def test_exit_code_is_that_of_the_command(body: str, code: int) -> None:
    """A signal's is 128 more, as a shell says it."""
    process = begun(body)
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGQUIT, 131), (signal.SIGUSR1, 138)])
def test_signal_does_to_the_command_what_it_does_anywhere(number: signal.Signals, code: int) -> None:
    """The kernel would not give process 1 what it has no handler for."""
    with begun(SLEEPS) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()

            os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()), number)

            process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == code


def test_ctrl_c_of_a_terminal_comes_once() -> None:
    """And not a second time from the init: that would be the second signal, which ends at once."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, "-c", BEGIN + COUNTS])
    try:
        read_until(terminal, b"there")
        os.write(terminal, b"\x03")
        shown = read_until(terminal, b"]")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)

    assert b"got [1]" in shown


def read_until(terminal: int, what: bytes) -> bytes:
    shown = b""
    until = time.monotonic() + PATIENCE_S
    while what not in shown and time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            with suppress(OSError):
                shown += os.read(terminal, 4096)
    return shown


def test_command_line_as_process_1_has_an_init(tmp_path: Path) -> None:
    """The command itself is another process, and its output and code arrive."""
    ran = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "etlctl", "show", "Nothing"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert ran.stderr.startswith("etlctl: ")


def test_build_as_process_1_ends_gently(tmp_path: Path, sqlite_url: str) -> None:
    """As anywhere: the running task ends well, what follows is not begun, and the code is the signal's (F69)."""
    project = make_project(tmp_path, sqlite_url)
    command = [sys.executable, "-m", "etlctl", "build", "After"]
    with looping(command, project, 0, is_first=True) as build:
        build.wait_for((project / "started").exists, "the task")
        build.send(signal.SIGTERM)
        assert build.process.stderr is not None
        heard = any("once more stops it now" in line for line in build.process.stderr)
        (project / "may end").touch()
        ended = build.ended()

    assert (heard, ended.code) == (True, 143), ended
    assert (project / "Short.txt").exists() and not (project / "After.txt").exists()


def test_program_with_threads_stays_process_1() -> None:
    """A fork would lose them: a program around it looks after orphans itself."""
    body = f"""
import threading
may_end = threading.Event()
threading.Thread(target=may_end.wait).start()
{stand_before.__name__}()
may_end.set()
print(os.getpid(), flush=True)
"""
    process = subprocess.run(
        [*UNSHARE, sys.executable, "-c", BEGIN.replace("    stand_before()", "    pass") + body],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert process.stdout.splitlines()[-1] == "1", process
