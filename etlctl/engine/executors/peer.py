"""A worker as the building process sees it: its descriptors, the attempts it was given, what was read from it.

An attempt is sent over the channel to a worker that waits for one; what it is to do next is handed ahead as a datagram,
which this process can take back as long as the worker has not taken it: whoever reads it has it, whole. Attempts next
to each other write into different pipes, so that what comes out of one is always of one attempt.

Decides nothing: what a message or an end means is crew.py's.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from contextlib import suppress

from etlctl.engine.executors.jobs import Job, State
from etlctl.engine.executors.template import Template
from etlctl.engine.executors.wire import Ledger, Lines, Message, encoded
from etlctl.errors import HeldError

_AT_ONCE = 1 << 16
PIPE_BYTES = 1 << 20
"""As much as a pipe can hold: what a worker had written before it told its end."""
LARGEST_BATCH = 8
"""Of attempts that are handed ahead, where those of their class were over in a moment; Linux takes ten datagrams."""
_LARGEST_DATAGRAM = 1 << 15
_LONGEST_STREAK = 500
"""Attempts in a row without a look at the channel; then the ledger begins anew."""
_LOOK_S = 0.02
"""After its last message: ends that stand in the ledger of one that is busy with something long now."""


class Worker:
    """One process. Not thread-safe, but for `send` and `register`."""

    def __init__(self, number: int, connection: socket.socket, log: int, ledger: Ledger) -> None:
        self.number = number
        self.connection = connection
        self.logs = [log]
        """The ends of the pipes that its output is read from."""
        self.ledger = ledger
        self.batch: deque[Job] = deque()
        """Attempts that it has been handed ahead, and that are not known to have begun."""
        self.pid: int | None = None
        """None until the template has told it."""
        self.state = State.IDLE
        self.job: Job | None = None
        self.is_gone = False
        """It has ended, as the template says."""
        self.kill_at: float | None = None
        """When it is killed, should it still be there."""
        self.look_at: float | None = None
        """When its ledger is to be looked into, should it tell nothing before."""
        self._lines = Lines()
        self._orders: tuple[socket.socket, socket.socket] | None = None
        """Both ends of the way of what is handed ahead: its own is a copy of ours."""
        self._streak = 0
        self._writers: list[Job | None] = [None]
        """Whose output is in each pipe."""

    @classmethod
    def spawned(cls, number: int, template: Template) -> Worker:
        """Has it forked. Raises ConnectionError when the template is gone, OSError without descriptors left."""
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
        deadline = self.job.deadline if self.job is not None and self.state is State.BUSY else None
        if deadline is None or self.look_at is None:
            return self.look_at if deadline is None else deadline
        return min(deadline, self.look_at)

    # -- what it is given

    def begin(self, job: Job) -> None:
        """Sends the attempt to it, which waits for one; should it be gone, its death is told in a moment."""
        self.job, job.worker = job, self
        self._streak = 0
        if job.message.get("run"):
            job.log = 0
            job.is_batched = job.is_quick
            if not job.is_batched:
                self._writers[0] = job
            self.ledger.begin()
            self.look_at = time.monotonic() + _LOOK_S if job.is_batched else None
        self.send(job.sent)

    @property
    def is_equipped(self) -> bool:
        """Whether anything can be handed ahead."""
        return self._orders is not None

    def equip(self) -> int:
        """Makes it one that can be handed attempts ahead, while it is idle; the second pipe, to be read from.

        Raises OSError where there are no descriptors left, or the worker is gone.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (ours, theirs):
            end.setblocking(False)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, 2 * LARGEST_BATCH * _LARGEST_DATAGRAM)
        self._orders = ours, theirs
        read, write = os.pipe()
        os.set_blocking(read, False)
        self.logs.append(read)
        self._writers.append(None)
        try:
            socket.send_fds(self.connection, [encoded({"equipped": True})], [theirs.fileno(), write])
        finally:
            os.close(write)
        return read

    def room_for(self, job: Job) -> bool:
        """Whether this may be handed ahead: what it does now, and will do before, is over soon."""
        now = self.job
        if now is None or self._orders is None or self.state is not State.BUSY or self.kill_at is not None:
            return False
        if not now.is_short or self._streak >= _LONGEST_STREAK:
            return False
        if job.is_quick:
            return len(self.batch) < LARGEST_BATCH
        return not self.batch

    def hand(self, job: Job) -> bool:
        """Hands it ahead; False where it does not go."""
        if self._orders is None:
            return False
        job.is_batched = job.is_quick
        used = {one.log for one in (self.job, *self.batch) if one is not None and not (job.is_quick and one.is_quick)}
        free = [number for number in range(len(self.logs)) if number not in used]
        if not free:
            return False
        job.log = free[0]
        data = encoded(job.sent)
        if len(data) > _LARGEST_DATAGRAM:
            job.is_quick = job.is_short = job.is_batched = False
            return False
        try:
            self._orders[0].send(data)
        except OSError:  # it has got as many as the system keeps
            return False
        self._streak += 1
        job.handed = data
        self.batch.append(job)
        job.worker = self
        if not job.is_quick:
            self._writers[job.log] = job
        return True

    def taken_back(self) -> list[Job]:
        """What was handed ahead and the worker has not taken: it never will.

        Both take the first that is left, in turn perhaps: so what came back is told by what it is, not by how many.
        """
        came: set[bytes] = set()
        if self.batch and self._orders is not None:
            with suppress(OSError):
                while data := self._orders[1].recv(_LARGEST_DATAGRAM):
                    came.add(data)
        back = [job for job in self.batch if job.handed in came]
        self.batch = deque(job for job in self.batch if job.handed not in came)
        return back

    def goes_on(self) -> Job:
        """It has taken the next of what was handed ahead. Raises LookupError where there is none."""
        job = self.job = self.batch.popleft()
        job.began = time.monotonic()
        self.look_at = job.began + _LOOK_S if job.is_batched else None
        return job

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

    # -- what is read from it

    def received(self) -> list[Message] | None:
        """What it has told; None when there will be no more.

        Raises BlockingIOError while there is nothing, ValueError for what is no message.
        """
        try:
            data = self.connection.recv(_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise
        except OSError:
            return None
        return self._lines.fed(data) if data else None

    def writer(self, number: int) -> Job | None:
        """Whose output comes out of this pipe; None for that of a batch, where it is what a crash leaves."""
        job = self._writers[number]
        return job if job is self.job or job in self.batch or not self._is_batched else None

    @property
    def _is_batched(self) -> bool:
        return any(one.is_batched for one in (self.job, *self.batch) if one is not None)

    def read(self, number: int) -> bytes | None:
        """What there is in one of its pipes, b"" where it has ended, None for nothing."""
        try:
            return os.read(self.logs[number], _AT_ONCE)
        except BlockingIOError:
            return None

    def drain(self, number: int, job: Job | None) -> None:
        """Reads all that is in one of its pipes."""
        most = PIPE_BYTES
        while most > 0 and (data := self.read(number)):
            most -= len(data)
            if job is not None:
                job.output.write(data)

    def leaves_batch(self) -> None:
        """From here on the attempt under way writes into its pipe, as one that is not over soon."""
        if self.job is not None:
            self.job.is_batched = False
            self._writers[self.job.log] = self.job
        self.look_at = None

    def close(self) -> None:
        """It has ended: of its descriptors none is left."""
        self.connection.close()
        self.ledger.close()
        for log in self.logs:
            os.close(log)
        for end in self._orders or ():
            end.close()
