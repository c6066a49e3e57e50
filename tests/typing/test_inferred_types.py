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


Errors = list[tuple[int, str]]
"""Line and message of each."""


def mypy(*files: Path, cache: Path) -> list[Errors]:
    """The errors of each file, from one run over all: what they import is read once."""
    # errors of other files are not this test's, nor are the repository's own settings
    options = ["--strict", "--no-error-summary", "--follow-imports=silent", "--config-file=", f"--cache-dir={cache}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--show-absolute-path", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1) and done.stderr == "", done.stderr
    lines = [line.split(":", 3) for line in done.stdout.splitlines() if ": error: " in line]
    assert {Path(name) for name, *_ in lines} <= set(files), done.stdout
    return [[(int(number), told) for name, number, *_, told in lines if Path(name) == file] for file in files]


def pyright(*files: Path) -> list[Errors]:
    """The same; where pyright (a Node program) cannot run it skips, and in CI it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    try:
        report = json.loads(done.stdout)
        found, looked_at = report["generalDiagnostics"], report["summary"]["filesAnalyzed"]
    except (ValueError, KeyError):
        why = f"pyright cannot run here: {(done.stderr or done.stdout).strip()[-200:]}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    assert looked_at == len(files)
    errors = [
        (Path(item["file"]), item["range"]["start"]["line"] + 1, item["message"])
        for item in found
        if item["severity"] == "error"
    ]
    return [[(line, message) for place, line, message in errors if place == file] for file in files]


@pytest.fixture
def mistakes(tmp_path: Path) -> Path:
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES)
    return file


def test_mypy_strict_infers_every_kind_and_finds_the_mistakes(mistakes: Path, tmp_path: Path) -> None:
    """A kind is not Any: wrong use is an error at its line, and at no other."""
    sample, wrong = mypy(SAMPLE, mistakes, cache=tmp_path / "cache")

    assert sample == []
    assert {line for line, _ in wrong} == MISTAKEN_LINES


def test_pyright_infers_every_kind_and_finds_the_mistakes(mistakes: Path) -> None:
    """The same."""
    sample, wrong = pyright(SAMPLE, mistakes)

    assert sample == []
    assert {line for line, _ in wrong} == MISTAKEN_LINES
