"""Servers that fall, stop, are full or take no more sessions, while a load is under way."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from etlctl.engine import retry
from etlctl.errors import ExitCode
from faults.faultcase import build, ended, execute, faults, rows_of, started, wait_until_at
from servers.mariadb import MariadbServer
from servers.postgres import Postgres, PostgresServer
from servers.process import STOP_S
from torture.loads import HALF, ROWS, FileLoad, RowsLoad
from torture.places import Place, SqlitePlace, place_for
from torture.racers import Plan

DOWN_S = 1.0


@pytest.fixture(params=["crashing_postgres", "crashing_mariadb"])
def crashing(request: pytest.FixtureRequest) -> PostgresServer | MariadbServer:
    """A durable server of each kind in turn, to be stopped and crashed."""
    found: PostgresServer | MariadbServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def fallible(crashing: PostgresServer | MariadbServer, tmp_path: Path) -> Iterator[Place]:
    """A database on it."""
    url = crashing.new_database()
    place = place_for(url, tmp_path, more="connect_timeout = 5\n")
    place.prepare()
    yield place
    crashing.drop_database(url)


@pytest.mark.parametrize("mode", ["crash", "fast"])
def test_server_that_falls_in_the_middle_of_a_load_is_waited_for(
    fallible: Place, crashing: PostgresServer | MariadbServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F14, F15: the load is done once more when the server is back a moment later, and its process ends with 0."""
    monkeypatch.setattr(retry, "DELAYS_S", (*retry.DELAYS_S, 10.0, 20.0, 20.0))  # a busy machine starts it slowly
    task = RowsLoad(1)
    assert build(fallible, RowsLoad(0)).exit_code == ExitCode.DONE
    child = started(fallible, task, Plan(HALF, "sleep", seconds=0.6))
    wait_until_at(child, HALF)

    crashing.stop(mode)
    time.sleep(DOWN_S)
    crashing.start()

    assert ended(child) == [0]
    assert faults(fallible, RowsLoad(0), task, done=True) == {}


def test_smart_shutdown_lets_the_load_end_and_is_then_free(crashing_postgres: PostgresServer, tmp_path: Path) -> None:
    """F15: `-m smart` waits for the sessions to end; ours end with the process, none is left behind."""
    place = place_for(crashing_postgres.new_database(), tmp_path)
    place.prepare()
    child = started(place, RowsLoad(1), Plan(HALF, "sleep", seconds=0.6))
    wait_until_at(child, HALF)
    began = time.monotonic()

    crashing_postgres.stop("smart")
    took_s = time.monotonic() - began
    crashing_postgres.start()

    assert ended(child) == [0] and took_s < STOP_S
    assert faults(place, RowsLoad(1), done=True) == {}


def test_processes_without_a_free_connection_neither_crash_nor_double(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    """F23: 53300 ends in 0 or 4 with a sentence, never in a traceback; once there is room the loads are done."""
    url = postgres_server.new_database()
    role = f"limited_{make_url(url).database}"
    postgres_server.ask(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")
    postgres_server.ask(f"GRANT ALL ON SCHEMA public TO {role}", url=url)
    place = place_for(url, tmp_path, seen_url=make_url(url).set(username=role).render_as_string(hide_password=False))
    place.prepare()
    postgres_server.ask(f"GRANT ALL ON SCHEMA public TO {role}", url=url)
    tasks = [RowsLoad(part) for part in range(4)]

    statuses = ended(*(started(place, task) for task in tasks))
    summary = build(place, *tasks)

    assert set(statuses) <= {0, 4}
    assert summary.exit_code == ExitCode.DONE, summary.text
    assert faults(place, *tasks, done=True) == {}

    postgres_server.drop_database(url)
    postgres_server.ask(f"DROP ROLE {role}")


def test_database_that_has_no_free_connection_says_so(postgres_server: Postgres, tmp_path: Path) -> None:
    """F23: exit 4, and the sentence names what is missing."""
    url = postgres_server.new_database()
    role = f"limited_{make_url(url).database}"
    postgres_server.ask(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    seen = make_url(url).set(username=role).render_as_string(hide_password=False)

    summary = build(place_for(url, tmp_path, seen_url=seen), RowsLoad(1))

    assert summary.exit_code == ExitCode.UNAVAILABLE
    assert "connection" in summary.text and role in summary.text and "Traceback" not in summary.text

    postgres_server.drop_database(url)
    postgres_server.ask(f"DROP ROLE {role}")


# -- a full disk


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system that holds so much; skips where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="etlctl-full-", dir="/tmp"))
    size = f"size={megabytes}m,mode=0777"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], capture_output=True, check=False)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no small disk: mount needs root ({mounted.stderr.decode().strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def test_full_disk_of_sqlite_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    """F18: exit 4 at once, with the words "disk full"; with room again the load is done."""
    with small_disk(1) as disk:
        place = SqlitePlace(disk / "project")
        place.prepare()
        filler = disk / "filler"
        filler.write_bytes(b"x" * (_free(disk) - 8_192))

        summary = build(place, RowsLoad(1), FileLoad(2))

        assert summary.exit_code == ExitCode.UNAVAILABLE, summary.text
        assert "full" in summary.text and "Traceback" not in summary.text
        assert faults(place, RowsLoad(1), FileLoad(2), done=False) == {}

        filler.unlink()
        assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
        assert faults(place, RowsLoad(1), done=True) == {}


@pytest.mark.slow
def test_full_disk_of_postgresql_leaves_nothing_and_is_not_tried_again(tmp_path: Path) -> None:
    """F18: 53100 is exit 4 with one try, and nothing of the load is kept."""
    with small_disk(96) as disk, _postgres_on(disk) as server:
        place = place_for(server.new_database(), tmp_path)
        place.prepare()
        execute(place, "CREATE TABLE filler (x TEXT)", "ALTER TABLE filler ALTER x SET STORAGE PLAIN")
        _fill(place)

        summary = build(place, RowsLoad(1))

        assert summary.exit_code == ExitCode.UNAVAILABLE, summary.text
        assert "disk is full" in summary.text and "tried again" not in summary.text
        assert rows_of(place, RowsLoad.table) == 0

        execute(place, "DROP TABLE filler")
        assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
        assert rows_of(place, RowsLoad.table) == ROWS


@contextmanager
def _postgres_on(disk: Path) -> Iterator[PostgresServer]:
    """A server whose tables, not its log of changes, are on `disk`."""
    with PostgresServer(settings=("wal_level=minimal", "max_wal_senders=0", "max_wal_size=32MB")) as server:
        space = disk / "space"
        space.mkdir()
        os.chown(space, *_owner(server))
        server.ask(f"CREATE TABLESPACE small LOCATION '{space}'")
        server.ask("ALTER ROLE postgres SET default_tablespace = 'small'")
        yield server


def _owner(server: PostgresServer) -> tuple[int, int]:
    status = server.work.stat()
    return status.st_uid, status.st_gid


def _fill(place: Place) -> None:
    """Writes until the disk is full, then leaves a few pages free."""
    for rows in (2000, 20, 1):
        while True:
            try:
                execute(place, f"INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, {rows})")
            except psycopg2.errors.DiskFull:
                break


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize
