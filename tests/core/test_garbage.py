"""Python's search for cycles: rarer while planning and importing, as ever while a task runs, none at exit."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from etlctl.core import garbage
from etlctl.core.garbage import collected_rarely, set_apart


@pytest.fixture(autouse=True)
def nothing_is_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the test run itself has set apart belongs to the rest while one of these tests runs."""
    monkeypatch.setattr(garbage, "_apart", garbage._Apart())
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    """The thresholds, which a test must leave as they were."""
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_collected_rarely_ends_with_its_block(threshold: tuple[int, int, int]) -> None:
    """Within the block cycles are sought rarely, after it as before, also when the block raises."""
    with pytest.raises(ValueError, match="planned"), collected_rarely():
        within = gc.get_threshold()
        raise ValueError("planned")

    assert within[0] > threshold[0]
    assert within[1:] == threshold[1:]
    assert gc.get_threshold() == threshold


@pytest.mark.parametrize("own", [0, 1_000_000])
def test_collected_rarely_never_collects_more_often(own: int) -> None:
    """Who has switched the search off, or made it rarer still, keeps that."""
    gc.set_threshold(own, 10, 10)

    with collected_rarely():
        within = gc.get_threshold()

    assert within == (own, 10, 10)


def test_set_apart_ends_with_its_block() -> None:
    """What is there is looked through no more within the block, and again after it, also when the block raises."""
    with pytest.raises(ValueError, match="ran"), set_apart():
        within = gc.get_freeze_count()
        raise ValueError("ran")

    assert within > 0
    assert gc.get_freeze_count() == 0


def test_set_apart_leaves_the_end_to_whoever_has_begun() -> None:
    """A block within another, as of a build within a build, neither begins nor ends anything."""
    with set_apart():
        before = gc.get_freeze_count()
        with set_apart():
            within = gc.get_freeze_count()
        after = gc.get_freeze_count()

    assert before == within == after


def test_set_apart_many_times_leaves_no_garbage_behind() -> None:
    """Cycles that were alive when they were set apart, as each build's graph is, go when many have come together."""
    program = """
import gc, weakref
from etlctl.core.garbage import set_apart

class Cycle:
    def __init__(self):
        self.itself = self

alive = weakref.WeakSet()
most = 0
for number in range(40):
    graph = [Cycle() for _ in range(1000)]
    alive.update(graph)
    with set_apart():
        pass
    del graph
    most = max(most, len(alive))
print(most)
"""

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert int(ran.stdout) < 25_000


@pytest.mark.parametrize(("call", "said"), [("", "often\ntaken apart\n"), ("garbage.left_to_the_system()", "rarely\n")])
def test_left_to_the_system_leaves_cycles_there(call: str, said: str) -> None:
    """Cycles are sought rarely, and the last search finds nothing to take apart; without the call it does."""
    program = f"""
import gc
from etlctl.core import garbage

class Cycle:
    def __init__(self):
        self.itself = self
        self.told = print
    def __del__(self):
        self.told("taken apart", flush=True)

{call}
print("often" if gc.get_threshold()[0] < 50_000 else "rarely", flush=True)
Cycle()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout == said
