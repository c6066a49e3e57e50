"""The pytest plugin: in a project's tests `from pipelines.flights import LoadFlights` is the class that builds use.

The project is pytest's root folder, or the nearest one above what is tested or above the current folder that holds
settings or pipelines. Its pipelines folder becomes importable as the package of its own name. While the folder that
pytest was started in is the current one, it stands for the project: relative paths and `etlctl.build` mean the same
from wherever pytest is started. A test that changes to another folder is in that folder's project.

Where there is no project it does nothing; settings that cannot be read are a warning.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before the first conftest.py, which may import pipelines; what is wrong is told by `pytest_configure`."""
    from etlctl.errors import EtlctlError

    with contextlib.suppress(EtlctlError):
        _install(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """The same for a plugin that a conftest.py names; warns when the pipelines cannot be had."""
    from etlctl.errors import EtlctlError

    try:
        _install(config)
    except EtlctlError as error:
        warnings.warn(f"etlctl: the tests cannot import the pipelines folder: {error}", stacklevel=1)


def _install(config: pytest.Config) -> None:
    from etlctl import settings

    here = Path.cwd()
    project = next((folder for folder in _candidates(config) if settings.find_project(folder) is not None), here)
    if "ETLCTL_CONFIG" in os.environ:  # says by itself which project it is
        project = here
    found = settings.load(settings.find(None, os.environ, project), environ=os.environ, cwd=project)
    if project != here:
        from etlctl.app import stand_for

        stand_for(here, project)

    from etlctl.core.registry import install_package

    if found.pipelines_path is not None and found.pipelines_path.is_dir():
        install_package(found.pipelines_path)


def _candidates(config: pytest.Config) -> Iterator[Path]:
    yield config.rootpath
    tested = (Path(argument.partition("::")[0]).absolute() for argument in config.known_args_namespace.file_or_dir)
    for start in (*tested, Path.cwd()):
        yield from _upwards(start)


def _upwards(start: Path) -> Iterator[Path]:
    """The folder and those above it, up to the top of its repository."""
    for folder in (start, *start.parents):
        yield folder
        if (folder / ".git").exists():
            return
