"""etlctl on a terminal of its own: the live display, colours, and what stays when it is over."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

from cli.project import Project, environment

SLOW = '''
import time

from etlctl import LocalTarget, Task
from etlctl.core import context


class Slow(Task):
    """Half a second of rows."""

    def run(self):
        print("a word from the task")
        for number in range(1, 11):
            context.attempt().rows = number * 1000
            time.sleep(0.05)
'''
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    project: Project, *words: str, columns: int = 100, env: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and all that a terminal of so many columns received."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "etlctl", *words],
        cwd=project.folder,
        env=environment({"TERM": "xterm-256color", **(env or {})}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        close_fds=True,
    )
    os.close(slave)
    received = b""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not chunk:
                break
            received += chunk
        elif process.poll() is not None:
            break
    os.close(master)
    return process.wait(timeout=60), received.decode("utf-8")


def test_build_on_a_terminal_is_live_and_ends_in_the_summary(empty_project: Project) -> None:
    """n of N, the running task with its rows while it runs; its line and the counts when it is over."""
    empty_project.pipeline(SLOW)

    code, text = on_terminal(empty_project, "build", "Slow")

    plain = ESCAPES.sub("", text)
    assert code == 0
    assert re.search(r"BUILD  Slow   \[-{16}\] 0/1   0:\d\d", plain)
    assert re.search(r" RUN   Slow\(\)   [1-9],000 rows", plain)
    assert "a word from the task" in plain
    assert re.search(r"1/1  OK       Slow\(\) +10,000 rows +[\d.]+ s", plain)
    assert plain.rstrip().splitlines()[-1].startswith("OK=1 FAIL=0")
    assert "\x1b[32m" in text


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_they_are_not_wanted(empty_project: Project, env: dict[str, str]) -> None:
    """NO_COLOR and a dumb terminal get no colours; a dumb one gets no escape at all."""
    empty_project.pipeline(SLOW)

    code, text = on_terminal(empty_project, "build", "Slow", env=env)

    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", text)
    if env.get("TERM") == "dumb":
        assert "\x1b" not in text


def test_narrow_terminal_folds(project: Project) -> None:
    """At 60 columns no line is wider."""
    code, text = on_terminal(project, "plan", "Report", "--date", "2013-01-01..03", columns=60)

    lines = ESCAPES.sub("", text).splitlines()
    assert code == 0
    assert max(len(line) for line in lines if not line.startswith("run it")) <= 60
    assert "data/{date}.csv is" in " ".join(lines)


def test_an_error_is_folded_between_words_on_a_terminal(project: Project) -> None:
    """It goes to stderr, which has a width of its own; a pipe gets it whole."""
    words = ("build", "Flights", "--date", "2013-13-01")

    code, text = on_terminal(project, *words, columns=60)

    lines = text.replace("\r", "").splitlines()
    assert code == 2 and len(lines) > 2
    assert all(len(line) <= 60 for line in lines), lines
    assert " ".join(line.strip() for line in lines) == " ".join(project.run(*words).err.split())


def test_list_on_a_terminal_is_plain(project: Project) -> None:
    """The list is the quickest command: no colour, folded to the width."""
    code, text = on_terminal(project, "list", columns=60)

    assert code == 0
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 60


def test_build_ends_in_order_when_its_terminal_goes_away(empty_project: Project) -> None:
    """The window is closed while a task writes its file: the task ends well, nothing is left behind, exit 129."""
    empty_project.pipeline("""
        import time
        from pathlib import Path

        from etlctl import LocalTarget, Task

        class Writing(Task):
            def output(self):
                return LocalTarget("out/made.txt")

            def run(self):
                with self.output().open("w") as file:
                    file.write("half")
                    Path("started").touch()
                    until = time.monotonic() + 60
                    while not Path("gone").exists() and time.monotonic() < until:
                        time.sleep(0.02)
                    print("still here")
    """)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "etlctl", "build", "Writing"],
        cwd=empty_project.folder,
        env=environment({"TERM": "xterm-256color"}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    deadline = time.monotonic() + 60
    while not (empty_project.folder / "started").exists() and time.monotonic() < deadline:
        if select.select([master], [], [], 0.02)[0]:
            os.read(master, 4096)

    os.close(master)
    (empty_project.folder / "gone").touch()

    assert process.wait(timeout=60) == 129
    assert [place.name for place in (empty_project.folder / "out").iterdir()] == ["made.txt"]
