"""Questions that may each wait for a long time, asked at once; who is interrupted waits for none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

_Answer = TypeVar("_Answer")


def answers(questions: Sequence[Callable[[], _Answer]], *, at_once: int) -> list[_Answer]:
    """What each returns, in their order; raises the first one's error.

    The threads are daemons: a server that takes a connection and never answers keeps no Ctrl-C waiting, as the threads
    of an executor would, which Python joins when it ends.
    """
    asked: list[Future[_Answer]] = [Future() for _ in questions]
    left: SimpleQueue[tuple[Callable[[], _Answer], Future[_Answer]]] = SimpleQueue()
    for pair in zip(questions, asked, strict=True):
        left.put(pair)
    for _ in range(min(at_once, len(asked))):
        Thread(target=_ask, args=(left,), name="etlctl-doctor", daemon=True).start()
    return [one.result() for one in asked]


def _ask(left: SimpleQueue[tuple[Callable[[], _Answer], Future[_Answer]]]) -> None:
    while True:
        try:
            question, answer = left.get_nowait()
        except Empty:
            return
        try:
            answer.set_result(question())
        except BaseException as error:  # noqa: BLE001  whoever waits for the answer has it raised there
            answer.set_exception(error)
