"""Observers of installed distributions: found by entry point, told Luigi's calls, dropped when they raise."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

import etlctl
from etlctl.engine.observers import plugged_in
from etlctl.errors import EtlctlError

PACKAGE = '''
calls = []

class Told:
    """Some of Luigi's calls, and one of ours."""

    def task_scheduled(self, task):
        calls.append(("scheduled", task.task_family))

    def task_started(self, task, worker_host):
        calls.append(("started", task.task_family, bool(worker_host)))

    def task_finished(self, task, successful):
        calls.append(("finished", task.task_family, successful))

    def run_finished(self, summary):
        calls.append(("over", int(summary.exit_code)))

class Raises:
    def task_started(self, task, worker_host):
        calls.append(("raises",))
        raise RuntimeError("its server is away")

def broken():
    raise SystemExit("no configuration")
'''


class Good(etlctl.Task):
    """Ends well."""

    def run(self) -> None:
        pass


class Bad(etlctl.Task):
    """Does not."""

    def run(self) -> None:
        raise ValueError("no")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path that a distribution was installed into."""
    folder = tmp_path / "site-packages"
    info = folder / "watching-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "watching_things.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watching\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nwatch = watching_things:main\n\n"
        "[etlctl.observers]\na_broken = watching_things:broken\nb_raises = watching_things:Raises\n"
        "c_told = watching_things:Told\nd_missing = watching_nothing:Told\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "watching_things", raising=False)
    return folder


def test_observers_of_an_installed_distribution_are_told(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Scheduled, started, finished; one that raises, and two that cannot be loaded, are a logged line each."""
    monkeypatch.chdir(tmp_path)

    with caplog.at_level(logging.WARNING, "etlctl"):
        summary = etlctl.build([Good(), Bad()])

    import watching_things  # type: ignore[import-not-found]  # made by the fixture

    assert summary.exit_code == 1
    assert watching_things.calls == [
        ("scheduled", "Good"),
        ("scheduled", "Bad"),
        ("raises",),
        ("started", "Good", True),
        ("finished", "Good", True),
        ("started", "Bad", True),
        ("finished", "Bad", False),
        ("over", 1),
    ]
    said = [record.getMessage() for record in caplog.records if "observer" in record.getMessage()]
    assert said == [
        "the observer a_broken (watching_things:broken) cannot be used: SystemExit: no configuration",
        (
            "the observer d_missing (watching_nothing:Told) cannot be used: "
            "ModuleNotFoundError: No module named 'watching_nothing'"
        ),
        "the observer b_raises raised in task_started() and is told no more: RuntimeError: its server is away",
    ]


def test_observers_cost_no_import_where_there_are_none(tmp_path: Path) -> None:
    """A folder without any, one that is not there, a zip that needs a real look."""
    (tmp_path / "other-1.dist-info").mkdir()
    (tmp_path / "other-1.dist-info/entry_points.txt").write_text("[console_scripts]\netlctl.observers = x:y\n")

    assert plugged_in([str(tmp_path), str(tmp_path / "nowhere"), ""]) == []


def test_observers_whose_error_is_ours_are_told_by_its_sentence(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No name of a class before it."""
    observers = plugged_in([str(site)])
    import watching_things

    def refuse(self: object, task: object, worker_host: str) -> None:
        raise EtlctlError("set a token first")

    watching_things.Told.task_started = refuse
    with caplog.at_level(logging.WARNING, "etlctl"):
        for observer in observers:
            observer.task_started(Good(), etlctl.core.context.Attempt())

    assert "the observer c_told raised in task_started() and is told no more: set a token first" in caplog.messages
