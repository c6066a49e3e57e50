"""What the tests of targets share: a project folder of their own, child processes that die, small disks, strace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etlctl.core import context
from etlctl.db.connections import Databases
from etlctl.settings import ConnectionSettings, Secret
from etlctl.targets.mock import MockTarget

CHILD = """
import os, signal, sys
from pathlib import Path
from etlctl import faultpoints
from etlctl.core import context
from etlctl.errors import EtlctlError
from etlctl.targets.local import LocalTarget

def die_at(name):
    faultpoints.point = lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == name else None

in_place = context.use(context.Context(project=Path.cwd()))  # held: what is dropped is undone
in_place.__enter__()
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder and the project are one empty folder; no MockTarget holds anything."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    MockTarget.clear_all()
    warehouse = Databases(
        {"warehouse": ConnectionSettings("warehouse", Secret(f"sqlite:///{folder}/warehouse.db"))}, "warehouse", folder
    )
    with context.use(context.Context(project=Path(os.getcwd()), database=warehouse.get)):
        yield Path(os.getcwd())
    warehouse.close()
    MockTarget.clear_all()


@pytest.fixture
def child(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in a fresh process in the project folder, with `LocalTarget` and `die_at` at hand."""

    def run(code: str, *, under: tuple[str, ...] = (), cwd: Path = project) -> subprocess.CompletedProcess[str]:
        command = [*under, sys.executable, "-c", CHILD + code]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)

    return run


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(project: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    yield from _mounted(project / "small", "size=1m")


@pytest.fixture
def other_disk(project: Path) -> Iterator[Path]:
    """A file system that is not the project's."""
    yield from _mounted(project / "other", "size=8m")


@pytest.fixture
def strace(project: Path) -> tuple[str, ...]:
    """The start of a command that injects faults into system calls."""
    try:
        works = (
            subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        works = False
    if not works:
        pytest.skip("needs strace, and the right to trace")
    return ("strace", "-f", "-o", os.devnull)


def names(folder: Path | str = ".") -> list[str]:
    """What is in a folder, sorted; hidden names too."""
    return sorted(os.listdir(folder))


@pytest.fixture
def names_in() -> Callable[..., list[str]]:
    """`names`, as a fixture, since tests do not import this file."""
    return names
