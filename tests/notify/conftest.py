"""The projects of the command line's tests; a proxy of the machine's is not asked for servers on loopback."""

from __future__ import annotations

import pytest

from cli.conftest import empty_project, project

__all__ = ["empty_project", "no_proxy", "project"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and in the processes that a test begins."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
