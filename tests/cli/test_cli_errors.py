"""Bad input gets a sentence that says what, where and how to mend it; exit 2, nothing written, no traceback."""

from __future__ import annotations

import pytest

from cli.project import Project
from etlctl.cli import main as main_module
from etlctl.cli.mistakes import looks_like_date


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bild"], "no command 'bild'. Did you mean 'build'?"),
        (["build"], "needs a TASK; `etlctl list` shows them all."),
        (["build", "Reprot", "--date", "2013-01-02"], "No task is named 'Reprot'"),
        (["build", "Reprot", "--date", "2013-01-02"], "Did you mean 'Report'?"),
        (["build", "--date", "2013-01-02", "Reprot"], "Did you mean 'Report'?"),
        (["build", "Report"], "Report needs date: give --date"),
        (["build", "Report", "--dat", "2013-01-02"], "no such option '--dat'. Did you mean '--date'?"),
        (["build", "Seats", "--date", "2013-01-01"], "no such option '--date'. Seats takes no parameters."),
        (["build", "Report", "--day", "2013-01-01"], "no such option '--day'. The parameters of Report: --date."),
        (["build", "Seats", "--parallel", "4"], "etlctl build has no --parallel: -j N runs N tasks at once."),
        (["build", "Seats", "-j", "0"], "'0' is no whole number from 1 to 1000"),
        (["build", "Seats", "--workers", "many"], "'many' is no whole number from 1 to 1000"),
        (["build", "Seats", "--executor", "ray"], "'ray' is not one of 'local', 'dask'"),
        (["build", "Seats", "--wait-held", "soon"], "--wait-held cannot take 'soon'"),
        (["build", "Report", "--retry"], "etlctl build has no --retry: the same command once more"),
        (["build", "Seats", "--dry-run"], "etlctl build has no --dry-run: `etlctl plan` tells"),
        (["build", "Flights", "--dry"], "Did you mean '--dry-run'?"),
        (["plan", "Report", "--deep"], "no such option '--deep'. The parameters of Report: --date."),
        (["build", "Report", "--forec"], "Did you mean '--force'?"),
        (["build", "--date", "2013-01-01"], "needs a TASK, such as: etlctl build Delays --date 2013-01-01"),
        (["build", "--date=2013-01-01"], "needs a TASK"),
        (["build", "--force", "--date", "2013-01-01"], "needs a TASK"),
        (["build", "--nonsense", "2013-01-01"], "etlctl build needs a TASK; `etlctl list` shows them all."),
        (["status", "--date", "2013-01-01..05"], "needs a TASK, such as: etlctl status Delays --date 2013-01-01..05"),
        (
            ["build", "2013-01-01"],
            "'2013-01-01' is a date and no TASK. etlctl build needs one, such as: etlctl build D",
        ),
        (["build", "Report", "2013-01-01"], "'2013-01-01' is a date and no TASK. Did you mean --date 2013-01-01?"),
        (["build", "Report", "2013-01-01..03"], "Did you mean --date 2013-01-01..03?"),
        (["build", "Report", "yesterday"], "Did you mean --date yesterday?"),
        (["build", "Report", "-3d"], "Did you mean --date -3d?"),
        (["build", "Seats", "2013-01-01"], "is a date and no TASK. Seats takes no parameters."),
        (["build", "Report", "--date"], "option '--date' requires an argument"),
        (["build", "Report", "--colour", "red"], "no such option '--colour'"),
        (["build", "Report", "--date", "2013-02-29"], "February 2013 has 28 days"),
        (["build", "Report", "--date", "13/45"], "Report.date: cannot take '13/45'"),
        (["build", "Report", "--date", "10000-01-01"], "a year is written with four digits"),
        (["build", "Report", "--date", "2013-01-02..2013-01-01"], "its end 2013-01-01 is before its start"),
        (["build", "Report", "--date", "2013-01-02", "--date", "2013-01-03"], "--date was given twice"),
        (["build", "Report", "-p", "date"], "write it as -p NAME=VALUE"),
        (["build", "Report", "-p", "dte=2013-01-02"], "has no parameter 'dte'. Did you mean 'date'?"),
        (["build", "Flights", "--date", "2013-01-02", "--batch", "many"], "Flights.batch: cannot take 'many'"),
        (["build", "Flights", "--date", "2013-01-02", "--kind", "early"], "one of all, late"),
        (["show"], "show takes one TASK"),
        (["show", "--table", "nowhere"], "No task writes or reads a table 'nowhere'"),
        (["graph", "Report", "--date", "2013-01-02", "--format", "png"], "'png' is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["--config", "nowhere.toml", "list"], "nowhere.toml"),
        (["list", "--profile", "nowhere"], "nowhere"),
        (["-p", "x=1", "status"], "no such option '-p'"),
        (["status", "-p", "x=1"], "-p gives a parameter to a TASK"),
    ],
)
def test_bad_command_line_is_a_sentence_and_exit_2(project: Project, words: list[str], said: str) -> None:
    """The sentence names what is wrong, and nothing is written."""
    before = sorted(project.folder.rglob("*.txt"))

    ran = project.run(*words)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.startswith("etlctl: ")
    assert "Traceback" not in ran.err
    assert sorted(project.folder.rglob("*.txt")) == before
    assert not (project.folder / ".etlctl").exists()


def test_no_command_shows_help_on_stderr(project: Project) -> None:
    """`etlctl` alone is a mistake of a script: help on stderr, exit 2."""
    ran = project.run()

    assert (ran.code, ran.out) == (2, "")
    assert "Commands:" in ran.err


def test_cycle_is_named_and_nothing_runs(empty_project: Project) -> None:
    """The path of the cycle is printed; exit 2."""
    empty_project.pipeline("""
        from etlctl import Task

        class Here(Task):
            def requires(self):
                return There()

        class There(Task):
            def requires(self):
                return Here()
    """)

    for command in ("build", "plan", "status", "graph"):
        ran = empty_project.run(command, "Here")

        assert ran.code == 2
        assert "Here() -> There() -> Here()" in ran.err


def test_broken_module_is_reported_with_its_place_and_the_others_work(project: Project) -> None:
    """Asking for a task of the broken module is exit 2 with file and line; other tasks build."""
    project.pipeline(
        "from etlctl import Task\n\n\nclass Lost(Task):\n    pass\n\n\nraise RuntimeError('boom')\n", "broken"
    )

    lost = project.run("build", "Lost")
    fine = project.run("build", "Seats")

    assert lost.code == 2
    assert "broken.py:8: RuntimeError: boom" in lost.err
    assert fine.code == 0


def test_missing_pipelines_folder_says_how_to_mend_it(empty_project: Project) -> None:
    """No folder: exit 2, its path, and what to do."""
    (empty_project.folder / empty_project.package).rmdir()

    ran = empty_project.run("build", "X")

    assert ran.code == 2
    assert "There is no pipelines folder" in ran.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[pipelines\n", "etlctl.toml:1"),
        ("[pipelines]\npaht = 'x'\n", "Did you mean"),
        ("[connections.w]\nurl = '${NOT_SET_AT_ALL}'\n", "NOT_SET_AT_ALL"),
        ("default_connection = 'warehose'\n[connections.warehouse]\nurl = 'sqlite:///w.db'\n", "warehose"),
    ],
)
def test_bad_settings_are_found_before_anything_runs(empty_project: Project, settings: str, said: str) -> None:
    """Bad TOML, an unknown key, an unset variable, an unknown connection: exit 2 and the place."""
    empty_project.write("config/etlctl.toml", settings)

    ran = empty_project.run("build", "X")

    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_task_whose_code_raises_when_it_is_made_is_a_sentence(empty_project: Project) -> None:
    """An own __init__, a parameter's own parse and a default that raise anything: exit 2, never a traceback."""
    empty_project.pipeline("""
        from etlctl import Parameter, Task

        class Odd(Parameter):
            def parse(self, text):
                raise KeyError("odd")

        class Made(Task):
            def __init__(self, *args, **kwargs):
                raise RuntimeError("not today")

        class Parsed(Task):
            odd = Odd()

        class Defaulted(Task):
            late = Parameter(default=lambda: 1 / 0)
    """)

    assert "Made cannot be made: RuntimeError: not today" in empty_project.run("build", "Made").err
    assert "Parsed.odd: cannot take 'x': KeyError: 'odd'" in empty_project.run("build", "Parsed", "--odd", "x").err
    assert "Defaulted.late" in empty_project.run("build", "Defaulted").err
    assert {empty_project.run("build", name).code for name in ("Made", "Defaulted")} == {2}


def test_private_value_is_never_shown(empty_project: Project) -> None:
    """A refused private value, and a screen that repeats the command, say nothing of it."""
    empty_project.pipeline("""
        from etlctl import IntParameter, ParameterVisibility, Task

        class Secret(Task):
            pin = IntParameter(visibility=ParameterVisibility.PRIVATE)
    """)

    refused = empty_project.run("build", "Secret", "--pin", "S3cr3t", "--json", "--debug")
    planned = empty_project.run("plan", "Secret", "--pin", "4711")

    assert refused.code == 2
    assert "private value is refused" in refused.err
    assert "4711" not in planned.out + planned.err


@pytest.mark.parametrize("words", [["bild"], ["build", "Reprot"], ["build"], ["list", "--config", "nowhere.toml"]])
def test_usage_errors_are_one_document_with_json(project: Project, words: list[str]) -> None:
    """`--json` gives exactly one document also when the call could not begin."""
    ran = project.run(*words, "--json")

    assert ran.code == 2
    assert ran.json["schema"] == "etlctl/error"
    assert ran.json["exit_code"] == 2
    assert ran.json["error"]["message"] in ran.err


def test_internal_error_asks_for_a_report(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours: one sentence, how to report it, exit 1; the traceback with --debug alone."""

    def break_down(*_: object) -> None:
        raise RuntimeError("a screw came loose")

    monkeypatch.setattr(main_module.group, "invoke", break_down)

    plain = project.run("list")
    debugged = project.run("list", "--debug")

    assert plain.code == debugged.code == 1
    assert "internal error (test_cli_errors.py:" in plain.err
    assert "RuntimeError: a screw came loose" in plain.err
    assert "Please report it" in plain.err
    assert "Traceback" not in plain.err
    assert "Traceback" in debugged.err


def test_interrupt_outside_a_build_is_130(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while pipelines are imported: a word on stderr and 130."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module.group, "invoke", interrupt)

    ran = project.run("list")

    assert (ran.code, ran.err) == (130, "etlctl: interrupted.\n")


@pytest.mark.parametrize(
    ("word", "is_date"),
    [
        ("2013-01-02", True),
        ("2013-1-2", True),
        ("2013-01", True),
        ("2013-01-02T05", True),
        ("2013", True),
        ("2013-01-01..2013-01-03", True),
        ("2013-01-01..03", True),
        ("-3d..yesterday", True),
        ("-2w", True),
        ("today", True),
        ("-5", False),
        ("2013-01-01..Report", False),
        ("3", False),
        ("Report", False),
        ("", False),
        ("..", False),
    ],
)
def test_looks_like_date_knows_what_people_write_for_one(word: str, is_date: bool) -> None:
    """Days, months, years, words and ranges of them; no number, and no name."""
    assert looks_like_date(word) is is_date
