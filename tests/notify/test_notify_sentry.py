"""Sentry: the events of a message, read back from the envelopes that a receiver gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.project import Project
from etlctl import notify
from etlctl.settings import Secret
from notify.house import Feed, Load, Report, blocked, done, failed, settings, summary
from notify.receivers import Web, web


@pytest.fixture
def server() -> Iterator[Web]:
    """A receiver of envelopes."""
    with web() as kept:
        yield kept


def events(server: Web) -> list[dict[str, Any]]:
    """The event in each envelope: a header, an item's header and the item, a line each."""
    return [json.loads(body.split(b"\n")[2]) for _, _, body in server.requests]


def tell(server: Web, tmp_path: Path, *results: Any) -> None:
    """A run, to the end."""
    told = settings("sentry", options={"dsn": Secret(f"http://publickey@127.0.0.1:{server.port}/42")})
    opened = notify.opened({"ops": told}, project=tmp_path, profile="production")
    opened.run_finished(summary(*results))
    opened.close(timeout_s=20)


def test_sentry_gets_an_event_for_each_family_and_error(server: Web, tmp_path: Path) -> None:
    """Two days of one family that failed alike are one event; a tracker groups the next run's with it."""
    alike = [failed(Load(1), "2 duplicates", where="pipelines/flows.py:7"), failed(Load(2), "3 duplicates")]
    tell(server, tmp_path, *alike, failed(Report(), "no"), blocked(Feed(1)))
    tell(server, tmp_path, failed(Load(3), "4 duplicates"))

    first, report, feed, later = events(server)
    assert first["exception"]["values"][0]["type"] == "ValueError"
    assert first["exception"]["values"][0]["value"] == "Load(1): 2 duplicates"
    assert first["extra"]["tasks"] == ["Load(1)", "Load(2)"] and first["extra"]["where"] == "pipelines/flows.py:7"
    assert (first["level"], report["level"], feed["level"]) == ("error", "error", "warning")
    assert feed["logentry"]["formatted"] == "Feed(1): feed/1.csv is missing"
    assert first["fingerprint"] == later["fingerprint"] != report["fingerprint"]
    assert len({one["event_id"] for one in events(server)}) == 4


def test_sentry_is_told_where_it_was_and_nothing_of_the_machine(server: Web, tmp_path: Path) -> None:
    """Environment, project and run; no arguments, no modules, no local variables."""
    tell(server, tmp_path, failed(Load(1)), done(Report()))

    (path, headers, _), *_ = server.requests
    event = events(server)[0]
    assert path == "/api/42/envelope/" and "sentry_key=publickey" in headers["x-sentry-auth"]
    assert event["environment"] == "production"
    assert event["tags"] == {"project": tmp_path.name, "kind": "run", "run": "20261123T050000-ab12"}
    assert not {"modules", "breadcrumbs", "user", "request"} & set(event)
    assert "sys.argv" not in json.dumps(event) and "stacktrace" not in json.dumps(event)


def test_sentry_without_its_library_is_one_sentence(project: Project) -> None:
    """Exit 2 before anything runs, with the pip line."""
    settings = project.folder / "config" / "etlctl.toml"
    settings.write_text(
        f'{settings.read_text()}[notify.bugs]\nkind = "sentry"\ndsn = "http://publickey@127.0.0.1:1/42"\n'
    )

    ran = project.spawn_without("sentry_sdk", "build", "Seats")

    assert ran.code == 2
    assert 'pip install "etlctl[sentry]"' in ran.err
    assert "Traceback" not in ran.err and "publickey" not in ran.err
