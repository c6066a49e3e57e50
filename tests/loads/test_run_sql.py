"""RunSQL: statements under a marker, in its transaction or each by itself."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter
from etlctl.errors import EtlctlError, LoadError, QueryError
from etlctl.loads.query import RunSQL
from etlctl.loads.sequence import Sequence
from warehouse import Warehouse, die_at, ended, forked

DAY = date(2013, 1, 1)


@pytest.fixture
def days(warehouse: Warehouse) -> Warehouse:
    warehouse.write("CREATE TABLE days (day DATE, n INTEGER)", "INSERT INTO days VALUES ('2013-01-01', 1)")
    return warehouse


class Tidy(RunSQL):
    """Several statements, one of them with a body."""

    day = DateParameter(default=DAY)
    query: Any = """
        -- a trigger has semicolons of its own
        CREATE TABLE IF NOT EXISTS log (what TEXT);
        CREATE TRIGGER IF NOT EXISTS logged AFTER DELETE ON days BEGIN
            INSERT INTO log VALUES ('gone; ' || old.day);
            INSERT INTO log VALUES ('really');
        END;
        DELETE FROM days WHERE day = :day;
        INSERT INTO days VALUES (:day, 10), (:day, 20);
        SELECT count(*) FROM days
    """


def test_run_sql_runs_statements_in_order_with_its_marker(days: Warehouse) -> None:
    """All statements and the marker are committed together; the rows they changed are counted."""
    with attempting(Attempt()) as attempt:
        Tidy(DAY).run()

    assert days.ask("SELECT * FROM days") == [("2013-01-01", 10), ("2013-01-01", 20)]
    assert days.ask("SELECT what FROM log") == [("gone; 2013-01-01",), ("really",)]
    assert days.markers() == [(Tidy(DAY).task_id, "tidy", "done", 3)]
    assert attempt.rows == 3


def test_run_sql_runs_once(days: Warehouse) -> None:
    """With its marker there, nothing runs."""
    Tidy(DAY).run()
    days.write("DELETE FROM days")

    Tidy(DAY).run()

    assert days.count("days") == 0


def test_run_sql_keeps_nothing_of_a_script_that_fails(days: Warehouse) -> None:
    """The error names file and line of the statement; the statements before it are undone."""

    class Failing(RunSQL):
        query = "DELETE FROM days;\n\nINSERT INTO nowhere VALUES (1);"

    with pytest.raises(QueryError, match=r"Failing\.query:3: no such table: nowhere"):
        Failing().run()

    assert days.count("days") == 1
    assert days.markers() == []


def test_run_sql_killed_in_the_middle_leaves_nothing(days: Warehouse) -> None:
    """A process that dies before the commit has done nothing, and the next one does all of it."""

    def work() -> None:
        die_at("load.copied")
        Tidy(DAY).run()

    status = ended(forked(work))
    after_death = (days.count("days"), days.markers())
    Tidy(DAY).run()

    assert status != 0
    assert after_death == (1, [])
    assert days.count("days") == 2


@pytest.mark.parametrize(
    "statement", ["COMMIT", "BEGIN", "ROLLBACK", "END TRANSACTION", "begin immediate", "START TRANSACTION"]
)
def test_run_sql_refuses_to_end_its_transaction(warehouse: Warehouse, statement: str) -> None:
    """Transaction control is refused with file and line before anything runs."""
    made = type("Script", (RunSQL,), {"query": f"SELECT 1;\n{statement};", "__module__": __name__})

    with pytest.raises(QueryError, match=r"Script\.query:2: .* the statements are one transaction already"):
        made().run()

    assert not warehouse.file.exists()


def test_run_sql_lets_savepoints_pass(days: Warehouse) -> None:
    """A part that may be undone is a savepoint."""

    class Trying(RunSQL):
        query = "SAVEPOINT s; DELETE FROM days; ROLLBACK TO s; RELEASE s; UPDATE days SET n = 2"

    Trying().run()

    assert days.ask("SELECT n FROM days") == [(2,)]


def test_run_sql_refuses_vacuum_in_a_transaction(warehouse: Warehouse) -> None:
    """The sentence says what to write instead."""

    class Compact(RunSQL):
        query = "VACUUM"

    with pytest.raises(QueryError, match="transactional = False"):
        Compact().run()


def test_run_sql_without_transaction_marks_afterwards(days: Warehouse) -> None:
    """transactional = False: VACUUM runs, then the marker is written; a second run does nothing."""

    class Compact(RunSQL):
        transactional = False
        query = "PRAGMA auto_vacuum = FULL;\nVACUUM;\nUPDATE days SET n = n + 1"

    Compact().run()
    Compact().run()

    assert days.ask("PRAGMA auto_vacuum") == [(1,)]
    assert days.ask("SELECT n FROM days") == [(2,)]
    assert days.markers() == [(Compact().task_id, "compact", "done", None)]


def test_run_sql_without_transaction_keeps_what_was_done(days: Warehouse) -> None:
    """A statement that fails leaves those before it done and no marker: they will run again."""

    class Half(RunSQL):
        transactional = False
        query = "UPDATE days SET n = 5;\nDELETE FROM nowhere"

    with pytest.raises(QueryError, match=r"Half\.query:2: no such table: nowhere"):
        Half().run()

    assert days.ask("SELECT n FROM days") == [(5,)]
    assert days.markers() == []


def test_run_sql_without_transaction_is_no_step_of_a_sequence(days: Warehouse) -> None:
    """What commits by itself cannot be a part of a transaction."""

    class Compact(RunSQL):
        transactional = False
        query = "VACUUM"

    class Both(Sequence):
        def steps(self) -> Any:
            return [Tidy(DAY), Compact()]

    with pytest.raises(LoadError, match="it cannot run inside an open transaction"):
        Both().run()

    assert days.markers() == []
    assert days.count("days") == 1


def test_run_sql_is_a_step_of_a_sequence(days: Warehouse) -> None:
    """Its marker and the Sequence's are written together."""

    class Both(Sequence):
        def steps(self) -> Any:
            return [Tidy(DAY)]

    Both().run()

    assert [marker[1] for marker in days.markers()] == ["both", "tidy"]


def test_run_sql_refuses_force_unless_repeatable(days: Warehouse) -> None:
    """Only the author knows what a second run does."""
    Tidy(DAY).run()

    class Repeatable(Tidy):
        table = "tidy"
        repeatable = True

        @property
        def update_id(self) -> str:
            return Tidy(DAY).task_id

    with attempting(Attempt(forced=True)):
        with pytest.raises(LoadError, match="repeatable = True in Tidy"):
            Tidy(DAY).run()
        Repeatable(DAY).run()

    assert days.ask("SELECT count(*), sum(n) FROM days") == [(2, 30)]
    assert len(days.markers()) == 1


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            "SELECT 1;\nDELETE FROM days WHERE day = :dya",
            "Script.query:2: :dya is no parameter of Script",
        ),
        ("-- nothing", "there is no statement, only comments"),
        ("SELECT 1;\nSELECT 'a", "Script.query:2: the quote ' opened here never ends"),
    ],
)
def test_run_sql_refuses_a_wrong_text_before_anything_runs(warehouse: Warehouse, query: str, sentence: str) -> None:
    """Also where the error is in the last statement, the first does not run."""
    made = type("Script", (RunSQL,), {"query": query, "__module__": __name__})

    with pytest.raises(EtlctlError) as caught:
        made().run()

    assert sentence in str(caught.value)
    assert not warehouse.file.exists()
