"""Tasks for the tests of executors, at the top of a module so that any process finds them; and how a step is carried
out without a runner."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etlctl import Event, FloatParameter, IntParameter, LocalTarget, MockTarget, StrParameter, Task
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.core.graph import Graph
from etlctl.core.results import RunSummary
from etlctl.engine.executors.base import Executor, Outcome
from etlctl.engine.runner import Runner


class FileTask(Task):
    """Writes its one file in the project's folder."""

    name = StrParameter(default="one")

    def output(self) -> Any:
        return LocalTarget(f"out/{self.task_id}")

    def write(self, text: str = "") -> None:
        with self.output().open("w") as file:
            file.write(text)

    def run(self) -> Any:
        self.write(str(os.getpid()))


class Tells(FileTask):
    def run(self) -> Any:
        attempt = context.attempt()
        attempt.rows = 943
        attempt.notes.append("a note")
        self.progress(3, 4)
        self.status("nearly")
        self.write(f"{attempt.run_id} {attempt.number} {attempt.forced} {attempt.module}")


class Writes(FileTask):
    """On every road there is, but for a subprocess's."""

    def run(self) -> Any:
        print("printed")
        print("complained", file=sys.stderr)
        logging.getLogger("pipelines").warning("logged %s", "ä")
        self.write()


_RAISED: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("bad row"),
    "BaseException": lambda: BaseException("odd"),
    "SystemExit": lambda: SystemExit(0),
    "StopIteration": lambda: StopIteration("early"),
    "GeneratorExit": lambda: GeneratorExit("early"),
    "KeyboardInterrupt": KeyboardInterrupt,
}


class LeavesAtOnce(Task):
    """Ends its process, and says that all is well."""

    def run(self) -> None:
        os._exit(0)


class Raises(FileTask):
    def run(self) -> Any:
        raise _RAISED[self.name]()

    def on_failure(self, exception: BaseException) -> str:
        return f"told of {type(exception).__name__}"


class WritesNothing(FileTask):
    def run(self) -> Any:
        pass


class Requires(FileTask):
    def requires(self) -> Any:
        return [FileTask(name="first"), FileTask(name="second")]

    def run(self) -> Any:
        self.write(",".join(sorted(Path(target.path).name for target in self.input())))


class Yields(FileTask):
    """Yields `depth` tasks deep; the last yields none."""

    depth = IntParameter(default=1)

    def run(self) -> Any:
        count = 0
        if self.depth:
            target = yield Yields(name=self.name, depth=self.depth - 1)
            count = int(Path(target.path).read_text())
        self.write(str(count + 1))


class YieldsAndCleansUp(FileTask):
    def run(self) -> Any:
        try:
            yield FileTask(name="needed")
        finally:
            (context.current().project / "closed").write_text("yes")


class YieldsMemory(FileTask):
    def run(self) -> Any:
        target = yield InMemory()
        self.write(target.open("r").read())


class InMemory(Task):
    def output(self) -> Any:
        return MockTarget("executors/memory")

    def run(self) -> Any:
        with self.output().open("w") as file:
            file.write(str(os.getpid()))


class ReadsMemory(FileTask):
    def requires(self) -> Any:
        return InMemory()

    def run(self) -> Any:
        self.write(self.input().open("r").read())


class Dies(FileTask):
    """In the way that its name says; only for another process."""

    def run(self) -> Any:
        if self.name == "exit 0":
            os._exit(0)
        if self.name == "exit 3":
            os._exit(3)
        if self.name == "segfault":
            ctypes.string_at(0)
        if self.name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.name == "terminated":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.name == "memory":
            resource.setrlimit(resource.RLIMIT_AS, (512 << 20, resource.RLIM_INFINITY))
            hoard = [bytearray(32 << 20) for _ in range(1000)]
            self.write(str(len(hoard)))


class Hangs(FileTask):
    """Longer than its `timeout`; `name` says how it takes being told to end."""

    seconds = IntParameter(default=60)

    @property
    def timeout(self) -> Any:
        return 0.3

    def run(self) -> Any:
        (context.current().project / f"pid-{self.task_id}").write_text(str(os.getpid()))
        if self.name == "ignores":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            try:
                time.sleep(self.seconds)
            except Exception:  # noqa: BLE001  what careless code does
                time.sleep(self.seconds)
        finally:
            (context.current().project / f"ended-{self.name}").write_text("yes")

    def on_failure(self, exception: BaseException) -> str:
        return f"told of {type(exception).__name__}"


class PausesWithinTimeout(FileTask):
    """Its clock stands still while it waits for what it yields."""

    @property
    def timeout(self) -> Any:
        return 1

    def run(self) -> Any:
        yield Sleeps(seconds=1.3)
        self.write()


class Sleeps(FileTask):
    seconds = FloatParameter(default=60.0)

    def run(self) -> Any:
        time.sleep(self.seconds)
        self.write()


class Spins(FileTask):
    """In Python all the time; notes who it is in the project's folder when it begins, and when it is ended.

    The one called `once` spins the first time alone.
    """

    seconds = FloatParameter(default=60.0)

    @property
    def timeout(self) -> Any:
        return 0.5 if self.name == "timeout" else None

    def run(self) -> Any:
        with (context.current().project / "spins").open("a") as file:
            file.write(f"{os.getpid()} ")
        until = time.monotonic() + (0 if self._is_again() else self.seconds)
        try:
            while time.monotonic() < until:
                time.sleep(0.01)
        except BaseException:
            (context.current().project / "ended").write_text("yes")
            raise
        self.write()

    def _is_again(self) -> bool:
        return self.name == "once" and len((context.current().project / "spins").read_text().split()) > 1


class NoOutput(Task):
    """Never complete."""

    def run(self) -> Any:
        pass


class Prints(FileTask):
    def run(self) -> Any:
        if self.name == "yields":
            with (context.current().project / "begun").open("a") as file:
                file.write("x")
            yield NoOutput()
            yield [FileTask(), NoOutput()]
        elif self.name == "colours":
            print("\x1b[31mred")
        else:
            for number in range(20_000):
                print(f"line {number}")
            thread = threading.Thread(target=print, args=("by a thread",))
            thread.start()
            thread.join()
            print("the end")
        self.write()


class StartsAndHangs(FileTask):
    """With a child and a daemon of its own."""

    def run(self) -> Any:
        subprocess.Popen(["sleep", "600"])
        subprocess.run(["sh", "-c", "setsid sleep 600 &"], check=True)
        (context.current().project / "started").write_text("yes")
        time.sleep(600)


class HoldsLock(FileTask):
    """As a C extension may: no other thread of its process runs meanwhile."""

    def run(self) -> Any:
        ctypes.PyDLL(None).usleep(2_000_000)
        self.write()


class BadTimeout(FileTask):
    timeout = "soon"


class Leaves(FileTask):
    """Something running, or changed, behind it."""

    def run(self) -> Any:
        if self.name == "thread":
            threading.Thread(target=time.sleep, args=(60,), name="forgotten").start()
        elif self.name == "child":
            subprocess.Popen(["sleep", "600"])
        elif self.name == "daemon":
            subprocess.run(["sh", "-c", "setsid sleep 600 & setsid sh -c 'sleep 600; true' &"], check=True)
        elif self.name == "fork":
            if os.fork() == 0:
                return  # as if nothing had happened
        elif self.name == "folder":
            os.chdir("/")
            sys.stdout.close()
            os.close(2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        elif self.name == "lambda":
            self.lock = threading.Lock()
            self.function = lambda: self
        (context.current().project / "out").mkdir(exist_ok=True)
        (context.current().project / "out" / self.task_id).write_text(str(os.getpid()))


class Quick(Task):
    """One of many short ones; `odd` says what one of them does that the others did not."""

    number = IntParameter()
    odd = StrParameter(default="")

    def output(self) -> Any:
        return LocalTarget(f"out/quick-{self.number}")

    def run(self) -> Any:
        if self.odd == "yields":
            yield FileTask(name="needed by a quick one")
        elif self.odd == "prints":
            print("printed by", self.number)
            os.write(2, b"written by %d\n" % self.number)
        elif self.odd == "raises":
            raise ValueError("odd")
        elif self.odd == "thread":
            threading.Thread(target=time.sleep, args=(60,)).start()
        elif self.odd.startswith("waits for "):
            self._wait_for(int(self.odd.removeprefix("waits for ")))
        elif self.odd == "hangs":
            time.sleep(60)
        elif self.odd and not self.odd.startswith("long "):
            Dies(name=self.odd).run()
        path = Path(self.output().path)
        with path.open("a") as file:
            file.write(str(os.getpid()))

    def _wait_for(self, others: int) -> None:
        until = time.monotonic() + 60
        while len(os.listdir(Path(self.output().path).parent)) < others:
            assert time.monotonic() < until
            time.sleep(0.01)


class QuickFile(Quick):
    """The same without a generator."""

    def run(self) -> Any:
        for _ in super().run():
            raise AssertionError("it yields nothing")


class ShortFile(QuickFile):
    """Not over in a moment, but soon."""

    @property
    def timeout(self) -> Any:
        return 0.3 if self.odd == "hangs" else None

    def run(self) -> Any:
        time.sleep(0.006)
        super().run()


class CountedFile(QuickFile):
    """Tells its own number as its rows."""

    def run(self) -> Any:
        context.attempt().rows = self.number
        super().run()


class CountedShortFile(ShortFile):
    """The same of one that is not over in a moment."""

    def run(self) -> Any:
        context.attempt().rows = self.number
        super().run()


class Floods(FileTask):
    """`megabytes` of output in one line, none of it text."""

    megabytes = IntParameter(default=1)

    def run(self) -> Any:
        block = bytes(range(128, 256)) * 8192
        for _ in range(self.megabytes):
            os.write(1, block)
        os.write(2, b"the end\n")
        self.write()


class ReadsInput(FileTask):
    def run(self) -> Any:
        self.write(repr(sys.stdin.read()) + repr(os.read(0, 1)))


class StartsProgram(FileTask):
    def run(self) -> Any:
        subprocess.run(["sh", "-c", "echo out of a program; echo on stderr >&2"], check=True)
        self.write()


class Registers(FileTask):
    def run(self) -> Any:
        lease = context.attempt().lease
        assert lease is not None
        lease.register("warehouse", "17")
        self.write(f"{lease.key} {lease.owner} {lease.fence}")


timed_out: list[tuple[str, str]] = []


@Spins.event_handler(Event.TIMEOUT)
@Hangs.event_handler(Event.TIMEOUT)
def _note_timeout(task: Task, sentence: str) -> None:
    timed_out.append((task.task_label, sentence))


def carried_out(executor: Executor, task: Task, attempt: Attempt | None = None) -> Outcome:
    """The end of an attempt whose needs, if any, are built by the same executor first."""
    executor.submit(task, attempt or Attempt(run_id="r1", module=type(task).__module__))
    while True:
        outcome = executor.wait(30)
        assert outcome is not None and outcome.task == task
        if outcome.needs is None:
            return outcome
        for need in outcome.needs:
            if not need.complete():
                assert carried_out(executor, need).failure is None
        executor.resume(task)


def built(executor: Executor, *tasks: Task) -> RunSummary:
    """A run of `tasks` by the runner, without leases or history."""
    graph = Graph()
    roots = graph.add(tasks)
    return Runner(graph, executor, run_id="r1", project=context.current().project).run(roots)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block takes no longer."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def reason(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.reason
