"""A look for processes that outlived the executor they belonged to."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from etlctl.engine.executors.pool import Pool
from etlctl.engine.executors.workers import LocalExecutor

TOKEN = "ETLCTL_TEST_TOKEN"
"""A variable that programs started by a test's tasks have in their environment."""


def pool_of(executor: LocalExecutor) -> Pool:
    """Its workers; an AssertionError where it has needed none so far."""
    assert executor._pool is not None
    return executor._pool


def template_of(executor: LocalExecutor) -> int:
    """The process that the workers are forked from."""
    template = pool_of(executor)._crew.template  # nobody else need know it
    assert template is not None
    return template.pid


def assert_no_orphans(token: str, session: int) -> None:
    """No process is left of a template's session, and no program that was started with the token."""
    until = time.monotonic() + 30
    while (left := [*_started_with(token), *_members_of(session)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, [(pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in left if Path(f"/proc/{pid}").exists()]


def _started_with(token: str) -> list[int]:
    wanted = f"{TOKEN}={token}".encode()
    return [pid for pid in _others() if wanted in _read(pid, "environ").split(b"\0")]


def _members_of(session: int) -> list[int]:
    """A process that was forked and started no program shows its ancestor's environment: it is told by its session."""
    return [pid for pid in _others() if _session_of(_read(pid, "stat")) == session]


def _session_of(stat: bytes) -> int:
    words = stat.rpartition(b")")[2].split()  # state, parent, group, session: proc(5)
    return int(words[3]) if len(words) > 3 and words[0] != b"Z" else 0


def _others() -> list[int]:
    if not sys.platform.startswith("linux"):
        return []
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and int(one.name) != os.getpid()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # ended meanwhile, or another user's
        return b""
