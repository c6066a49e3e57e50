"""What the raw values stand for: variables and references looked up, defaults filled in, paths made absolute."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from etlctl.errors import SettingsError
from etlctl.settings import keys
from etlctl.settings.entries import Entries, Entry
from etlctl.settings.keys import Key, KeyPath, dotted
from etlctl.settings.model import ConnectionSettings, Settings
from etlctl.settings.secret import Secret
from etlctl.settings.texts import expanded, expanded_url, referred, sources
from etlctl.settings.urls import anchored, complaint, is_in_memory, is_sqlite, masked_url, sqlite_file
from etlctl.suggest import did_you_mean
from etlctl.text import printable

DEFAULT_NAME = "warehouse"
_DEFAULT = "default"
"""The origin of a value that nobody has given."""
_MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"


class Place(NamedTuple):
    """Where the settings were found."""

    project: Path
    file: Path | None
    profile: str | None
    profile_origin: str


def resolved(
    place: Place,
    entries: Entries,
    connections: Mapping[str, str],
    *,
    environ: Mapping[str, str],
    warnings: tuple[str, ...],
) -> Settings:
    """The Settings made of `entries`; `connections` tells each connection's name and where it was found."""
    resolver = _Resolver(entries, environ, place.project)
    if place.profile is not None:
        resolver.origins["profile"] = place.profile_origin
    made = {name: _connection(resolver, name, at) for name, at in connections.items()}
    settings = Settings(
        project=place.project,
        file=place.file,
        profile=place.profile,
        default_connection=_default_connection(resolver, made),
        connections=MappingProxyType(made),
        state_url=resolver.url(keys.STATE_URL.path, keys.STATE_URL.default),
        params=_params(resolver),
        pipelines_modules=_modules(resolver),
        pipelines_path=_pipelines_path(resolver),
        origins=MappingProxyType(resolver.origins),
        warnings=warnings,
    )
    _check_apart(settings)
    return settings


class _Resolver:
    """Hands out values key by key and notes the origin of each."""

    def __init__(self, entries: Entries, environ: Mapping[str, str], project: Path) -> None:
        self.entries = entries
        self.environ = environ
        self.project = project
        self.origins: dict[str, str] = {}

    def text(self, path: KeyPath, default: str) -> str:
        """The text at `path`, which is never empty."""
        entry = self.entry(path, default)
        return _filled(self.expand(entry, entry.value, path), _at(entry, path))

    def url(self, path: KeyPath, default: str | None) -> Secret:
        """The URL at `path`, its file absolute; without a default the entry must be there."""
        entry = self.entry(path, default)
        at = _at(entry, path)
        url = referred(entry.value, at=at, environ=self.environ, project=self.project)
        if url is None:
            url = entry.value if entry.is_literal else expanded_url(entry.value, at=at, environ=self.environ)
        wrong = complaint(_filled(url, at))
        if wrong is None and is_in_memory(url):
            wrong = "is a database in memory, which ends with the command. Give it a file: sqlite:///PATH."
        if wrong is not None:
            shown = masked_url(url)
            raise SettingsError(f"{at}{'' if shown == '***' else f' ({shown})'} {wrong}")
        return Secret(anchored(url, self.project))

    def entry(self, path: KeyPath, default: Any) -> Entry:
        """The raw value at `path`, or the default; its origin is noted."""
        entry = self.entries.get(path) or Entry(default, _DEFAULT, is_literal=True)
        known = sources(entry.value) if isinstance(entry.value, str) and not entry.is_literal else ""
        self.origins[dotted(path)] = entry.origin + known
        return entry

    def expand(self, entry: Entry, value: Any, path: KeyPath) -> Any:
        """`value`, with `${VAR}` looked up in every text within it."""
        if entry.is_literal:
            return value
        if isinstance(value, str):
            return expanded(value, at=_at(entry, path), environ=self.environ)
        if isinstance(value, list):
            return [self.expand(entry, item, path) for item in value]
        if isinstance(value, dict):
            return {name: self.expand(entry, item, (*path, name)) for name, item in value.items()}
        return value


def _connection(resolver: _Resolver, name: str, at: str) -> ConnectionSettings:
    url = _path_of(keys.CONNECTION_URL, name)
    default = keys.CONNECTION_URL.default if name == DEFAULT_NAME else None
    if default is None and url not in resolver.entries:
        raise SettingsError(f"{at}: '{dotted(url[:-1])}' has no url. Give it one: url = \"sqlite:///PATH\".")
    schema = _path_of(keys.MARKER_SCHEMA, name)
    secret = resolver.url(url, default)
    has_schema = schema in resolver.entries and not is_sqlite(secret.reveal())
    return ConnectionSettings(
        name=name,
        url=secret,
        marker_table=_table_name(resolver, _path_of(keys.MARKER_TABLE, name), keys.MARKER_TABLE.default),
        marker_schema=_table_name(resolver, schema) if has_schema else None,
        connect_timeout_s=_seconds(resolver, keys.CONNECT_TIMEOUT, name),
        statement_timeout_s=_seconds(resolver, keys.STATEMENT_TIMEOUT, name) or None,
        lock_timeout_s=_seconds(resolver, keys.LOCK_TIMEOUT, name),
        audit=_is_on(resolver, keys.AUDIT, name),
        place=_at(resolver.entry(url, default), url),
    )


def _table_name(resolver: _Resolver, path: KeyPath, default: str | None = None) -> str:
    name = resolver.text(path, default or "")
    if name.isprintable():
        return name
    what = "schema" if path[-1] == keys.MARKER_SCHEMA.path[-1] else "table"
    raise SettingsError(
        f"{_at(resolver.entry(path, name), path)} is '{printable(name)}', which no {what} can be called. "
        "Leave its control characters out."
    )


def _seconds(resolver: _Resolver, key: Key, name: str) -> float:
    return float(resolver.entry(_path_of(key, name), key.default).value)


def _is_on(resolver: _Resolver, key: Key, name: str) -> bool:
    return bool(resolver.entry(_path_of(key, name), key.default == "true").value)


def _default_connection(resolver: _Resolver, connections: Mapping[str, ConnectionSettings]) -> str:
    """The one that is named; else `warehouse`, or the only one there is."""
    path = keys.DEFAULT_CONNECTION.path
    names = ", ".join(connections)
    if path not in resolver.entries and DEFAULT_NAME not in connections:
        if len(connections) > 1:
            raise SettingsError(
                f"default_connection is not set, and no connection is named warehouse. Set it: {names}."
            )
        resolver.origins[dotted(path)] = "default: the only connection"
        return next(iter(connections))
    name = resolver.text(path, DEFAULT_NAME)
    if name in connections:
        return name
    at = _at(resolver.entry(path, DEFAULT_NAME), path)
    raise SettingsError(
        f"{at} names no connection: '{printable(name)}'.{did_you_mean(name, connections)} Connections: {names}."
    )


def _params(resolver: _Resolver) -> Mapping[str, Mapping[str, Any]]:
    families: dict[str, dict[str, Any]] = {}
    for path in resolver.entries:
        if path[0] == "params":
            entry = resolver.entry(path, None)
            resolver.origins.setdefault(dotted(path[:2]), entry.table_origin)
            families.setdefault(path[1], {})[path[2]] = resolver.expand(entry, entry.value, path)
    return MappingProxyType({family: MappingProxyType(values) for family, values in families.items()})


def _modules(resolver: _Resolver) -> tuple[str, ...]:
    path = keys.PIPELINES_MODULES.path
    if path not in resolver.entries:
        return ()
    entry = resolver.entry(path, [])
    modules = tuple(resolver.expand(entry, entry.value, path))
    for module in modules:
        if not re.fullmatch(_MODULE, module):
            raise SettingsError(
                f"{_at(entry, path)}: '{printable(module)}' is not the dotted name of a Python module, as in acme.etl."
            )
    return modules


def _pipelines_path(resolver: _Resolver) -> Path | None:
    """The folder; the default one only where no modules are named."""
    path = keys.PIPELINES_PATH.path
    modules = resolver.entries.get(keys.PIPELINES_MODULES.path)
    if path not in resolver.entries and modules is not None and modules.value:
        return None
    text = resolver.text(path, keys.PIPELINES_PATH.default or "")
    return Path(os.path.abspath(resolver.project / text))


def _check_apart(settings: Settings) -> None:
    """State and warehouse are never one SQLite file: a load would wait for its own lease."""
    state = _real_file(settings.state_url)
    for connection in settings.connections.values():
        if state is not None and _real_file(connection.url) == state:
            both = [dotted(_path_of(keys.CONNECTION_URL, connection.name)), dotted(keys.STATE_URL.path)]
            first, second = sorted(both, key=lambda key: settings.origins[key] == _DEFAULT)  # a default is no place
            origin = settings.origins[second]
            raise SettingsError(
                f"{settings.origins[first]}: '{first}' and '{second}' "
                f"({'its default' if origin == _DEFAULT else origin}) are the same SQLite file, {printable(state)}. "
                "Give them one each."
            )


def _real_file(url: Secret) -> str | None:
    file = sqlite_file(url.reveal())
    return os.path.realpath(file) if file is not None else None


def _path_of(key: Key, name: str) -> KeyPath:
    return tuple(name if part == keys.CONNECTION else part for part in key.path)


def _filled(text: str, at: str) -> str:
    if text:
        return text
    raise SettingsError(f"{at} is empty. Give it a value, or take it out.")


def _at(entry: Entry, path: KeyPath) -> str:
    return f"{entry.origin}: '{dotted(path)}'"
