"""A task's parameters as options: how they are given, what they mean, what help says of them."""

from __future__ import annotations

import datetime as dt
import re
import shlex

import click
import pytest

from cli.project import Project
from etlctl.cli import build
from etlctl.cli.tasks import built_in_spellings
from etlctl.core.results import BUILD_OPTIONS


def built(project: Project) -> dict[str, str]:
    """The flights that were built, by day, with what they were told."""
    return {file.stem: file.read_text() for file in sorted((project.folder / "out/flights").glob("*.txt"))}


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (["--date", "2013-01-02"], ["2013-01-02"]),
        (["--date=2013-01-02"], ["2013-01-02"]),
        (["--date", "2013-01-30..2013-02-02"], ["2013-01-30", "2013-01-31", "2013-02-01", "2013-02-02"]),
        (["-p", "date=2013-01-02..03"], ["2013-01-02", "2013-01-03"]),
        (["--date", "-3d"], [3]),
        (["--date", "yesterday"], [1]),
    ],
)
def test_build_takes_dates_words_and_ranges(project: Project, words: list[str], days: list[str | int]) -> None:
    """ISO dates, words, `-3d` as a value, and ranges with both ends included. Numbers are days ago."""

    def as_of(today: dt.date) -> list[str]:
        return [str(today - dt.timedelta(days=day)) if isinstance(day, int) else day for day in days]

    before = dt.date.today()
    ran = project.run("build", "Flights", *words)

    assert ran.code == 0, ran.err
    assert list(built(project)) in (as_of(before), as_of(dt.date.today()))


def test_options_may_stand_before_the_task(project: Project) -> None:
    """`build --date D TASK` is the same as `build TASK --date D`."""
    ran = project.run("build", "--date", "2013-01-02", "Flights")

    assert ran.code == 0, ran.err
    assert list(built(project)) == ["2013-01-02"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "500 False all"),
        (["--batch", "7", "--kind", "late"], "7 False late"),
        (["--dry-run"], "500 True all"),
        (["--dry_run"], "500 True all"),
        (["--dry-run", "true"], "500 True all"),
        (["--dry-run=True"], "500 True all"),
        (["--dry-run", "false"], "500 False all"),
        (["--no-dry-run"], "500 False all"),
        (["-p", "dry-run=true"], "500 True all"),
    ],
)
def test_parameters_of_each_kind_reach_the_task(project: Project, words: list[str], told: str) -> None:
    """Numbers, choices and flags, with dashes and with underscores, flags with a value and without."""
    ran = project.run("build", "Flights", "--date", "2013-01-02", *words)

    assert ran.code == 0, ran.err
    assert built(project) == {"2013-01-02": told}


def test_flag_does_not_swallow_the_next_task(project: Project) -> None:
    """A bare flag before a TASK leaves the TASK alone."""
    ran = project.run("build", "Flights", "--date", "2013-01-02", "--dry-run", "Seats")

    assert ran.code == 0, ran.err
    assert built(project) == {"2013-01-02": "500 True all"}
    assert (project.folder / "out/seats.txt").exists()


def test_each_option_goes_to_the_tasks_that_have_it(project: Project) -> None:
    """With several tasks `--batch` reaches Flights and `--date` both."""
    project.weather("2013-01-02")

    ran = project.run("build", "Flights", "Delays", "--date", "2013-01-02", "--batch", "9")

    assert ran.code == 0, ran.err
    assert built(project) == {"2013-01-02": "9 False all"}
    assert (project.folder / "out/delays/2013-01-02.txt").exists()


def test_ranges_on_several_parameters_mean_their_product(empty_project: Project) -> None:
    """Two ranges of two and three values are six tasks."""
    empty_project.pipeline("""
        from etlctl import DateParameter, Task

        class Pair(Task):
            first = DateParameter()
            second = DateParameter()
    """)

    ran = empty_project.run("plan", "Pair", "--first", "2013-01-01..02", "--second", "2013-02-01..03", "--json")

    assert len(ran.json["roots"]) == 6


def test_parameter_named_as_a_builtin_option_is_reached_by_p(empty_project: Project) -> None:
    """`--force` stays the command's own; `-p force=…` and `-p json=…` reach the parameters."""
    empty_project.pipeline("""
        from etlctl import BoolParameter, Parameter, Task

        class Clash(Task):
            force = BoolParameter()
            json = Parameter(default="none")
    """)

    ran = empty_project.run("plan", "Clash", "--force", "-p", "force=true", "-p", "json=mine", "--json")

    assert ran.json["tasks"][0]["params"] == {"force": "True", "json": "mine"}
    assert empty_project.run("build", "Clash", "--help").out.count("-p force=[true|false]") == 1


def test_help_of_a_task_shows_its_parameters(project: Project) -> None:
    """Kinds, what is accepted, defaults and descriptions; a private default is masked."""
    ran = project.run("build", "Flights", "--help")

    text = " ".join(ran.out.split())
    assert ran.code == 0
    assert "Parameters of Flights:" in text
    assert "--date DATE local day of departure. A date like 2013-01-31, today, yesterday" in text
    assert "[required]" in text
    assert "rows at once. A whole number like 42. [default: 500]" in text
    assert "One of all, late. [default: all]" in text
    assert "[default: ***]" in text
    assert "hunter2" not in text
    assert "--deep" in text


def test_defaults_from_the_settings_are_told_and_used(project: Project) -> None:
    """`[params.Flights] batch` is the default that help shows, and needs no option."""
    project.write("config/etlctl.toml", f'[pipelines]\npath = "{project.package}"\n[params.Flights]\nbatch = 77\n')

    assert "[default: 77, from the settings]" in " ".join(project.run("build", "Flights", "--help").out.split())
    assert project.run("build", "Flights", "--date", "2013-01-02").code == 0
    assert built(project) == {"2013-01-02": "77 False all"}


def test_a_class_from_elsewhere_does_not_take_the_section_of_the_projects_own(project: Project) -> None:
    """An imported library's task of the same family, without the parameter, is not what `[params.Flights]` means."""
    project.pipeline('from etlctl import Task\nit = type("Flights", (Task,), {"__module__": "a_library"})\n', "later")
    project.write("config/etlctl.toml", f'[pipelines]\npath = "{project.package}"\n[params.Flights]\nbatch = 77\n')

    ran = project.run("build", "Flights", "--date", "2013-01-02")

    assert (ran.code, ran.err.count("no parameter")) == (0, 0)
    assert built(project) == {"2013-01-02": "77 False all"}


def test_force_covers_only_the_tasks_named(project: Project) -> None:
    """`build --force` runs the named task again and leaves what it requires."""
    project.weather("2013-01-02")
    project.run("build", "Delays", "--date", "2013-01-02")

    ran = project.run("build", "Delays", "--date", "2013-01-02", "--force", "--json")

    assert {one["family"]: one["status"] for one in ran.json["tasks"] if one["status"] == "OK"} == {"Delays": "OK"}


def test_words_after_two_dashes_are_tasks(project: Project) -> None:
    """`--` ends the options."""
    ran = project.run("build", "--", "Seats")

    assert ran.code == 0, ran.err


def test_shared_options_stand_before_or_after_the_command(project: Project) -> None:
    """`--config` and `--json` mean the same on either side."""
    other = project.write("other.toml", f'[pipelines]\npath = "{project.package}"\n')

    before = project.run("--config", str(other), "--json", "plan", "Seats")
    after = project.run("plan", "Seats", "--json", "--config", str(other))

    assert before.code == after.code == 0
    assert before.json == after.json
    assert f"--config {other}" in before.json["command"]


def test_command_of_a_failure_reaches_parameters_named_like_options(empty_project: Project) -> None:
    """`Clash -p force=3` is that very task; `build Clash --force 3` would be --force and a task named 3."""
    empty_project.pipeline("""
        from etlctl import IntParameter, Parameter, Task

        class Clash(Task):
            force = IntParameter()
            debug = Parameter()
            n = IntParameter()

            def run(self):
                raise ValueError(f"{self.force} {self.debug} {self.n}")
    """)

    first = empty_project.run("build", "Clash", "-p", "force=3", "-p", "debug=a b", "--n", "-5")
    command = next(line for line in first.out.splitlines() if line.startswith("  more  "))
    again = empty_project.run(*shlex.split(command)[2:])

    assert re.fullmatch(r"  more  etlctl logs \S+ Clash -p force=3 -p 'debug=a b' --n -5", command)
    assert "ValueError: 3 a b -5" in again.out


def test_names_that_failures_do_not_spell_as_options_are_those_of_build() -> None:
    """The list that core/results keeps, since it cannot ask the command line, is the command's own."""
    taken = built_in_spellings(click.Context(build.command))

    assert {one.removeprefix("--") for one in taken if one.startswith("--")} == BUILD_OPTIONS
