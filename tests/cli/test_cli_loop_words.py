"""`etlctl loop` as it is asked: what a command line refuses, and what `--list` tells without the state database."""

from __future__ import annotations

import pytest

from cli.project import Project

PIPELINE = """
from etlctl import DateParameter, Task

class Day(Task):
    date = DateParameter()
"""
UNREACHABLE = "state.url = 'postgresql://u@127.0.0.1:1/state'\n"
SCHEDULES = """
[schedules.a]
tasks = ["Day"]
every = "1h"
date = "yesterday"
[schedules.b]
tasks = ["Day"]
cron = "0 6 * * *"
date = "yesterday"
"""


@pytest.fixture
def project(empty_project: Project) -> Project:
    """One with a task."""
    empty_project.pipeline(PIPELINE)
    return empty_project


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--date", "yesterday"), "neither --every nor --cron is given: TASKs take one of them"),
        (("--every", "1h", "--cron", "@daily"), "both --every and --cron are given"),
        (("--every", "1h", "--jitter", "2h"), "--jitter would move a turn beyond the one after it"),
        (("--every", "1h", "--date", "yestreday"), "(did you mean 'yesterday'?). Write yesterday, today or -3d."),
        (("--cron", "@daily", "--timezone", "localtime"), "--timezone: 'localtime' differs from machine to machine"),
        (("--every", "1h", "--health-file", "."), "is there and is no health file"),
    ],
)
def test_loop_refuses_with_a_sentence(project: Project, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and no turn begins."""
    ran = project.run("loop", "Day", *words)

    assert ran.code == 2 and said in ran.err, ran.err


def test_an_option_that_there_is_not_is_no_lack_of_a_task(project: Project) -> None:
    """Of commands that need none; where a task has such a parameter, it is told."""
    assert "no such option '--xx'." in project.run("pause", "--xx").err
    assert "no such option '--xx'." in project.run("loop", "--every", "1h", "--xx").err
    assert "such as: etlctl pause Day --date today" in project.run("pause", "--date", "today").err


def test_loop_list_does_not_say_never_where_it_cannot_know(project: Project) -> None:
    """A state database that is away is asked once, and told once."""
    project.write("config/etlctl.toml", f"pipelines.path = '{project.package}'\n{UNREACHABLE}{SCHEDULES}")

    ran = project.run("loop", "--list")

    assert ran.code == 0 and ran.err.count("what was missed is not known") == 1
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["last", "?", "?"]


def test_loop_list_says_never_for_what_never_ran(project: Project) -> None:
    project.write("config/etlctl.toml", f"pipelines.path = '{project.package}'\n{SCHEDULES}")

    ran = project.run("loop", "--list")

    assert [line.split()[-1] for line in ran.out.splitlines()] == ["last", "never", "never"] and ran.err == ""
