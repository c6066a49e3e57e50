"""S5, S6: a loop, and the commands about it, whose tasks quote every secret there is wherever users' code may raise.

Looked at: what it prints and logs, its pages and its file of health, what a webhook, a command and a mailbox were sent,
metrics, every table of the state database, every file of the project, and the command lines of all processes.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import canary_house
from canary_house import FAMILIES, FLOWS, LOOP_FLOWS, LOOPED, UNMADE, Watch, forms_of, in_files, in_text, made_project
from cli.project import Project, Ran, environment
from etlctl.app import load_settings
from etlctl.loop.loop import Loop
from etlctl.loop.project import opened
from etlctl.loop.vitals import Vitals
from etlctl.runs import RunOptions, notifications
from etlctl.schedule import opened as schedules_of
from loop_house import JumpingClock, Until
from looping import looping
from notify.receivers import MailServer, Web, mail_server, web
from servers.process import free_port

FAILING = [*(one for one in FAMILIES if one not in UNMADE), "Late"]
TELLING = [
    ("loop", "--list"),
    ("loop", "--list", "--json"),
    ("cron",),
    ("cron", "--systemd", "--debug"),
    ("cron", "--json"),
    ("cron", "Raises", "--every", "1h", "--debug"),
    ("cron", "Unmade", "--every", "1h", "--debug"),
    ("cron", "Unread", "--every", "1h", "--debug"),
    ("loop", "Unread", "--every", "1h", "--debug"),
    ("build", "Unread", "--debug"),
    ("doctor",),
    ("doctor", "--json"),
    ("pause", "Unmade", "--reason", "x", "--debug"),
    ("pause", "Raises", "--reason", "x", "--json"),
    ("status", "--json"),
    ("status", *(one for one in LOOPED if one not in ("Ends", *UNMADE)), "--debug"),
    ("resume", "Raises", "--debug"),
    ("resume", "Nothing"),
    ("stop", "nothing", "--debug"),
    ("history", "--json"),
    ("history", "Raises", "--debug"),
    ("logs",),
    ("logs", "Raises", "--debug"),
    ("loop", "Unmade", "--every", "1h", "--pim", "x"),
    ("loop", "Raises", "--every", "1h", "--debug", "--health-file", "config/etlctl.toml"),
]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One secret of each kind, in variables."""
    found = canary_house.canaries()
    for name, value in canary_house.variables(found).items():
        monkeypatch.setenv(name, value)
    return found


class Received:
    """What endpoints were sent."""

    def __init__(self, site: Web, mailbox: MailServer) -> None:
        self.site = site
        self.mailbox = mailbox

    def settings(self) -> str:
        """The notifiers that reach them."""
        return (
            f'[notify.site]\nkind = "webhook"\nurl = "{self.site.url}/${{CANARY_HOOK}}"\n'
            'on = ["ok", "fail", "blocked", "alert", "deadline"]\n'
            '[notify.mail]\nkind = "email"\non = ["ok", "fail", "blocked", "alert", "deadline"]\n'
            '[notify.mail.options]\nhost = "127.0.0.1"\nfrom = "e@x.org"\nto = ["a@x.org"]\nstarttls = false\n'
            f"port = {self.mailbox.port}\n"
        )

    def text(self) -> str:
        """Every body."""
        bodies = [body.decode() for _, _, body in self.site.requests]
        mails = [f"{mail}\n{mail.get_content()}\n{mail['Subject']}" for _, _, mail in self.mailbox.mails]
        return "\n".join([*bodies, *mails])


@pytest.fixture
def received() -> Iterator[Received]:
    """A site and a mailbox."""
    with web() as site, mail_server() as mailbox:
        yield Received(site, mailbox)


def schedules(port: int, when: str = 'every = "12h"') -> str:
    """What raises before a turn has a schedule of its own, the rest share one; each gives one more secret."""
    each = '[schedules.{0}]\ntasks = {1}\n{2}\n[schedules.{0}.params]\ngiven = "${{CANARY_GIVEN}}"\n{3}'
    alone = [one for one in LOOPED if one not in FAILING]
    groups = [(one, [one]) for one in alone[:-2]] + [("together", FAILING)] + [(one, [one]) for one in alone[-2:]]
    more = {"Ends": f"port = {port}\n"}
    return "".join(each.format(name, json.dumps(tasks), when, more.get(name, "")) for name, tasks in groups)


@pytest.mark.parametrize(
    ("log_format", "words"),
    [
        pytest.param("json", ["loop", "--debug", "-j", "2"], marks=pytest.mark.slow),
        pytest.param("text", ["loop"], marks=pytest.mark.long),
    ],
)
def test_a_loop_tells_no_secret_that_its_tasks_quote(
    tmp_path: Path, canaries: dict[str, str], received: Received, log_format: str, words: list[str]
) -> None:
    """Through failing turns, a reload that is refused, one that is not, and its end; nor do the commands about it."""
    forms, port = forms_of(canaries), free_port()
    told = f'[loop]\nhealth_port = {port}\nhealth_file = "health.json"\n[logs]\nformat = "{log_format}"\n'
    more = f"{told}{schedules(port)}{received.settings()}"
    project = made_project(tmp_path, canaries, FLOWS + LOOP_FLOWS, more)
    watch = Watch([value.encode() for value in forms.values()])

    with watch.watching():
        ran = _spawned(project, words, canaries)
    leaks = [(words, name) for name in in_text(ran.out + ran.err, forms)]
    codes = [ran.code]
    for asked in TELLING if log_format == "json" else ():
        answer = project.run(*asked)
        codes.append(answer.code)
        leaks += [(list(asked), name) for name in in_text(answer.out + answer.err, forms)]

    assert ran.code == 143, ran.err
    assert leaks == []
    assert in_text(received.text(), forms) == []
    assert in_files(project.folder, forms) == []
    assert watch.hits == set() and watch.seen > 3
    pages = (project.folder / "pages.txt").read_text(encoding="utf-8")
    assert '"Raises"' in pages and "etlctl_schedule" in pages and "stay as they were" in ran.err
    assert "were read anew" in ran.err and "RuntimeError" in received.text() and received.mailbox.mails
    assert log_format == "text" or sum(code != 0 for code in codes) > 8, codes


def _spawned(project: Project, words: list[str], canaries: dict[str, str]) -> Ran:
    """A loop in a process of its own, which ends itself."""
    found = subprocess.run(
        [sys.executable, "-m", "etlctl", *words],
        cwd=project.folder,
        env=environment(canary_house.variables(canaries)),
        capture_output=True,
        encoding="utf-8",
        timeout=280,
    )
    return Ran(found.returncode, found.stdout, found.stderr)


@pytest.mark.long
def test_a_late_task_is_told_without_the_secrets_it_quotes(
    tmp_path: Path,
    canaries: dict[str, str],
    received: Received,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Deadlines of a schedule and of tasks that fail, that raise when they are asked, and that cannot be made."""
    forms, lines = forms_of(canaries), list[str]()
    at_six = 'cron = "0 6 * * *"\ndeadline = "06:30"'
    flows = (FLOWS + LOOP_FLOWS).replace('deadline = "00:00"', 'deadline = "06:40"')
    project = made_project(tmp_path, canaries, flows, f"{schedules(1, at_six)}{received.settings()}")
    project.write("mended")  # `broken` can be imported
    monkeypatch.chdir(project.folder)
    clock = JumpingClock(datetime(2026, 5, 8, 5, 55, tzinfo=UTC))
    loop = Loop(
        lambda: opened(
            lambda: load_settings(project.folder / "config" / "etlctl.toml", environ=os.environ, cwd=project.folder),
            lambda settings: [one for one in schedules_of(settings) if one.name in ("together", "Gone", "Needs")],
            lambda settings: RunOptions.of(settings, notifications=notifications(settings)),
            is_reload=False,
            clock=clock,
        ),
        clock=clock,
        ending=Until(clock, datetime(2026, 5, 8, 7, 0, tzinfo=UTC)),
        vitals=Vitals(),
        say=lines.append,
    )

    assert loop.run() == 143

    told = received.text()
    assert in_text("\n".join(lines), forms) == []
    assert in_text(told, forms) == []
    assert in_files(project.folder, forms) == []
    assert any("Raises() is not done by" in line for line in lines) and "is late" in told, lines


def test_a_state_that_cannot_be_reached_is_told_without_its_password(
    tmp_path: Path, canaries: dict[str, str], received: Received
) -> None:
    """On the pages of a loop that can begin nothing, in its file of health, in its story and in messages."""
    forms, port = forms_of({**canaries, "ENV": canaries["URL"]}), free_port()  # no setting of this loop has that one
    state = '[state]\nurl = "postgresql://u:${CANARY_URL}@127.0.0.1:1/d"\n'
    told = f'[loop]\nhealth_port = {port}\nhealth_file = "health.json"\n'
    more = f"{state}{told}{schedules(port)}{received.settings()}"
    project = made_project(tmp_path, canaries, FLOWS + LOOP_FLOWS, more)

    with looping([sys.executable, "-m", "etlctl", "loop", "--debug"], project.folder, port) as loop:
        loop.wait_for(lambda: "cannot be used" in loop.document().get("reason", ""), "the word of its health")
        document = json.dumps(loop.document())
        loop.send(signal.SIGTERM)
        ended = loop.ended()

    assert "127.0.0.1:1" in document and ended.code == 143
    assert in_text(document + ended.out + ended.err + received.text(), forms) == []
    assert in_files(project.folder, forms) == []


def test_the_judge_finds_what_is_planted(tmp_path: Path) -> None:
    """A control: in a file, a packed one, a table's text and blob, a text, a message and a command line."""
    forms = forms_of(canary_house.canaries())
    secret = forms["GIVEN"]
    (tmp_path / "plain").write_text(f"x {secret} y", encoding="utf-8")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(f"x {secret} y".encode()))
    with closing(sqlite3.connect(tmp_path / "tables.db")) as database, database:
        database.execute("CREATE TABLE one (n integer, packed blob)")
        database.execute("INSERT INTO one VALUES (1, ?)", [gzip.compress(forms["PIN"].encode())])
    watch = Watch([value.encode() for value in forms.values()])
    sleeping = [sys.executable, "-c", "import sys; sys.stdin.read()", forms["KEY"]]

    with subprocess.Popen(sleeping, stdin=subprocess.PIPE) as process, watch.watching():
        until = time.monotonic() + 30
        while not watch.hits and time.monotonic() < until:
            time.sleep(0.01)
        process.communicate()

    assert in_files(tmp_path, forms) == ["packed.gz: GIVEN", "plain: GIVEN", "tables.db: PIN"]
    assert in_text(f"x {forms['URL']} y", forms) == ["URL"]
    assert len(watch.hits) == 1
