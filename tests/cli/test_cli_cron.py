"""`etlctl cron`: what it prints is run, by sh as cron would and by what systemd says it would start; `--blocked-ok`."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli.documents import check
from cli.project import Project, Ran
from etlctl.cli.cron_documents import CronDocument

NIGHTLY = """
[schedules.nightly]
tasks = ["Flights", "Seats"]
cron = "0 6 * * *"
timezone = "Europe/Berlin"
date = "yesterday"
window = "3d"
jitter = "30s"
overlap = "queue"
deadline = "07:00"
params = { batch = 7, kind = "late" }
"""


NOISY = """
from etlctl import Parameter, Task

class Noisy(Task):
    noise = Parameter()
"""


def add_settings(project: Project, text: str) -> None:
    """More of the settings file."""
    file = project.folder / "config" / "etlctl.toml"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def run_as_cron(line: str, folder: Path) -> Ran:
    """The command of a crontab line, by sh, with nothing of this environment."""
    command = line.split(" ", 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    ran = subprocess.run(
        ["/bin/sh", "-c", command.replace(r"\%", "%")],
        cwd=folder.root,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "LOGNAME": "etl", "SHELL": "/bin/sh"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def days_until_yesterday(zone: str, number: int) -> list[str]:
    """ISO dates, oldest first."""
    today = dt.datetime.now(ZoneInfo(zone)).date()
    return [str(today - dt.timedelta(days=back)) for back in range(number, 0, -1)]


def test_a_printed_line_builds_its_window(project: Project) -> None:
    add_settings(project, NIGHTLY)

    printed = project.run("cron")

    assert (printed.code, printed.err) == (0, "")
    *comments, zone, line = printed.out.rstrip("\n").split("\n")
    assert zone == "CRON_TZ=Europe/Berlin" and all(one.startswith("# ") for one in comments)
    assert "# Left out, since only `etlctl loop` can do it: deadline, overlap." in comments
    assert line.startswith("0 6 * * * cd /") and line.count(" --blocked-ok") == 1
    ran = run_as_cron(line, project.folder)
    assert ran.code == 0, ran.err
    files = sorted((project.folder / "out" / "flights").iterdir())
    assert [file.stem for file in files] == days_until_yesterday("Europe/Berlin", 3)
    assert {file.read_text() for file in files} == {"7 False late"}
    assert (project.folder / "out" / "seats.txt").exists()


def test_a_line_of_the_command_line_holds_what_was_typed(project: Project) -> None:
    printed = project.run(
        *("cron", "Delays", "Flights", "--cron", "*/5 * * * *", "--date", "-2d", "--kind", "late", "--dry-run")
    )

    assert printed.code == 0, printed.err
    line = printed.out.rstrip("\n").split("\n")[-1]
    assert line.startswith("*/5 * * * * cd ") and "TZ=UTC " in line
    assert line.endswith("/etlctl build Delays Flights --date=-2d --kind=late --dry-run=true --blocked-ok")
    ran = run_as_cron(line, project.folder)  # no weather came: blocked, which cron need not hear of
    assert ran.code == 0, ran.err
    assert "BLOCKED=2" in ran.out


def test_a_line_finds_settings_that_lie_elsewhere(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """By --config and --profile, though they were chosen by variables that cron does not have."""
    other = project.write("config/other's.toml", f'[pipelines]\npath = "{project.package}"\n[profiles.night]\n')
    monkeypatch.setenv("ETLCTL_CONFIG", str(other))
    monkeypatch.setenv("ETLCTL_PROFILE", "night")
    printed = project.run("cron", "Seats", "--every", "1h")
    monkeypatch.undo()

    line = printed.out.rstrip("\n").split("\n")[-1]
    assert " --profile night" in line and " --config " in line
    assert "variables" not in printed.out
    assert run_as_cron(line, project.folder).code == 0
    assert (project.folder / "out" / "seats.txt").exists()


def test_variables_that_the_settings_ask_for_are_named_without_their_values(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_settings(project, '[connections.warehouse]\nurl = "postgresql://etl:${PW}@wh/dw"\n[params.Seats]\n')
    monkeypatch.setenv("PW", "s3cret-canary")
    monkeypatch.setenv("ETLCTL_STATE_URL", "postgresql://ctl:s3cret-canary@ctl/etl")

    printed = project.run("cron", "Seats", "--every", "1h")

    assert "# The settings ask for these variables, which nobody sets here: ETLCTL_STATE_URL, PW." in printed.out
    assert "canary" not in printed.out + printed.err


def test_units_of_systemd_start_the_same(project: Project) -> None:
    add_settings(project, NIGHTLY)

    units = project.run("cron", "--systemd", "--json").json["units"]

    assert [unit["file"] for unit in units] == ["etlctl-nightly.service", "etlctl-nightly.timer"]
    service = dict(line.split("=", 1) for line in units[0]["text"].splitlines() if re.match(r"\w+=", line))
    assert service["WorkingDirectory"] == str(project.folder) and service["Environment"] == "TZ=Europe/Berlin"
    assert "OnCalendar=*-*-* 06:00:00 Europe/Berlin\n" in units[1]["text"]
    assert "RandomizedDelaySec=30s\n" in units[1]["text"]
    ran = run_as_cron(f"* * * * * cd {service['WorkingDirectory']} && {service['ExecStart']}", project.folder)
    assert ran.code == 0, ran.err


def test_the_screen_names_the_files_of_units(project: Project) -> None:
    printed = project.run("cron", "Seats", "--every", "45m", "--systemd")

    assert re.findall("^# /.*$", printed.out, re.MULTILINE) == [
        "# /etc/systemd/system/etlctl-Seats.service",
        "# /etc/systemd/system/etlctl-Seats.timer",
    ]


HOURS = """
from etlctl import DateHourParameter, DateRangeParameter, LocalTarget, Task

class Hourly(Task):
    hour = DateHourParameter()

    def output(self):
        return LocalTarget(f"out/hours/{self.hour:%Y-%m-%dT%H}")

    def run(self):
        self.output().open("w").close()

class Spans(Task):
    span = DateRangeParameter()

    def output(self):
        return LocalTarget(f"out/spans/{self.span}")

    def run(self):
        self.output().open("w").close()
"""


def test_a_day_is_all_its_hours_and_a_window_one_range_of_dates(project: Project) -> None:
    """As a loop means it."""
    project.pipeline(HOURS, "hours")
    printed = project.run("cron", "Hourly", "Spans", "--every", "1d", "--date", "yesterday")

    line = printed.out.rstrip("\n").split("\n")[-1]
    assert run_as_cron(line, project.folder).code == 0
    (day,) = days_until_yesterday("UTC", 1)
    assert {file.name for file in (project.folder / "out" / "hours").iterdir()} == {f"{day}T{h:02}" for h in range(24)}
    assert [file.name for file in (project.folder / "out" / "spans").iterdir()] == [f"{day}..{day}"]


def test_hours_of_a_day_that_is_not_over_are_refused(project: Project) -> None:
    project.pipeline(HOURS, "hours")

    ran = project.run("cron", "Hourly", "--every", "1h", "--date", "today")

    assert ran.code == 2 and "Hourly.hour has hours, and those of a day that is not over" in ran.err


@pytest.mark.parametrize("words", [("cron", "Seats", "--every", "1h"), ("cron", "Seats", "--every", "1h", "--systemd")])
def test_the_document_is_that_of_its_schema(project: Project, words: tuple[str, ...]) -> None:
    document = project.run(*words, "--json").json

    check(document, CronDocument)
    assert bool(document["lines"]) != bool(document["units"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "etlctl: there is no TASK, and no [schedules.NAME] in the settings: etlctl cron TASK --cron LINE."),
        (("Seats", "--cron", "0 25 * * *"), "etlctl: --cron: '0 25 * * *' is a cron line whose hour cannot be"),
        (("Seats", "--cron", "@daily", "--timezone", "Berlin"), "etlctl: --timezone: 'Berlin' is no time zone"),
        (("Seats", "--every", "45m"), "etlctl: crontab cannot say 'every 45m': it has steps that divide an hour or a"),
        (("Flights", "--every", "1h"), "etlctl: Flights needs date: "),
        (("Flights", "--every", "1h", "--date", "today", "--password", "s3cret"), "etlctl: password is private: no "),
        (("Flights", "--every", "1h", "--date", "2023-02-29"), "etlctl: --date: '2023-02-29' is no date for a turn"),
        (("Seats", "--every", "1h", "--date", "today"), "etlctl: the command line has a date, but none of its tasks"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_printed_and_not_at_night(
    project: Project, words: tuple[str, ...], told: str
) -> None:
    """F76, F80: exit 2, and no line on stdout."""
    ran = project.run("cron", *words)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(told) and "s3cret" not in ran.err


def test_a_schedule_whose_task_is_gone_is_told(project: Project) -> None:
    add_settings(project, '[schedules.old]\ntasks = ["Flihgts"]\nevery = "1h"\n')

    ran = project.run("cron")

    assert ran.code == 2 and "Did you mean 'Flights'?" in ran.err


def test_what_a_variable_gives_is_in_no_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """S6: all users of the machine read command lines, and most of them crontabs and units."""
    monkeypatch.setenv("NOISE", "s3cret")
    add_settings(project, '[schedules.seats]\ntasks = ["Noisy"]\nevery = "1h"\nparams.noise = "${NOISE}"\n')
    project.pipeline(NOISY)

    ran = project.run("cron")

    assert ran.code == 2 and "s3cret" not in ran.out + ran.err
    assert ran.err.startswith("etlctl: noise comes from a variable: no command line may hold it.")


def test_blocked_ok_makes_a_missing_input_no_failure(project: Project) -> None:
    """Exit 0 in place of 3, in the document too; the summary still says what is missing."""
    words = ("build", "Delays", "--date", "2013-01-02")
    blocked, ok = project.run(*words), project.run(*words, "--blocked-ok")

    assert (blocked.code, ok.code) == (3, 0)
    assert "missing" in ok.out and "BLOCKED=2" in ok.out and "exit 0" in ok.out
    assert "again  etlctl build Delays --date 2013-01-02 --blocked-ok" in ok.out
    assert project.run(*words, "--blocked-ok", "--json").json["exit_code"] == 0


def test_blocked_ok_hides_no_failure(project: Project) -> None:
    """Of the 13th the report fails, of the 14th it is blocked."""
    project.weather("2013-01-13")

    assert project.run("build", "Report", "--date", "2013-01-13..14", "--blocked-ok").code == 1
