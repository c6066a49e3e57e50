"""Builds from the command line that notify: a whole process each, by the settings, with the state database's memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.project import Project, environment
from notify.receivers import Web, silent_server, web

FLOWS = '''
    """A task that fails until a file is there, and others beside it."""

    import os

    import etlctl
    from etlctl import ExternalTask, LocalTarget, Parameter, ParameterVisibility, Task


    class Flaky(Task):
        pin = Parameter(default="PIN-98765", visibility=ParameterVisibility.PRIVATE)

        def output(self):
            return LocalTarget("out/flaky")

        def run(self):
            if not os.path.exists("data/mended"):
                raise ValueError(f"no route with {os.environ['TOKEN']} and {self.pin}")
            with self.output().open("w") as file:
                file.write("x")


    class Feed(ExternalTask):
        def output(self):
            return LocalTarget("data/feed.csv")


    class Nests(Task):
        def run(self):
            etlctl.build([Flaky()])
            raise ValueError("outer")
'''
TOKEN = "S3cr3t-b7d1-in-a-header"


@pytest.fixture
def server() -> Iterator[Web]:
    """A receiver."""
    with web() as kept:
        yield kept


@pytest.fixture
def flaky(empty_project: Project, server: Web) -> Project:
    """A project that tells the receiver."""
    empty_project.pipeline(FLOWS)
    configure(empty_project, f"{server.url}/services/T0/B0")
    return empty_project


def configure(project: Project, url: str, more: str = "") -> None:
    """The settings, with one webhook."""
    project.write(
        "config/etlctl.toml",
        f'[pipelines]\npath = "{project.package}"\n[notify.ops]\nkind = "webhook"\nurl = "{url}"\nretries = 0\n'
        f'{more}headers = {{ Authorization = "env:TOKEN" }}\n',
    )


def build(project: Project, *words: str) -> tuple[int, str]:
    """Exit code and story of a build."""
    ran = project.spawn("build", *words, env={"TOKEN": TOKEN})
    return ran.code, ran.err


def test_builds_tell_a_failure_once_and_its_end_once(flaky: Project, server: Web) -> None:
    """Each build is a process of its own, as from cron: the state database remembers between them."""
    codes = [build(flaky, "Flaky")[0] for _ in range(3)]
    flaky.write("data/mended")
    codes += [build(flaky, "Flaky")[0] for _ in range(2)]

    told = [[(task["task"], task["result"]) for task in document["tasks"]] for document in server.documents()]
    assert codes == [1, 1, 1, 0, 0]
    assert told == [[("Flaky()", "fail")], [("Flaky()", "recovered")]]


def test_build_tells_no_secret(flaky: Project, server: Web) -> None:
    """The header has the token; the message, whose error quotes it and a private value, has neither."""
    build(flaky, "Flaky")

    ((_, headers, body),) = server.requests
    assert headers["authorization"] == TOKEN
    assert b"no route with *** and ***" in body
    assert TOKEN.encode() not in body and b"PIN-98765" not in body


def test_command_of_a_message_shows_the_log(flaky: Project, server: Web) -> None:
    """It can be typed as it stands."""
    build(flaky, "Flaky")

    (task,) = server.documents()[0]["tasks"]
    words = task["command"].split()
    assert words[:2] == ["etlctl", "logs"]
    assert "no route with" in flaky.spawn(*words[1:], env={"TOKEN": TOKEN}).out


def test_dead_endpoint_changes_nothing_of_a_build(flaky: Project) -> None:
    """The same exit code; one warning, without the address."""
    configure(flaky, "http://127.0.0.1:1/services/T0/B0")
    flaky.write("data/mended")

    code, story = build(flaky, "Flaky", "Feed")

    assert code == 3
    assert story.count("notify ops: ") == 1 and "The work itself goes on." in story
    assert "T0" not in story


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_silent_endpoint_is_waited_for_behind_the_summary(flaky: Project, number: signal.Signals) -> None:
    """A server that takes the connection and never answers, for a minute: first the summary, then a line that tells of
    the wait; a signal ends that, and the exit code is that of the work."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGINT, before)
        port = stack.enter_context(silent_server())
        configure(flaky, f"http://127.0.0.1:{port}/services/T0/B0", "timeout = 60\n")
        with subprocess.Popen(
            [sys.executable, "-m", "etlctl", "build", "Feed"],
            cwd=flaky.folder,
            env=environment({"TOKEN": TOKEN}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "messages are on their way, and waited for 4 s at most" in line:
                    process.send_signal(number)
            code = process.wait(30)

    text = "".join(lines)
    assert (code, text.count("not sent in time")) == (3, 1), text
    assert text.index("exit 3") < text.index("messages are on their way") < text.index("not sent in time")


def test_build_inside_a_task_tells_nothing_of_its_own(flaky: Project, server: Web) -> None:
    """The task around it does."""
    build(flaky, "Nests")

    (document,) = server.documents()
    assert [task["task"] for task in document["tasks"]] == ["Nests()"]


def test_build_that_cannot_begin_is_told(flaky: Project, server: Web, tmp_path: Path) -> None:
    """A state database that somebody has chosen and nobody can reach: exit 4, and a message."""
    settings = flaky.folder / "config" / "etlctl.toml"
    url = "postgresql://etl:S3cr3t-pw@127.0.0.1:1/state"
    settings.write_text(f'{settings.read_text()}[state]\nurl = "{url}"\n')

    code, _ = build(flaky, "Feed")

    (document,) = server.documents()
    assert code == 4 and document["exit_code"] == 4
    assert "given up" in document["title"] and "S3cr3t" not in str(document)


def test_wrong_settings_of_a_notifier_are_found_before_anything_runs(flaky: Project) -> None:
    """Exit 2 with the place, and no traceback."""
    configure(flaky, "gopher://127.0.0.1/services/T0/B0")

    code, story = build(flaky, "Feed")

    assert code == 2
    assert "config/etlctl.toml:3: 'notify.ops.url' must begin with" in story and "T0" not in story
    assert not (flaky.folder / ".etlctl").exists()


@pytest.mark.slow
def test_loop_tells_a_failure_once_and_its_end_once(flaky: Project, server: Web) -> None:
    """However many turns fail; an endpoint beside it that never answers delays none of them."""
    with silent_server() as port:
        settings = flaky.folder / "config" / "etlctl.toml"
        silent = f'[notify.silent]\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/hook"\ntimeout = 60\n'
        settings.write_text(f"{settings.read_text()}{silent}")
        process = subprocess.Popen(
            [sys.executable, "-m", "etlctl", "loop", "Flaky", "--every", "1s"],
            cwd=flaky.folder,
            env=environment({"TOKEN": TOKEN}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            logs = flaky.folder / ".etlctl" / "logs"
            _wait_for(lambda: logs.exists() and len(list(logs.iterdir())) >= 3)  # a folder a turn that ran something
            flaky.write("data/mended")
            _wait_for(lambda: len(server.requests) == 2)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    told = [[(task["task"], task["result"]) for task in document["tasks"]] for document in server.documents()]
    assert process.returncode == 143
    assert told == [[("Flaky()", "fail")], [("Flaky()", "recovered")]]


def _wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
