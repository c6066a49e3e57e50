"""Every test of the core makes its tasks in a project of its own, without settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etlctl.core import context


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[Path]:
    """An empty project folder, in place as the context of all tasks."""
    with context.use(context.Context(project=tmp_path)):
        yield tmp_path
