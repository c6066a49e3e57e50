"""What is around a project: versions, extras that the settings need, and files that let others decide what runs."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from etlctl import __version__
from etlctl.doctor.findings import Finding, failed, ok, warning
from etlctl.doctor.hosts import url_of
from etlctl.settings import Secret, Settings
from etlctl.text import printable

_FILES = "files"
_VERSIONS = "versions"
_LIBRARIES = ("SQLAlchemy", "psycopg2-binary", "boto3", "click", "rich", "cronsim", "tzdata")
_MOST_TOLD = 5


class Extra(NamedTuple):
    """A library that only some settings need."""

    extra: str
    module: str
    package: str


_EXTRAS = {
    "mysql": Extra("mysql", "pymysql", "PyMySQL"),
    "mariadb": Extra("mysql", "pymysql", "PyMySQL"),
    "redshift": Extra("redshift", "sqlalchemy_redshift", "sqlalchemy-redshift"),
}
_DASK = Extra("dask", "distributed", "distributed")
_SENTRY = Extra("sentry", "sentry_sdk", "sentry-sdk")
_METRICS = Extra("metrics", "prometheus_client", "prometheus-client")


# -- versions


def version_findings(settings: Settings) -> list[Finding]:
    """This etlctl, Python and libraries; a missing extra is a failure where a setting needs it."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    found = [
        ok(_VERSIONS, f"etlctl {__version__}, Python {platform.python_version()} ({sys.executable}) on {_system()}"),
        ok(_VERSIONS, libraries),
    ]
    for extra, needed_by in _needed(settings).items():
        by = ", ".join(needed_by)
        if find_spec(extra.module) is None:
            mend = f'pip install "etlctl[{extra.extra}]"'
            found.append(failed(_VERSIONS, f"{extra.package} is not installed, which {by} needs.", mend))
        else:
            found.append(ok(_VERSIONS, f"{extra.package} {_version(extra.package)}, for {by}"))
    return found


def _needed(settings: Settings) -> dict[Extra, list[str]]:
    needed: dict[Extra, list[str]] = {}
    for connection in [*settings.connections.values(), settings.state]:
        scheme = url_of(connection.url).partition("://")[0].partition("+")[0]
        if scheme in _EXTRAS:
            where = "[state]" if connection.name == "state" else f"[connections.{connection.name}]"
            needed.setdefault(_EXTRAS[scheme], []).append(where)
    if settings.build.executor == "dask":
        needed.setdefault(_DASK, []).append("[build] executor")
    if settings.metrics.textfile is not None:
        needed.setdefault(_METRICS, []).append("[metrics]")
    for notifier in settings.notify.values():
        if notifier.kind == "sentry":
            needed.setdefault(_SENTRY, []).append(f"[notify.{notifier.name}]")
    return needed


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # psycopg2 may come of the package that is compiled on the spot
        return version("psycopg2") if package == "psycopg2-binary" and find_spec("psycopg2") else "not installed"


def _system() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


# -- files


def file_findings(settings: Settings, *, user: int) -> list[Finding]:
    """Who but `user` (a uid) and root may change what runs here, and who may read a secret in the settings file."""
    found = [*_of_settings_file(settings, user), *_of_pipelines(settings, user)]
    return found or [ok(_FILES, "settings and pipelines can be changed by this user and root alone")]


def _of_settings_file(settings: Settings, user: int) -> Iterator[Finding]:
    file = settings.file
    if file is None:
        return
    yield from _changed_by_others([file, file.parent], user)
    mode = file.stat().st_mode
    if mode & (stat.S_IROTH | stat.S_IRGRP) and _in_clear(file, settings.secrets()):
        who = "everybody" if mode & stat.S_IROTH else "its group"
        text = f"{printable(str(file))} holds a secret in clear, and {who} may read it."
        mend = f"chmod 600 {printable(str(file))}, or name the secret: env:NAME, file:PATH, aws-sm:NAME."
        yield warning(_FILES, text, mend)


def _in_clear(file: Path, secrets: Iterable[Secret]) -> bool:
    text = file.read_text(encoding="utf-8", errors="replace")
    return any(secret.reveal() in text for secret in secrets)


def _of_pipelines(settings: Settings, user: int) -> Iterator[Finding]:
    folder = settings.pipelines_path
    if folder is None or not folder.is_dir():
        return
    paths = [folder]
    for below, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths.extend(Path(below, name) for name in [*folders, *names])
    found = list(_changed_by_others(paths, user))
    yield from found[:_MOST_TOLD]
    if len(found) > _MOST_TOLD:
        text = f"{len(found) - _MOST_TOLD} more files or folders of {printable(str(folder))} can be changed by others."
        yield warning(_FILES, text, f"chmod -R go-w {printable(str(folder))}, and look who owns them.")


def _changed_by_others(paths: Iterable[Path], user: int) -> Iterator[Finding]:
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue  # a link to nowhere: nothing runs of it
        shown = printable(str(path))
        if status.st_uid not in (user, 0):
            text = f"{shown} belongs to another user (uid {status.st_uid}), who decides what runs here."
            yield warning(_FILES, text, f"chown it to who runs etlctl (uid {user}), unless that is meant.")
        if status.st_mode & stat.S_IWOTH and not _is_sticky(status.st_mode):
            yield warning(_FILES, f"{shown} can be changed by everybody, and so what runs here.", f"chmod o-w {shown}")


def _is_sticky(mode: int) -> bool:
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)  # as /tmp: nobody removes what is another's
