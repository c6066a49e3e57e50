"""The pytest plugin: in a project's tests `from pipelines.flights import LoadFlights` is the class that builds use, and
the fixture `etl` is a project of the test's own (etlctl.testing).

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

import pytest

if TYPE_CHECKING:
    from etlctl.settings import Settings
    from etlctl.testing import Project, Setup

_PROJECT = pytest.StashKey[Path]()
"""The folder of the project that is tested; the one pytest was started in, where there is none."""


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


@pytest.fixture
def etl_setup() -> Setup:
    """What the project's tests have otherwise than by default; a fixture of this name in conftest.py says so."""
    from etlctl.testing import Setup

    return Setup()


@pytest.fixture
def etl(
    request: pytest.FixtureRequest, etl_setup: Setup, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project, with a folder and databases that this test alone has; the folder is the current one meanwhile."""
    from etlctl.app import App
    from etlctl.targets.mock import MockTarget
    from etlctl.testing import Project
    from etlctl.testing.surroundings import settings_of_test

    origin, folder = request.config.stash[_PROJECT], tmp_path_factory.mktemp("etl")
    MockTarget.clear_all()
    with (
        settings_of_test(origin, folder, etl_setup) as settings,
        App.open(settings) as app,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.chdir(folder)
        yield Project(app, origin, patch.setattr)
    MockTarget.clear_all()


def _install(config: pytest.Config) -> None:
    from etlctl import settings

    here = Path.cwd()
    project = next((folder for folder in _candidates(config) if settings.find_project(folder) is not None), here)
    if "ETLCTL_CONFIG" in os.environ:  # says by itself which project it is
        project = here
    config.stash[_PROJECT] = project
    found = _settings(project)
    if project != here:
        from etlctl.outside import stand_for

        stand_for(here, project)

    from etlctl.core.registry import install_package

    if found.pipelines_path is not None and found.pipelines_path.is_dir():
        install_package(found.pipelines_path)


def _settings(project: Path) -> Settings:
    """Those of the project; where secrets of production are not there for tests, what can be told without them."""
    from etlctl import settings
    from etlctl.errors import SettingsError

    try:
        return settings.load(settings.find(None, os.environ, project), environ=os.environ, cwd=project)
    except SettingsError:
        from etlctl.testing.surroundings import Setup, without_secrets

        with contextlib.suppress(SettingsError):
            return without_secrets(project, Setup())
        raise


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
