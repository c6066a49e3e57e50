"""Every setting as it is: its value as a person may read it, and where it stands. No secret is shown.

A parameter's value in `[params]` or of a schedule may be a secret: where it comes from the environment, or its name
says so, or the parameter is private, or no class tells, it is masked too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from etlctl.settings import Secret, Settings, masked_url
from etlctl.settings.keys import TREE, Key, KeyPath, Tree, dotted
from etlctl.settings.secret import FetchedSecret
from etlctl.settings.urls import is_hidden
from etlctl.text import printable

_HIDDEN = "***"
IsPublic = Callable[[Collection[str], str], bool]
_TOP: Mapping[str, Callable[[Settings], Any]] = {
    "default_connection": lambda settings: settings.default_connection,
    "pipelines.path": lambda settings: settings.pipelines_path,
    "pipelines.modules": lambda settings: settings.pipelines_modules,
    "state.url": lambda settings: settings.state_url,
    "state.lease_ttl": lambda settings: settings.lease_ttl_s,
    "history.enabled": lambda settings: settings.is_history_kept,
    "history.keep": lambda settings: settings.history_keep_s,
    "executors.dask.address": lambda settings: settings.build.dask_address,
    "profile": lambda settings: settings.profile,
}
_TABLES = ("s3", "logs", "build", "loop", "metrics")
_NAMED = ("connections", "schedules", "notify")
_SECONDS = "_s"


class Value(NamedTuple):
    """One setting."""

    key: str
    """As one would write it on one line of TOML."""
    value: str
    """`***` for a secret."""
    origin: str
    """`config/etlctl.toml:7`, `environment variable X`, `default`."""


def values(settings: Settings, is_public: IsPublic) -> list[Value]:
    """Every setting that is given or has a default, as the file orders its tables.

    `is_public(families, parameter)`: whether the project's classes say that its value may be shown.
    """
    known = dict(_known(settings, is_public))
    return [Value(key, known[key], printable(origin)) for key, origin in settings.origins.items() if key in known]


def _known(settings: Settings, is_public: IsPublic) -> Iterator[tuple[str, str]]:
    for key, ask in _TOP.items():
        is_time = key in ("state.lease_ttl", "history.keep")
        yield key, _shown(key, ask(settings), is_time=is_time, is_database_url=True)
    for table in _TABLES:
        yield from _of_table((table,), getattr(settings, table), TREE[table])
    for name in _NAMED:
        tree = next(iter(TREE[name].values()))  # type: ignore[union-attr]  # a table of tables: its one placeholder
        for one, held in getattr(settings, name).items():
            yield from _of_table((name, one), held, tree)
    for name, schedule in settings.schedules.items():
        yield from _params(settings, ("schedules", name, "params"), schedule.tasks, schedule.params, is_public)
    for pool, number in settings.pools.items():
        yield dotted(("pools", pool)), str(number)
    for family, given in settings.params.items():
        yield from _params(settings, ("params", family), (family,), given, is_public)


def _params(
    settings: Settings, path: KeyPath, families: Collection[str], given: Mapping[str, Any], is_public: IsPublic
) -> Iterator[tuple[str, str]]:
    """The values of parameters of these families."""
    for name, value in given.items():
        key = dotted((*path, name))
        is_shown = is_public(families, name) and " from " not in settings.origins.get(key, "")
        yield key, _shown(name, value) if is_shown else _HIDDEN


def _of_table(path: KeyPath, held: Any, tree: Tree | Key) -> Iterator[tuple[str, str]]:
    """The keys of one table, whose value has them as attributes, or among its `options`."""
    options: Mapping[str, Any] = getattr(held, "options", None) or {}
    for name, below in tree.items() if isinstance(tree, dict) else ():
        if path[0] == "schedules" and name == "params":
            continue  # only a task's class can say what of them may be shown
        if isinstance(below, dict):  # [notify.NAME.options]
            inner = getattr(held, name, None) or options.get(name) or {}
            yield from ((dotted((*path, name, key)), _shown(key, value)) for key, value in inner.items())
        elif hasattr(held, name + _SECONDS):
            yield dotted((*path, name)), _shown(name, getattr(held, name + _SECONDS), is_time=True)
        else:
            told = getattr(held, name, options.get(name))
            yield dotted((*path, name)), _shown(name, told, is_database_url=path[0] == "connections")


def _shown(name: str, value: Any, *, is_time: bool = False, is_database_url: bool = False) -> str:
    if isinstance(value, Secret):  # the address of a webhook lets its holder in: it is all secret
        return _shown_url(value) if is_database_url else _HIDDEN
    if is_hidden(name.rpartition(".")[2]) and not isinstance(value, bool):
        return _HIDDEN
    if is_time and isinstance(value, (int, float)):
        return _age(float(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown("", one) for one in value)
    return "-" if value is None else printable(str(value) if isinstance(value, (str, Path)) else repr(value))


def _age(seconds: float) -> str:
    """`30d` where it is whole days, else seconds."""
    days, rest = divmod(seconds, 86_400)
    return f"{days:g}d" if days and not rest else f"{seconds:g} s"


def _shown_url(value: Secret) -> str:
    return printable(value.reference if isinstance(value, FetchedSecret) else masked_url(value.reveal()))
