"""`[logs] format = "json"`: every line of stderr is one object, whatever tasks print, log and raise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

import pytest

from cli.project import Project, environment

HOSTILE = "\x1b]0;x\x07[/red]\r\nFAKE {}"
FLOWS = f'''
    """Tasks that print, log and fail in every way that could break a line."""

    import logging
    import sys

    from etlctl import IntParameter, LocalTarget, Task

    HOSTILE = {HOSTILE!r}


    class Prints(Task):
        def output(self):
            return LocalTarget("out/prints")

        def run(self):
            print("one" + HOSTILE)
            print("without end\\udcff", end="", file=sys.stderr)
            logging.getLogger("mine").warning("logged %s", HOSTILE)
            try:
                raise KeyError(HOSTILE)
            except KeyError:
                logging.getLogger("mine").exception("traced")
            with self.output().open("w") as file:
                file.write("x")


    class Fails(Task):
        retries = 1
        retry_on = ValueError
        retry_delay = 0

        def requires(self):
            return Prints()

        def run(self):
            raise ValueError("no" + HOSTILE)
'''
SETTINGS = '[logs]\nformat = "json"\n'


@pytest.fixture
def json_project(empty_project: Project) -> Project:
    """A project whose log is JSON."""
    empty_project.pipeline(FLOWS)
    empty_project.write("config/etlctl.toml", f'[pipelines]\npath = "{empty_project.package}"\n{SETTINGS}')
    return empty_project


def lines_of(text: str) -> list[dict[str, Any]]:
    """The objects of a log; the text ends with a line end and holds no control character besides."""
    assert text.endswith("\n") and text.isascii()
    assert all(character.isprintable() or character == "\n" for character in text)
    found = [json.loads(line) for line in text.split("\n")[:-1]]
    assert all(isinstance(one, dict) and isinstance(one["message"], str) for one in found)
    return found


def test_json_log_has_one_object_a_line_whatever_a_task_does(json_project: Project) -> None:
    """Prints, log records, tracebacks and errors with escape sequences and line ends in them stay inside a line."""
    ran = json_project.spawn("build", "Fails")

    objects = lines_of(ran.err)
    assert ran.code == 1
    assert {"time", "level", "logger", "message", "run"} <= set.intersection(*(set(one) for one in objects))
    (endless,) = (one for one in objects if one["message"].startswith("without end"))
    assert endless["task"].startswith("Prints_")
    assert all(datetime.fromisoformat(one["time"]).tzinfo is not None for one in objects)
    assert not any(one["message"].startswith("FAKE") and one["logger"] == "etlctl" for one in objects)
    assert "\x1b" not in "".join(one["message"] for one in objects)  # nor for who reads it with jq -r


def test_json_log_names_run_task_and_attempt(json_project: Project) -> None:
    """Of what is told of a task, and of what its own code logs and prints."""
    ran = json_project.spawn("build", "Fails")

    objects = lines_of(ran.err)
    (logged,) = (one for one in objects if one["message"].startswith("logged"))
    (printed,) = (one for one in objects if one["message"].startswith("one"))
    (retried,) = (one for one in objects if "tried again" in one["message"])
    ended = [one for one in objects if "status" in one]
    assert logged["task"].startswith("Prints_") and logged["attempt"] == 1 and logged["level"] == "warning"
    assert printed["task"] == logged["task"] and len({one["run"] for one in objects}) == 1
    assert retried["task"].startswith("Fails_") and retried["attempt"] == 1
    assert [(one["status"], one["level"]) for one in ended] == [("OK", "info"), ("FAIL", "error")]
    assert ended[1]["reason"].startswith("ValueError: no")


def test_json_log_leaves_stdout_to_the_result(json_project: Project) -> None:
    """`--json` is one document there, as ever."""
    ran = json_project.spawn("build", "Prints", "--json")

    assert ran.code == 0
    assert ran.json["counts"]["OK"] == 1
    assert lines_of(ran.err)


@pytest.mark.parametrize("words", [("build", "Nothing"), ("build", "Fails", "--nope"), ("list",), ("history",)])
def test_json_log_tells_errors_as_objects(json_project: Project, words: tuple[str, ...]) -> None:
    """An error of the command line too; a command without a word of a story writes nothing."""
    ran = json_project.spawn(*words, env={"ETLCTL_LOGS_FORMAT": "json"})

    objects = lines_of(ran.err) if ran.err else []
    assert (ran.code == 2) == any(one["level"] == "error" for one in objects)


def test_json_log_of_the_variable_tells_settings_that_cannot_be_read(json_project: Project) -> None:
    """ETLCTL_LOGS_FORMAT holds before the settings are read."""
    json_project.write("config/etlctl.toml", "[logs\n")

    ran = json_project.spawn("build", "Fails", env={"ETLCTL_LOGS_FORMAT": "json"})

    (one,) = lines_of(ran.err)
    assert ran.code == 2 and one["level"] == "error" and "etlctl.toml" in one["message"]


def test_json_log_on_a_full_disk_does_not_stop_the_work(json_project: Project) -> None:
    """F73: what cannot be written is dropped; no recursion, the exit code is the build's."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "etlctl", "build", "Prints"],
            cwd=json_project.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=60,
        )

    assert ran.returncode == 0
    assert "OK=1" in ran.stdout


@pytest.mark.parametrize("words", [("build", "Waits"), ("loop", "Waits", "--every", "1h")])
def test_json_log_of_a_process_that_is_stopped_is_whole(json_project: Project, words: tuple[str, ...]) -> None:
    """What the handler of a signal says is an object too."""
    json_project.pipeline(
        """
        import os
        import time

        from etlctl import Task


        class Waits(Task):
            def run(self):
                open("begun", "w").close()
                until = time.monotonic() + 60
                while not os.path.exists("may end") and time.monotonic() < until:
                    time.sleep(0.02)
        """,
        module="waits",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "etlctl", *words],
        cwd=json_project.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not (json_project.folder / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)

    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    err = ""
    for line in process.stderr:
        err += line
        if "stopping" in line:
            break
    (json_project.folder / "may end").touch()
    err += process.communicate(timeout=60)[1]

    assert process.returncode == 143, err
    assert any("stopping" in one["message"] for one in lines_of(err))
