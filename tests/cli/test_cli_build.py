"""`etlctl build` and `etlctl plan`: what a pipe gets, and what they say next."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from cli.project import Project


def shape(text: str) -> list[str]:
    """Lines with durations and runs of blanks made alike."""
    return [re.sub(r"\s{2,}", "  ", re.sub(r"\d+\.\d s", "S", one)) for one in text.splitlines()]


def test_build_tells_each_end_and_the_counts(project: Project) -> None:
    """Finished lines and summary on stdout; what tasks print goes to stderr."""
    project.weather("2013-01-02")

    ran = project.run("build", "Report", "--date", "2013-01-02")

    assert ran.code == 0
    assert shape(ran.out) == [
        " 1/3  OK  Flights(2013-01-02)  S",
        " 2/3  OK  Delays(2013-01-02)  S",
        " 3/3  OK  Report(2013-01-02)  S",
        "",
        "OK=3 FAIL=0 SKIP=0 BLOCKED=0 HELD=0 UPTODATE=1 TOTAL=4  S  exit 0",
    ]
    assert ran.err == "counting at the gate\n"


def test_build_again_says_that_there_is_nothing_to_do(project: Project) -> None:
    """Done is done: exit 0, and it says so."""
    project.run("build", "Seats")

    ran = project.run("build", "Seats")

    assert ran.code == 0
    assert ran.out.splitlines()[0] == "nothing to do: Seats is complete"


def test_build_repeats_failures_last_with_what_shows_more(project: Project) -> None:
    """The error, all its lines, its place, and the command for its log; siblings run."""
    project.weather("2013-01-12", "2013-01-13")

    ran = project.run("build", "Report", "--date", "2013-01-12..13")

    assert ran.code == 1
    failure = ran.out.split("\nFAIL", 1)[1].splitlines()
    assert failure[0].startswith(f"  Report(2013-01-13)   {project.package}/flows.py:")
    assert failure[1:3] == ["  ValueError: the 13th is unlucky", "  and always was"]
    assert re.fullmatch(r"  more  etlctl logs \S+ Report --date 2013-01-13", failure[3])
    assert ran.out.splitlines()[-1].startswith("OK=5 FAIL=1 SKIP=0")
    assert "Traceback" not in ran.out + ran.err


def test_build_debug_shows_the_traceback_on_stderr(project: Project) -> None:
    """`--debug` is where the traceback is, with the user's own line; stdout stays the result."""
    project.weather("2013-01-13")

    ran = project.run("build", "Report", "--date", "2013-01-13", "--debug")

    assert ran.code == 1
    assert ran.err.count('raise ValueError("the 13th is unlucky') == 1
    assert "Traceback" not in ran.out


@pytest.mark.parametrize("words", [(), ("--debug",)])
def test_build_tells_of_a_handler_that_raises_in_one_line(project: Project, words: tuple[str, ...]) -> None:
    """Whose, of which event and where; the traceback with `--debug` alone. The task is done all the same."""
    module = project.pipeline(
        """
        from etlctl import Event, LocalTarget, Task


        class Heard(Task):
            def output(self):
                return LocalTarget("out/heard.txt")

            def run(self):
                with self.output().open("w") as file:
                    file.write("x")


        @Heard.event_handler(Event.START)
        def note(task):
            raise KeyError("no such note")
        """,
        "heard",
    )

    ran = project.run("build", "Heard", *words)

    assert ran.code == 0
    place = f"{module.relative_to(project.folder)}:16"
    said = f"ERROR etlctl: note, a handler of Event.START, raised KeyError: 'no such note' ({place}); the task goes on"
    told = [line for line in ran.err.splitlines() if line.startswith("ERROR")]
    assert told == [said if words else f"{said} (--debug shows the traceback)"]
    assert ("Traceback" in ran.err) is bool(words)


def test_build_blocked_names_the_missing_input_and_what_to_do(project: Project) -> None:
    """Exit 3; what is not behind the missing file ran."""
    ran = project.run("build", "Report", "--date", "2013-01-02")

    assert ran.code == 3
    assert "data/2013-01-02.csv is missing" in ran.out
    assert "next  bring the missing input, then again  etlctl build Report --date 2013-01-02" in ran.out
    assert (project.folder / "out/flights/2013-01-02.txt").exists()


def test_build_blocked_on_many_days_ends_with_what_is_missing(project: Project) -> None:
    """A line for all days of a feed, as the plan folds them, right above what to do next."""
    project.weather("2013-01-04")

    ran = project.run("build", "Report", "--date", "2013-01-01..05", "--deep")

    assert ran.code == 3
    assert shape(ran.out)[-3:-1] == [
        "missing  WeatherFile  2013-01-01..03, 05  data/{date}.csv",
        "next  bring the missing input, then again  etlctl build Report --date 2013-01-01..05 --deep",
    ]


def test_build_tells_the_long_reason_of_many_failures_twice(empty_project: Project) -> None:
    """Once as it happens and once at the end, however many tasks it hits; the others name the first."""
    empty_project.pipeline("""
        from etlctl import IntParameter, Task
        from etlctl.errors import UnavailableError

        class Hit(Task):
            number = IntParameter()

            def run(self):
                raise UnavailableError("warehouse: " + "no such host, and no other one either " * 3)
    """)
    empty_project.pipeline(
        f"""
        from etlctl import WrapperTask
        from {empty_project.package}.flows import Hit

        class All(WrapperTask):
            def requires(self):
                return [Hit(number) for number in range(5)]
    """,
        "all",
    )

    ran = empty_project.run("build", "All")

    assert ran.code == 4
    assert ran.out.count("warehouse: no such host") == 2
    assert ran.out.count("the same as Hit(0)") == 4
    assert "FAIL  Hit(0), Hit(1), Hit(2), Hit(3), Hit(4)\n" in ran.out.replace(f"   {empty_project.package}", "\n")


def test_build_deep_looks_behind_what_is_done(project: Project) -> None:
    """A complete task hides what is missing behind it, except with --deep."""
    project.weather("2013-01-02")
    project.run("build", "Report", "--date", "2013-01-02")
    (project.folder / "out/flights/2013-01-02.txt").unlink()

    shallow = project.run("build", "Report", "--date", "2013-01-02", "--json")
    deep = project.run("build", "Report", "--date", "2013-01-02", "--deep", "--json")

    assert shallow.json["counts"]["OK"] == 0
    assert [one["family"] for one in deep.json["tasks"] if one["status"] == "OK"] == ["Flights"]


def test_notes_of_a_task_stand_on_its_line(empty_project: Project) -> None:
    """Rows and notes of the attempt are on the task's line."""
    empty_project.pipeline("""
        from etlctl import Task
        from etlctl.core import context

        class Counted(Task):
            def run(self):
                context.attempt().rows = 1234
                context.attempt().notes.append("flights.csv holds a header alone")
    """)

    ran = empty_project.run("build", "Counted")

    assert re.search(r"OK +Counted\(\) +1,234 rows +[\d.]+ s  flights.csv holds a header alone\n", ran.out)


def test_plan_groups_days_and_gives_reasons(project: Project) -> None:
    """One line a family, decision and reason, its dates collapsed; ends with counts and the command."""
    project.weather("2013-01-01", "2013-01-02")
    project.run("build", "Report", "--date", "2013-01-01")

    ran = project.run("plan", "Report", "--date", "2013-01-01..03")

    assert ran.code == 0
    assert shape(ran.out)[0].startswith("PLAN  Report  2013-01-01..03")
    assert shape(ran.out)[1:] == [
        " +  Flights  02..03  output is missing",
        " +  Delays  02  upstream will run",
        " +  Report  02  upstream will run",
        " !  WeatherFile  03  data/2013-01-03.csv is missing",
        " !  Delays  03  blocked by WeatherFile(2013-01-03)",
        " !  Report  03  blocked by WeatherFile(2013-01-03)",
        "4 to run · 3 blocked · 5 done (--all shows them)",
        "run it: etlctl build Report --date 2013-01-01..03",
    ]
    assert not (project.folder / "out/report/2013-01-02.txt").exists()


def test_plan_reasons_that_differ_in_their_date_are_one_line(project: Project) -> None:
    """`data/{date}.csv is missing` for a week, not seven lines."""
    ran = project.run("plan", "WeatherFile", "--date", "2013-01-01..07")

    assert " !  WeatherFile  01..07  data/{date}.csv is missing" in shape(ran.out)


def test_plan_all_shows_what_is_done(project: Project) -> None:
    """Without --all done tasks are counted, with it they are listed."""
    project.run("build", "Seats")

    assert "Seats" not in project.run("plan", "Seats").out.splitlines()[1]
    assert project.run("plan", "Seats", "--all").out.splitlines()[1].split() == ["Seats"]
    assert project.run("plan", "Seats").out.splitlines()[-1] == "nothing to do"


@pytest.mark.parametrize(
    ("weather", "built", "code"), [([], False, 3), (["2013-01-02"], False, 10), (["2013-01-02"], True, 0)]
)
def test_detailed_exitcode_tells_how_things_stand(project: Project, weather: list[str], built: bool, code: int) -> None:
    """0 up to date, 10 work pending, 3 something blocked; 0 whatever it finds without the option."""
    project.weather(*weather)
    if built:
        project.run("build", "Report", "--date", "2013-01-02")

    assert project.run("plan", "Report", "--date", "2013-01-02", "--detailed-exitcode").code == code
    assert project.run("status", "Report", "--date", "2013-01-02", "--exit-code").code == code
    assert project.run("plan", "Report", "--date", "2013-01-02").code == 0
    assert project.run("plan", "Report", "--date", "2013-01-02", "--detailed-exitcode", "--json").code == code


def test_broken_task_is_x_in_the_plan_and_fails_alone(empty_project: Project) -> None:
    """requires() that returns a class, output() that raises: siblings run, exit 1, the sentence says how to mend it."""
    empty_project.pipeline("""
        from etlctl import LocalTarget, Task, WrapperTask

        class Fine(Task):
            def output(self):
                return LocalTarget("fine.txt")

            def run(self):
                with self.output().open("w") as file:
                    file.write("x")

        class Classy(Task):
            def requires(self):
                return Fine

        class Loud(Task):
            def output(self):
                raise RuntimeError("no place")

        class Everything(WrapperTask):
            def requires(self):
                return [Fine(), Classy(), Loud()]
    """)

    planned = empty_project.run("plan", "Everything", "--detailed-exitcode")
    built = empty_project.run("build", "Everything")

    assert planned.code == built.code == 1
    assert re.search(r" x  Classy +Classy\(\)\.requires\(\) returned the class Fine", planned.out)
    assert re.search(r" x  Loud +RuntimeError: no place", planned.out)
    assert (empty_project.folder / "fine.txt").exists()
    assert "OK=1 FAIL=2" in built.out


def test_command_under_a_forced_failure_fails_again_when_pasted(empty_project: Project) -> None:
    """`--force` and the settings are part of what shows more: without them the complete task would not run.

    So it is where no history, and so no log, is kept."""
    empty_project.write(
        "config/etlctl.toml", f'[pipelines]\npath = "{empty_project.package}"\n[history]\nenabled = false\n'
    )
    empty_project.pipeline("""
        from etlctl import LocalTarget, Task

        class Done(Task):
            def output(self):
                return LocalTarget("done.txt")

            def run(self):
                raise ValueError("not again")
    """)
    empty_project.write("done.txt")

    ran = empty_project.run("build", "Done", "--force", "--config", "config/etlctl.toml")

    more = next(line for line in ran.out.splitlines() if line.startswith("  more  "))
    assert more == "  more  etlctl build Done --force --config config/etlctl.toml --debug"
    assert empty_project.run(*more.split()[2:]).code == 1


def test_commands_offered_mean_the_same_tomorrow(project: Project) -> None:
    """`-3d..yesterday` is told as the days that it is: pasted tomorrow, it is still those."""
    while True:
        today = dt.date.today()
        planned = project.run("plan", "Report", "--date", "-3d..yesterday")
        built = project.run("build", "Report", "--date", "-3d..yesterday")
        status = project.run("status", "Report", "--date", "-3d..yesterday")
        if today == dt.date.today():  # else midnight came in between
            break
    days = f"{today - dt.timedelta(days=3)}..{today - dt.timedelta(days=1)}"

    assert planned.out.splitlines()[-1] == f"run it: etlctl build Report --date {days}"
    assert f"then again  etlctl build Report --date {days}\n" in built.out
    assert status.out.splitlines()[-1] == f"why: etlctl plan Report --date {days}"


def test_nothing_to_do_names_the_tasks_that_were_asked_for(empty_project: Project) -> None:
    """And not what a wrapper looks at to know that it is complete."""
    empty_project.pipeline(
        """
        from etlctl import IntParameter, LocalTarget, Task, WrapperTask

        class Part(Task):
            n = IntParameter()

            def output(self):
                return LocalTarget(f"out/{self.n}.txt")

            def run(self):
                with self.output().open("w") as file:
                    file.write("x")

        class Whole(WrapperTask):
            def requires(self):
                return [Part(1), Part(2)]
        """
    )
    empty_project.run("build", "Whole")

    again = empty_project.run("build", "Whole")

    assert again.out.splitlines()[0] == "nothing to do: Whole is complete"


def test_build_whose_state_goes_away_says_why_it_stopped_and_what_to_do(empty_project: Project) -> None:
    """A state that was chosen is needed: what had begun ends, the rest is not begun, exit 4."""
    empty_project.write(
        "config/etlctl.toml",
        f'[pipelines]\npath = "{empty_project.package}"\n[state]\nurl = "sqlite:///kept/state.db"\n',
    )
    empty_project.pipeline("""
        import shutil
        from pathlib import Path

        from etlctl import LocalTarget, Task, requires


        class First(Task):
            def output(self):
                return LocalTarget("first.txt")

            def run(self):
                shutil.rmtree("kept")
                Path("first.txt").touch()


        @requires(First)
        class Second(Task):
            def output(self):
                return LocalTarget("second.txt")
    """)

    ran = empty_project.run("build", "Second")

    assert ran.code == 4
    lines = ran.out.splitlines()
    at = lines.index("stopped  1 not started")
    assert lines[at + 1].startswith("  the state database: sqlite:///")
    assert "state.db was removed, or another file put in its place" in lines[at + 1]
    assert lines[at + 2] == "next  when that is mended  etlctl build Second"
    assert "OK=1 FAIL=0 SKIP=1" in lines[-1]
    assert not (empty_project.folder / "kept").exists()
