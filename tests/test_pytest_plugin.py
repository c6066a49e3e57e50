"""Users' pytest: with the plugin `from pipelines.flights import LoadFlights` is the class that builds use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """\
import etlctl


class LoadFlights(etlctl.Task):
    day = etlctl.DateParameter()

    def output(self):
        return etlctl.MockTarget(f"flights {self.day}")

    def run(self):
        with self.output().open("w") as file:
            file.write("loaded")
"""

TEST = """\
import datetime

import etlctl
from pipelines.flights import LoadFlights


def test_load():
    task = LoadFlights(datetime.date(2013, 1, 2))
    assert etlctl.build([task])
    assert task.output().exists()


def test_same_class_as_in_the_registry():
    from pathlib import Path
    from etlctl.core.registry import Registry

    assert Registry.load(Path("pipelines").resolve()).find("LoadFlights") is LoadFlights


def test_the_folder_is_not_on_the_path():
    import sys
    from pathlib import Path

    assert str(Path("pipelines").resolve()) not in sys.path
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one pipeline and one test module, and a pytest.ini that makes it pytest's root folder."""
    for folder in ("pipelines", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "pipelines" / "flights.py").write_text(PIPELINE)
    (tmp_path / "tests" / "test_flights.py").write_text(TEST)
    return tmp_path


def run_pytest(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest as the user's, in a fresh process that has the project's folder nowhere on its path."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:hypothesispytest",
        *options,
    ]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=100)


def test_plugin_users_tests_import_their_pipelines(project: Path) -> None:
    """As soon as etlctl is installed, in the usual import mode and in the one that touches no path."""
    for options in ((), ("--import-mode=importlib", "tests")):
        done = run_pytest(project, *options)
        assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_plugin_a_conftest_may_import_pipelines(project: Path) -> None:
    """The package is there before the first conftest.py is loaded."""
    (project / "tests" / "conftest.py").write_text("from pipelines.flights import LoadFlights\n")
    done = run_pytest(project)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_plugin_follows_the_settings(project: Path) -> None:
    """`[pipelines] path` names another folder."""
    (project / "pipelines").rename(project / "flows")
    (project / "config").mkdir()
    (project / "config" / "etlctl.toml").write_text('[pipelines]\npath = "flows"\n')
    (project / "tests" / "test_flights.py").write_text(
        "from flows.flights import LoadFlights\n\n\ndef test_it():\n    assert LoadFlights.task_family\n"
    )
    done = run_pytest(project)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_plugin_without_pipelines_does_nothing(tmp_path: Path) -> None:
    """A project that has nothing to do with etlctl is tested as if it were not installed."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    done = run_pytest(tmp_path, "-W", "error")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "warning" not in done.stdout


def test_plugin_settings_that_cannot_be_read_are_a_warning(project: Path) -> None:
    """Tests that need no pipeline still run; the sentence says what is wrong."""
    (project / "etlctl.toml").write_text("oops = 1\n")
    (project / "tests" / "test_flights.py").write_text("def test_it():\n    pass\n")
    done = run_pytest(project)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert said.count("Warning: etlctl: the tests cannot import the pipelines folder") == 1
    assert "oops" in said
