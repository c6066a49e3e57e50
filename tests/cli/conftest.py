"""Fixtures of the command line's tests."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cli.project import FLOWS, Project


@pytest.fixture
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project without pipelines."""
    for name in ("ETLCTL_CONFIG", "ETLCTL_PROFILE", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    package = f"flows_{sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    yield Project(tmp_path, package)
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # what is left stays: the next search need not look through it


@pytest.fixture
def project(empty_project: Project) -> Project:
    """A project with flights, delays and reports."""
    empty_project.pipeline(FLOWS)
    return empty_project
