"""Clusters that grow, do not answer, go in the middle, or are none; for workers see test_dask.py."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import distributed.versions
import pytest

from dask_servers import DaskServers, dask_on, pids_in
from etlctl.core.context import Attempt
from etlctl.errors import ExitCode, UnavailableError, UsageError
from executor_house import FileTask, Sleeps, Spins, built, carried_out, reason, within


@pytest.fixture
def few_servers(tmp_path: Path) -> Iterator[DaskServers]:
    """A scheduler without workers, of this test alone."""
    with DaskServers(tmp_path / "servers") as servers:
        yield servers


def test_capacity_follows_the_cluster_and_jobs(few_servers: DaskServers, project: Path) -> None:
    """Threads of all workers; `jobs` is an upper bound; a worker that comes later counts."""
    few_servers.start_worker(nanny=False)
    executor = dask_on(few_servers.address, project, connect_timeout_s=90)
    bounded = dask_on(few_servers.address, project, jobs=1)
    try:
        assert executor.capacity == 1
        few_servers.start_worker(nanny=False)
        assert executor.wait() is None  # wakes whoever waits for ever
        assert executor.capacity == 2
        assert bounded.capacity == 1
    finally:
        executor.close()
        bounded.close()


def test_scheduler_without_workers_is_told(few_servers: DaskServers, project: Path) -> None:
    """Exit code 4, and the setting is named; nothing is left open."""
    with (
        within(30),
        pytest.raises(UnavailableError, match=r"\[executors.dask\] address: .* has no worker, and got none"),
    ):
        dask_on(few_servers.address, project, connect_timeout_s=3)


def test_scheduler_that_dies_fails_what_runs(
    few_servers: DaskServers, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once, exit code 4, a retry allowed; the next attempt fails too, and nothing is written to the screen."""
    monkeypatch.setattr("etlctl.engine.executors.dask_cluster._SILENT_S", 60.0)
    few_servers.start_worker(nanny=False)
    executor = dask_on(few_servers.address, project, connect_timeout_s=90)
    try:
        executor.submit(Spins(seconds=60), Attempt())
        pids_in(project / "spins")
        with within(30):
            few_servers.scheduler.kill()
            outcome = executor.wait(30)
            assert outcome is not None and outcome.failure is not None
            assert "was lost; the task may go on where it runs" in reason(outcome)
            assert outcome.failure.exit_code is ExitCode.UNAVAILABLE
            assert outcome.failure.can_retry
            assert "was lost" in reason(carried_out(executor, FileTask()))
    finally:
        with within(30):
            executor.close()
    assert capfd.readouterr() == ("", "")


def test_scheduler_that_dies_leaves_the_rest_unbegun(few_servers: DaskServers, project: Path) -> None:
    """What runs fails; what has not begun has not failed, and is not begun: exit code 4."""
    few_servers.start_worker(nanny=False)
    executor = dask_on(few_servers.address, project, connect_timeout_s=90)
    running, waiting = Spins(seconds=60), [FileTask(name=str(number)) for number in range(3)]

    def end() -> None:
        pids_in(project / "spins")
        few_servers.scheduler.kill()

    ender = threading.Thread(target=end)
    ender.start()
    try:
        with within(30):
            summary = built(executor, running, *waiting)
    finally:
        ender.join()
        executor.close()

    statuses = {result.task: (result.status.value, result.reason) for result in summary.results}
    assert statuses.pop(running)[0] == "FAIL"
    assert {(status, reason.partition(":")[0]) for status, reason in statuses.values()} == {("SKIP", "not started")}
    assert summary.exit_code is ExitCode.UNAVAILABLE


def test_order_that_no_worker_took_has_not_failed(few_servers: DaskServers, project: Path) -> None:
    """Its outcome says that nothing of it has run."""
    worker = few_servers.start_worker(nanny=False)
    executor = dask_on(few_servers.address, project, connect_timeout_s=90, no_worker_s=1.0)
    try:
        worker.kill()
        worker.wait()
        executor.submit(FileTask(), Attempt())
        with within(30):
            outcome = executor.wait(30)
            while outcome is None:
                outcome = executor.wait(30)
        assert outcome.is_unbegun and "has had no worker for 1 s" in reason(outcome)
        with pytest.raises(UnavailableError, match="has had no worker"):
            executor.capacity  # noqa: B018
    finally:
        executor.close()


def test_scheduler_that_hangs_fails_what_runs(
    few_servers: DaskServers, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there and says nothing: after a patience the attempt is given up."""
    monkeypatch.setattr("etlctl.engine.executors.dask_cluster._SILENT_S", 1.0)
    few_servers.start_worker(nanny=False)
    executor = dask_on(few_servers.address, project, connect_timeout_s=90)
    try:
        executor.submit(Spins(seconds=60), Attempt())
        pids_in(project / "spins")
        few_servers.scheduler.send_signal(signal.SIGSTOP)
        with within(30):
            outcome = executor.wait(30)
        assert outcome is not None
        assert "does not answer any more" in reason(outcome)
    finally:
        few_servers.scheduler.kill()
        executor.close()


def test_cluster_that_has_lost_all_workers_fails_what_runs(few_servers: DaskServers, project: Path) -> None:
    """After a patience, so that a worker may be started anew."""
    worker = few_servers.start_worker(nanny=False)
    executor = dask_on(few_servers.address, project, connect_timeout_s=90, no_worker_s=1.0)
    try:
        executor.submit(Sleeps(), Attempt())
        assert executor.wait(0.5) is None
        worker.kill()
        with within(30):
            outcome = executor.wait(30)
        assert outcome is not None
        assert "has had no worker for 1 s" in reason(outcome)
    finally:
        executor.close()


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_address_that_does_not_answer_is_told_in_time(
    project: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4 within the timeout, the setting and the address named, and nothing else on the screen."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind != "closed":
            listener.listen()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"

        with within(30), pytest.raises(UnavailableError) as raised:
            dask_on(address, project, connect_timeout_s=1.0)

    assert raised.value.exit_code is ExitCode.UNAVAILABLE
    beginning, _, said = str(raised.value).rpartition(": ")
    assert beginning == f"[executors.dask] address: no Dask scheduler answers at {address} within 1 s"
    in_vain = "nothing there speaks as one does"  # of a closed port too, where the second is over while it is asked
    assert said.startswith(("Connection refused", in_vain) if kind == "closed" else in_vain)
    assert capfd.readouterr() == ("", "")


def test_address_of_another_service_is_told(project: Path) -> None:
    """An HTTP port, such as the scheduler's own dashboard: its bytes are no lengths of messages."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=_answer_as_http, args=(listener,), daemon=True).start()

        with within(30), pytest.raises(UnavailableError, match=rf"\[executors.dask\] address: .*{address}"):
            dask_on(address, project, connect_timeout_s=2.0)


def _answer_as_http(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n" * 9)
        time.sleep(0.5)


@pytest.mark.parametrize("address", ["gopher://127.0.0.1:1", "tcp://127.0.0.1:notaport"])
def test_address_that_is_none_is_told(project: Path, address: str) -> None:
    """Exit code 2, with how one is written."""
    with pytest.raises(UsageError, match=r"\[executors.dask\] address: .* is no address of a Dask scheduler"):
        dask_on(address, project)


def test_address_with_tls_asks_for_certificates(project: Path) -> None:
    """Which Dask takes from its own settings."""
    with pytest.raises(UsageError, match=r"\[executors.dask\] address: .* certificates: distributed.comm.tls"):
        dask_on("tls://127.0.0.1:1", project)


def test_other_versions_on_the_cluster_are_no_word(
    dask_servers: DaskServers, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only texts travel; Dask's own warning, a table, stays off the screen."""
    real = distributed.versions.get_versions
    ours = real()
    ours["packages"]["python"] = "3.99.0"
    monkeypatch.setattr(distributed.versions, "get_versions", lambda *_: ours)

    executor = dask_on(dask_servers.address, project, connect_timeout_s=90)
    executor.close()

    assert capfd.readouterr() == ("", "")


def test_missing_extra_is_one_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the pip line."""
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(UsageError, match=r'is not installed: pip install "etlctl\[dask\]"'):
        dask_on("tcp://127.0.0.1:1", project)
