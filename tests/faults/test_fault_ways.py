"""Between a load and its server: a reply that is lost, a server that was replaced, a way that is slow or silent."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from etlctl import faultpoints
from etlctl.core.results import Status
from etlctl.errors import ExitCode
from faults.faultcase import build, faults, rows_of
from servers.mariadb import Mysql
from servers.postgres import Postgres
from servers.proxy import Proxy
from torture.loads import ROWS, SOURCE, BothLoad, HandLoad, RowsLoad
from torture.places import Place, place_for

SUICIDE = {"postgresql": "SELECT pg_terminate_backend(pg_backend_pid())", "mysql": "KILL CONNECTION CONNECTION_ID()"}
SERVERS = {"postgresql": ("postgres_server", 5432), "mysql": ("mariadb_server", 3306)}


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Postgres | Mysql:
    """A server of each kind in turn."""
    found: Postgres | Mysql = request.getfixturevalue(SERVERS[request.param][0])
    return found


@pytest.fixture
def proxied(server: Postgres | Mysql, tmp_path: Path) -> Iterator[tuple[Place, Proxy]]:
    """A database whose loads go through a proxy."""
    url = server.new_database()
    at = make_url(url)
    kind = "postgresql" if at.drivername.startswith("postgresql") else "mysql"
    with Proxy(at.host or "127.0.0.1", at.port or SERVERS[kind][1]) as proxy:
        seen = at.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        place = place_for(url, tmp_path, seen_url=seen, more="connect_timeout = 2\nlock_timeout = 10\n")
        place.prepare()
        yield place, proxy
    server.drop_database(url)


@pytest.mark.parametrize("kind", [RowsLoad, HandLoad, BothLoad])
def test_lost_reply_to_commit_is_resolved_by_the_marker(proxied: tuple[Place, Proxy], kind: type) -> None:
    """F09: COMMIT took place, its reply was lost: the marker is asked before anything is reported, or loaded again."""
    place, proxy = proxied
    task = kind(part=1)
    proxy.set(commit="after", share=1.0)

    summary = build(place, task)

    assert proxy.counts["after"] == 1
    assert summary.exit_code == ExitCode.DONE, summary.text
    assert "the answer to COMMIT was lost" in summary.text
    assert faults(place, task, done=True) == {}


def test_lost_commit_is_repeated(proxied: tuple[Place, Proxy]) -> None:
    """F09, the other way: COMMIT never reached the server; the marker is not there, and the load is done once more."""
    place, proxy = proxied
    task = RowsLoad(1)
    proxy.set(commit="before", share=1.0, most_cuts=1)

    summary = build(place, task)

    assert proxy.counts["before"] == 1
    assert summary.exit_code == ExitCode.DONE, summary.text
    assert "tried again" in summary.text
    assert faults(place, task, done=True) == {}


def test_lost_commit_is_asked_for_until_the_server_answers(
    proxied: tuple[Place, Proxy], server: Postgres | Mysql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F09 with F14: the server falls with the reply on its way; its marker is found when it is back, a second later."""
    place, proxy = proxied
    task, upstream = RowsLoad(1), make_url(place.url).port
    proxy.set(commit="after", share=1.0, most_cuts=1)

    def fall(name: str) -> None:
        if name == "load.rowcount":
            proxy.set(upstream=1)  # nobody listens there
            threading.Timer(1.0, lambda: proxy.set(upstream=upstream)).start()

    monkeypatch.setattr(faultpoints, "point", fall)

    summary = build(place, task)

    assert summary.exit_code == ExitCode.DONE, summary.text
    assert "the answer to COMMIT was lost" in summary.text and "nothing was loaded" not in summary.text
    assert faults(place, task, done=True) == {}


def test_server_that_took_over_without_the_last_commit_is_loaded_again_once(
    proxied: tuple[Place, Proxy], server: Postgres | Mysql, tmp_path: Path
) -> None:
    """F16: an asynchronous replica may lack rows and marker; they are missing together, so it loads once."""
    place, proxy = proxied
    task = RowsLoad(1)
    assert build(place, task).exit_code == ExitCode.DONE
    other = server.new_database()  # as far as the replica came: the load's tables, not its rows
    replica = place_for(other, tmp_path / "replica")
    replica.prepare()
    seen = make_url((place.project / "config" / "etlctl.toml").read_text().split('"')[3])
    settings = place.project / "config" / "etlctl.toml"
    settings.write_text(settings.read_text().replace(f"/{seen.database}", f"/{make_url(other).database}"))
    proxy.set(cut_all=True)

    first, second = build(place, task), build(place, task)

    assert first.counts[Status.OK] == 1 and second.counts[Status.UPTODATE] == 1
    assert rows_of(replica, task.table) == ROWS and faults(replica, task, done=True) == {}
    server.drop_database(other)


def test_silent_way_to_the_server_ends_within_the_connect_timeout(proxied: tuple[Place, Proxy]) -> None:
    """F17: a connection that is taken and never answered is given up after connect_timeout, with exit 4."""
    place, proxy = proxied
    proxy.set(is_black_hole=True)
    began = time.monotonic()

    summary = build(place, RowsLoad(1))
    took_s = time.monotonic() - began
    proxy.set(is_black_hole=False)

    assert summary.exit_code == ExitCode.UNAVAILABLE, summary.text
    assert took_s < 60  # connect_timeout is 2 s
    assert "127.0.0.1" in summary.text and "Traceback" not in summary.text
    assert faults(place, RowsLoad(1), done=False) == {}


@pytest.mark.long
def test_slow_way_to_the_server_loses_nothing(proxied: tuple[Place, Proxy]) -> None:
    """50 ms in each direction only take their time."""
    place, proxy = proxied
    proxy.set(latency_s=0.05)

    assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
    assert faults(place, RowsLoad(1), done=True) == {}


class Hides(HandLoad):
    """Hand-written: loses its session, and passes over the first error of that."""

    losses = 0

    def run(self) -> None:
        with self.output().transaction() as connection:
            if type(self).losses == 0:
                type(self).losses += 1
                with contextlib.suppress(SQLAlchemyError):
                    connection.exec_driver_sql(SUICIDE[self.output().database.dialect.name])
                return
            connection.exec_driver_sql(f"INSERT INTO t_hand SELECT {self.part}, number, payload FROM {SOURCE}")


class Wraps(Hides):
    """The same with an error of its own, raised from the driver's, as pandas does."""

    losses = 0

    def run(self) -> None:
        if type(self).losses:
            return super().run()
        type(self).losses += 1
        with self.output().transaction() as connection:
            try:
                connection.exec_driver_sql(SUICIDE[self.output().database.dialect.name])
            except SQLAlchemyError as error:
                raise ValueError("execution failed") from error


@pytest.mark.parametrize("kind", [Hides, Wraps])
def test_lost_session_is_found_behind_the_errors_of_user_code(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Hides]
) -> None:
    """F13: hidden or wrapped, a lost session is no commit inside and no failure, but tried again."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no server that could end a session")
    place = place_for(database_url, tmp_path)
    place.prepare()
    monkeypatch.setattr(kind, "losses", 0)

    summary = build(place, kind(1))

    assert kind.losses == 1
    assert summary.exit_code == ExitCode.DONE, summary.text
    assert "tried again" in summary.text and faults(place, kind(1), done=True) == {}
