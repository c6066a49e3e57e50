"""A Dask scheduler and its workers as processes of a test, on loopback, dead when the test's process is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etlctl import settings
from etlctl.engine.executors.dask import DaskExecutor
from servers.process import LOOPBACK, dies_with_parent

START_S = 60.0
_TESTS = Path(__file__).resolve().parent


class DaskServers:
    """One scheduler and any number of workers, each in a folder of its own; a context manager.

    Workers find the modules of tests, and nothing of the folder that a test runs in. What they print is in `output`.
    """

    def __init__(self, folder: Path, *, workers: int = 0) -> None:
        self.folder = folder
        self._wanted = workers
        self._processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> DaskServers:
        told = self.folder / "scheduler.json"
        words = ["--host", LOOPBACK, "--port", "0", "--no-dashboard", "--scheduler-file", str(told)]
        self.scheduler = self._start("dask_scheduler", "scheduler", words)
        self.address = json.loads(self._text_of(told))["address"]
        for _ in range(self._wanted):
            self.start_worker()
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self._processes):
            process.kill()  # a nanny's worker ends with it
            process.wait()

    @property
    def output(self) -> str:
        """What all of them have printed."""
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.out")))

    def start_worker(self, *, nanny: bool = True) -> subprocess.Popen[bytes]:
        """A worker of one thread; with a nanny it is started again when it dies."""
        name = f"worker{len(self._processes)}"
        words = [self.address, "--host", LOOPBACK, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
        words += ["--nanny" if nanny else "--no-nanny", "--death-timeout", "30", "--local-directory", name]
        return self._start("dask_worker", name, words)

    def _start(self, module: str, name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        folder.mkdir(parents=True)
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("ETLCTL_", "DASK_"))}
        variables |= {
            "PYTHONPATH": str(_TESTS),
            "DASK_CONFIG": str(folder / "no-config"),
            "DASK_TEMPORARY_DIRECTORY": str(folder),
        }
        with (self.folder / f"{name}.out").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
        self._processes.append(process)
        return process

    def _text_of(self, file: Path) -> str:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                text = file.read_text()
                if text.rstrip().endswith("}"):
                    return text
            time.sleep(0.02)
        raise AssertionError(f"no scheduler after {START_S:g} s:\n{self.output}")


def dask_on(address: str, project: Path, **more: Any) -> DaskExecutor:
    """An executor for a project without settings."""
    return DaskExecutor(settings.load(None, environ={}, cwd=project), address=address, **more)


def pids_in(file: Path) -> list[int]:
    """The pids that a task has written down, once there are any."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if file.exists() and (found := file.read_text().split()):
            return [int(pid) for pid in found]
        time.sleep(0.02)
    raise AssertionError(f"no {file}")
