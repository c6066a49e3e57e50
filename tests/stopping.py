"""A build in a process of its own, and the two signals that stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(project: Path, task: str) -> Iterator[subprocess.Popen[str]]:
    """A build in a process of its own, which does not outlive the block."""
    command = [sys.executable, "-m", "etlctl", "build", task]
    env = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(
        command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as build:
        try:
            yield build
        finally:
            build.kill()


def stopped_twice(build: subprocess.Popen[str]) -> float:
    """Sends two signals, the second when the first was heard; seconds from there to the end of the process.

    Where it does not end, the failure shows what its threads are at.
    """
    build.send_signal(signal.SIGTERM)
    assert build.stderr is not None
    heard = build.stderr.readline()
    assert "stopping when what runs has ended" in heard
    began = time.monotonic()
    build.send_signal(signal.SIGTERM)
    try:
        story = heard + build.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        build.send_signal(signal.SIGABRT)
        raise AssertionError(f"two signals did not end it:\n{build.communicate()[1]}") from None
    assert "Traceback" not in story, story
    return time.monotonic() - began
