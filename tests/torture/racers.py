"""Processes that race for one load: forked from a parent that has imported everything, stopped or killed by plan.

A Plan acts inside the child, at a fault point; a Blow comes from outside, at a time. The child writes each point it
passes to a pipe, whose end is its death: no polling, and what a killed child has reached is known.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from etlctl import faultpoints

LAUNCHER = str(Path(__file__).resolve().parent / "launch.py")
LONGEST_S = 150
CRASHED = 99
"""Exit status of a child whose work raised what the product should have turned into an exit code."""


@dataclass(frozen=True)
class Plan:
    """What a process does to itself at a fault point."""

    point: str
    action: str = "kill"
    """kill, stop, raise, sleep."""
    nth: int = 1
    """At which passing of the point."""
    seconds: float = 0
    """Of a sleep, or of a stop."""


@dataclass(frozen=True)
class Blow:
    """What comes from outside, `after_s` of the child's life."""

    after_s: float
    pause_s: float | None = None
    """Seconds between SIGSTOP and SIGCONT; None kills."""


class PlannedError(Exception):
    """Raised by a Plan of action `raise`."""


@dataclass
class Racer:
    """One child."""

    pid: int
    pipe: int
    began: float
    plan: Plan | None = None
    blow: Blow | None = None
    points: list[str] = field(default_factory=list)
    status: int | None = None
    """Exit status; the negative number of the signal that killed it; None while it lives."""
    duration_s: float = 0
    pauses: int = 0
    _rest: bytes = b""
    _due: list[tuple[float, int]] = field(default_factory=list)

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def is_inside(self) -> bool:
        """Whether its last point was within an open transaction of a load."""
        passed = [point for point in self.points if point.startswith("load.")]
        return bool(passed) and passed[-1] != "load.committed"

    def read(self) -> bool:
        """Takes in what the child has written; False at its end."""
        data = os.read(self.pipe, 65536)
        if not data:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word = line.decode()
            if word.startswith("!stop "):
                self.pauses += 1
                self._due.append((time.monotonic() + float(word[6:]), signal.SIGCONT))
            else:
                self.points.append(word)
        return True

    def act(self, now: float) -> None:
        """Sends the signals that are due."""
        for at, number in [due for due in self._due if due[0] <= now]:
            self._due.remove((at, number))
            if number == signal.SIGSTOP:
                assert self.blow is not None and self.blow.pause_s is not None
                self.pauses += 1
                self._due.append((now + self.blow.pause_s, signal.SIGCONT))
            os.kill(self.pid, number)

    @property
    def next_due(self) -> float | None:
        return min((at for at, _ in self._due), default=None)

    def kill(self) -> None:
        """SIGKILL, now."""
        os.kill(self.pid, signal.SIGKILL)

    def go_on(self) -> None:
        """SIGCONT, now; to be called again, since a child tells that it stops a moment before it does."""
        if self.status is None:
            os.kill(self.pid, signal.SIGCONT)

    def schedule(self) -> None:
        """Puts the blow on the list."""
        if self.blow is not None:
            number = signal.SIGKILL if self.blow.pause_s is None else signal.SIGSTOP
            self._due.append((self.began + self.blow.after_s, number))


def start(work: Callable[[], int], plan: Plan | None = None, blow: Blow | None = None) -> Racer:
    """Forks a child that does `work` and ends, without any cleaning up, with what it returns."""

    def child(writing: int) -> int:
        follow(plan, writing)
        return work()

    return _forked(child, plan, blow)


def start_command(words: Sequence[str], folder: Path, plan: Plan | None = None, blow: Blow | None = None) -> Racer:
    """Starts the real command line, `etlctl WORDS` in `folder`, with nothing imported before."""

    def child(writing: int) -> int:
        os.set_inheritable(writing, True)
        os.chdir(folder)
        with open(folder / "cli.log", "ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        told = json.dumps(asdict(plan) if plan else None)
        os.execv(sys.executable, [sys.executable, LAUNCHER, str(writing), told, *words])

    return _forked(child, plan, blow)


def _forked(child: Callable[[int], int], plan: Plan | None, blow: Blow | None) -> Racer:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be(child, writing)
    os.close(writing)
    racer = Racer(pid, reading, time.monotonic(), plan, blow)
    racer.schedule()
    return racer


def _be(child: Callable[[int], int], writing: int) -> None:
    status = CRASHED
    try:
        status = child(writing)
    except PlannedError:
        status = 1
    except BaseException:  # noqa: BLE001  the child has nobody to tell but its parent's terminal
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def follow(plan: Plan | None, writing: int) -> None:
    """From now on each fault point of this process is written to `writing`, and `plan` is carried out."""
    passed = 0

    def point(name: str) -> None:
        nonlocal passed
        os.write(writing, f"{name}\n".encode())
        if plan is None or name != plan.point:
            return
        passed += 1
        if passed == plan.nth:
            _carry_out(plan, writing)

    faultpoints.point = point


def _carry_out(plan: Plan, writing: int) -> None:
    if plan.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif plan.action == "stop":
        os.write(writing, f"!stop {plan.seconds}\n".encode())
        os.kill(os.getpid(), signal.SIGSTOP)
    elif plan.action == "sleep":
        time.sleep(plan.seconds)
    else:
        raise PlannedError(f"planned at {plan.point}")


def watch(racers: Sequence[Racer], between: Callable[[float], float | None] = lambda now: None) -> None:
    """Returns when all have ended. `between` is called again and again, and says when it wants to be at the latest."""
    living = list(racers)
    deadline = time.monotonic() + LONGEST_S
    while living:
        now = time.monotonic()
        if now > deadline:
            _end(living)
            raise TimeoutError(f"racers do not end within {LONGEST_S} s: {living}")
        for racer in living:
            racer.act(now)
        dues = [due for due in (between(now), *(racer.next_due for racer in living)) if due is not None]
        ready = select.select(living_pipes(living), [], [], max(0.0, min([*dues, now + 1]) - now))[0]
        for racer in [racer for racer in living if racer.pipe in ready]:
            if not racer.read():
                _reap(racer)
                living.remove(racer)


def living_pipes(racers: Sequence[Racer]) -> list[int]:
    return [racer.pipe for racer in racers]


def _reap(racer: Racer) -> None:
    racer.duration_s = time.monotonic() - racer.began
    os.close(racer.pipe)
    racer.status = os.waitstatus_to_exitcode(os.waitpid(racer.pid, 0)[1])


def _end(racers: Sequence[Racer]) -> None:
    for racer in racers:
        os.kill(racer.pid, signal.SIGKILL)
        _reap(racer)
