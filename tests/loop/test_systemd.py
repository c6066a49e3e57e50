"""What a service manager is told, as it receives it."""

from __future__ import annotations

import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from etlctl.loop import systemd
from etlctl.loop.pulse import Pulse
from etlctl.loop.vitals import STUCK_S, Vitals


@pytest.mark.parametrize("is_abstract", [False, True])
def test_notify_reaches_the_socket(tmp_path: Path, is_abstract: bool) -> None:
    """A path, or an abstract address, which systemd writes with an @."""
    if is_abstract and not sys.platform.startswith("linux"):
        pytest.skip("abstract addresses are Linux's")
    address = f"@etlctl-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(20)

        assert systemd.notify(systemd.READY, environ={"NOTIFY_SOCKET": address})

        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "address", ["", "relative", "/nowhere/notify", "@nobody-listens", "/" + "x" * 200, "vsock:2:1"]
)
def test_notify_is_nothing_where_none_listens(address: str) -> None:
    """Nor an error."""
    assert not systemd.notify(systemd.READY, environ={"NOTIFY_SOCKET": address})


def test_notify_does_not_wait_for_a_manager_that_does_not_read(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        began = time.monotonic()

        sent = [systemd.notify("x" * 1000, environ={"NOTIFY_SOCKET": address}) for _ in range(2000)]

    assert not all(sent)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("environ", "every_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_fed_at_twice_the_pace(environ: dict[str, str], every_s: float | None) -> None:
    """sd_watchdog_enabled(3); it may be meant for another process."""
    assert systemd.watchdog_s(environ=environ) == every_s


def test_pulse_feeds_the_watchdog_while_the_loop_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that is stuck is not kept alive."""
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    now = [0.0]
    sent: list[str] = []
    vitals = Vitals(now=lambda: datetime.now(UTC), monotonic=lambda: now[0])

    def notify(text: str) -> bool:
        sent.append(text)
        return True

    with Pulse(vitals, notify=notify):
        until = time.monotonic() + 40
        while len(sent) < 4 and time.monotonic() < until:
            time.sleep(0.01)

        now[0] += STUCK_S + 1
        number = -1
        while len(sent) != number and time.monotonic() < until:  # one may be on its way
            number = len(sent)
            time.sleep(0.2)

    assert set(sent) == {"WATCHDOG=1"}
    assert (number >= 4, len(sent)) == (True, number)
