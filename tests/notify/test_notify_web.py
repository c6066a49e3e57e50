"""Webhooks: retries, what is not retried, no redirect, headers, and addresses that cannot be used."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etlctl import notify
from etlctl.errors import SettingsError
from etlctl.settings import NotifySettings, Secret
from notify.house import Load, failed, said, settings, summary
from notify.receivers import Web, web


@pytest.fixture
def server() -> Iterator[Web]:
    """A receiver."""
    with web() as kept:
        yield kept


def tell(told: NotifySettings, tmp_path: Path, *, wait_s: float = 20.0) -> None:
    """One failure, to the end."""
    opened = notify.opened({"ops": told}, project=tmp_path, profile=None)
    opened.run_finished(summary(failed(Load())))
    opened.close(timeout_s=wait_s)


def test_webhook_is_tried_again_after_an_error_of_the_server(
    server: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the same id, so that a receiver can tell; a warning is not worth it when it went well."""
    server.answers[:] = [(503, {}, b""), (200, {}, b"")]

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(settings(url=f"{server.url}/hook", retries=2), tmp_path)

    first, second = server.documents()
    assert first["id"] == second["id"]
    assert said(caplog.records) == ""


def test_webhook_waits_as_long_as_it_is_asked_to(server: Web, tmp_path: Path) -> None:
    """Retry-After of a 429."""
    server.answers[:] = [(429, {"Retry-After": "3"}, b""), (200, {}, b"")]

    tell(settings(url=f"{server.url}/hook", retries=1), tmp_path, wait_s=1.5)
    early = len(server.requests)
    server.answers[:] = [(429, {"Retry-After": "1"}, b""), (200, {}, b"")]
    tell(settings(url=f"{server.url}/hook", retries=1), tmp_path)

    assert early == 1
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_webhook_that_refuses_is_not_asked_again(
    server: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The warning says what the server said, in one printable line."""
    server.answers[:] = [(status, {}, b"invalid_token\x1b[31m\r\nnext")]

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(settings(url=f"{server.url}/hook", retries=5), tmp_path)

    assert len(server.requests) == 1
    assert f"answered {status}" in said(caplog.records) and "invalid_token\\x1b" in said(caplog.records)


def test_message_that_is_given_up_between_two_tries_says_why(
    server: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The command ends before the next try was due."""
    server.answers[:] = [(503, {"Retry-After": "60"}, b"away")]

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(settings(url=f"{server.url}/hook", retries=3), tmp_path, wait_s=1.0)

    assert "not sent in time" in said(caplog.records) and "answered 503" in said(caplog.records)
    assert len(server.requests) == 1


def test_redirect_is_not_followed(server: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The address and the headers are secrets, and another host would be handed them."""
    with web() as other, caplog.at_level(logging.WARNING, "etlctl"):
        server.answers[:] = [(307, {"Location": f"{other.url}/hook"}, b"")]
        headers = {"Authorization": Secret("Bearer t0ken-of-mine")}
        tell(settings(url=f"{server.url}/hook", retries=2, options={"headers": headers}), tmp_path)

        assert other.requests == []
    assert len(server.requests) == 1
    assert "redirect" in said(caplog.records)


def test_webhook_sends_headers_and_the_user_of_its_address(server: Web, tmp_path: Path) -> None:
    """`headers` of the settings, and Basic authentication; neither the user nor a fragment stays in the address."""
    address = f"http://me:p%40ss@127.0.0.1:{server.port}/hook?x=1#there"

    tell(settings(url=address, options={"headers": {"X-Team": "data"}}), tmp_path)

    ((path, headers, _),) = server.requests
    assert path == "/hook?x=1"
    assert headers["x-team"] == "data" and headers["content-type"] == "application/json"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert headers["user-agent"].startswith("etlctl/")


def test_warning_is_one_line_until_it_works_again(
    server: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An endpoint that is down for a hundred turns is one line when it goes and one when it is back."""
    server.answers[:] = [(500, {}, b"")] * 3 + [(200, {}, b"")]
    opened = notify.opened({"ops": settings(url=server.url)}, project=tmp_path, profile=None)

    with caplog.at_level(logging.WARNING, "etlctl"):
        for day in range(5):
            opened.run_finished(summary(failed(Load(day))))
        opened.close(timeout_s=20)

    lines = said(caplog.records).split("\n")
    assert len(lines) == 2
    assert "answered 500" in lines[0] and "sent again" in lines[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": None}, "notify.ops.url' is missing"),
        ({"url": "ftp://h/S3cr3t-path"}, "notify.ops.url' must begin with https://"),
        ({"url": "https://:80/S3cr3t-path"}, "names no host"),
        ({"url": "https://h:x1/S3cr3t-path"}, "cannot be read"),
        ({"url": "https://h/S3cr3t path"}, "holds a blank"),
        ({"url": "https://h/x", "options": {"headers": {"X\r\nY": "1"}}}, "is no name of an HTTP header"),
        ({"url": "https://h/x", "options": {"headers": {"X": "S3cr3t\r\nY: 1"}}}, "must be printable"),
        ({"url": "https://h/x", "options": {"chanel": "#ops"}}, "is nothing that kind webhook takes"),
        ({"url": "https://h/x", "on": ("fial",)}, "Did you mean 'fail'?"),
        ({"url": "https://h/x", "on": ()}, "is empty"),
        ({"kind": "webhok"}, "Did you mean 'webhook'?"),
        ({"kind": "email"}, "notify.ops.host' is missing"),
        ({"kind": "sentry", "options": {"dsn": Secret("https://h/S3cr3t")}}, "is no DSN"),
        ({"kind": "command"}, "notify.ops.command' must be a list"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    """With their place, and without the secret."""
    with pytest.raises(SettingsError) as raised:
        notify.opened({"ops": settings(**given)}, project=tmp_path, profile=None)

    assert words in str(raised.value)
    assert "config/etlctl.toml:7: 'notify.ops" in str(raised.value)
    assert "S3cr3t" not in str(raised.value)


def test_notifier_of_an_entry_point_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given its settings, and its `send` the message; one that cannot be used is exit 2."""
    site = tmp_path / "site"
    info = site / "pager-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pager\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[etlctl.notifiers]\npager = a_pager:Pager\nbroken = a_pager:broken\nempty = a_pager:empty\n"
        "none = a_pager_none:x\n"
    )
    (site / "a_pager.py").write_text(
        "sent = []\n\nclass Pager:\n"
        "    def __init__(self, settings):\n        self.number = settings.options['number']\n"
        "    def send(self, message):\n        sent.append((self.number, message.title))\n\n"
        "def broken(settings):\n    raise SystemExit('no line')\n\ndef empty(settings):\n    return None\n"
    )
    monkeypatch.syspath_prepend(str(site))

    tell(settings("pager", options={"number": 112}), tmp_path)

    import a_pager  # type: ignore[import-not-found]  # made above

    assert [(number, "Load()" in title) for number, title in a_pager.sent] == [(112, True)]
    for kind, words in (("broken", "no line"), ("empty", "no object with send()"), ("none", "a_pager_none")):
        with pytest.raises(SettingsError, match=r"config/etlctl\.toml:7") as raised:
            notify.opened({"ops": settings(kind)}, project=tmp_path, profile=None)
        assert words in str(raised.value)
