"""What every kind of notifier promises, each with its real receiver."""

from __future__ import annotations

import logging
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etlctl import notify
from etlctl.settings import NotifySettings, Secret
from notify.house import Feed, Load, Report, blocked, done, failed, said, settings, summary
from notify.receivers import mail_server, silent_server, web

SECRET = "S3cr3t-b7d1"  # in what an error quotes
HOSTILE = "\x1b]0;x\x07[/red]\r\nFAKE: <!channel> ```"


@dataclass
class House:
    """A kind with its receiver."""

    kind: str
    settings: NotifySettings
    """That reach the receiver."""
    texts: Callable[[], list[str]]
    """What the receiver has got, each message as one text."""
    dead: NotifySettings
    """Nobody listens there, or the program is not there."""
    hanging: NotifySettings
    """It takes the message and never ends."""


def _http(kind: str, stack: ExitStack) -> House:
    server = stack.enter_context(web())
    silent = stack.enter_context(silent_server())
    if kind == "sentry":
        addresses = [f"http://key@127.0.0.1:{port}/42" for port in (server.port, 1, silent)]
        found = [settings(kind, options={"dsn": Secret(address)}) for address in addresses]
    else:
        found = [settings(kind, f"http://127.0.0.1:{port}/hook") for port in (server.port, 1, silent)]
    return House(kind, found[0], lambda: [body.decode() for _, _, body in server.requests], found[1], found[2])


def _mail(stack: ExitStack) -> House:
    server = stack.enter_context(mail_server())
    silent = stack.enter_context(silent_server())

    def at(port: int) -> NotifySettings:
        told = {"host": "127.0.0.1", "port": port, "from": "etl@example.com", "to": ["ops@example.com"]}
        return settings("email", options={**told, "starttls": False})

    def texts() -> list[str]:
        return [f"{mail['Subject']}\n{mail.get_content()}" for _, _, mail in server.mails]

    return House("email", at(server.port), texts, at(1), at(silent))


def _command(tmp_path: Path) -> House:
    kept = tmp_path / "kept"
    kept.mkdir()
    program = tmp_path / "tell.py"
    program.write_text(
        textwrap.dedent(f"""\
        import json, pathlib, sys, time
        document = json.load(sys.stdin)
        pathlib.Path({str(kept)!r}, document["id"]).write_text(json.dumps(document, ensure_ascii=False))
        """)
    )
    asleep = tmp_path / "sleep.py"
    asleep.write_text("import time; time.sleep(600)\n")

    def texts() -> list[str]:
        return [path.read_text() for path in sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime_ns)]

    def of(*words: str) -> NotifySettings:
        return settings("command", options={"command": list(words)})

    here = sys.executable
    return House("command", of(here, str(program)), texts, of(str(tmp_path / "none")), of(here, str(asleep)))


@pytest.fixture(params=["webhook", "slack", "email", "command", "sentry"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Each kind in turn."""
    with ExitStack() as stack:
        if request.param == "email":
            yield _mail(stack)
        elif request.param == "command":
            yield _command(tmp_path)
        else:
            yield _http(request.param, stack)


def _opened(told: NotifySettings, tmp_path: Path, **more: Any) -> notify.Notifications:
    given = {"project": tmp_path, "profile": "production", "secrets": [Secret(SECRET)], **more}
    return notify.opened({told.name: told}, **given)


def test_notifier_gets_a_digest_with_reason_and_command(house: House, tmp_path: Path) -> None:
    """The failure, why, and what shows more of it reach the receiver before close() returns."""
    told = _opened(house.settings, tmp_path)

    told.run_finished(summary(failed(Load(2), "ValueError: two keys", log="/logs/x")))
    told.close()

    (text,) = house.texts()
    assert "Load(2)" in text and "two keys" in text
    assert "etlctl logs 20261123T050000-ab12 Load --day 2 --profile production" in text


def test_notifier_gets_an_alert(house: House, tmp_path: Path) -> None:
    """What is late is told by title and text."""
    told = _opened(house.settings, tmp_path)

    told.alert("deadline", "nightly is not done by 07:00", "Load(1) is still running", Load())
    told.close()

    (text,) = house.texts()
    assert "not done by 07:00" in text or "still running" in text  # Sentry tells the task's reason


def test_notifier_is_sent_no_secret_and_no_private_value(house: House, tmp_path: Path) -> None:
    """An error that quotes a secret of the settings, or a private parameter, is masked whole and cut."""
    told = _opened(house.settings, tmp_path)
    quoted = failed(Report(), f"OperationalError: {SECRET} and PIN-98765", details=(f"begins {SECRET[:8]}…",))

    told.run_finished(summary(quoted))
    told.alert("alert", f"with {SECRET}", f"text {SECRET}", Report())
    told.close()

    texts = house.texts()
    assert len(texts) == 2
    assert all(SECRET[:8] not in text and "PIN-98765" not in text for text in texts)


def test_notifier_is_sent_one_printable_text(house: House, tmp_path: Path) -> None:
    """Escape sequences, line ends and marks in a reason reach nobody's terminal, subject line or channel."""
    told = _opened(house.settings, tmp_path)

    told.run_finished(summary(failed(Load(), HOSTILE)))
    told.alert("alert", HOSTILE, "a text")
    told.close()

    texts = house.texts()
    assert len(texts) == 2
    for text in texts:
        assert "\x1b" not in text and "\\u001b" not in text and "\nFAKE" not in text
        assert house.kind != "slack" or "<!channel>" not in text


def test_dead_endpoint_costs_one_warning(house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised; the warning names the notifier, and no address of it."""
    told = _opened(house.dead, tmp_path)

    with caplog.at_level(logging.WARNING, "etlctl"):
        told.run_finished(summary(failed(Load())))
        told.close()

    warnings = said(caplog.records)
    assert warnings.count("\n") == 0 and "notify ops: " in warnings
    assert "/hook" not in warnings and "key@" not in warnings


def test_hanging_endpoint_costs_a_bounded_wait(house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """run_finished() returns at once, close() after the time it is given; the warning says what was not sent."""
    hanging = house.hanging._replace(timeout_s=60.0)
    told = _opened(hanging, tmp_path)
    began = time.monotonic()

    with caplog.at_level(logging.WARNING, "etlctl"):
        told.run_finished(summary(failed(Load())))
        returned_s = time.monotonic() - began
        told.close(timeout_s=0.5)

    assert returned_s < 20  # nobody answers for a minute
    assert time.monotonic() - began < 40
    assert "not sent in time" in said(caplog.records)


def test_endpoint_that_does_not_answer_is_told_after_its_timeout(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`timeout` of the settings ends an attempt by itself."""
    told = _opened(house.hanging._replace(timeout_s=1.0), tmp_path)

    with caplog.at_level(logging.WARNING, "etlctl"):
        told.run_finished(summary(failed(Load())))
        told.close(timeout_s=60)

    assert "within 1 s" in said(caplog.records)


def test_what_was_not_sent_is_told_by_the_next_run(house: House, tmp_path: Path) -> None:
    """A failure that nobody heard of is not taken for one that was told."""
    memory = notify.LocalMemory()
    told = _opened(house.dead, tmp_path, memory=lambda: memory)
    told.run_finished(summary(failed(Load())))
    told.close()

    told = _opened(house.settings, tmp_path, memory=lambda: memory)
    told.run_finished(summary(failed(Load())))
    told.close()

    assert len(house.texts()) == 1


def test_nothing_asked_for_is_nothing_sent(house: House, tmp_path: Path) -> None:
    """A notifier that asks for failures hears nothing of what went well."""
    told = _opened(house.settings._replace(on=("fail",)), tmp_path)

    told.run_finished(summary(done(Load()), blocked(Feed())))
    told.close()

    assert house.texts() == []
