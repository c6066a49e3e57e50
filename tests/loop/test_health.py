"""Health of a loop: what vitals say, over HTTP and in a file; slow clients hold nothing."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etlctl.errors import UsageError
from etlctl.loop import health
from etlctl.loop.health import MOST_CLIENTS, HealthServer
from etlctl.loop.health_place import check_place
from etlctl.loop.pulse import Pulse
from etlctl.loop.vitals import STUCK_S, Vitals
from looping import loop_of, make_project

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    """The monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vitals(clock: Clock) -> Vitals:
    return Vitals(now=lambda: NOON, monotonic=clock)


@pytest.fixture
def server(vitals: Vitals) -> Iterator[HealthServer]:
    with health.serve(vitals, "127.0.0.1", 0, lambda: "etlctl_up 1\n") as found:
        yield found


def get(server: HealthServer, page: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, page)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def stays(look: Callable[[], object]) -> bool:
    """Whether it comes to stay what it is; one more change may be under way."""
    until = time.monotonic() + 40
    before = look()
    while time.monotonic() < until:
        time.sleep(0.2)
        if (now := look()) == before:
            return True
        before = now
    return False


def make_ready(vitals: Vitals) -> None:
    vitals.settings_loaded()
    vitals.state_reachable(True)
    vitals.next_due("nightly", NOON + timedelta(hours=1))


# -- vitals


def test_ready_means_settings_state_and_a_known_result(vitals: Vitals) -> None:
    """Each reason in its turn; a failed turn is a known result."""
    reasons = [vitals.why_not_ready()]
    vitals.settings_loaded()
    reasons.append(vitals.why_not_ready())
    vitals.state_reachable(False, "connection refused")
    reasons.append(vitals.why_not_ready())
    vitals.state_reachable(True)
    vitals.next_due("nightly", NOON)
    reasons.append(vitals.why_not_ready())
    vitals.turn_began("nightly", NOON)
    reasons.append(vitals.why_not_ready())
    vitals.turn_ended("nightly", 1)
    reasons.append(vitals.why_not_ready())
    vitals.ends()
    reasons.append(vitals.why_not_ready())

    assert reasons == [
        "the settings are not loaded",
        "the state database was not asked yet",
        "the state database cannot be used: connection refused",
        "the first turn has not ended: nightly",
        "the first turn has not ended: nightly",
        "",
        "the loop is ending",
    ]


def test_later_turn_leaves_the_last_result_known(vitals: Vitals) -> None:
    """A turn of hours does not take the loop out of service."""
    make_ready(vitals)
    vitals.turn_began("nightly", NOON)
    assert vitals.why_not_ready()
    vitals.turn_ended("nightly", 0)

    vitals.turn_began("nightly", NOON)

    assert vitals.why_not_ready() == ""


def test_loop_that_is_silent_for_too_long_does_not_live(vitals: Vitals, clock: Clock) -> None:
    """Longer than it said it would wait; a turn may take any time."""
    vitals.waits(3600)
    clock.now += 3600 + STUCK_S
    assert vitals.why_not_live() == ""

    clock.now += 1
    assert vitals.why_not_live() == "the loop was not heard of for 121 s"

    vitals.turn_began("nightly", NOON)
    clock.now += 100_000
    assert vitals.why_not_live() == ""


def test_schedule_that_a_reload_took_away_is_forgotten(vitals: Vitals) -> None:
    make_ready(vitals)
    vitals.turn_began("gone", NOON)

    vitals.forget("gone")

    assert (vitals.why_not_ready(), list(vitals.document()["schedules"])) == ("", ["nightly"])


# -- over HTTP


def test_pages_say_live_ready_and_metrics(server: HealthServer, vitals: Vitals) -> None:
    """With the whole of it as JSON, whatever the answer."""
    assert get(server, "/live")[0] == 200
    status, text = get(server, "/ready?verbose")
    assert (status, json.loads(text)["reason"]) == (503, "the settings are not loaded")

    make_ready(vitals)

    status, text = get(server, "/ready")
    assert (status, json.loads(text)["schedules"]["nightly"]["next_due"]) == (200, "2026-11-23T13:00:00Z")
    assert get(server, "/metrics") == (200, "etlctl_up 1\n")
    assert get(server, "/ready", "HEAD") == (200, "")
    assert get(server, "/") == (404, "There are /live, /ready, /metrics.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_other_methods_are_answered_in_plain_text(server: HealthServer, method: str) -> None:
    """405 with what is allowed (RFC 9110, 15.5.6), also where something was sent along; and the server goes on."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, "/live", body=b"x" * 5_000)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.headers["Content-Type"].startswith("text/plain") and text == "GET /live, /ready, /metrics.\n"
    assert get(server, "/live")[0] == 200


def test_what_is_no_request_is_refused_in_plain_text(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"GET / / / HTTP/1.0\r\n\r\n")
        answer = client.makefile("rb").read().decode()

    assert " 400 " in answer.splitlines()[0] and answer.endswith("\r\n\r\nBad Request.\n")


def test_loop_that_is_stuck_is_not_live(server: HealthServer, vitals: Vitals, clock: Clock) -> None:
    clock.now += STUCK_S + 1

    assert get(server, "/live")[0] == 503


def test_metrics_without_their_library_say_how_to_have_them(vitals: Vitals) -> None:
    with health.serve(vitals, "127.0.0.1", 0) as server:
        assert get(server, "/metrics") == (404, 'No metrics here: pip install "etlctl[metrics]"\n')


def test_metrics_that_cannot_be_made_are_told_in_a_line(vitals: Vitals, caplog: pytest.LogCaptureFixture) -> None:
    """And hurt nothing else."""

    def broken() -> str:
        raise ValueError("no figures")

    with health.serve(vitals, "127.0.0.1", 0, broken) as server, caplog.at_level(logging.WARNING, "etlctl"):
        with pytest.raises(http.client.HTTPException):
            get(server, "/metrics")
        assert get(server, "/live")[0] == 200

    assert "health could not be told: ValueError: no figures" in caplog.text


def test_slow_clients_do_not_hold_the_server(server: HealthServer) -> None:
    """Many that say nothing: who asks is answered before their time is over; they are dropped in the end."""
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * MOST_CLIENTS)]
    for one in idle[::2]:
        one.sendall(b"GET /live HT")
    began = time.monotonic()

    assert get(server, "/live")[0] == 200
    assert time.monotonic() - began < 4 * health.TIMEOUT_S  # all of them one after the other would take longer

    for one in idle:
        one.settimeout(30)
        assert one.recv(1) == b""
        one.close()


def test_client_that_drips_has_its_time(server: HealthServer) -> None:
    """Each byte comes in time, the request does not."""
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(0.5)
        began = time.monotonic()
        slow.sendall(b"GET /live HTTP/1.0\r\nX: ")
        while time.monotonic() - began < 60:
            try:
                slow.sendall(b"x")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break

    assert health.TIMEOUT_S - 1 < time.monotonic() - began < 60


def test_closed_server_leaves_port_threads_and_descriptors(vitals: Vitals) -> None:
    """Clients that are there are dropped."""

    def left() -> bool:
        return not set(threading.enumerate()) <= threads or len(os.listdir("/dev/fd")) > files

    threads, files = set(threading.enumerate()), len(os.listdir("/dev/fd"))
    with health.serve(vitals, "127.0.0.1", 0) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/live")[0] == 200
        port = server.port
        server.close()

    until = time.monotonic() + 40
    while left() and time.monotonic() < until:
        time.sleep(0.02)
    assert not left()
    with health.serve(vitals, "127.0.0.1", port):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_address_that_cannot_be_had_is_said(vitals: Vitals, server: HealthServer, host: str) -> None:
    """Found before anything runs (exit 2); the sentence names the settings."""
    with pytest.raises(
        UsageError, match=rf"Health cannot be served on {host} port {server.port}: .*health_port"
    ) as told:
        health.serve(vitals, host, server.port)

    assert told.value.exit_code == 2


# -- the file, and the pulse


def test_file_is_whole_at_each_moment(vitals: Vitals, tmp_path: Path) -> None:
    """Whoever reads it finds a document; nothing is left beside it."""
    path = tmp_path / "run" / "health.json"
    path.parent.mkdir()
    health.write_file(vitals, path)
    is_over = threading.Event()

    def writes() -> None:
        while not is_over.is_set():
            health.write_file(vitals, path)

    writer = threading.Thread(target=writes)
    writer.start()
    try:
        for _ in range(300):
            assert json.loads(path.read_text())["written_at"] == "2026-11-23T12:00:00Z"
    finally:
        is_over.set()
        writer.join()

    assert os.listdir(path.parent) == ["health.json"]


def test_pulse_keeps_the_file_fresh_while_the_loop_lives(vitals: Vitals, clock: Clock, tmp_path: Path) -> None:
    """A loop that is stuck lets it get old; one that has ended leaves none."""
    path = tmp_path / "health.json"
    with Pulse(vitals, path, every_s=0.02):
        first = path.stat().st_ino
        until = time.monotonic() + 40
        while path.stat().st_ino == first and time.monotonic() < until:
            time.sleep(0.01)
        assert path.stat().st_ino != first

        clock.now += STUCK_S + 1
        assert stays(lambda: (path.stat().st_ino, path.stat().st_mtime_ns))

    assert not path.exists()


def test_file_that_cannot_be_written_is_told_once(
    vitals: Vitals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F73: and once more when it can; the loop goes on."""
    (tmp_path / "run").touch()
    with caplog.at_level(logging.WARNING, "etlctl"), Pulse(vitals, tmp_path / "run" / "health", every_s=600) as pulse:
        pulse.beat()
        pulse.beat()
        (tmp_path / "run").unlink()
        (tmp_path / "run").mkdir()
        pulse.beat()
        pulse.beat()

    told = [record.getMessage() for record in caplog.records]
    assert [text.rpartition(" ")[2] for text in told] == ["directory", "again"]
    assert "cannot be written: Not a directory" in told[0]


@pytest.mark.parametrize(
    "slip", ["orders.csv", "settings.json", "folder", "fifo", "link to a device", "missing/health"]
)
def test_place_of_the_file_is_refused_where_it_would_harm(tmp_path: Path, slip: str) -> None:
    """A file of somebody else's, or a device, would be replaced and removed; no folder is made for a slip (exit 2)."""
    (tmp_path / "orders.csv").write_text("id\n1\n")
    (tmp_path / "settings.json").write_text('{"theirs": 1}')
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link to a device").symlink_to("/dev/null")
    before = sorted(os.listdir(tmp_path))

    with pytest.raises(UsageError, match="--health-file") as told:
        check_place(tmp_path / slip)

    assert told.value.exit_code == 2
    assert sorted(os.listdir(tmp_path)) == before


def test_place_of_the_file_is_taken_where_it_is_free_or_ours(vitals: Vitals, tmp_path: Path) -> None:
    """What a killed loop has left, and what mktemp makes."""
    path = tmp_path / "health.json"
    check_place(path)
    path.touch()
    check_place(path)
    health.write_file(vitals, path)
    check_place(path)


def test_loop_leaves_alone_what_is_no_health_file(tmp_path: Path, sqlite_url: str) -> None:
    """As typed: it ends before it begins, and the file is as it was."""
    project = make_project(tmp_path, sqlite_url)
    command, _ = loop_of("Quick", grace_s=1)
    (project / "orders.csv").write_text("id\n1\n")

    ran = subprocess.run(
        [*command, "--health-file", "orders.csv"], cwd=project, capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == 2 and "orders.csv is there and is no health file" in " ".join(ran.stderr.split()), ran
    assert (project / "orders.csv").read_text() == "id\n1\n"
    assert not (project / "quick.txt").exists()
