"""Pauses, stops, turns and alerts; two `Operations` here are two processes, as far as the state database can tell."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from etlctl.core.parameters import IntParameter
from etlctl.core.task import Task
from etlctl.db.state import owners, schema, tables, turns
from etlctl.db.state.operations import Ahead, Busy, Done, Operations, Pause, Turn
from etlctl.db.state.store import Store
from etlctl.errors import UnavailableError, UsageError
from etlctl.settings import ConnectionSettings, Secret
from torture import racers

Open = Callable[..., Operations]
DUE = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class OpsLoad(Task):
    number = IntParameter()


class OpsReport(Task):
    pass


@pytest.fixture
def operations(store: Store) -> Iterator[Open]:
    """Opens the operations of one more process."""
    made: list[Operations] = []

    def open_(**options: Any) -> Operations:
        made.append(Operations(store, **options))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.transaction() as session:
        return session.run(sql)


def turn_of(answer: Turn | Busy | Done | Ahead) -> Turn:
    assert isinstance(answer, Turn), answer
    return answer


def soon(operations: Operations, schedule: str, due: datetime) -> Turn:
    """The turn, as soon as the end of the one before it is written."""
    until = time.monotonic() + 40
    while isinstance(answer := operations.claim_turn(schedule, due), Busy) and time.monotonic() < until:
        time.sleep(0.02)
    return turn_of(answer)


# -- nothing is there yet


def test_operations_read_a_state_that_is_not_there_and_make_nothing(store: Store, operations: Open) -> None:
    asked = operations()

    assert asked.pauses() == []
    assert asked.stop_of("r1") is None
    assert asked.last_turn("nightly") is None
    assert asked.holding()(OpsReport()) == ""
    assert store.tables(*(table.name for table in tables.ALL)) == set()


# -- pauses


def test_pause_holds_until_it_is_resumed_and_stays_on_record(store: Store, operations: Open) -> None:
    here, there = operations(), operations()

    made = here.pause("OpsLoad", reason="the feed is being moved", by="ann@etl-1")
    (seen,) = there.pauses()
    ended = there.resume("OpsLoad", by="bob@etl-2")

    assert seen == made
    assert (seen.task, seen.reason, seen.by, seen.label) == (
        "OpsLoad",
        "the feed is being moved",
        "ann@etl-1",
        "OpsLoad",
    )
    assert abs(seen.since.timestamp() - store.now()) < 60
    assert ended == 1 and here.pauses() == []
    ((task, by, resumed_by, paused_at, resumed_at),) = rows(
        store, "SELECT task, paused_by, resumed_by, paused_at, resumed_at FROM etlctl_pauses"
    )
    assert (task, by, resumed_by) == ("OpsLoad", "ann@etl-1", "bob@etl-2")
    assert resumed_at >= paused_at


def test_pause_of_what_is_paused_keeps_its_record_and_a_new_reason_makes_another(
    store: Store, operations: Open
) -> None:
    asked = operations()
    first = asked.pause("OpsLoad", reason="a", by="ann@h")

    assert asked.pause("OpsLoad", reason="", by="bob@h") == first
    assert asked.pause("OpsLoad", reason="a", by="bob@h") == first
    second = asked.pause("OpsLoad", reason="b", by="bob@h")

    assert asked.pauses() == [second]
    assert (second.reason, second.by) == ("b", "bob@h")
    assert rows(store, "SELECT reason, resumed_by FROM etlctl_pauses ORDER BY id") == [("a", "bob@h"), ("b", None)]


def test_resume_ends_what_was_named_alone(operations: Open) -> None:
    asked = operations()
    for task in ("", "OpsLoad", "OpsReport"):
        asked.pause(task, reason="", by="ann@h")

    assert asked.resume("OpsLoad", by="ann@h") == 1
    assert asked.resume("OpsLoad", by="ann@h") == 0

    assert [one.task for one in asked.pauses()] == ["", "OpsReport"]


def test_pause_of_one_profile_holds_there_and_one_of_none_in_all(operations: Open) -> None:
    plain, staging, production = operations(), operations(profile="staging"), operations(profile="production")
    staging.pause("OpsLoad", reason="", by="ann@h")
    plain.pause("OpsReport", reason="", by="ann@h")

    assert [[one.task for one in each.pauses()] for each in (plain, staging, production)] == [
        ["OpsReport"],
        ["OpsLoad", "OpsReport"],
        ["OpsReport"],
    ]
    assert production.resume("OpsLoad", by="bob@h") == 0
    assert staging.resume("OpsReport", by="bob@h") == 1
    assert plain.pauses() == []


@pytest.mark.parametrize(
    ("paused", "held"),
    [
        ("", ["OpsLoad(1)", "OpsLoad(2)", "OpsReport()"]),
        ("OpsLoad", ["OpsLoad(1)", "OpsLoad(2)"]),
        (OpsLoad(number=2).task_id, ["OpsLoad(2)"]),
        ("opsload", []),
    ],
)
def test_holding_tells_which_tasks_a_pause_holds(
    open_store: Callable[[str], Store], tmp_path: Any, paused: str, held: list[str]
) -> None:
    asked = Operations(open_store(f"sqlite:///{tmp_path}/state.db"))
    made = asked.pause(paused, reason="why", by="ann@h")
    hold = asked.holding()

    found = {task.task_label: hold(task) for task in (OpsLoad(number=1), OpsLoad(number=2), OpsReport())}

    assert [label for label, said in found.items() if said] == held
    assert set(found.values()) <= {"", f"paused by ann@h since {made.since:%Y-%m-%d %H:%M} UTC: why"}


def test_holding_reads_once_in_a_while_and_keeps_what_it_knew_while_the_state_is_gone() -> None:
    nowhere: Any = None
    now, answers = [100.0], list[Any]()
    pause = Pause("OpsLoad", "", "ann@h", DUE)

    class Told(Operations):
        def pauses(self) -> list[Pause]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return list(answer)

    hold = Told(nowhere).holding(every_s=2.0, clock=lambda: now[0])
    answers[:] = [[pause], UnavailableError("gone"), []]

    assert hold(OpsLoad(number=1)) and hold(OpsLoad(number=1)) and len(answers) == 2
    now[0] += 2.0
    assert hold(OpsLoad(number=1)) and len(answers) == 1
    now[0] += 2.0
    assert hold(OpsLoad(number=1)) == "" and not answers


# -- stops


def test_request_stop_keeps_the_first_wish_for_each_run(operations: Open) -> None:
    here, there = operations(), operations()

    asked = here.request_stop("r1", by="ann@etl-1", reason="an upgrade")
    again = there.request_stop("r1", by="bob@etl-2", reason="me too")

    assert asked == again == here.stop_of("r1")
    assert asked.sentence == "stopped by ann@etl-1: an upgrade"
    assert here.stop_of("r2") is None


# -- turns


def test_claim_turn_gives_each_turn_to_one_and_tells_the_others(operations: Open) -> None:
    here, there = operations(), operations()

    turn = turn_of(here.claim_turn("nightly", DUE))
    busy = there.claim_turn("nightly", DUE)
    later = there.claim_turn("nightly", DUE + HOUR)
    ours = here.claim_turn("nightly", DUE + HOUR)
    other = turn_of(there.claim_turn("hourly", DUE))
    here.end_turn(turn, code=0, run_id="r1")
    done = there.claim_turn("nightly", DUE)
    before = there.claim_turn("nightly", DUE - HOUR)

    assert (turn.schedule, turn.number, turn.due, turn.ended_at, turn.code) == ("nightly", 1, DUE, None, None)
    assert isinstance(busy, Busy) and busy.holder == turn.holder and busy.since is not None
    assert isinstance(later, Busy) and isinstance(ours, Busy)
    assert (other.schedule, other.number) == ("hourly", 1)
    assert isinstance(done, Done) and done == before
    assert (done.turn.due, done.turn.code, done.turn.run_id) == (DUE, 0, "r1")
    assert done.turn.ended_at is not None and done.turn.ended_at >= done.turn.began_at


def test_turns_follow_each_other_and_are_told_the_newest_first(operations: Open) -> None:
    here, there = operations(), operations()

    for number, asked in enumerate([here, there, here, there]):
        asked.end_turn(soon(asked, "nightly", DUE + number * HOUR), code=number, run_id=f"r{number}")

    assert [(one.number, one.due, one.code) for one in here.turns("nightly", 3)] == [
        (4, DUE + 3 * HOUR, 3),
        (3, DUE + 2 * HOUR, 2),
        (2, DUE + HOUR, 1),
    ]
    assert here.last_turn("nightly") == here.turns("nightly", 1)[0]


def test_claim_turn_begins_none_that_the_databases_clock_does_not_know_yet(operations: Open) -> None:
    """The clock of the host that asks is ahead; a few minutes are nobody's fault."""
    here, now = operations(), datetime.now(UTC)

    answer = here.claim_turn("nightly", now + HOUR)

    assert isinstance(answer, Ahead) and "ahead of that of the state database" in answer.sentence
    assert here.last_turn("nightly") is None
    assert turn_of(here.claim_turn("nightly", now + timedelta(minutes=2))).number == 1


@pytest.mark.parametrize("end", ["NULL", "began_at + 1"])
def test_a_turn_on_record_that_was_begun_long_before_its_time_keeps_no_other_off(
    store: Store, operations: Open, end: str
) -> None:
    """An older release wrote it, for a host whose clock was ahead. Its end is written where it had none."""
    here = operations()
    here.end_turn(turn_of(here.claim_turn("nightly", DUE)), code=0, run_id="r1")
    with store.transaction() as session:
        session.run(
            "INSERT INTO etlctl_turns (profile, schedule, number, due, owner, began_at, ended_at) "
            f"SELECT profile, schedule, 2, began_at + 9999999, owner, began_at, {end} FROM etlctl_turns"
        )

    last = here.last_turn("nightly")
    turn = soon(here, "nightly", DUE + HOUR)

    assert last is not None and (last.number, last.due) == (1, DUE)
    assert (turn.number, turn.due) == (3, DUE + HOUR)
    assert here.last_turn("nightly") == turn
    assert rows(store, "SELECT count(*) FROM etlctl_turns WHERE ended_at IS NULL") == [(1,)]


def test_schedules_of_one_name_with_other_tasks_have_records_of_their_own(operations: Open) -> None:
    """Two projects share the state database: neither takes the other's turns, nor waits for it."""
    here, there = operations(), operations()
    assert here.record_of("nightly", ["Load", "Report"]) == "nightly"
    ours = turn_of(here.claim_turn("nightly", DUE, ["Load", "Report"]))

    other = there.record_of("nightly", ["Count"])
    theirs = turn_of(there.claim_turn(other, DUE, ["Count"]))

    assert other.startswith("nightly #") and theirs.number == ours.number == 1
    assert there.record_of("nightly", ["Count", "More"]) == other
    assert here.record_of("nightly", ["Report", "Newer"]) == "nightly"
    assert here.last_turn("nightly") == ours and there.last_turn(other) == theirs


def test_a_name_that_has_become_another_projects_is_not_claimed(operations: Open) -> None:
    """Both begin at one moment, when nothing is on record: the second finds out, and has its own the next time."""
    here, there = operations(), operations()
    name = there.record_of("night_ly!%", ["Count"])
    here.end_turn(turn_of(here.claim_turn("night_ly!%", DUE, ["Load"])), code=0)

    answer = there.claim_turn(name, DUE + HOUR, ["Count"])
    claimed = turn_of(there.claim_turn(there.record_of("night_ly!%", ["Count"]), DUE, ["Count"]))

    assert isinstance(answer, Busy)
    assert (
        there.record_of("night_ly!%", ["Count", "More"]) == claimed.schedule == "night_ly!% #" + claimed.schedule[-8:]
    )


def test_turns_of_two_profiles_are_two_schedules(operations: Open) -> None:
    staging, production = operations(profile="staging"), operations(profile="production")

    first, second = staging.claim_turn("nightly", DUE), production.claim_turn("nightly", DUE)

    assert turn_of(first).number == turn_of(second).number == 1


def test_claim_turn_takes_over_from_a_dead_process_of_this_host_at_once(
    store: Store, operations: Open, database_url: str
) -> None:
    code = (
        "import os, sys; from datetime import datetime; from etlctl.db.state.operations import Operations;"
        "from etlctl.db.state.store import Store; from etlctl.settings import ConnectionSettings, Secret;"
        "store = Store(ConnectionSettings('state', Secret(sys.argv[1])));"
        "print(Operations(store).claim_turn('nightly', datetime.fromisoformat(sys.argv[2])).number, flush=True);"
        "os._exit(9)"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, database_url, DUE.isoformat()], check=False, capture_output=True, text=True
    )
    assert (died.returncode, died.stdout) == (9, "1\n"), died.stderr
    asked = operations()

    again = turn_of(asked.claim_turn("nightly", DUE))
    asked.end_turn(again, code=0, run_id=None)

    newest, killed = asked.turns("nightly", 5)
    assert (newest.number, newest.due, newest.code) == (2, DUE, 0)
    assert (killed.number, killed.due, killed.code) == (1, DUE, None) and killed.ended_at is not None
    assert isinstance(operations().claim_turn("nightly", DUE), Done)


def test_a_turn_is_kept_alive_by_its_heartbeat(store: Store, operations: Open) -> None:
    here, there = operations(lease_ttl_s=6.0), operations(lease_ttl_s=6.0)
    turn = turn_of(here.claim_turn("nightly", DUE))
    expiry = "SELECT expires_at FROM etlctl_leases"
    ((before,),) = rows(store, expiry)

    until = store.now() + 40
    while rows(store, expiry)[0][0] < before + 1.0 and store.now() < until:
        time.sleep(0.1)

    assert rows(store, expiry)[0][0] >= before + 1.0
    assert isinstance(there.claim_turn("nightly", DUE + HOUR), Busy)
    assert here.lost(turn) == ""


def test_a_turn_of_a_silent_host_is_taken_over_and_its_first_holder_is_told(store: Store, operations: Open) -> None:
    here, there = operations(lease_ttl_s=6.0), operations(lease_ttl_s=6.0)
    turn = turn_of(here.claim_turn("nightly", DUE))
    until = store.now() + 40
    while True:
        with store.transaction() as session:  # as if it had slept since yesterday
            session.run("UPDATE etlctl_leases SET expires_at = 1.0")
        if isinstance(taken := there.claim_turn("nightly", DUE), Turn) or store.now() > until:
            break  # else the holder gave a sign of life just then
    taken = turn_of(taken)

    until = store.now() + 40
    while not (told := here.lost(turn)) and store.now() < until:
        time.sleep(0.05)
    busy = here.claim_turn("nightly", DUE + HOUR)
    here.end_turn(turn, code=1, run_id="r1")

    assert "taken over by another process" in told
    assert there.lost(taken) == ""
    assert isinstance(busy, Busy)
    there.end_turn(taken, code=0, run_id="r2")
    assert [(one.number, one.code, one.run_id) for one in here.turns("nightly", 5)] == [(2, 0, "r2"), (1, 1, "r1")]


def test_a_turn_that_was_lost_and_never_ended_does_not_stand_in_the_way(store: Store, operations: Open) -> None:
    """A loop lets it go after an outage; by then nobody has it, and it is had again."""
    here = operations(lease_ttl_s=6.0)
    turn = turn_of(here.claim_turn("nightly", DUE))
    with store.transaction() as session:
        session.run("UPDATE etlctl_leases SET state = 'released', owner = 'gone'")

    until = store.now() + 40
    while not (told := here.lost(turn)) and store.now() < until:
        time.sleep(0.05)
    again = turn_of(here.claim_turn("nightly", DUE))

    assert "taken over" in told and (again.number, again.due) == (2, DUE)
    assert here.lost(again) == ""
    assert here.lost(turn)


def test_a_sleeper_whose_lease_was_taken_meanwhile_writes_no_turn(
    store: Store, operations: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = operations(), operations()
    begun = turns.Turns._begun
    asleep = [True]

    def slept(self: turns.Turns, schedule: str, due: datetime, tasks: Any) -> Turn | Busy | Done | Ahead:
        if asleep:
            asleep.clear()
            with store.transaction() as session:
                session.run("UPDATE etlctl_leases SET expires_at = 1.0")
            there.end_turn(turn_of(there.claim_turn(schedule, due)), code=0, run_id="r2")
        return begun(self, schedule, due, tasks)

    monkeypatch.setattr(turns.Turns, "_begun", slept)

    answer = here.claim_turn("nightly", DUE)

    assert isinstance(answer, (Busy, Done))
    assert [(one.number, one.run_id) for one in here.turns("nightly", 5)] == [(1, "r2")]


def test_close_gives_turns_back(operations: Open) -> None:
    here = operations()
    turn_of(here.claim_turn("nightly", DUE))

    here.close()

    assert turn_of(operations().claim_turn("nightly", DUE)).number == 2


def test_claim_turn_refuses_a_name_that_no_column_holds(operations: Open) -> None:
    with pytest.raises(UsageError, match="128 characters"):
        operations().claim_turn("n" * 129, DUE)


def test_turns_and_alerts_are_had_once_when_eight_processes_want_them(
    store: Store, database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """F71. Nothing is there when they begin: they make the tables as well."""
    ready, everybody = os.pipe()

    def want(process: int) -> int:
        os.close(everybody)
        operations = Operations(Store(ConnectionSettings("state", Secret(database_url), lock_timeout_s=30)))
        os.read(ready, 1)  # returns once nobody holds the other end any more
        won = 0
        for number in range(12):
            while not isinstance(answer := operations.claim_turn("nightly", DUE + number * HOUR), Done):
                if isinstance(answer, Turn):
                    won += 1
                    operations.end_turn(answer, code=0, run_id=str(number))
        (tmp_path / str(process)).write_text(f"{won} {operations.alerted('deadline nightly')}")
        operations.close()
        return 0

    started = [racers.start(partial(want, process)) for process in range(8)]
    os.close(everybody)
    racers.watch(started)
    os.close(ready)

    assert ([one.status for one in started], capfd.readouterr().err) == ([0] * 8, "")
    told = [(tmp_path / str(process)).read_text().split() for process in range(8)]
    assert sum(int(won) for won, _ in told) == 12
    assert sorted(alerted for _, alerted in told) == ["False"] * 7 + ["True"]
    assert rows(store, "SELECT number, run_id FROM etlctl_turns ORDER BY number") == [
        (number + 1, str(number)) for number in range(12)
    ]


# -- alerts


def test_alerted_is_true_once_for_each_key_also_for_long_ones(operations: Open) -> None:
    here, there, staging = operations(), operations(), operations(profile="staging")
    long = "deadline " + "x" * 300

    assert [here.alerted("a"), there.alerted("a"), here.alerted("b")] == [True, False, True]
    assert [here.alerted(long + "1"), there.alerted(long + "2"), there.alerted(long + "1")] == [True, True, False]
    assert staging.alerted("a")


def test_now_is_by_the_clock_that_turns_end_by(operations: Open) -> None:
    ours = operations()
    turn = turn_of(ours.claim_turn("nightly", DUE))

    before = ours.now()
    ours.end_turn(turn, code=0)

    ended = ours.turns("nightly", 1)[0].ended_at
    assert ended is not None
    assert before <= ended <= ours.now()


def test_operations_refuse_a_state_that_is_too_new(store: Store, operations: Open) -> None:
    schema.ensure(store, schema.CURRENT._replace(version=9, usable_from=9, made_by="9.0", usable_by="9.0"))

    with pytest.raises(UsageError, match=r"of etlctl 9\.0"):
        operations().pauses()
    with pytest.raises(UsageError, match=r"of etlctl 9\.0"):
        operations().pause("", reason="", by="")


def test_the_owner_of_a_turn_is_this_process(operations: Open) -> None:
    turn = turn_of(operations().claim_turn("nightly", DUE))

    assert turn.holder == owners.holder(owners.this_process())
