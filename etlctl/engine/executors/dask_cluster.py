"""A Dask cluster: orders to its workers and what comes of them, on one of its own where it is given no address.

    Cluster(address)      Client, in a thread of its own ("IO loop") that everything here is told by
      .submit(order)      `etlctl.worker.carry_out(text)` on some worker     -> Ended
                          what that worker tells meanwhile (`Teller`)        -> Told
      (at once)           a worker that is gone                              -> Left
      (each second)       threads of the cluster, life of the scheduler      -> Changed, Down

Only texts travel, and the function goes by its name: a function that a worker cannot unpickle is no error there, it
is a task that never ends. So what is submitted is Python's own eval(), which has nothing to be imported.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from etlctl.engine.executors.dask_connection import CONNECT_TIMEOUT_S, SETTING, Quiet, connected, unreachable
from etlctl.engine.executors.dask_events import Changed, Down, Ended, Event, Left, Told
from etlctl.errors import UnavailableError, UsageError
from etlctl.text import shortened

NO_WORKER_S = 60.0
"""How long a run waits for a worker where there is none."""
_SILENT_S = 20.0
"""How long a scheduler may leave a question unanswered."""
_LOOK_S = 1.0
_LEAVE_S = 2.0
"""How long what was told to workers last may take to get there."""
_MOST_AWAITED = 100
_TOPIC = "etlctl"
"""Of events, one for all builds: a scheduler keeps some of each topic as long as it lives."""
_MEMBERS = "all"
"""The scheduler's own topic, of workers that come and go."""
_SURE_S = 30.0
"""How long a worker waits until the scheduler has taken what the build must know."""
_CALL = "__import__('etlctl.worker', fromlist=['carry_out']).carry_out(order)"
_OWN = {
    "distributed.scheduler.allowed-failures": 0,  # what is lost with a worker is sent again by us, who know what ran
    "distributed.deploy.lost-worker-timeout": "365 days",  # 15 s after a death none is started again that is not back
}
"""Of a cluster of our own, as long as it lives."""
_logger = logging.getLogger("etlctl.dask")
_MISSING = 'Dask is needed for --executor dask, and is not installed: pip install "etlctl[dask]".'


class Cluster:
    """A scheduler that answers, and has a worker. `come` is called from the thread of the connection.

    Raises UnavailableError where there is none within the timeout, UsageError without the extra.
    """

    def __init__(
        self,
        address: str | None,
        come: Callable[[Event], object],
        *,
        workers: int | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        no_worker_s: float = NO_WORKER_S,
    ) -> None:
        self._come = come
        self._no_worker_s = no_worker_s
        self._futures: dict[str, Any] = {}
        self._threads: dict[str, int] = {}
        self._called: deque[concurrent.futures.Future[None]] = deque(maxlen=_MOST_AWAITED)
        """What workers were told last."""
        self._own: Any = None
        self._is_closing = False
        self._down = ""
        """Why nothing is sent to a scheduler that does not answer, or has no worker, until it does and has."""
        with ExitStack() as opened:
            try:
                self._quiet = opened.enter_context(Quiet())
            except ImportError:
                raise UsageError(_MISSING) from None
            if address is None:
                address = self._started(workers or os.cpu_count() or 1, opened)
            self.address = address
            self._client = connected(address, connect_timeout_s)
            opened.callback(self._leave)
            self._await_worker(connect_timeout_s)
            self._subscribe()
            self._do(self._watch)
            self._opened = opened.pop_all()

    @property
    def threads(self) -> int:
        """Of all workers, as far as is known; orders that find none wait for `no_worker_s`."""
        return sum(self._threads.values())

    @property
    def why_down(self) -> str:
        """Why nothing can be begun; empty for a cluster that takes orders."""
        if self._down or self._client.status == "running":
            return self._down
        return f"the Dask scheduler {self.address} was lost"

    @property
    def is_own(self) -> bool:
        """Whether it was started here, so that nobody else's work is on it."""
        return self._own is not None

    def submit(self, order: str, name: str, text: str) -> None:
        """Has `text` carried out by some worker; `name` is what Dask's own pages show. Its Ended follows."""
        key = f"{name}-{order}"
        if self.why_down:
            self._come(Ended(order, is_gone=True))
            return
        try:
            future = self._client.submit(eval, _CALL, {"order": text}, key=key, pure=False)
        except Exception as error:  # noqa: BLE001  its connection is closed, which has many names
            self._come(Ended(order, is_gone=True, error=error))
            return
        self._futures[order] = future
        self._do(partial(self._follow, order, future))

    def drop(self, order: str) -> None:
        """Nobody waits for it any more; a worker that is at it goes on all the same. No Ended follows."""
        future = self._futures.pop(order, None)
        if future is not None:
            with suppress(Exception):  # of a connection that is gone
                future.cancel()

    def call(self, worker: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Calls a function of ours in a worker that has it, beside what that is at; nobody waits for it."""
        self._do(
            partial(self._client.run, function, *arguments, workers=[worker], on_error="ignore", asynchronous=True)
        )

    def restart(self, worker: str) -> None:
        """Kills a worker of our own cluster and starts another in its place, in the background."""
        restart = self._client.restart_workers
        self._do(partial(asyncio.to_thread, restart, [worker], timeout=CONNECT_TIMEOUT_S, raise_for_error=False))

    def close(self) -> None:
        """Drops all orders, ends the connection and what was started; some seconds at most."""
        self._opened.close()

    # -- opening and closing

    def _started(self, workers: int, opened: ExitStack) -> str:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise UsageError(_NO_GUARD)
        import dask
        from distributed import LocalCluster

        folder = tempfile.mkdtemp(prefix="etlctl-dask-")
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            opened.enter_context(dask.config.set(_OWN))
            self._own = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",  # who may connect may run code
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=0,  # the limit is the machine's, as for other processes
                local_directory=folder,
                silence_logs=logging.CRITICAL,
                preload=["etlctl.worker"],
            )
        except (OSError, RuntimeError) as error:
            raise UnavailableError(
                f"A Dask cluster of this machine could not be started: {shortened(str(error) or type(error).__name__)}."
            ) from error
        opened.callback(self._end_own)
        return str(self._own.scheduler_address)

    def _end_own(self) -> None:
        try:
            self._own.close(timeout=5)
        except Exception:  # it was told to: what is left of it, a worker that is just being started, goes with us
            _logger.debug("the Dask cluster has not ended within 5 s", exc_info=True)
            self._quiet.lasts = True

    def _await_worker(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not self._threads:
            try:
                self._threads = dict(self._client.sync(self._client.scheduler.ncores, callback_timeout=timeout_s))
            except OSError as error:
                raise unreachable(self.address, timeout_s, error) from error
            if self._threads:
                break
            if time.monotonic() > until:
                raise UnavailableError(
                    f"{SETTING}: the Dask scheduler {self.address} has no worker, and got none within {timeout_s:g} s. "
                    f"To start one: dask worker {self.address}"
                )
            time.sleep(0.1)

    def _leave(self) -> None:
        self._is_closing = True
        for order in list(self._futures):
            self.drop(order)
        concurrent.futures.wait(self._called, timeout=_LEAVE_S)
        with suppress(Exception):  # of a connection that is gone already
            self._client.close(timeout=5)

    # -- in the thread of the connection

    def _do(self, make: Callable[[], Any]) -> concurrent.futures.Future[None] | None:
        """Has the coroutine that `make` makes carried out there; not where it has ended."""

        async def quietly() -> None:
            try:
                await make()
            except Exception:
                _logger.debug("an order to the Dask cluster was not carried out", exc_info=True)

        if self._is_closing:
            return None
        return asyncio.run_coroutine_threadsafe(quietly(), self._client.loop.asyncio_loop)

    def _subscribe(self) -> None:
        self._client.subscribe_topic(_TOPIC, self._told)
        self._client.subscribe_topic(_MEMBERS, self._changed)

    def _changed(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            self._threads = {one: count for one, count in self._threads.items() if one != message["worker"]}
            self._come(Left(message["worker"]))
            self._come(Changed())

    def _told(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and "told" in message:  # of any build's orders
            self._come(Told(message["order"], message["worker"], message["told"]))

    async def _follow(self, order: str, future: Any) -> None:
        from distributed.scheduler import KilledWorker

        try:
            found = Ended(order, answer=str(await self._client.gather(future, asynchronous=True)))
        except KilledWorker as error:
            found = Ended(order, lost_on=str(getattr(error.last_worker, "address", error.last_worker)))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  whatever came out of the other machine
            is_lost = isinstance(error, asyncio.CancelledError) or future.status in ("cancelled", "lost")
            is_gone = is_lost and self._client.status != "running"
            found = Ended(order, lost_on="" if is_lost else None, is_gone=is_gone, error=error)
        if self._futures.pop(order, None) is not None:
            future.release()
            self._come(found)

    async def _watch(self) -> None:
        answered = peopled = time.monotonic()
        is_known = True
        while not self._is_closing:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            is_known = is_known and self._client.status == "running"
            try:
                found = dict(await asyncio.wait_for(self._client.scheduler.ncores(), _SILENT_S / 2))
            except Exception:  # noqa: BLE001  no answer, in one of many ways
                if now - answered > _SILENT_S or self._client.status == "closed":
                    self._goes_down("does not answer any more")
                    answered = now
                continue
            answered = now
            if not is_known and self._client.status == "running":  # another scheduler, at the same address
                self._subscribe()
                is_known = True
            peopled = now if found else peopled
            if now - peopled > self._no_worker_s:
                self._goes_down(f"has had no worker for {self._no_worker_s:g} s")
            else:
                self._down = ""
            if found != self._threads:
                self._threads = found
                self._come(Changed())

    def _goes_down(self, why: str) -> None:
        self._down = f"the Dask scheduler {self.address} {why}"
        self._come(Down(self._down))


_NO_GUARD = (
    "A Dask cluster of this machine starts Python anew, which runs this script again: put the call of build() under "
    'if __name__ == "__main__":'
)


class Teller:
    """In a worker: tells the build about an order; nothing comes back. Made in the thread that carries it out."""

    def __init__(self, order: str) -> None:
        from distributed import get_worker

        self._order = order
        self._worker: Any = get_worker()
        self.where = str(self._worker.address)
        """The worker's own address."""

    def tell(self, message: dict[str, Any]) -> None:
        """Some time soon; it is lost if this process dies before."""
        self._worker.log_event(_TOPIC, self._event(message))

    def tell_surely(self, message: dict[str, Any]) -> None:
        """The scheduler has it when this returns, and tells it before it tells of this worker's death.

        Raises OSError or TimeoutError where it does not take it.
        """
        logged = self._worker.scheduler.log_event(topic=_TOPIC, msg=self._event(message))
        asyncio.run_coroutine_threadsafe(logged, self._worker.loop.asyncio_loop).result(_SURE_S)

    def _event(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"order": self._order, "worker": self.where, "told": message}
