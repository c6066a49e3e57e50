"""The template is fit to be forked from, whatever threads of the building process hold when it is forked."""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from etlctl.engine.executors import template as template_module
from etlctl.engine.executors.template import Template
from etlctl.errors import UnavailableError

LONG_S = 60.0


def works(channel: int, log: int, ledger: int) -> None:
    """A worker that says that it is there, and leaves."""
    os.write(channel, b"here")
    os._exit(0)


def answer_of(one: Template) -> bytes:
    """What a worker of it says."""
    ours, theirs = os.pipe()
    nowhere = os.open(os.devnull, os.O_RDWR)
    one.spawn(1, theirs, nowhere, nowhere)
    os.close(theirs)
    ready, _, _ = select.select([ours], [], [], LONG_S)
    said = os.read(ours, 10) if ready else b""
    for descriptor in (ours, nowhere):
        os.close(descriptor)
    return said


class Warned(logging.Handler):
    """Does something at the first warning."""

    def __init__(self, does: Callable[[], object]) -> None:
        super().__init__(logging.WARNING)
        self.does = does
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        self.does()


@contextmanager
def another_thread(runs: Callable[[], object], does_when_warned: Callable[[], object]) -> Iterator[Warned]:
    """Runs something meanwhile, which is over when the block is left."""
    thread = threading.Thread(target=runs)
    warned = Warned(does_when_warned)
    logger = logging.getLogger("etlctl")
    logger.addHandler(warned)
    thread.start()
    try:
        yield warned
    finally:
        does_when_warned()
        logger.removeHandler(warned)
        thread.join(LONG_S)


def test_template_that_waits_for_what_a_thread_held_is_forked_again() -> None:
    """B6: it does not answer, so it is killed; the next is forked when the thread has given it back."""
    lock, is_held, may_go = threading.Lock(), threading.Event(), threading.Event()

    def holds() -> None:
        with lock:
            is_held.set()
            may_go.wait(LONG_S)

    def gives_back() -> None:
        may_go.set()
        lock.acquire()  # which says that it is free by now
        lock.release()

    def warm_up() -> None:
        with lock:
            pass

    with another_thread(holds, gives_back) as warned:
        is_held.wait(LONG_S)
        one = Template.forked(works, warm_up, answer_s=0.3)
        said = answer_of(one)
        one.close()

    assert said == b"here"
    assert "it waits for what a thread held when it was forked" in warned.said[0]


def test_template_is_not_forked_in_the_middle_of_another_threads_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that imported the same module would wait for a thread that it does not have."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_to_import.py").write_text(
        "import threading\nthreading.is_importing.set()\nthreading.may_go_on.wait(60)\n"
    )
    may_go_on = threading.Event()
    is_importing = threading.Event()
    monkeypatch.setattr(threading, "is_importing", is_importing, raising=False)
    monkeypatch.setattr(threading, "may_go_on", may_go_on, raising=False)

    def goes_on() -> None:
        may_go_on.set()
        __import__("slow_to_import")  # waits until the thread has imported it

    with another_thread(lambda: __import__("slow_to_import"), goes_on) as warned:
        is_importing.wait(LONG_S)
        one = Template.forked(works, answer_s=LONG_S)
        said = answer_of(one)
        one.close()
    sys.modules.pop("slow_to_import", None)

    assert said == b"here"
    assert warned.said[0].endswith("threads were importing 1 modules")


def test_template_that_cannot_be_had_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hang: what a thread never gives back is an error, and nothing of the template is left."""
    monkeypatch.setattr(template_module, "_LONGEST_S", 0.0)
    may_go = threading.Event()

    def warm_up() -> None:
        threading.Event().wait()

    with (
        another_thread(lambda: may_go.wait(LONG_S), may_go.set),
        pytest.raises(UnavailableError, match="could not be had: it did not answer"),
    ):
        Template.forked(works, warm_up, answer_s=0.1)


def test_template_of_a_process_without_threads_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with its work meanwhile: a template that is slow to warm up costs it nothing."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)

    def warm_up() -> None:
        while not (tmp_path / "go on").exists():
            time.sleep(0.01)

    one = Template.forked(works, warm_up)
    (tmp_path / "go on").touch()

    assert answer_of(one) == b"here"
    one.close()
