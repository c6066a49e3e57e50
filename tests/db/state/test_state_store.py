from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from etlctl.db.state.store import Store
from etlctl.errors import EtlctlError, SettingsError, UnavailableError
from etlctl.settings import ConnectionSettings, Secret


def make_table(store: Store, rows: int = 0) -> None:
    with store.transaction() as session:
        session.run(f"CREATE TABLE things (name {store.words.name}(200) PRIMARY KEY, size {store.words.double})")
        session.run_many(
            "INSERT INTO things VALUES (:name, :size)", [{"name": f"n{i}", "size": i / 2} for i in range(rows)]
        )


def test_store_commits_at_the_end_of_the_block(store: Store) -> None:
    make_table(store, rows=1_200)

    with store.transaction(write=False) as session:
        assert session.run("SELECT count(*), max(size) FROM things") == [(1200, 599.5)]


def test_store_keeps_nothing_of_a_block_that_fails(store: Store) -> None:
    make_table(store, rows=1)

    with pytest.raises(ZeroDivisionError), store.transaction() as session:
        session.run("DELETE FROM things")
        raise ZeroDivisionError

    with store.transaction(write=False) as session:
        assert session.run("SELECT count(*) FROM things") == [(1,)]


def test_session_takes_names_lists_and_words_in_quotes_as_they_are(store: Store) -> None:
    make_table(store, rows=10)

    with store.transaction() as session:
        found = session.run(
            "SELECT name, '100% :name ::x' FROM things WHERE name IN :names AND size < :most ORDER BY name",
            {"names": ["n1", "n3", "n9", "nobody's"], "most": 4},
        )
        session.run("UPDATE things SET size = size WHERE name IN :names", {"names": ["n1", "n2"]})
        assert session.rowcount == 2
        assert session.run("SELECT 7 % 4 FROM things WHERE name LIKE '%9'") == [(3,)]

    assert found == [("n1", "100% :name ::x"), ("n3", "100% :name ::x")]


def test_session_keeps_any_text_and_bytes(store: Store) -> None:
    words = store.words
    texts = ["%", "it's", 'a "b"', "\\", "äöü €", ":x %(y)s", "\n\t"]
    with store.transaction() as session:
        session.run(f"CREATE TABLE things (id INTEGER PRIMARY KEY, t {words.text}, b {words.long_bytes}){words.table}")
        session.run_many(
            "INSERT INTO things VALUES (:id, :t, :b)",
            [{"id": number, "t": text, "b": text.encode() + b"\0\xff"} for number, text in enumerate(texts)],
        )

    with store.transaction(write=False) as session:
        found = session.run("SELECT t, b FROM things ORDER BY id")

    assert [(text, bytes(data)) for text, data in found] == [(text, text.encode() + b"\0\xff") for text in texts]


def test_store_tells_the_database_s_clock_with_fractions(store: Store) -> None:
    first = store.now()
    with store.transaction() as session:
        second = session.now()

    assert 1.7e9 < first <= second < first + 60


def test_store_is_there_once_it_holds_a_table_of_ours(store: Store) -> None:
    assert not store.is_there()

    with store.transaction() as session:
        session.run("CREATE TABLE etlctl_schema (version INTEGER)")

    assert store.is_there()
    assert store.tables("etlctl_schema", "tasks") == {"etlctl_schema"}


def test_store_is_used_by_a_forked_child_too(store: Store) -> None:
    make_table(store)

    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            with store.transaction() as session:
                session.run("INSERT INTO things VALUES ('child', 1)")
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    with store.transaction() as session:
        session.run("INSERT INTO things VALUES ('parent', 1)")
        assert session.run("SELECT name FROM things ORDER BY name") == [("child",), ("parent",)]


def test_store_tells_what_is_wrong_in_our_words(store: Store) -> None:
    with pytest.raises(EtlctlError, match="nothing_like_this"), store.transaction() as session:
        session.run("SELECT * FROM nothing_like_this")


def test_store_in_sqlite_makes_no_file_to_read(sqlite_url: str, tmp_path: Path) -> None:
    store = Store(ConnectionSettings("state", Secret(sqlite_url)))

    assert not store.is_there()
    with pytest.raises(UnavailableError, match="does not exist yet"), store.transaction(write=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_store_in_sqlite_belongs_to_its_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "made" / "state.db"
    store = Store(ConnectionSettings("state", Secret(f"sqlite:///{file}")))
    make_table(store, rows=3)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()} == {0o600}


def test_store_in_sqlite_imports_no_sqlalchemy(sqlite_url: str) -> None:
    code = (
        "import sys\n"
        "from etlctl.core.leases import Ended, EndState, Wanted\n"
        "from etlctl.db.state import owners, schema\n"
        "from etlctl.db.state.leases import StoreLeases\n"
        "from etlctl.db.state.store import Store\n"
        "from etlctl.settings import ConnectionSettings, Secret\n"
        "store = Store(ConnectionSettings('state', Secret(sys.argv[1])))\n"
        "schema.ensure(store)\n"
        "leases = StoreLeases(store, owner=owners.this_process(), began_at=store.now(), ttl_s=1)\n"
        "leases.claim([Wanted('a', 'A', {'db': 1})])\n"
        "leases.end(Ended('a', EndState.DONE))\n"
        "leases.close()\n"
        "try:\n"
        "    with store.transaction() as session:\n"
        "        session.run('nonsense')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
        "print(sorted({'sqlalchemy', 'psycopg2', 'pymysql'} & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", code, sqlite_url], capture_output=True, text=True, check=True)

    assert done.stdout.split("\n")[:2] == ["QueryError", "[]"]


def test_store_refuses_a_database_that_cannot_hold_it() -> None:
    with pytest.raises(SettingsError, match="cannot be kept in redshift"):
        Store(ConnectionSettings("state", Secret("redshift://u:p@host/db"), place="etlctl.toml:3: 'state.url'"))


def test_store_in_sqlite_waits_for_a_writer_and_tells_when_it_is_too_long(sqlite_url: str) -> None:
    store = Store(ConnectionSettings("state", Secret(sqlite_url)))
    make_table(store)

    with store.transaction():
        with pytest.raises(UnavailableError, match="locked by another process"), store.transaction(timeout_s=0.3):
            pass
        with store.transaction(write=False) as reader:  # readers wait for nobody
            assert reader.run("SELECT count(*) FROM things") == [(0,)]


def test_store_gives_up_on_a_server_that_does_not_answer(postgres_url: str) -> None:
    store = Store(ConnectionSettings("state", Secret(postgres_url)))

    with pytest.raises(UnavailableError, match="connection"), store.transaction(timeout_s=0.3) as session:
        session.run("SELECT pg_sleep(30)")

    assert store.now() > 0
    store.close()
