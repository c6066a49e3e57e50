"""The pytest plugin: in a project's tests `from pipelines.flights import LoadFlights` is the class that builds use.

It looks for settings from pytest's root folder, as `etlctl` would there, and makes the pipelines folder importable as
the package of its own name. Without such a folder it does nothing; settings that cannot be read are a warning.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Installs the package of the root folder's pipelines."""
    from etlctl import settings
    from etlctl.core.registry import install_package
    from etlctl.errors import EtlctlError

    root = config.rootpath
    try:
        found = settings.load(settings.find(None, os.environ, root), environ=os.environ, cwd=root)
        if found.pipelines_path is not None and found.pipelines_path.is_dir():
            install_package(found.pipelines_path)
    except EtlctlError as error:
        warnings.warn(f"etlctl: the tests cannot import the pipelines folder: {error}", stacklevel=1)
