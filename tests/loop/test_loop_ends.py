"""A loop ends soon after its grace, whatever it is at, with the code of the signal, and nothing half done.

That it takes two seconds at most is what torture/loop_ends.py measures on a machine with nothing else to do.

F68 and F69, in processes of their own; as process 1 of a container where PID namespaces are permitted.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from looping import SOON_S, Looping, loop_of, looping, make_project, why_not_first
from servers.postgres import Postgres

GRACE_S = 1.0
DATED = r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  etlctl: "
"""How a line of the loop's end begins: as the others of its story."""
TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.fixture
def project(tmp_path: Path, sqlite_url: str) -> Path:
    return make_project(tmp_path, sqlite_url)


@pytest.fixture
def shared_project(tmp_path: Path, postgres_url: str) -> Path:
    """Its warehouse and its state are one PostgreSQL database."""
    return make_project(tmp_path, postgres_url, state=postgres_url)


@pytest.fixture(params=[False, True], ids=["a process", "process 1"])
def is_first(request: pytest.FixtureRequest) -> bool:
    if request.param and (why := why_not_first()):
        pytest.skip(why)
    return bool(request.param)


def at_work(loop: Looping, project: Path) -> None:
    loop.wait_for((project / "started").exists, "the task")


def wait_for_the_end_to_begin(loop: Looping) -> None:
    loop.wait_for(lambda: loop.document().get("reason") == "the loop is ending", "the beginning of its end")


@pytest.mark.parametrize(("number", "code"), [(TERM, 143), (INT, 130)])
def test_signal_ends_a_loop_that_waits_at_once(
    project: Path, is_first: bool, number: signal.Signals, code: int
) -> None:
    """F68: idle; no grace is needed."""
    command, port = loop_of("Quick", grace_s=60)
    with looping(command, project, port, is_first=is_first) as loop:
        loop.wait_for_turn()

        loop.send(number)
        ended = loop.ended()

    assert (ended.code, ended.took_s < SOON_S) == (code, True), ended
    assert "Traceback" not in ended.err


def test_signal_ends_a_loop_in_backoff_at_once(project: Path, is_first: bool) -> None:
    """F68: its turn has failed, and it waits before the next."""
    command, port = loop_of("Failing", grace_s=60)
    with looping(command, project, port, is_first=is_first) as loop:
        loop.wait_for_turn()

        loop.send(TERM)
        ended = loop.ended()

    assert (ended.code, ended.took_s < SOON_S) == (143, True), ended


@pytest.mark.parametrize("jobs", [1, 2])
def test_task_that_ends_within_the_grace_ends_well(project: Path, is_first: bool, jobs: int) -> None:
    """F68: its output is there; the task after it is not begun."""
    command, port = loop_of("After", grace_s=60, jobs=jobs)
    with looping(command, project, port, is_first=is_first) as loop:
        at_work(loop, project)

        loop.send(TERM)
        wait_for_the_end_to_begin(loop)
        (project / "may end").touch()
        ended = loop.ended()

    assert ended.code == 143, ended
    assert (project / "Short.txt").exists()
    assert not (project / "After.txt").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_task_that_takes_longer_than_the_grace_is_ended(project: Path, is_first: bool, jobs: int) -> None:
    """F68: nothing of its output is there, nor a temporary file."""
    command, port = loop_of("Slow", grace_s=GRACE_S, jobs=jobs)
    with looping(command, project, port, is_first=is_first) as loop:
        at_work(loop, project)

        loop.send(TERM)
        ended = loop.ended()

    assert (ended.code, GRACE_S <= ended.took_s < SOON_S) == (143, True), ended
    assert "Traceback" not in ended.err
    assert [path.name for path in project.iterdir() if "slow" in path.name.lower()] == []
    assert "FAIL=0 SKIP=1" in ended.err and "exit 143" in ended.err  # a deployment is no failure of its tasks
    assert re.search(DATED + "stopping; what runs has 1 s", ended.err), ended.err


@pytest.mark.parametrize("jobs", [1, 2])
def test_task_that_takes_no_heed_does_not_keep_the_process(project: Path, is_first: bool, jobs: int) -> None:
    """F68: one that catches every exception, in a loop: the process leaves without it."""
    command, port = loop_of("Stubborn", grace_s=GRACE_S, jobs=jobs)
    with looping(command, project, port, is_first=is_first) as loop:
        at_work(loop, project)

        loop.send(TERM)
        ended = loop.ended()

    assert (ended.code, GRACE_S <= ended.took_s < SOON_S) == (143, True), ended
    assert re.search(DATED + "what runs did not end in time", ended.err), ended.err


@pytest.mark.parametrize(("number", "code"), [(TERM, 143), (INT, 130)])
def test_second_signal_does_not_wait_for_the_grace(
    project: Path, is_first: bool, number: signal.Signals, code: int
) -> None:
    """F69: at once, though the grace is a minute."""
    command, port = loop_of("Slow", grace_s=60)
    with looping(command, project, port, is_first=is_first) as loop:
        at_work(loop, project)

        loop.send(number)
        wait_for_the_end_to_begin(loop)
        loop.send(number)
        ended = loop.ended()

    assert (ended.code, ended.took_s < SOON_S) == (code, True), ended
    assert not (project / "Slow.txt").exists()


def test_hang_up_reloads_and_ends_nothing(project: Path, is_first: bool) -> None:
    """F69: pipelines are read anew, and what was waited for is waited for again."""
    command, port = loop_of("Quick", grace_s=60)
    with looping(command, project, port, is_first=is_first) as loop:
        loop.wait_for_turn()
        with (project / "pipelines" / "looped.py").open("a") as file:
            file.write('Path("read anew").touch()\n')

        loop.send(HUP)
        loop.wait_for((project / "read anew").exists, "the reload")
        assert loop.document()["live"] is True
        loop.send(TERM)

        assert loop.ended().code == 143


def test_signal_while_the_project_is_opened_ends_with_its_code(project: Path, is_first: bool) -> None:
    """A module of the pipelines that takes for ever: the grace is all it has."""
    with (project / "pipelines" / "looped.py").open("a") as file:
        file.write('Path("started").touch()\ntime.sleep(60)\n')
    with (project / "config" / "etlctl.toml").open("a") as file:
        file.write('[schedules.nightly]\ntasks = ["Quick"]\nevery = "12h"\n')
    command, port = loop_of("", grace_s=GRACE_S)
    with looping(command, project, port, is_first=is_first) as loop:
        at_work(loop, project)

        loop.send(TERM)
        ended = loop.ended()

    assert (ended.code, GRACE_S <= ended.took_s < SOON_S) == (143, True), ended
    assert "Traceback" not in ended.err


def test_signal_in_copy_leaves_nothing_in_the_database(
    shared_project: Path, is_first: bool, postgres_server: Postgres, postgres_url: str
) -> None:
    """F68: rows are on their way. Neither they nor a marker, a lease or a session are there afterwards."""

    def ask(query: str) -> object:
        return postgres_server.ask(query, url=postgres_url)[0][0]

    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    leases = "SELECT count(*) FROM etlctl_leases WHERE state = 'running'"
    command, port = loop_of("Copying", grace_s=GRACE_S)
    with looping(command, shared_project, port, is_first=is_first) as loop:
        loop.wait_for(lambda: ask("SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 0"), "COPY")
        held = ask(leases)

        loop.send(TERM)
        ended = loop.ended()

        assert (ended.code, GRACE_S <= ended.took_s < SOON_S) == (143, True), ended
        assert "did not end in time" not in ended.err
        assert ask(f"{sessions} AND state <> 'idle'") == 0
        assert (ask("SELECT count(*) FROM copying"), ask("SELECT count(*) FROM table_updates")) == (0, 0)
        assert (held, ask(leases)) == (2, 0)  # the turn's and the task's


def test_message_that_nobody_takes_keeps_no_loop_and_outlives_none(project: Path) -> None:
    """U10, U11: the program of a notifier hangs; its message is given up, which is said, and no task is blamed."""
    with (project / "config" / "etlctl.toml").open("a") as file:
        file.write(
            '[notify.hangs]\nkind = "command"\ntimeout = 600\non = ["ok"]\n'
            'command = ["sh", "-c", "echo $$ > told.new; mv told.new told; exec sleep 600"]\n'
        )
    command, port = loop_of("Quick", grace_s=GRACE_S)
    with looping(command, project, port) as loop:
        loop.wait_for((project / "told").exists, "the message")
        pid = int((project / "told").read_text())

        loop.send(TERM)
        ended = loop.ended()
        until = time.monotonic() + 30
        while not has_ended(pid) and time.monotonic() < until:
            time.sleep(0.02)

    assert ended.code == 143, ended
    assert "notify hangs: a message was not sent in time" in ended.err, ended
    assert "did not end in time; left" not in ended.err, ended
    assert has_ended(pid)


def has_ended(pid: int) -> bool:
    """Whether it is gone, or a zombie that whoever adopts orphans has not looked at."""
    asked = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return asked.stdout.strip()[:1] in ("", "Z")
