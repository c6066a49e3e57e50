"""The marker protocol on Redshift, where no key is enforced: against the stand-in."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl import LoadTable, RunSQL, Sequence, Task, replace, transaction
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.db.dialects.postgresql.errors import ConnectError
from etlctl.db.dialects.redshift.connection import committing_words
from etlctl.db.dialects.redshift.errors import translated
from etlctl.db.markers import MarkerKey
from etlctl.db.sessions import open_session
from etlctl.db.table_target import TableTarget
from etlctl.errors import (
    AlreadyLoaded,
    CommitInsideError,
    LoadError,
    LockTimeoutError,
    SettingsError,
    TransientError,
    UnavailableError,
)
from servers.redshift.errors import serialization
from servers.redshift.standin import Standin
from warehouse import all_ended, die_at, forked

ROWS = 500


@pytest.fixture
def house(redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(redshift_url, tmp_path, s3_staging=redshift_staging, iam_role=redshift_role) as found:
        yield found


class Flights(LoadTable):
    columns = {"k": "integer", "v": "text"}

    def rows(self) -> Any:
        return ((number, f"row {number}") for number in range(ROWS))


def statements(redshift: Standin) -> list[str]:
    return [" ".join(text.split()) for _, text in redshift.log]


@pytest.mark.parametrize("isolation", ["serializable", "snapshot"])
def test_racing_processes_load_once(house: AnyWarehouse, redshift: Standin, isolation: Any) -> None:
    """F27 where no key is enforced: six at once, one row set, one marker; under either isolation of Redshift."""
    redshift.isolate(isolation)
    house.databases.close()

    def work() -> int:
        Flights().run()
        return 0

    assert all_ended([forked(work) for _ in range(6)]) == [0] * 6
    assert house.ask("SELECT count(*), count(DISTINCT k) FROM flights") == [(ROWS, ROWS)]
    assert [row[2:] for row in house.markers()] == [("done", ROWS)]


@pytest.mark.parametrize("moment", ["load.begun", "load.marker", "load.copied", "load.rowcount", "load.committed"])
def test_a_killed_load_is_there_whole_or_not_at_all(house: AnyWarehouse, moment: str) -> None:
    """F03 to F08."""
    house.databases.close()

    def work() -> int:
        die_at(moment)
        Flights().run()
        return 0

    assert all_ended([forked(work)]) == [-9]
    there = house.markers() if moment == "load.committed" else []
    Flights().run()

    assert house.ask("SELECT count(*), count(DISTINCT k) FROM flights") == [(ROWS, ROWS)]
    assert [row[2:] for row in house.markers()] == [("done", ROWS)]
    if there:
        assert there == house.markers()


def test_a_lost_answer_to_commit_is_looked_up(house: AnyWarehouse, redshift: Standin) -> None:
    """F09."""
    TableTarget("other", "makes the marker table").touch()
    with house.database.writing("test") as connection:
        connection.exec_driver_sql("CREATE TABLE flights (k integer, v varchar(100))")
    before = redshift.struck
    redshift.fault("^COMMIT", "lose_reply")
    attempt = Attempt()

    for _ in range(3):
        with context.attempting(attempt), suppress(TransientError):
            Flights().run()

    assert redshift.struck == before + 1
    assert house.ask("SELECT count(*) FROM flights") == [(ROWS,)]


def test_a_serialization_violation_may_be_tried_again(house: AnyWarehouse, redshift: Standin) -> None:
    """Error 1023, SQLSTATE XX000; nothing is kept."""
    redshift.fault(r'^INSERT INTO "flights"', "fail", refusal=serialization(1, (2, 3), 4))

    with pytest.raises(TransientError, match=r"changed what this one had read \(1023: Serializable isolation"):
        Flights().run()

    assert house.ask("SELECT count(*) FROM flights") == [(0,)] and house.markers() == []
    Flights().run()
    assert house.ask("SELECT count(*) FROM flights") == [(ROWS,)]


def test_a_cut_connection_may_be_tried_again(house: AnyWarehouse, redshift: Standin) -> None:
    redshift.fault("^COPY", "kill")

    with pytest.raises(TransientError, match="connection"):
        Flights().run()

    Flights().run()
    assert house.ask("SELECT count(*) FROM flights") == [(ROWS,)]


def test_the_lock_is_waited_for_within_lock_timeout(
    redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path
) -> None:
    """Redshift has no lock_timeout; statement_timeout is lent, and given back."""
    options: dict[str, Any] = {"s3_staging": redshift_staging, "iam_role": redshift_role, "lock_timeout_s": 0.4}
    with in_place(redshift_url, tmp_path, **options) as house:
        TableTarget("t", "a").touch()
        failed: list[BaseException] = []

        def second() -> None:
            try:
                with house.database.writing("second"):
                    pass
            except BaseException as error:  # noqa: BLE001  looked at below
                failed.append(error)

        with house.database.writing("first") as connection:
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(20)
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() in ("0", 0)

    assert len(failed) == 1 and isinstance(failed[0], LockTimeoutError)
    assert "longer than lock_timeout (0.4 s)" in str(failed[0])


def test_who_asks_for_a_marker_waits_no_longer(
    redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path
) -> None:
    """A holder that is stopped in the middle must not stop planning for ever (F33)."""
    options: dict[str, Any] = {"s3_staging": redshift_staging, "iam_role": redshift_role, "lock_timeout_s": 0.4}
    with in_place(redshift_url, tmp_path, **options) as house:
        TableTarget("t", "a").touch()
        failed: list[BaseException] = []
        around = contextvars.copy_context()

        def ask() -> None:
            try:
                around.run(TableTarget("t", "a").exists)
            except BaseException as error:  # noqa: BLE001  looked at below
                failed.append(error)

        with house.database.writing("first"):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join(20)

        assert [type(error) for error in failed] == [LockTimeoutError]
        assert TableTarget("t", "a").exists()


def test_a_step_that_fails_fails_the_whole_transaction(house: AnyWarehouse) -> None:
    """There are no savepoints: what user code passes over is refused at the end."""
    with pytest.raises(LoadError, match="no savepoints"), transaction("warehouse"):
        Flights().run()
        with suppress(ZeroDivisionError), TableTarget("flights", "half").transaction() as connection:
            connection.exec_driver_sql("INSERT INTO flights (k) VALUES (-1)")
            raise ZeroDivisionError

    assert house.ask("SELECT count(*) FROM pg_class WHERE relname = 'flights'") == [(0,)]
    assert house.markers() == []


class Nested(Task):
    """A load that meets another inside, which is done already."""

    def output(self) -> Any:
        return TableTarget("outer", "1", "warehouse")

    def run(self) -> None:
        with self.output().transaction() as connection:
            connection.exec_driver_sql("INSERT INTO outside VALUES (1)")
            with TableTarget("inner", "1", "warehouse").transaction():
                pass


class Steps(Sequence):
    connection = "warehouse"

    def steps(self) -> Any:
        return [Nested()]


@pytest.mark.parametrize("way", ["by hand", "a Sequence"])
def test_a_load_that_is_left_by_another_that_was_loaded_already_has_failed(house: AnyWarehouse, way: str) -> None:
    """Its marker was written, as `loading`, and its rows: neither may be committed."""
    house.write("CREATE TABLE outside (n integer)")
    TableTarget("inner", "1", "warehouse").touch()

    with pytest.raises(LoadError, match="no savepoints"):
        if way == "a Sequence":
            Steps().run()
        else:
            with transaction("warehouse"), suppress(AlreadyLoaded):
                Nested().run()

    assert house.ask("SELECT count(*) FROM outside") == [(0,)]
    assert [row[1:3] for row in house.markers()] == [("inner", "done")]


def test_a_load_that_was_done_already_is_passed_over(house: AnyWarehouse) -> None:
    TableTarget("inner", "1", "warehouse").touch()

    with transaction("warehouse"):
        with suppress(AlreadyLoaded), TableTarget("inner", "1", "warehouse").transaction():
            pass
        TableTarget("outer", "1", "warehouse").touch()

    assert [row[1:3] for row in house.markers()] == [("inner", "done"), ("outer", "done")]


def test_a_sequence_is_one_transaction(house: AnyWarehouse) -> None:
    class Cleaning(RunSQL):
        table = "flights"
        query = "DELETE FROM flights WHERE k >= 100"

    class Both(Sequence):
        def steps(self) -> Any:
            return [Flights(), Cleaning()]

    Both().run()
    Both().run()

    assert house.ask("SELECT count(*) FROM flights") == [(100,)]
    assert [row[2] for row in house.markers()] == ["done"] * 3


@pytest.mark.parametrize(
    "sql", ["TRUNCATE flights", "SELECT 1; truncate table flights", "COMMIT", "ALTER TABLE a APPEND FROM b"]
)
def test_what_commits_is_refused_inside_a_load(house: AnyWarehouse, sql: str) -> None:
    """F25: Redshift commits for TRUNCATE and ALTER TABLE APPEND."""
    Flights().run()

    with (
        pytest.raises(CommitInsideError, match="was tried inside"),
        TableTarget("flights", "u").transaction() as connection,
    ):
        connection.exec_driver_sql(sql)

    assert house.ask("SELECT count(*) FROM flights") == [(ROWS,)]
    assert not TableTarget("flights", "u").exists()


def test_words_that_do_not_commit_pass() -> None:
    for sql in (
        "SELECT 'TRUNCATE t'",
        "SELECT truncated FROM t",
        "ALTER TABLE t ADD COLUMN append int",
        "-- TRUNCATE\nSELECT 1",
    ):
        assert committing_words(sql) is None, sql


def test_ids_that_differ_in_a_blank_at_the_end_are_two(house: AnyWarehouse) -> None:
    """To Redshift 'a' and 'a ' are the same text, as the statements must know."""
    for text in ("a", "a ", "a  "):
        TableTarget("t", text).touch()

    with open_session(house.database, "t") as session, pytest.raises(AlreadyLoaded), session.load(MarkerKey("a ", "t")):
        pass
    compiled = str(sa.select(sa.literal(1)).where(_same("a", "a ")).compile(dialect=house.database.engine.dialect))
    assert "octet_length" in compiled
    assert [row[0] for row in house.markers()] == ["a", "a ", "a  "]


def _same(first: str, second: str) -> Any:
    from etlctl.db.words import same_text

    return same_text(sa.literal(first), sa.literal(second))


def test_an_id_that_is_too_long_is_refused(house: AnyWarehouse) -> None:
    with pytest.raises(LoadError, match="holds 1024: shorten"):
        TableTarget("t", "x" * 1025).touch()


def test_replace_empties_by_delete(house: AnyWarehouse, redshift: Standin) -> None:
    class Anew(Flights):
        table = "flights"
        mode = replace

    Flights().run()
    Anew().run()

    assert house.ask("SELECT count(*) FROM flights") == [(ROWS,)]
    assert any(text.startswith('DELETE FROM "flights"') for text in statements(redshift))


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from etlctl.db.dialects.redshift import dialect

    monkeypatch.setattr(dialect, "find_spec", lambda name: None)

    with pytest.raises(SettingsError, match=r'pip install "etlctl\[redshift\]"'):
        dialect.RedshiftDialect("redshift", "config/etlctl.toml:3")


def test_a_redshift_under_the_url_of_a_postgresql_is_one_sentence(redshift_url: str, tmp_path: Path) -> None:
    """As it stands in many a configuration: Redshift speaks the same protocol."""
    url = redshift_url.replace("redshift+psycopg2://", "postgresql+psycopg2://")

    with (
        in_place(url, tmp_path),
        pytest.raises(UnavailableError, match=r"no PostgreSQL .*redshift://.*etlctl\[redshift\]"),
    ):
        Flights().run()


def test_a_wrong_option_of_the_url_is_a_mistake_in_the_settings(redshift_url: str, tmp_path: Path) -> None:
    with in_place(f"{redshift_url}&sslmod=disable", tmp_path), pytest.raises(SettingsError, match='option "sslmod"'):
        Flights().run()


def test_a_user_that_is_refused_is_sent_to_what_redshift_has() -> None:
    """No pg_hba.conf: nobody can look at that of a cluster."""
    refused = ConnectError('connection to server at "wh-1", port 5439 failed: FATAL: password authentication failed\n')

    ours = translated(refused, doing="test", shown_url="redshift://me:***@wh-1/dw")

    assert type(ours) is UnavailableError and "pg_hba" not in str(ours)
    assert str(ours).endswith("and at the cluster's own users (SELECT usename FROM pg_user).")


def test_what_commits_is_refused_with_what_to_write_instead(house: AnyWarehouse) -> None:
    house.write("CREATE TABLE flights (k integer, v varchar(100))")

    class Emptied(RunSQL):
        query = "TRUNCATE flights"
        table = "emptied"

    with pytest.raises(CommitInsideError, match=r"TRUNCATE, with which Redshift commits \(write DELETE\), was tried"):
        Emptied().run()


def test_another_driver_is_refused() -> None:
    from etlctl.db.dialects.redshift.dialect import RedshiftDialect

    with pytest.raises(SettingsError, match="redshift_connector is not the driver"):
        RedshiftDialect("redshift+redshift_connector", "x")


def test_a_statement_that_takes_too_long_is_ended(
    redshift_url: str, redshift_staging: str, redshift_role: str, redshift: Standin, tmp_path: Path
) -> None:
    """F22: not tried again, and the setting is named."""
    options: dict[str, Any] = {"s3_staging": redshift_staging, "iam_role": redshift_role, "statement_timeout_s": 0.3}
    with in_place(redshift_url, tmp_path, **options) as house:
        slow = "SELECT count(*) FROM pg_class AS a, pg_class AS b, pg_class AS c, pg_class AS d"
        with (
            pytest.raises(LoadError, match=r"ended the statement .*statement_timeout"),
            house.database.reading("t") as c,
        ):
            c.exec_driver_sql(slow)
