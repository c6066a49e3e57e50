"""What the tests of S3 share: an empty project, and clients that end with the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etlctl.s3 import client
from etlctl.s3.address import S3Address, parse


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder is an empty project; its settings are what the environment says."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    client.close()


@pytest.fixture
def at(s3_url: str) -> Callable[[str], S3Address]:
    """The address of a name in the test's folder."""
    return lambda name: parse(s3_url + name)


@pytest.fixture
def every_at(every_s3_url: str) -> Callable[[str], S3Address]:
    """The same, of each service in turn."""
    return lambda name: parse(every_s3_url + name)


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in a fresh process, in the project and with its settings; `ObjectWriter`, `parse`, `die_at` at hand."""
    begin = (
        "import os, signal, sys\n"
        "from etlctl import faultpoints\n"
        "from etlctl.s3.address import parse\n"
        "from etlctl.s3.writer import ObjectWriter\n"
        "def die_at(name):\n"
        "    faultpoints.point = lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == name else None\n"
    )

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", begin + code, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)

    return run
