"""The doctor at databases: rights, marker tables, standbys, the schema of the state; it changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from etlctl.db.connections import Database
from etlctl.db.examination import Examination, MarkerTable, examine
from etlctl.db.inventory import adopted
from etlctl.db.state import schema
from etlctl.db.state.store import Store
from etlctl.doctor import databases
from etlctl.doctor.findings import Finding, Level
from etlctl.doctor.hosts import way_of
from etlctl.settings import ConnectionSettings, Secret, load
from servers.postgres import Postgres

LUIGIS = """
    CREATE TABLE table_updates (update_id TEXT PRIMARY KEY, target_table TEXT, inserted TIMESTAMP DEFAULT now())
"""
TORN = "INSERT INTO table_updates (update_id, target_table, state) VALUES ('a', 'b', 'loading')"


def opened(url: str, **more: object) -> Database:
    return Database(replace(ConnectionSettings("warehouse", Secret(url)), **more))  # type: ignore[arg-type]  # fields


def found(url: str, **more: object) -> list[Finding]:
    """What the doctor says of a connection of this URL."""
    database = opened(url, **more)
    try:
        return databases._connection(database.settings, lambda _: database)
    finally:
        database.close()


def bad(findings: list[Finding]) -> list[tuple[Level, str]]:
    return [(one.level, one.text) for one in findings if one.level is not Level.OK]


@pytest.fixture(params=["postgres_url", "mysql_url", "sqlite_url"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def loader(postgres_server: Postgres, postgres_url: str) -> Iterator[str]:
    """The URL of a user with no right but to connect, on a database whose schema public is nobody's."""
    name = f"loader_{secrets.token_hex(4)}"
    postgres_server.ask(f"CREATE ROLE {name} LOGIN", url=postgres_url)
    postgres_server.ask("REVOKE CREATE ON SCHEMA public FROM PUBLIC", url=postgres_url)
    yield make_url(postgres_url).set(username=name).render_as_string(hide_password=False)
    postgres_server.ask(f"DROP OWNED BY {name}", url=postgres_url)
    postgres_server.ask(f"DROP ROLE {name}", url=postgres_url)


def _tables(url: str) -> list[str]:
    database = opened(url)
    names = sa.inspect(database.engine).get_table_names()
    database.close()
    return names


def test_a_database_tells_of_itself_and_nothing_is_made(url: str) -> None:
    """Version, clock, rights; no marker table yet, and none after."""
    database = opened(url)
    if database.is_absent:
        with database.writing("making it") as connection:
            connection.execute(sa.text("CREATE TABLE x (n INTEGER)"))
    before = _tables(url)

    told = examine(database)

    assert told.version.split()[0] in ("PostgreSQL", "MariaDB", "MySQL", "SQLite")
    assert told.marker_table is MarkerTable.ABSENT
    assert (told.is_read_only, told.can_create, told.lacking, told.torn) == (False, True, (), None)
    assert told.skew_s is None or abs(told.skew_s) < 60
    assert _tables(url) == before
    assert bad(found(url)) == []
    database.close()


def test_a_marker_table_is_told_by_its_state(url: str) -> None:
    """As this version makes it; torn markers fail; a table of that name that is none, too."""
    database = opened(url)
    adopted(database)
    assert examine(database).marker_table is MarkerTable.CURRENT
    with database.writing("tearing") as connection:
        connection.execute(
            sa.text("INSERT INTO table_updates (update_id, target_table, state) VALUES ('a', 'b', 'loading')")
        )
    (told,) = bad(found(url))
    assert told[0] is Level.FAIL and told[1].startswith("1 load is torn")
    with database.writing("replacing") as connection:
        connection.execute(sa.text("DROP TABLE table_updates"))
        connection.execute(sa.text("CREATE TABLE table_updates (n INTEGER)"))

    (told,) = bad(found(url))

    assert told[0] is Level.FAIL and "there is no marker table: it has no column update_id" in told[1]
    database.close()


def test_luigis_marker_table_is_a_warning_that_says_when_to_adopt_it(
    postgres_server: Postgres, postgres_url: str
) -> None:
    """It works; the first load would change it under a lock."""
    postgres_server.ask(LUIGIS, url=postgres_url)

    (warning,) = [one for one in found(postgres_url) if one.level is not Level.OK]

    assert warning.level is Level.WARN and "the first load adopts it" in warning.text
    assert warning.mend == "do it at a quiet hour: etlctl markers adopt --connection warehouse"


def test_a_user_without_rights_is_told_what_to_grant(postgres_server: Postgres, postgres_url: str, loader: str) -> None:
    """There is no marker table, and none may be made; then there is one that may not be written; then it may."""
    assert [level for level, _ in bad(found(loader))] == [Level.FAIL]
    adopted(opened(postgres_url))
    (lacking,) = [one for one in found(loader) if one.level is Level.FAIL]
    assert "lacks SELECT, INSERT, UPDATE, DELETE on the marker table table_updates" in lacking.text
    user = make_url(loader).username
    postgres_server.ask(f"GRANT SELECT, INSERT, UPDATE, DELETE ON table_updates TO {user}", url=postgres_url)

    least = bad(found(loader))

    assert [level for level, _ in least] == [Level.WARN] and "may make no tables in public" in least[0][1]


def test_a_database_that_takes_no_writes_fails(postgres_server: Postgres, postgres_url: str) -> None:
    """A standby, or one that was set so."""
    name = make_url(postgres_url).database
    postgres_server.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on", url=postgres_url)

    assert (Level.FAIL, "the database takes no writes: it is a standby, or is set read-only.") in bad(
        found(postgres_url)
    )


def test_a_search_path_that_leads_nowhere_fails(postgres_server: Postgres, postgres_url: str) -> None:
    """As no table then has a place."""
    name = make_url(postgres_url).database
    postgres_server.ask(f"ALTER DATABASE {name} SET search_path = nowhere", url=postgres_url)

    assert any("no schema is to be seen" in text for _, text in bad(found(postgres_url)))


def test_a_clock_that_is_wrong_is_a_warning() -> None:
    """By how much, and which way."""
    told = Examination("PostgreSQL 16", 0.01, -90.0, "public", False, True, True, MarkerTable.CURRENT, (), 0)

    (warning,) = databases._clock("connection warehouse", told)

    assert "its clock is 90.0 s behind this machine's" in warning.text
    assert list(databases._clock("connection warehouse", told._replace(skew_s=1.5))) == []


@pytest.mark.parametrize(
    ("url", "is_far", "is_verified"),
    [
        ("postgresql://u@localhost/d", False, False),
        ("postgresql://u@127.0.0.9:5432/d", False, False),
        ("postgresql://u@[::1]:5432/d", False, False),
        ("postgresql:///d", False, False),
        ("postgresql://u@/d?host=/run/postgresql", False, False),
        ("postgresql://u@wh-1/d", True, False),
        ("postgresql://u@/d?host=wh-1", True, False),
        ("postgresql://u@wh-1/d?sslmode=prefer", True, False),
        ("postgresql://u@wh-1/d?sslmode=require", True, False),
        ("postgresql://u@10.0.0.1/d?sslmode=verify-full", True, True),
        ("redshift://u@wh.redshift.amazonaws.com/d?sslmode=verify-ca", True, True),
        ("mysql://u@wh-1/d", True, False),
        ("mysql://u@wh-1/d?ssl_ca=/etc/ca.pem", True, True),
        ("mysql://u@wh-1/d?ssl_ca=/etc/ca.pem&ssl_check_hostname=false", True, False),
        ("mysql://u@/d?unix_socket=/run/mysqld.sock", False, False),
    ],
)
def test_way_of_tells_a_far_host_and_a_verified_server(url: str, is_far: bool, is_verified: bool) -> None:
    """S21: nothing but verify-ca and verify-full looks at the certificate."""
    way = way_of(url, {})

    assert (way.is_far, way.is_verified) == (is_far, is_verified)


def test_libpqs_own_variables_count() -> None:
    """PGHOST and PGSSLMODE, where the URL says nothing."""
    assert way_of("postgresql:///d", {"PGHOST": "wh-1", "PGSSLMODE": "verify-full"})[:3] == ("wh-1", True, True)


def test_tls_off_to_a_far_host_is_a_warning_even_where_nobody_answers() -> None:
    """S21: it says what to add to the URL."""
    told = found("postgresql://u@db.invalid/d", connect_timeout_s=1)

    (warning,) = [one for one in told if one.level is Level.WARN]
    assert "encrypted" in warning.text and "sslmode=verify-full" in warning.mend


def test_an_unencrypted_session_to_a_far_host_is_a_warning(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    """S21: by what the server says of the session, whatever the URL asks for."""
    told = examine(opened(postgres_url))
    assert told.is_encrypted is False

    (warning,) = databases._way("x", ConnectionSettings("x", Secret("postgresql://u@wh-1/d?sslmode=verify-full")), told)

    assert "the connection to wh-1 is not encrypted" in warning.text


# -- the state


def state_findings(tmp_path: Path, url: str, warehouse: str = "sqlite:///w.db") -> list[Finding]:
    environ = {"ETLCTL_STATE_URL": url, "ETLCTL_CONNECTIONS_WAREHOUSE_URL": warehouse}
    return databases._state(load(None, environ=environ, cwd=tmp_path))


def test_the_schema_of_the_state_is_told(tmp_path: Path, url: str) -> None:
    """Nothing yet, right, older, and of a newer etlctl, which fails."""
    store = Store(ConnectionSettings("state", Secret(url)))
    with store.transaction() as session:
        session.run("CREATE TABLE something (n INTEGER)")
    assert any("it holds nothing yet" in one.text for one in state_findings(tmp_path, url))
    schema.ensure(store)
    ours = schema.CURRENT.version
    assert any(one.text == f"its schema is {ours}" for one in state_findings(tmp_path, url))
    with store.transaction() as session:
        session.run("UPDATE etlctl_schema SET version = 0")
    assert any(f"brings it up to {ours}" in one.text for one in state_findings(tmp_path, url))
    with store.transaction() as session:
        session.run("UPDATE etlctl_schema SET version = 99, usable_from = 99")

    (failed,) = [one for one in state_findings(tmp_path, url) if one.level is Level.FAIL]

    assert "which this etlctl" in failed.text and failed.mend
    store.close()


def test_a_far_warehouse_with_a_local_state_is_a_warning(tmp_path: Path) -> None:
    """Other machines do not see what runs here."""
    told = state_findings(tmp_path, "sqlite:///state.db", "postgresql://u@wh-1/d")

    (warning,) = [one for one in told if one.level is Level.WARN]
    assert "the state is a file of this machine, while warehouse is shared" in warning.text
    assert bad(state_findings(tmp_path, "sqlite:///state.db")) == []


def test_redshift_tells_of_itself(redshift_url: str) -> None:
    """By its own words; whether a session is encrypted it tells nobody but superusers."""
    database = opened(redshift_url)

    told = examine(database)

    assert told.version.startswith("Redshift 1.0.")
    assert (told.can_create, told.is_encrypted, told.marker_table) == (True, None, MarkerTable.ABSENT)
    assert told.skew_s is not None and abs(told.skew_s) < 60
    database.close()
