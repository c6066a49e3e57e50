"""Accidents for tests: a session that is cut, an error, a delay, at a named statement or between the parts of one."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from servers.redshift.errors import Refusal, internal

Kind = Literal["kill", "lose_reply", "fail", "delay"]


class Killed(Exception):
    """The session is to be cut now."""


@dataclass
class Fault:
    """`after_parts` of an UNLOAD or objects of a COPY; None: before the statement, or after it for `lose_reply`."""

    pattern: re.Pattern[str]
    kind: Kind
    times: int = 1
    after_parts: int | None = None
    delay_s: float = 0.0
    refusal: Refusal = field(default_factory=lambda: internal("Internal error of the stand-in, made on purpose"))


class Faults:
    """Those that wait for their statement, and how often one struck."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self.struck = 0

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def before(self, sql: str) -> None:
        self._strike(self._due(sql, ("kill", "fail", "delay"), None))

    def after(self, sql: str) -> None:
        self._strike(self._due(sql, ("lose_reply",), None))

    def part(self, sql: str, done: int) -> None:
        """After so many parts."""
        self._strike(self._due(sql, ("kill", "fail", "delay"), done))

    def _due(self, sql: str, kinds: tuple[str, ...], parts: int | None) -> Fault | None:
        with self._lock:
            for fault in self._waiting:
                if fault.kind in kinds and fault.after_parts == parts and fault.pattern.search(sql):
                    self.struck += 1
                    fault.times -= 1
                    if not fault.times:
                        self._waiting.remove(fault)
                    return fault
        return None

    @staticmethod
    def _strike(fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind == "delay":
            time.sleep(fault.delay_s)
        elif fault.kind == "fail":
            raise fault.refusal
        else:
            raise Killed
