"""A worker as the building process sees it: its descriptors, the attempts it was given, what was read from it.

Decides nothing: what a message or an end means is crew.py's.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress

from etlctl.engine.executors.jobs import Job, State
from etlctl.engine.executors.template import Template
from etlctl.engine.executors.wire import Ledger, Lines, Message, encoded
from etlctl.errors import HeldError

_AT_ONCE = 1 << 16
PIPE_BYTES = 1 << 20
"""As much as a pipe can hold: what a worker had written before it told its end."""


class Worker:
    """One process. Not thread-safe, but for `send` and `register`."""

    def __init__(self, number: int, connection: socket.socket, log: int, ledger: Ledger) -> None:
        self.number = number
        self.connection = connection
        self.log = log
        """The end of the pipe that its output is read from."""
        self.ledger = ledger
        self.batch: deque[Job] = deque()
        """Attempts that it has been given and not begun."""
        self.pid: int | None = None
        """None until the template has told it."""
        self.state = State.IDLE
        self.job: Job | None = None
        self.kill_at: float | None = None
        """When it is killed, should it still be there."""
        self._lines = Lines()

    @classmethod
    def spawned(cls, number: int, template: Template) -> Worker:
        """Has it forked. Raises OSError when the template is gone, or there are no descriptors left."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        ledger = Ledger()
        try:
            template.spawn(number, theirs.fileno(), write, ledger.number)
        except OSError:
            ours.close()
            os.close(read)
            ledger.close()
            raise
        finally:
            theirs.close()
            os.close(write)
        os.set_blocking(read, False)
        return cls(number, ours, read, ledger)

    @property
    def moment(self) -> float | None:
        """When something is to be done about it, should nothing happen before."""
        if self.kill_at is not None:
            return self.kill_at
        return self.job.deadline if self.job is not None and self.state is State.BUSY else None

    def send(self, message: Message) -> bool:
        """False when it is gone; that is told by the template too."""
        try:
            self.connection.sendall(encoded(message))
        except OSError:
            return False
        return True

    def send_no_more(self) -> None:
        """It reads the end of its work, and leaves; what it tells is still read."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def register(self, job: Job, connection: str, backend: str) -> None:
        """Of a lease, and tells what came of it. For a thread of its own: the state database may take its time."""
        answer: str | None = None
        is_lost = False
        try:
            if job.attempt.lease is not None:
                job.attempt.lease.register(connection, backend)
        except Exception as error:  # noqa: BLE001  it is raised again where the load is
            answer, is_lost = str(error) or type(error).__name__, isinstance(error, HeldError)
        self.send({"registered": answer, "is_lost": is_lost})

    def received(self) -> list[Message] | None:
        """What it has told, once something can be read; None when there will be no more. ValueError for no message."""
        try:
            data = self.connection.recv(_AT_ONCE)
        except OSError:
            return None
        return self._lines.fed(data) if data else None

    def drain(self, most: int = _AT_ONCE) -> bool:
        """Reads its output for the attempt under way, dropping it where there is none; False at the end of the pipe."""
        output = self.job.output if self.job is not None else None
        while most > 0:
            try:
                data = os.read(self.log, _AT_ONCE)
            except BlockingIOError:
                return True
            if not data:
                return False
            most -= len(data)
            if output is not None:
                output.write(data)
        return True

    def close(self) -> None:
        """It has ended: of its descriptors none is left."""
        self.connection.close()
        self.ledger.close()
        os.close(self.log)
