"""The pytest plugin: in a project's tests `from pipelines.flights import LoadFlights` is the class that builds use.

It looks for settings from pytest's root folder, as `etlctl` would there, and makes the pipelines folder importable as
the package of its own name. Without such a folder it does nothing; settings that cannot be read are a warning.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before the first conftest.py, which may import pipelines; what is wrong is told by `pytest_configure`."""
    from etlctl.errors import EtlctlError

    with contextlib.suppress(EtlctlError):
        _install(early_config.rootpath)


def pytest_configure(config: pytest.Config) -> None:
    """The same for a plugin that a conftest.py names; warns when the pipelines cannot be had."""
    from etlctl.errors import EtlctlError

    try:
        _install(config.rootpath)
    except EtlctlError as error:
        warnings.warn(f"etlctl: the tests cannot import the pipelines folder: {error}", stacklevel=1)


def _install(root: Path) -> None:
    from etlctl import settings
    from etlctl.core.registry import install_package

    found = settings.load(settings.find(None, os.environ, root), environ=os.environ, cwd=root)
    if found.pipelines_path is not None and found.pipelines_path.is_dir():
        install_package(found.pipelines_path)
