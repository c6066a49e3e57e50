"""mypy and pyright know what each parameter is on a task, with no plugin and no annotation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).with_name("inferred_types.py")
ROOT = Path(__file__).parents[2]

MISTAKES = """
import datetime as dt
from etlctl.core.parameters import DateParameter, IntParameter, OptionalDateParameter
from etlctl.core.task import Task


class Load(Task):
    date = DateParameter()
    maybe = OptionalDateParameter()
    number = IntParameter(default="five")

    def run(self) -> None:
        wrong: str = self.date
        print(self.maybe.year)


Load().date = 5
"""
FIRST_MISTAKE = 10  # the number of the line with "five"
MISTAKEN_LINES = {FIRST_MISTAKE, FIRST_MISTAKE + 3, FIRST_MISTAKE + 4, FIRST_MISTAKE + 7}


def mypy(file: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    # errors of other files are not this test's, nor are the repository's own settings
    options = ["--strict", "--no-error-summary", "--follow-imports=silent", "--config-file=", f"--cache-dir={cache}"]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def pyright(file: Path) -> list[tuple[int, str]]:
    """Line and message of each error; where pyright (a Node program) cannot run it skips, and in CI it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    try:
        found = json.loads(done.stdout)["generalDiagnostics"]
    except (ValueError, KeyError):
        why = f"pyright cannot run here: {(done.stderr or done.stdout).strip()[-200:]}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    return [
        (item["range"]["start"]["line"] + 1, item["message"])
        for item in found
        if item["severity"] == "error" and Path(item["file"]) == file
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


@pytest.fixture
def mistakes(tmp_path: Path) -> Path:
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES)
    return file


def test_mypy_strict_infers_every_kind(cache: Path) -> None:
    done = mypy(SAMPLE, cache)

    assert (done.stdout, done.returncode) == ("", 0), done.stdout + done.stderr


def test_mypy_finds_the_mistakes(mistakes: Path, cache: Path) -> None:
    """A kind is not Any: wrong use is an error at its line, and at no other."""
    lines = {int(line.split(":")[1]) for line in mypy(mistakes, cache).stdout.splitlines() if ": error: " in line}

    assert lines == MISTAKEN_LINES


def test_pyright_infers_every_kind() -> None:
    assert pyright(SAMPLE) == []


def test_pyright_finds_the_mistakes(mistakes: Path) -> None:
    assert {line for line, _ in pyright(mistakes)} == MISTAKEN_LINES
