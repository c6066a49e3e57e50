"""What a worker of a Dask cluster calls: opens the project on its own machine and carries out one attempt in it.

    carry_out(text)        an order as JSON -> its answer as JSON
    ├── Teller             tells the build that it is here, for certain; at the end that it has left
    ├── _Projects.opened   settings and pipelines of the order's project; anew for each build
    └── remote.carried_out

The order names files and classes and holds the values of parameters; connections and their passwords are those that
this machine's own settings and environment say.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import etlctl
from etlctl import settings as settings_module
from etlctl.app import App, load_settings
from etlctl.core import context
from etlctl.engine.executors import remote
from etlctl.engine.executors.dask_cluster import Teller
from etlctl.engine.executors.dask_orders import connections_of
from etlctl.engine.executors.routed import Router
from etlctl.engine.executors.wire import encoded
from etlctl.errors import EtlctlError, SettingsError
from etlctl.settings import Settings
from etlctl.settings.keys import PROFILE_VARIABLE
from etlctl.text import printable

_MOST_OPEN = 4
"""Projects that stay open for builds that go on side by side."""


def carry_out(text: str) -> str:
    """The answer to an order, see `engine/executors/remote.py`; with the end of what was printed, and how much it was.

    Raises nothing that comes out of the task.
    """
    order = json.loads(text)
    teller = Teller(order["order"])
    teller.tell_surely(remote.taken())
    with _router.keeping() as kept:
        answer = _answer(order, teller)
    if answer.get("is_stopped"):
        _projects.close(order["build"])  # broken off anywhere: what its connections are at, nobody knows
    with suppress(OSError, TimeoutError):  # of a scheduler that is gone: then the answer gets nowhere either
        teller.tell_surely({"ends": True})
    tail = base64.b64encode(kept.tail).decode("ascii")
    return encoded({**answer, "output": tail, "written": kept.written}).decode("ascii")


def _answer(order: dict[str, Any], teller: Teller) -> dict[str, Any]:
    try:
        _check_version(order)
        app = _projects.opened(order)
    except EtlctlError as error:
        return remote.unfit(f"worker {teller.where}: {error}")
    with context.use(app.context):
        return remote.carried_out(order, app.settings.project, teller.tell, teller.where)


def leave(build: str) -> None:
    """The build has ended: closes what is open for it."""
    _projects.close(build)


def dask_setup(worker: Any) -> None:  # noqa: ARG001  Dask gives it
    """Called by Dask in each worker of a build's own cluster: its output is not for the terminal of the build."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


class _Projects:
    """The projects that are open in this process, by the build they are open for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, App] = {}
        self._stamps: dict[str, object] = {}
        """Of each package of pipelines: its files when it was imported."""

    def opened(self, order: dict[str, Any]) -> App:
        """The project of an order. Raises EtlctlError where this machine has another, or none."""
        build = order["build"]
        with self._lock:
            app = self._open.get(build)
            if app is None:
                settings = _settings(order["settings"])
                _check_same(settings, order["settings"])
                app = App.open(settings)
                with context.use(app.context):
                    self._import(app)
                self._open[build] = app
                for one in list(self._open)[:-_MOST_OPEN]:
                    self._open.pop(one).close()
            return app

    def close(self, build: str) -> None:
        with self._lock:
            app = self._open.pop(build, None)
        if app is not None:
            app.close()

    def _import(self, app: App) -> None:
        """Imports the pipelines; once more where their files are others than those of the build before."""
        path = app.settings.pipelines_path
        if path is not None and not path.exists() and not app.settings.pipelines_modules:
            return  # tasks of modules that can be imported anyway, as in a build from Python; else that is told
        if path is not None:
            name, stamp = path.name, _stamp(path)
            if self._stamps.get(name, stamp) != stamp:
                importlib.invalidate_caches()
                for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
                    del sys.modules[module]
            self._stamps[name] = stamp
        app.registry  # noqa: B018  imports them


_projects = _Projects()  # what Dask calls is a function: there is nobody to hand it down
_router = Router()


def _check_version(order: dict[str, Any]) -> None:
    if order["version"] != etlctl.__version__:
        raise SettingsError(f"it has etlctl {etlctl.__version__}, and the build {order['version']}: install the same.")


def _settings(told: dict[str, Any]) -> Settings:
    """The settings of the project on this machine: ETLCTL_CONFIG of its environment, else at the build's own path."""
    folder = Path(told["project"])
    named = settings_module.find(None, os.environ, folder) if "ETLCTL_CONFIG" in os.environ else None
    file = named or (Path(told["file"]) if told["file"] is not None else None)
    missing = (
        file if file is not None and not file.exists() else None if file is not None or folder.is_dir() else folder
    )
    if missing is not None:
        raise SettingsError(
            f"there is no {printable(str(missing))} on its machine. Put the project in the same place there, or name "
            "its settings file in ETLCTL_CONFIG of the worker's environment."
        )
    environ = {name: value for name, value in os.environ.items() if name != PROFILE_VARIABLE}
    return load_settings(file, profile=told["profile"], environ=environ, cwd=folder)


def _check_same(settings: Settings, told: dict[str, Any]) -> None:
    """A connection that leads elsewhere here is refused: what is done would be asked for in one database, and made in
    another. The project's own folder may differ."""
    ours = connections_of(settings)
    for name, url in told["connections"].items():
        if ours.get(name, url) != url:
            raise SettingsError(
                f"its connection {printable(name)} leads to {ours[name]}, and that of the build to {url}. Give both "
                "the same settings and the same variables."
            )


def _stamp(folder: Path) -> object:
    found = []
    for file in sorted(folder.resolve().rglob("*.py")):
        status = file.stat()
        found.append((str(file), status.st_mtime_ns, status.st_size))
    return found
