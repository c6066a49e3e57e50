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


FOLDER_TEST = """\
import os

import etlctl
from pipelines.flights import Copied


def test_paths_start_at_the_project(tmp_path, monkeypatch):
    assert Copied("a").output().exists() is False
    assert etlctl.build([Copied("a")])
    assert Copied("a").output().exists()
    monkeypatch.chdir(tmp_path)
    assert not Copied("a").output().exists()
    assert etlctl.build([Copied("a")], settings=None).exit_code == 3
"""
FOLDER_PIPELINE = """\
import etlctl


class Given(etlctl.ExternalTask):
    def output(self):
        return etlctl.LocalTarget("data/given.txt")


class Copied(etlctl.Task):
    name = etlctl.Parameter()

    def requires(self):
        return Given()

    def output(self):
        return etlctl.LocalTarget(f"out/{self.name}.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A project in the folder p8, of pipelines, data and tests alone: no settings, nothing that pytest goes by."""
    project = tmp_path / "p8"
    for folder in ("pipelines", "tests/deep", "data"):
        (project / folder).mkdir(parents=True)
    (project / "pipelines" / "flights.py").write_text(FOLDER_PIPELINE)
    (project / "data" / "given.txt").write_text("given")
    (project / "tests" / "deep" / "test_paths.py").write_text(FOLDER_TEST)
    return project


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
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=280)


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


@pytest.mark.parametrize(
    ("start", "options"),
    [
        ("p8", ()),
        ("p8/tests", (".",)),
        ("p8/tests", ()),
        ("p8/tests/deep", ("test_paths.py::test_paths_start_at_the_project",)),
        (".", ("p8/tests",)),
        ("p8/tests", ("--rootdir=.",)),
    ],
)
def test_plugin_finds_the_project_from_where_pytest_is_started(
    bare: Path, start: str, options: tuple[str, ...]
) -> None:
    """Pipelines are importable and relative paths are the project's; another folder is its own."""
    done = run_pytest(bare.parent / start, *options)

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert (bare / "out" / "a.txt").exists()


def test_plugin_finds_a_project_within_what_pytest_takes_for_its_root(bare: Path) -> None:
    """A repository with pytest's settings at its top and the project in a folder of it."""
    (bare.parent / "pytest.ini").write_text("[pytest]\n")

    for start, options in ((bare.parent, ("p8/tests",)), (bare / "tests", ())):
        done = run_pytest(start, *options)
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        (bare / "out" / "a.txt").unlink()


def test_plugin_looks_no_higher_than_the_repository(bare: Path) -> None:
    """Another project's pipelines further up are none of this one's."""
    inner = bare / "other"
    (inner / ".git").mkdir(parents=True)
    (inner / "test_it.py").write_text("import sys\n\n\ndef test_it():\n    assert 'pipelines' not in sys.modules\n")

    done = run_pytest(inner)

    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("start", "option"), [("p8/tests", "."), (".", "p8/tests")])
def test_plugin_works_in_workers(bare: Path, start: str, option: str) -> None:
    """pytest-xdist's processes have the same project."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", option]
    folder = bare.parent / start
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=280)

    assert "1 passed" in done.stdout, done.stdout + done.stderr
