"""A loop in a process of its own, as process 1 of its own PID namespace where that is permitted, and signals to it."""

from __future__ import annotations

import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.process import free_port

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
PATIENCE_S = 60.0
"""For what takes a second on a machine with nothing else to do."""
SOON_S = 20.0
"""The same, for what would take longer if it waited for what it must not wait for: a grace, or a task, of 60 s."""

TASKS = """
import time
from pathlib import Path

from etlctl import LoadTable, LocalTarget, Task, requires


class Quick(Task):
    def output(self):
        return LocalTarget("quick.txt")

    def run(self):
        print("quick")
        self.output().open("w").close()


class Slow(Task):
    seconds = 60

    def output(self):
        return LocalTarget(f"{type(self).__name__}.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")
            Path("started").touch()
            for _ in range(self.seconds * 20):
                time.sleep(0.05)


class Short(Task):
    def output(self):
        return LocalTarget("Short.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")
            Path("started").touch()
            for _ in range(1200):
                if Path("may end").exists():
                    break
                time.sleep(0.05)


@requires(Short)
class After(Slow):
    pass


class Stubborn(Task):
    def output(self):
        return LocalTarget("stubborn.txt")

    def run(self):
        Path("started").touch()
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass


class Failing(Task):
    def run(self):
        raise ValueError("bad data")


class Copying(LoadTable):
    columns = {"n": "integer"}

    def rows(self):
        for n in range(10_000_000):
            if n > 300_000:
                time.sleep(0.01)
            yield (n,)
"""


@functools.cache
def why_not_first() -> str:
    """Why no process can be process 1 of a namespace here; empty where it can."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return "PID namespaces and unshare(1) are Linux's"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, timeout=60)
    return f"no PID namespace: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True)
class Ended:
    """How it ended; `took_s` is from the first signal on."""

    code: int
    took_s: float
    out: str
    err: str


class Looping:
    """A loop under way."""

    def __init__(self, process: subprocess.Popen[str], pid: int, port: int) -> None:
        self.process = process
        self.pid = pid
        """Of the process that signals are sent to."""
        self.port = port
        self._first_at: float | None = None

    def document(self) -> dict[str, Any]:
        """What its health says; empty while it does not answer yet."""
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/ready")
                found: dict[str, Any] = json.loads(connection.getresponse().read())
                return found
            finally:
                connection.close()
        return {}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Returns when it holds; a loop that ended before, or time that is over, is a failure that shows what it
        wrote."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(f"{what} did not come: {self.document()} {self.process.communicate()}")
            time.sleep(0.03)

    def wait_for_turn(self) -> None:
        """Until its first turn has ended, and it waits for the next."""

        def has_ended() -> bool:
            document = self.document()
            turns = document.get("schedules", {}).values()
            return bool(turns) and document["ready"] and all(one["code"] is not None for one in turns)

        self.wait_for(has_ended, "the end of its first turn")

    def send(self, number: signal.Signals) -> None:
        """As `docker stop` does."""
        self._first_at = self._first_at or time.monotonic()
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Whatever is left of it, and of a shell or an unshare around it."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # process 1: its namespace goes with it
            self.process.kill()

    def ended(self) -> Ended:
        """Waits for its end."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end: {self.process.communicate()}") from None
        return Ended(self.process.returncode, time.monotonic() - (self._first_at or 0), out, err)


@contextmanager
def looping(command: Sequence[str], project: Path, port: int, *, is_first: bool = False) -> Iterator[Looping]:
    """Starts it in `project`; it does not outlive the block."""
    words = [*UNSHARE, *command] if is_first else list(command)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    try:
        started = subprocess.Popen(
            words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with started as process:
        loop = Looping(process, _child_of(process.pid) if is_first else process.pid, port)
        try:
            yield loop
        finally:
            loop.kill()


def environment() -> dict[str, str]:
    """This process's without what would choose other settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ETLCTL_")}


def loop_of(task: str, *, grace_s: float, jobs: int = 1) -> tuple[list[str], int]:
    """The command of a loop that asks for `task` twice a day (for what the settings say, where there is none), and the
    port of its health."""
    port = free_port()
    asked = f"{task} --every 12h" if task else ""
    words = f"loop {asked} --grace {grace_s:g}s -j {jobs} --health-port {port}"
    return [sys.executable, "-m", "etlctl", *words.split()], port


def make_project(folder: Path, warehouse: str, state: str = "") -> Path:
    """A project of TASKS."""
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "looped.py").write_text(TASKS)
    (folder / "config").mkdir()
    told = f'[state]\nurl = "{state}"\n' if state else ""
    (folder / "config" / "etlctl.toml").write_text(
        f'default_connection = "warehouse"\n{told}[connections.warehouse]\nurl = "{warehouse}"\n'
    )
    return folder


def _child_of(pid: int) -> int:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    until = time.monotonic() + PATIENCE_S
    while not (found := listed.read_text().split()):
        if time.monotonic() > until:
            raise TimeoutError("unshare has no child")
        time.sleep(0.005)
    return int(found[0])
