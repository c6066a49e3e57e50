"""Whose doing a worker's death is: what it had in hand, alone or beside others; and how often that is tried again."""

from __future__ import annotations

import pytest

from etlctl.core.context import Attempt
from etlctl.engine.executors.dask_losses import MOST_DOUBTFUL, Fate, LastTries, Losses
from etlctl.engine.executors.dask_orders import Ordered
from etlctl.engine.executors.jobs import Output
from executor_house import FileTask


def _orders(*names: str) -> dict[str, Ordered]:
    found = {}
    for name in names:
        task = FileTask(name=name)
        found[name] = Ordered(task, Attempt(), Output(task, "", 0, None), None)
        found[name].is_sent(name)
    return found


def test_death_is_the_doing_of_what_was_in_hand() -> None:
    """Not of what had ended there, nor of what waited there: that is sent again however often it takes."""
    orders = _orders("runs", "ended", "queued", "elsewhere")
    losses = Losses(orders)
    for _ in range(2):
        for name in ("runs", "ended"):
            orders[name].arrives("tcp://a", "host:1")
        orders["ended"].is_at_end = True
        orders["elsewhere"].arrives("tcp://b", "host:2")
        found = losses.left("tcp://a")
        assert found == [(orders["runs"], Fate.GOES_ON), (orders["ended"], Fate.GOES_ON)]
        assert losses.given_up(orders["queued"], "tcp://a") is Fate.AGAIN
    orders["runs"].arrives("tcp://a", "host:1")

    assert losses.left("tcp://a") == [(orders["runs"], Fate.DIES)]
    assert [len(job.lost_on) for job in orders.values()] == [3, 0, 0, 0]
    assert orders["queued"].taken_down == 0
    assert losses.sentence(orders["runs"], "tcp://a").startswith("3 workers died at it, the last was tcp://a: ")


def test_death_counts_once_though_it_is_told_twice() -> None:
    """By the scheduler's own topic, and with what was lost."""
    orders = _orders("runs")
    losses = Losses(orders)
    orders["runs"].arrives("tcp://a", "host:1")

    assert len(losses.left("tcp://a")) == 1
    assert losses.left("tcp://a") == []
    assert orders["runs"].lost_on == ["tcp://a"]


def test_death_beside_others_is_no_proof() -> None:
    """The last tries are made one at a time; one that dies there alone has done it, one that ends well is free."""
    orders = _orders("bad", "good")
    losses = Losses(orders)
    fates = []
    for worker in ("tcp://a", "tcp://b"):
        for job in orders.values():
            job.arrives(worker, "host:1")
        fates.append([fate for _, fate in losses.left(worker)])
    assert fates == [[Fate.GOES_ON, Fate.GOES_ON], [Fate.ALONE, Fate.ALONE]]

    orders["bad"].arrives("tcp://c", "host:1")
    assert losses.left("tcp://c") == [(orders["bad"], Fate.DIES)]


def test_deaths_beside_others_are_bounded() -> None:
    """However many others die with it."""
    orders = _orders("one", "other")
    losses = Losses(orders)
    for number in range(MOST_DOUBTFUL):
        for job in orders.values():
            job.arrives(f"tcp://{number}", "host:1")
        fates = {fate for _, fate in losses.left(f"tcp://{number}")}
        assert fates == {Fate.GOES_ON if number == 0 else Fate.DIES if number == MOST_DOUBTFUL - 1 else Fate.ALONE}


def test_order_that_nobody_takes_in_hand_is_given_up_in_the_end() -> None:
    """Workers that die of nothing that this build has sent them."""
    orders = _orders("queued")
    losses = Losses(orders)
    fates = [losses.given_up(orders["queued"], f"tcp://{number}") for number in range(10)]

    assert fates == [Fate.AGAIN] * 9 + [Fate.DIES]
    assert losses.sentence(orders["queued"], "tcp://9") == (
        "10 workers died that were to run it, before they had begun; the last was tcp://9"
    )


def test_last_tries_are_ordered_one_after_the_other() -> None:
    """The first at once; one that is given up while it waits leaves its place."""
    a, b, c = _orders("a", "b", "c").values()
    ordered: list[Ordered] = []
    tries = LastTries(ordered.append)
    for job in (a, b, c):
        tries.add(job)
    assert ordered == [a]

    tries.add(a)  # lost once more, beside others
    tries.discard(b)
    assert ordered == [a, a]

    tries.discard(a)
    assert ordered == [a, a, c]
    tries.discard(c)
    assert not tries.jobs


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (0, []),
        (1, ["worker tcp://0 was lost; begun again on tcp://last"]),
        (3, ["3 workers were lost, the last tcp://2; begun again on tcp://last"]),
    ],
)
def test_summary_says_where_it_was_begun_again(lost: int, said: list[str]) -> None:
    """One sentence, before the task's own notes; nothing of it where it fails of that."""
    (job,) = _orders("runs").values()
    for number in range(lost):
        job.arrives(f"tcp://{number}", "host:1")
        job.leaves()
        job.is_lost_with(f"tcp://{number}")
    job.arrives("tcp://last", "host:9")
    job.attempt.notes.append("its own")

    assert job.attempt.notes == [*said, "its own"]
    job.unnote()
    assert job.attempt.notes == ["its own"]
    assert job.attempt.worker == "host:9"
