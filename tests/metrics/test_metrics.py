"""Figures for Prometheus, read back by prometheus_client's own parser."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.project import Project
from etlctl import IntParameter, Task
from etlctl.core.context import Attempt
from etlctl.core.results import RunSummary, Status, TaskResult
from etlctl.errors import ExitCode
from etlctl.metrics import Metrics, textfile
from etlctl.metrics.exposition import figures_of, text_of
from etlctl.metrics.figures import ALL, MOST_FAMILIES, Figures, Kind

NOW = 1_700_000_000.0
DUE = datetime.fromtimestamp(NOW - 90, UTC)


class Load(Task):
    """Counted by its family, never by its day."""

    day = IntParameter(default=1)


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(*results: TaskResult, interrupted: ExitCode | None = None) -> RunSummary:
    """The end of a run."""
    return RunSummary("20261123T050000-ab12", results, datetime.fromtimestamp(NOW, UTC), 12.5, interrupted)


def tell(metrics: Metrics, *results: TaskResult) -> None:
    """A run with these results."""
    metrics.run_started("r", [], [])
    for number, result in enumerate(results, 1):
        if result.status is not Status.UPTODATE:
            metrics.task_started(result.task, Attempt())
            metrics.task_finished(result, number, len(results))
    metrics.run_finished(ended(*results))


def ok(day: int = 1, duration_s: float = 0.7) -> TaskResult:
    """It loaded ten rows."""
    return TaskResult(Load(day), Status.OK, rows=10, duration_s=duration_s)


def test_metrics_of_a_run_are_read_back_by_the_parser() -> None:
    """Tasks by family and status, rows, durations, the last success, the run's code and time."""
    metrics = Metrics(clock=lambda: NOW)
    failed = TaskResult(Load(2), Status.FAIL, "no", duration_s=20.0, exit_code=ExitCode.FAILED)

    tell(metrics, TaskResult(Load(3), Status.UPTODATE), ok(), failed)

    found = values(metrics.text())
    family = ("family", "Load")
    assert found["etlctl_tasks_total", (family, ("status", "ok"))] == 1
    assert found["etlctl_tasks_total", (family, ("status", "fail"))] == 1
    assert found["etlctl_tasks_total", (family, ("status", "uptodate"))] == 1
    assert found["etlctl_task_rows_total", (family,)] == 10
    assert found["etlctl_task_duration_seconds_count", (family,)] == 2
    assert found["etlctl_task_duration_seconds_sum", (family,)] == pytest.approx(20.7)
    assert found["etlctl_task_duration_seconds_bucket", (family, ("le", "1.0"))] == 1
    assert found["etlctl_task_duration_seconds_bucket", (family, ("le", "60.0"))] == 2
    assert found["etlctl_task_duration_seconds_bucket", (family, ("le", "+Inf"))] == 2
    assert found["etlctl_task_last_success_timestamp_seconds", (family,)] == NOW
    assert found["etlctl_runs_total", (("exit_code", "1"),)] == 1
    assert found["etlctl_last_run_exit_code", ()] == 1
    assert found["etlctl_last_run_duration_seconds", ()] == 12.5
    assert found["etlctl_last_run_end_timestamp_seconds", ()] == NOW


def test_metrics_of_a_loop_tell_how_late_it_is() -> None:
    """Lateness, turns by their exit codes, the next one, missed deadlines, whether the state can be reached."""
    metrics = Metrics(clock=lambda: NOW)

    metrics.settings_loaded()
    metrics.state_reachable(True)
    metrics.turn_began("nightly", DUE)
    metrics.turn_ended("nightly", ExitCode.DONE, None)
    metrics.turn_ended("nightly", ExitCode.BLOCKED, None)
    metrics.next_due("nightly", DUE)
    metrics.deadline_missed("nightly")
    metrics.state_reachable(False, "gone")

    found, nightly = values(metrics.text()), ("schedule", "nightly")
    assert found["etlctl_schedule_lateness_seconds", (nightly,)] == 90
    assert found["etlctl_schedule_turns_total", (("exit_code", "0"), nightly)] == 1
    assert found["etlctl_schedule_turns_total", (("exit_code", "3"), nightly)] == 1
    assert found["etlctl_schedule_last_success_timestamp_seconds", (nightly,)] == NOW
    assert found["etlctl_schedule_next_due_timestamp_seconds", (nightly,)] == NOW - 90
    assert found["etlctl_schedule_deadlines_missed_total", (nightly,)] == 1
    assert found["etlctl_state_reachable", ()] == 0


def test_names_follow_the_conventions_of_prometheus() -> None:
    """https://prometheus.io/docs/practices/naming: a prefix, base units, `_total` for counters alone."""
    for figure in ALL:
        assert re.fullmatch(r"etlctl_[a-z]+(_[a-z]+)*", figure.name), figure.name
        assert not figure.name.endswith("_total"), figure.name
        assert figure.help.endswith("."), figure.name
        assert figure.kind is not Kind.HISTOGRAM or figure.name.endswith("_seconds"), figure.name
        assert set(figure.labels) <= {"family", "status", "exit_code", "schedule"}, figure.name


def test_labels_are_bounded() -> None:
    """Ten thousand days of a task are one family; families beyond a thousand are counted as `other`."""
    metrics = Metrics()
    kinds = [type(f"Kind{number}", (Task,), {"__module__": __name__}) for number in range(MOST_FAMILIES + 20)]

    for day in range(200):
        metrics.task_finished(ok(day), 1, 1)
    for kind in kinds:
        metrics.task_finished(TaskResult(kind(), Status.OK), 1, 1)

    families = {dict(labels).get("family") for _, labels in values(metrics.text())}
    assert len(families) == MOST_FAMILIES + 1
    assert "other" in families


def test_hostile_names_stay_in_their_label() -> None:
    """A family's name, or a schedule's, with quotes and line ends is one sample, with the same name."""
    metrics = Metrics()
    name = 'x"} 1\n# FAKE\\'

    metrics.turn_ended(name, 0)

    found = values(metrics.text())
    assert found["etlctl_schedule_turns_total", (("exit_code", "0"), ("schedule", name))] == 1
    assert not any("FAKE" in line and line.startswith("#") for line in metrics.text().splitlines())


def test_figures_come_back_from_their_text() -> None:
    """What is written is what is read: counters, gauges and histograms alike."""
    metrics = Metrics(clock=lambda: NOW)
    tell(metrics, ok(duration_s=0.05), ok(duration_s=7), ok(duration_s=1e6))
    text = metrics.text()

    assert text_of(figures_of(text)) == text


def test_textfile_adds_up_over_runs(tmp_path: Path) -> None:
    """Each run is a process of its own; counters go on from where the one before it stopped."""
    path = tmp_path / "metrics" / "etlctl.prom"

    for _ in range(3):
        tell(Metrics(textfile=path), ok())

    found = values(path.read_text())
    assert found["etlctl_tasks_total", (("family", "Load"), ("status", "ok"))] == 3
    assert found["etlctl_task_duration_seconds_bucket", (("family", "Load"), ("le", "1.0"))] == 3
    assert found["etlctl_runs_total", (("exit_code", "0"),)] == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_textfile_counts_the_runs_of_a_loop_once(tmp_path: Path) -> None:
    """One process with many runs writes what came since it wrote last."""
    path = tmp_path / "etlctl.prom"
    metrics = Metrics(textfile=path)

    for _ in range(3):
        tell(metrics, ok())

    assert values(path.read_text())["etlctl_runs_total", (("exit_code", "0"),)] == 3


def test_textfile_of_builds_that_end_at_once_loses_none(tmp_path: Path) -> None:
    """Writers wait for each other, and a reader never sees half a file."""
    path = tmp_path / "etlctl.prom"
    begun = threading.Barrier(5)
    seen: list[float] = []

    def write() -> None:
        begun.wait(20)
        for _ in range(10):
            tell(Metrics(textfile=path), ok())

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(20)
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            seen.append(values(path.read_text())["etlctl_runs_total", (("exit_code", "0"),)])
    for thread in threads:
        thread.join()

    assert values(path.read_text())["etlctl_runs_total", (("exit_code", "0"),)] == 40
    assert seen == sorted(seen)
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == [".etlctl.prom.lock"]


def test_textfile_that_a_stopped_process_keeps_is_given_up(tmp_path: Path) -> None:
    """An error, so a warning of the build; once the other lets go, it is written as always."""
    path = tmp_path / "etlctl.prom"
    other = os.open(tmp_path / ".etlctl.prom.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)

    with pytest.raises(TimeoutError, match="another process keeps it locked"):
        textfile.add(path, Figures(), patience_s=0.1)
    assert not path.exists()

    os.close(other)
    textfile.add(path, Figures())
    assert path.exists()


@pytest.mark.parametrize("before", ["no metrics at all {{{", "", "other_total 5\n", "\x00\xff"])
def test_textfile_that_holds_something_else_is_begun_anew(tmp_path: Path, before: str) -> None:
    """Nobody's run fails because of it."""
    path = tmp_path / "etlctl.prom"
    path.write_text(before, encoding="latin-1")

    tell(Metrics(textfile=path), ok())

    assert values(path.read_text())["etlctl_runs_total", (("exit_code", "0"),)] == 1


def test_textfile_that_cannot_be_written_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on, and what was not written is written when it can be."""
    folder = tmp_path / "taken"
    folder.write_text("a file")
    metrics = Metrics(textfile=folder / "etlctl.prom")

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(metrics, ok())
        tell(metrics, ok())
    folder.unlink()
    tell(metrics, ok())

    assert len(caplog.records) == 1 and "cannot be written" in caplog.text
    assert values((folder / "etlctl.prom").read_text())["etlctl_runs_total", (("exit_code", "0"),)] == 3


def test_build_writes_the_textfile_of_the_settings(project: Project) -> None:
    """A build from the command line, by `[metrics] textfile`."""
    settings = project.folder / "config" / "etlctl.toml"
    settings.write_text(f'{settings.read_text()}[metrics]\ntextfile = "etlctl.prom"\n')
    project.weather("2013-01-02")

    ran = project.run("build", "Report", "--date", "2013-01-02")

    assert ran.code == 0, ran.err
    text = (project.folder / "etlctl.prom").read_text()
    assert values(text)["etlctl_runs_total", (("exit_code", "0"),)] == 1
    assert {dict(labels).get("family") for _, labels in values(text)} >= {"Report", "Delays"}
    assert "2013-01-02" not in text


def test_metrics_without_their_library_are_one_sentence(project: Project) -> None:
    """Exit 2 before anything runs, with the pip line."""
    settings = project.folder / "config" / "etlctl.toml"
    settings.write_text(f'{settings.read_text()}[metrics]\ntextfile = "etlctl.prom"\n')

    ran = project.spawn_without("prometheus_client", "build", "Seats")

    assert ran.code == 2
    assert 'pip install "etlctl[metrics]"' in ran.err
    assert "Traceback" not in ran.err


def test_figures_on_top_of_others_leave_both_as_they_were() -> None:
    """`after` makes a third set."""
    first, second = Figures(), Figures()
    told: Any = ALL[2]
    first.observe(told, "Load", value=1)
    second.observe(told, "Load", value=1)

    both = second.after(first)

    assert both.spreads[told, ("Load",)].total == 2
    assert first.spreads[told, ("Load",)].total == second.spreads[told, ("Load",)].total == 1
