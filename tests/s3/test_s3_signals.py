"""Signals in the middle of an upload: nothing is published, and no part is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from etlctl.s3.address import S3Address
from servers.s3 import S3Service

At = Callable[[str], S3Address]

PIPELINE = """
import os, time
from pathlib import Path
from etlctl import S3Target, Task

class Uploads(Task):
    def output(self):
        return S3Target(os.environ["TEST_OBJECT"])

    def run(self):
        with self.output().open("wb") as file:
            file.write(os.urandom(9 * 2**20))
            Path("uploading").touch()
            time.sleep(60)
"""


def begun(command: list[str], folder: Path, address: S3Address) -> subprocess.Popen[str]:
    """The process, in the middle of its upload."""
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "TEST_OBJECT": str(address)}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (folder / "uploading").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_signals_to_a_build_abort_the_upload(
    at: At, s3_server: S3Service, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The second one stops the running task, whose upload is aborted; the exit code is that of the signal."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "uploads.py").write_text(PIPELINE)
    process = begun([sys.executable, "-m", "etlctl", "build", "Uploads"], tmp_path, at("one"))
    assert len(s3_server.uploads(at("").bucket)) == 1

    process.send_signal(number)
    time.sleep(0.5)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)

    assert process.returncode == code and "Traceback" not in told, told
    assert not s3_server.keys(at("").bucket) and not s3_server.uploads(at("").bucket)


def test_signals_to_a_script_abort_the_upload(at: At, s3_server: S3Service, tmp_path: Path) -> None:
    """Ctrl-C in a program of the user's own."""
    script = PIPELINE + "\nUploads().run()\n"
    process = begun([sys.executable, "-c", script], tmp_path, at("one"))

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode != 0
    assert not s3_server.keys(at("").bucket) and not s3_server.uploads(at("").bucket)
