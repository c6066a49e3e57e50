"""`etlctl doctor` as its user meets it: settings with their origins, findings with their mend, codes, JSON."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import dedent

import pytest

from cli.project import Project, Ran
from etlctl.cli.doctor_documents import DoctorDocument
from etlctl.cli.main import main

F = "config/etlctl.toml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One with a task."""
    for name in [name for name in os.environ if name.startswith(("ETLCTL_", "COLUMNS"))]:
        monkeypatch.delenv(name)
    made = Project(tmp_path, f"flows_{uuid.uuid4().hex[:12]}")
    made.pipeline(
        """
        from etlctl import DateParameter, LoadTable, Parameter, ParameterVisibility

        class Sales(LoadTable):
            date = DateParameter()
            region = Parameter(default="all", significant=False)
            pin = Parameter(default="x", visibility=ParameterVisibility.PRIVATE)
            columns = {"n": "integer"}

            def rows(self):
                return [(1,)]
        """
    )
    return made


def settle(project: Project, text: str = "") -> None:
    """Writes the settings; `text` may begin with keys of the top."""
    project.write(F, f"pipelines.path = '{project.package}'\n{dedent(text)}")
    (project.folder / F).chmod(0o600)


def findings(ran: Ran, level: str, area: str = "") -> list[tuple[str, str]]:
    """Text and mend of the findings of a level, in an area that begins so."""
    told = ran.json["findings"]
    return [(one["text"], one["mend"]) for one in told if one["level"] == level and one["area"].startswith(area)]


def test_a_project_that_works_has_nothing_failed(project: Project) -> None:
    """Exit 0; nothing is made, neither a database nor a folder."""
    settle(project)
    before = sorted(path.name for path in project.folder.iterdir())

    ran = project.run("doctor")

    assert ran.code == 0, ran.out + ran.err
    assert "0 failed     exit 0" in ran.out and "does not exist yet: the first load makes it" in ran.out
    assert sorted(path.name for path in project.folder.iterdir()) == before


def test_the_document_is_of_its_schema(project: Project) -> None:
    """Every level is a key of the counts."""
    settle(project)

    ran = project.run("doctor", "--json")

    assert set(ran.json) == set(DoctorDocument.__annotations__)
    assert (ran.json["schema"], ran.json["exit_code"]) == ("etlctl/doctor", 0)
    assert set(ran.json["counts"]) == {"ok", "warning", "failed"}
    assert sum(ran.json["counts"].values()) == len(ran.json["findings"])


def test_each_setting_is_told_with_its_origin(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and line, profile, variable, default; ages and switches as one would write them."""
    monkeypatch.setenv("ETLCTL_BUILD_JOBS", "3")
    settle(project, "history.keep = '7d'\n[profiles.prod]\nlogs.max_bytes = 5\n")

    told = {
        one["key"]: (one["value"], one["origin"])
        for one in project.run("doctor", "--profile", "prod", "--json").json["settings"]
    }

    assert told["build.jobs"] == ("3", "environment variable ETLCTL_BUILD_JOBS")
    assert told["history.keep"] == ("7d", f"{F}:2")
    assert told["logs.max_bytes"] == ("5", f"{F}:4 (profile prod)")
    assert told["state.lease_ttl"] == ("60 s", "default")
    assert told["history.enabled"] == ("true", "default")
    assert told["profile"] == ("prod", "--profile")


def test_no_secret_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """URLs, keys, webhooks, a private parameter, what comes from a variable, an option whose name says so."""
    canary = f"S3cr3t-{uuid.uuid4().hex}"
    monkeypatch.setenv("CANARY", canary)
    settle(
        project,
        f"""
        [connections.warehouse]
        url = "postgresql://u:{canary}@127.0.0.1:1/d?sslpassword={canary}"
        connect_timeout = 1
        [s3]
        access_key_id = "{canary}"
        secret_access_key = "{canary}"
        [params.Sales]
        pin = "{canary}"
        region = "${{CANARY}}"
        [notify.slack]
        kind = "slack"
        url = "https://hooks.example.com/{canary}"
        [notify.mail]
        kind = "email"
        host = "mail.example.com"
        from = "a@example.com"
        to = ["b@example.com"]
        user = "me"
        password = "{canary}"
        """,
    )

    for words in (("doctor",), ("doctor", "--json"), ("doctor", "--debug")):
        ran = project.run(*words)
        assert ran.code == 1  # the server does not answer
        assert canary not in ran.out + ran.err
        assert "params.Sales.pin" in ran.out and "notify.mail.password" in ran.out


def test_what_a_schedule_gives_to_a_private_parameter_is_not_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what it has from a variable, nor what is for a task that nobody knows."""
    canary = f"S3cr3t-{uuid.uuid4().hex}"
    monkeypatch.setenv("CANARY", f"{canary}-variable")
    settle(
        project,
        f"""
        [schedules.nightly]
        tasks = ["Sales"]
        every = "1h"
        params = {{ pin = "{canary}", region = "${{CANARY}}" }}
        [schedules.unknown]
        tasks = ["Nobody", "Sales"]
        every = "1h"
        params = {{ region = "{canary}-unknown" }}
        """,
    )

    for words in (("doctor",), ("doctor", "--json"), ("doctor", "--debug")):
        ran = project.run(*words)
        assert canary not in ran.out + ran.err
        for key in ("nightly.params.pin", "nightly.params.region", "unknown.params.region"):
            assert f"schedules.{key}" in ran.out


def test_a_public_value_is_told(project: Project) -> None:
    """What masks all would be of no use."""
    schedule = "[schedules.nightly]\ntasks = ['Sales']\nevery = '1h'\nparams = { region = 'south' }\n"
    settle(project, f"[params.Sales]\nregion = 'north'\n{schedule}")

    told = {one["key"]: one["value"] for one in project.run("doctor", "--json").json["settings"]}

    assert told["params.Sales.region"] == "north"
    assert told["schedules.nightly.params.region"] == "south"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://u:p@127.0.0.1:1/d", "127.0.0.1:1"),
        ("mysql://u:p@127.0.0.1:1/d", "127.0.0.1:1"),
        ("sqlite:////dev/null/here.db", "cannot be made"),
    ],
)
def test_a_connection_that_does_not_work_fails_with_its_mend(project: Project, url: str, text: str) -> None:
    """The others are looked at all the same."""
    settle(
        project,
        f"connections.far = {{url = '{url}', connect_timeout = 1}}\nconnections.warehouse.url = 'sqlite:///w.db'\n",
    )

    ran = project.run("doctor", "--json")

    assert ran.code == 1
    (told, mend), *_ = findings(ran, "failed", "connection far")
    assert text in told and mend
    assert findings(ran, "ok", "connection warehouse")


def test_every_line_that_is_not_ok_says_the_mend(project: Project) -> None:
    """A project with all that can be wrong with one on this machine."""
    project.pipeline("import nothing_here\n", "broken")
    settle(
        project,
        """
        connections.far = {url = "postgresql://u@db.invalid/d", connect_timeout = 1}
        connections.warehouse.url = "sqlite:///w.db"
        [s3]
        gc = ["s3://nowhere-at-all"]
        endpoint_url = "http://127.0.0.1:1"
        access_key_id = "k"
        secret_access_key = "s"
        max_attempts = 1
        [schedules.nightly]
        tasks = ["Sale"]
        cron = "0 6 * * *"
        [schedules.wrong]
        tasks = ["Sales"]
        cron = "0 99 * * *"
        [notify.x]
        kind = "nothing"
        [metrics]
        textfile = "/dev/null/metrics.prom"
        """,
    )

    ran = project.run("doctor", "--json")

    bad = [one for one in ran.json["findings"] if one["level"] != "ok"]
    assert {one["area"].split()[0] for one in bad} >= {
        "connection", "state", "s3", "pipelines", "schedule", "notify", "metrics",
    }  # fmt: skip
    assert all(one["mend"] for one in bad), [one for one in bad if not one["mend"]]
    assert any("Did you mean 'Sales'?" in text for text, _ in findings(ran, "failed", "schedule nightly"))
    assert any("cron" in text for text, _ in findings(ran, "failed", "schedule wrong"))


BROKEN = """
stat.url = 'x'
[connections.one]
url = "env:UNSET_ONE"
[connections.two]
url = "env:UNSET_TWO"
marker_table = "${UNSET_TABLE}"
[connections.warehouse]
url = "sqlite:///w.db"
[notify.x]
kind = "slack"
url = "file:nowhere"
[notify.y]
kind = "webhook"
url = "https: //x"
[schedules.bad]
tasks = ["Sale"]
cron = "0 99 * * *"
timezone = "Berlin"
deadline = "7 am"
[params.Sales]
regoin = "x"
[params.Sael]
pin = "x"
"""


def test_all_broken_settings_are_told_at_once(project: Project) -> None:
    """Each with its line and its mend, in the order of the file, and once; exit 2."""
    settle(project, BROKEN)

    ran = project.run("doctor", "--json")

    told = [text for text, mend in findings(ran, "failed", "settings") if mend]
    lines = [text.split(" ")[0].removeprefix(F) for text in told]
    assert lines == [":3:", ":5:", ":7:", ":8:", ":13:", ":16:", ":23:", ":24:"] and ran.code == 2, told
    unset = [one for one in ran.json["findings"] if "UNSET_ONE" in one["text"]]
    assert [one["area"] for one in unset] == ["settings"]
    assert not [one for one in ran.json["findings"] if one["area"] in ("connection one", "notify x", "notify y")]


def test_a_notifier_whose_program_is_not_there_fails(project: Project) -> None:
    """On the PATH, or from the project's folder."""
    project.write("bin/tell", "#!/bin/sh\n")
    (project.folder / "bin/tell").chmod(0o755)
    settle(
        project,
        """
        [notify.gone]
        kind = "command"
        command = ["no-such-program-anywhere", "-x"]
        [notify.here]
        kind = "command"
        command = ["bin/tell"]
        [notify.path]
        kind = "command"
        command = ["sh"]
        """,
    )

    ran = project.run("doctor", "--json")

    ((text, mend),) = findings(ran, "failed", "notify")
    assert "there is no program no-such-program-anywhere" in text and mend
    assert len(findings(ran, "ok", "notify")) == 2


def test_what_can_be_looked_at_beside_broken_settings_is(project: Project) -> None:
    """Another connection, pipelines, and all that is wrong with one schedule."""
    settle(project, BROKEN)

    ran = project.run("doctor", "--json")

    assert findings(ran, "ok", "connection warehouse") and findings(ran, "ok", "versions")
    schedule = [text for text, mend in findings(ran, "failed", "schedule bad") if mend]
    assert [text.split("'")[1] for text in schedule[:3]] == [
        "schedules.bad.timezone", "schedules.bad.cron", "schedules.bad.deadline",
    ]  # fmt: skip
    assert "names no task: 'Sale'. Did you mean 'Sales'?" in schedule[3]


def test_a_broken_state_and_a_broken_reference_are_told_once(project: Project) -> None:
    """On a screen too; what is behind them is not guessed."""
    settle(project, "state.url = 'env:UNSET_STATE'\n[connections.warehouse]\nurl = 'aws-sm:'\n")

    ran = project.run("doctor")

    assert ran.code == 2 and ran.err == ""
    assert ran.out.count("needs the environment variable UNSET_STATE") == 1
    assert ran.out.count("aws-sm: is followed by the name") == 1
    assert "(cannot be used)" in ran.out and "internal error" not in ran.out


def test_a_secret_that_cannot_be_fetched_ends_no_look(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Secrets Manager that does not answer is a line of that connection."""
    for name, value in (("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "eu-central-1")):
        monkeypatch.setenv(name, value)
    settle(
        project,
        """
        [s3]
        endpoint_url = "http://127.0.0.1:1"
        region = "eu-central-1"
        max_attempts = 1
        [connections.far]
        url = "aws-sm:prod/url"
        [connections.warehouse]
        url = "sqlite:///w.db"
        """,
    )

    ran = project.run("doctor", "--json")

    assert ran.code == 1 and findings(ran, "failed", "connection far") and findings(ran, "ok", "connection warehouse")
    told = {one["key"]: one["value"] for one in ran.json["settings"]}
    assert told["connections.far.url"] == "aws-sm:prod/url"


def test_a_file_that_is_no_database_has_a_mend_of_its_own(project: Project) -> None:
    """Nobody looks for a server's port."""
    project.write("w.db", "something else, and longer than what a database of SQLite begins with")
    settle(project, "connections.warehouse.url = 'sqlite:///w.db'\n")

    ((text, mend),) = findings(project.run("doctor", "--json"), "failed", "connection")

    assert "is not a SQLite database" in text
    assert mend == f"look at {F}:2: 'connections.warehouse.url': path, folder, rights"


@pytest.mark.parametrize("folder", ["/proc/x", "/dev/null/x"])
def test_a_state_whose_folder_cannot_be_made_fails(project: Project, folder: str) -> None:
    """As root too, who may write into /proc as far as its rights tell."""
    settle(project, f"state.url = 'sqlite:///{folder}/state.db'\n")

    ran = project.run("doctor", "--json")

    ((text, mend),) = findings(ran, "failed", "state")
    assert ran.code == 1 and "cannot be made" in text and mend


@pytest.mark.parametrize("text", ["stat.url = \n", "profiles.a.inherits = 'b'\nprofiles.b.inherits = 'a'\n"])
def test_a_file_that_cannot_be_read_is_the_usual_error(project: Project, text: str) -> None:
    """Exit 2 with file and line, as of every command: there is nothing to look at."""
    settle(project, text)

    ran = project.run("doctor", "--profile", "a")

    assert ran.code == 2 and ran.err.startswith(f"etlctl: {F}:") and ran.out == ""


def test_an_interruption_waits_for_no_server(project: Project) -> None:
    """One that takes the connection and says nothing, for as long as the settings wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"postgresql://u@127.0.0.1:{server.getsockname()[1]}/d"
        settle(project, f"connections.far = {{url = '{url}', connect_timeout = 600}}\ndefault_connection = 'far'\n")
        words = [sys.executable, "-P", "-m", "etlctl", "doctor"]
        doctor = subprocess.Popen(words, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with doctor, server.accept()[0]:
            doctor.send_signal(signal.SIGINT)
            try:
                _, err = doctor.communicate(timeout=60)
            finally:
                doctor.kill()

    assert (doctor.returncode, err.decode()) == (130, "etlctl: interrupted.\n")


class Terminal(io.StringIO):
    """What a person would read."""

    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_folds(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal."""
    settle(project)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(project.folder)
    screen = Terminal()

    with redirect_stdout(screen):
        assert main(["doctor"]) == 0

    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 60 and len(lines) > 40


def test_a_load_whose_id_cannot_change_is_told(project: Project) -> None:
    """As `show` tells it, with file and line."""
    project.pipeline(
        """
        from etlctl import DateParameter, LoadTable

        class Constant(LoadTable):
            date = DateParameter()
            update_id = "always"
            columns = {"n": "integer"}

            def rows(self):
                return [(1,)]
        """,
        "constant",
    )
    settle(project)

    (told, mend), *_ = findings(project.run("doctor", "--json"), "warning", "pipelines")

    assert f"{project.package}/constant.py:" in told and "update_id is 'always' whatever date is" in told
    assert mend.startswith("Leave update_id out")


def test_a_query_that_reads_what_it_does_not_require_is_told(project: Project) -> None:
    """Near or far requirements are; a table that no task writes is nobody's business."""
    project.pipeline(
        """
        from etlctl import DateParameter, QueryTable, requires
        from .flows import Sales

        class Lost(QueryTable):
            date = DateParameter()
            query = "SELECT n FROM sales JOIN given USING (n) WHERE :date > ''"

        @requires(Sales)
        class Near(QueryTable):
            query = "SELECT n FROM sales WHERE :date > ''"

        @requires(Near)
        class Far(QueryTable):
            query = "SELECT n FROM near JOIN sales USING (n) WHERE :date > ''"
        """,
        "queries",
    )
    settle(project)

    told = findings(project.run("doctor", "--json"), "warning", "pipelines")

    assert len(told) == 1, told
    assert "Lost: its query reads sales, which Sales loads, and does not require it" in told[0][0]
    assert told[0][1] == "add @requires(Sales), or requires() that returns it."


def test_json_is_one_document_when_all_fails(project: Project) -> None:
    """Whatever users' code prints at import."""
    project.pipeline("print('loud')\n1 / 0\n", "loud")
    settle(project)

    ran = project.run("doctor", "--json")

    assert ran.code == 1 and json.loads(ran.out)["counts"]["failed"] == 1
