"""Transactions beside each other in the tests' Redshift: snapshots, locks, violations."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from psycopg2 import errors
from psycopg2.extensions import TransactionRollbackError

from servers.redshift.standin import Standin
from servers.redshift.trying import Connect, ask


def test_two_that_read_and_write_crosswise_violate_serializable_isolation(connect: Connect) -> None:
    one, two = connect(), connect()
    ask(one, "CREATE TABLE a (x int); CREATE TABLE b (x int)")
    one.commit()
    ask(one, "SELECT * FROM a")
    ask(two, "SELECT * FROM b")
    ask(one, "INSERT INTO b VALUES (1)")
    ask(two, "INSERT INTO a VALUES (1)")
    one.commit()

    with pytest.raises(errors.InternalError_) as caught:
        two.commit()

    assert caught.value.pgcode == "XX000"
    assert caught.value.diag.message_primary == "1023"
    assert "Serializable isolation violation on table - " in str(caught.value.diag.message_detail)
    assert not isinstance(caught.value, TransactionRollbackError)


def test_every_isolation_level_means_serializable(connect: Connect) -> None:
    connection = connect()
    connection.set_session(isolation_level="READ COMMITTED")

    assert ask(connection, "SHOW transaction_isolation") == [("serializable",)]


def test_writers_of_a_table_wait_and_readers_do_not(connect: Connect) -> None:
    one, two, reader = connect(), connect(), connect()
    ask(one, "CREATE TABLE t (a int)")
    one.commit()
    ask(one, "INSERT INTO t VALUES (1)")
    waiting = threading.Thread(target=lambda: (ask(two, "INSERT INTO t VALUES (2)"), two.commit()))
    waiting.start()

    assert ask(reader, "SELECT count(*) FROM t") == [(0,)]
    waiting.join(0.3)
    assert waiting.is_alive()
    one.commit()
    waiting.join(60)

    reader.rollback()
    assert ask(reader, "SELECT count(*) FROM t") == [(2,)]


def test_a_writer_that_waited_sees_what_was_before_it_began(connect: Connect) -> None:
    one, two = connect(), connect()
    ask(one, "CREATE TABLE t (a int)")
    one.commit()
    ask(one, "INSERT INTO t VALUES (1)")
    waiting = threading.Thread(target=lambda: ask(two, "INSERT INTO t VALUES (2)"))
    waiting.start()
    waiting.join(0.3)
    one.commit()
    waiting.join(60)

    assert ask(two, "SELECT count(*) FROM t") == [(1,)]


def test_after_a_lock_that_waited_everything_is_seen(connect: Connect) -> None:
    one, two = connect(), connect()
    ask(one, "CREATE TABLE t (a int)")
    one.commit()
    ask(one, "LOCK t")
    ask(one, "INSERT INTO t VALUES (1)")
    waiting = threading.Thread(target=lambda: ask(two, "LOCK TABLE t"))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    one.commit()
    waiting.join(60)

    assert ask(two, "SELECT count(*) FROM t") == [(1,)]


@pytest.mark.parametrize(("locks", "rows"), [(True, 1), (False, 2)])
def test_only_a_lock_before_the_look_makes_one_of_two_rows(
    redshift: Standin, connect: Connect, locks: bool, rows: int
) -> None:
    """No key stops the second: what exactly once stands on, under the isolation of new clusters."""
    redshift.isolate("snapshot")
    one, two = connect(), connect()
    ask(one, "CREATE TABLE markers (id varchar(8) PRIMARY KEY)")
    one.commit()

    have_looked = threading.Barrier(2)

    def mark(connection: Any) -> None:
        if locks:
            ask(connection, "LOCK markers")
        found = ask(connection, "SELECT count(*) FROM markers")
        if not locks:
            have_looked.wait(60)
        if found == [(0,)]:
            ask(connection, "INSERT INTO markers VALUES ('a')")
        connection.commit()

    both = [threading.Thread(target=mark, args=(connection,)) for connection in (one, two)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)

    assert ask(one, "SELECT count(*) FROM markers") == [(rows,)]


def test_snapshot_isolation_is_there_too(redshift: Standin, connect: Connect) -> None:
    redshift.isolate("snapshot")
    one, two = connect(), connect()
    ask(one, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    one.commit()
    ask(one, "SELECT * FROM t")
    ask(two, "UPDATE t SET a = 2")
    two.commit()

    with pytest.raises(errors.InternalError_, match="conflict with concurrent transaction"):
        ask(one, "UPDATE t SET a = 3")
