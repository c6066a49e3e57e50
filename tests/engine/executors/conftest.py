"""Every executor there is, one at a time; and a look for processes that outlived theirs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dask_servers import DaskServers, dask_on
from etlctl.engine.executors.base import Executor
from etlctl.engine.executors.dask import DaskExecutor
from etlctl.engine.executors.in_process import InProcessExecutor
from etlctl.engine.executors.workers import LocalExecutor
from orphans import TOKEN, assert_no_orphans, template_of

EXECUTORS: dict[str, Callable[[Path], Executor]] = {
    "in this process": InProcessExecutor,
    "one local job": lambda project: LocalExecutor(project, jobs=1),
    "two workers": lambda project: LocalExecutor(project, jobs=2),
}
DASK = "Dask"


@pytest.fixture(scope="session")
def dask_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskServers]:
    """A scheduler and two workers, for all tests of a process."""
    with DaskServers(tmp_path_factory.mktemp("dask"), workers=2) as servers:
        yield servers


@pytest.fixture
def dask(dask_servers: DaskServers, project: Path) -> Iterator[DaskExecutor]:
    """An executor on them, closed afterwards."""
    made = dask_on(dask_servers.address, project, connect_timeout_s=90)
    yield made
    made.close()


@pytest.fixture(params=[*EXECUTORS, DASK])
def executor(request: pytest.FixtureRequest, project: Path) -> Iterator[Executor]:
    """One of each kind, closed afterwards."""
    if request.param == DASK:
        made: Executor = dask_on(request.getfixturevalue("dask_servers").address, project, connect_timeout_s=90)
    else:
        made = EXECUTORS[request.param](project)
    yield made
    made.close()


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """In the environment of every program that is started from here on."""
    value = f"{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv(TOKEN, value)
    return value


@pytest.fixture
def workers(project: Path, monkeypatch: pytest.MonkeyPatch, token: str) -> Iterator[LocalExecutor]:
    """Two jobs in workers, closed afterwards; no process of theirs is left then."""
    monkeypatch.chdir(project)
    made = LocalExecutor(project, jobs=2)
    session = template_of(made)
    try:
        yield made
    finally:
        made.close()
    assert_no_orphans(token, session)
