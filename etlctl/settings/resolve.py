"""The Settings made of the raw values: defaults filled in, names checked, paths made absolute."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from etlctl.errors import SettingsError
from etlctl.settings import aws, keys, operating, running
from etlctl.settings.keys import Key, KeyPath, dotted
from etlctl.settings.model import ConnectionSettings, Settings
from etlctl.settings.resolver import DEFAULT, Resolver, path_of, place_of
from etlctl.settings.secret import Secret
from etlctl.settings.urls import is_sqlite, sqlite_file
from etlctl.suggest import did_you_mean
from etlctl.text import printable

DEFAULT_NAME = "warehouse"
_MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"


class Place(NamedTuple):
    """Where the settings were found."""

    project: Path
    file: Path | None
    profile: str | None
    profile_origin: str


def resolved(
    resolver: Resolver, place: Place, connections: Mapping[str, str], *, warnings: tuple[str, ...]
) -> Settings:
    """The Settings made of the resolver's entries; `connections` tells the name of each and where it was found."""
    if place.profile is not None:
        resolver.origins["profile"] = place.profile_origin
    resolver.s3 = aws.s3_settings(resolver)
    made = {name: _connection(resolver, name, at) for name, at in connections.items()}
    settings = Settings(
        project=place.project,
        file=place.file,
        profile=place.profile,
        default_connection=_default_connection(resolver, made),
        connections=MappingProxyType(made),
        s3=resolver.s3,
        state_url=resolver.url(keys.STATE_URL.path, keys.STATE_URL.default),
        logs=running.logs(resolver),
        build=running.build(resolver),
        pools=running.pools(resolver),
        lease_ttl_s=running.number(resolver, keys.LEASE_TTL),
        is_history_kept=running.is_on(resolver, keys.HISTORY_ENABLED),
        history_keep_s=running.age_s(resolver, keys.HISTORY_KEEP),
        schedules=operating.schedules(resolver),
        loop=operating.loop(resolver),
        notify=operating.notifiers(resolver),
        metrics=operating.metrics(resolver),
        params=_params(resolver),
        pipelines_modules=_modules(resolver),
        pipelines_path=_pipelines_path(resolver),
        origins=MappingProxyType(resolver.origins),
        warnings=warnings,
    )
    with resolver.mistakes.told():
        _check_apart(settings)
    return settings


def _connection(resolver: Resolver, name: str, at: str) -> ConnectionSettings:
    url = path_of(keys.CONNECTION_URL, name)
    default = keys.CONNECTION_URL.default if name == DEFAULT_NAME else None
    schema = path_of(keys.MARKER_SCHEMA, name)
    if default is None and url not in resolver.entries:
        said = f"{at}: '{dotted(url[:-1])}' has no url. Give it one: url = \"sqlite:///PATH\"."
        secret = resolver.refused(SettingsError(said))
    else:
        secret = resolver.url(url, default)
    has_schema = schema in resolver.entries and not (secret.is_known and is_sqlite(secret.reveal()))
    return ConnectionSettings(
        name=name,
        url=secret,
        marker_table=_table_name(resolver, path_of(keys.MARKER_TABLE, name), keys.MARKER_TABLE.default),
        marker_schema=(_table_name(resolver, schema) or None) if has_schema else None,
        connect_timeout_s=_seconds(resolver, keys.CONNECT_TIMEOUT, name),
        statement_timeout_s=_seconds(resolver, keys.STATEMENT_TIMEOUT, name) or None,
        lock_timeout_s=_seconds(resolver, keys.LOCK_TIMEOUT, name),
        audit=_is_on(resolver, keys.AUDIT, name),
        s3_staging=aws.staging(resolver, name),
        iam_role=aws.iam_role(resolver, name),
        static_keys=_is_on(resolver, keys.STATIC_KEYS, name),
        place=place_of(resolver.entry(url, default), url) if url in resolver.entries or default else at,
    )


def _table_name(resolver: Resolver, path: KeyPath, default: str | None = None) -> str:
    name = resolver.text(path, default or "")
    if name.isprintable():
        return name
    what = "schema" if path[-1] == keys.MARKER_SCHEMA.path[-1] else "table"
    resolver.refuse(
        path,
        f"{place_of(resolver.entry(path, name), path)} is '{printable(name)}', which no {what} can be called. "
        "Leave its control characters out.",
    )
    return default or ""


def _seconds(resolver: Resolver, key: Key, name: str) -> float:
    return float(resolver.entry(path_of(key, name), key.default).value)


def _is_on(resolver: Resolver, key: Key, name: str) -> bool:
    return bool(resolver.entry(path_of(key, name), key.default == "true").value)


def _default_connection(resolver: Resolver, connections: Mapping[str, ConnectionSettings]) -> str:
    """The one that is named; else `warehouse`, or the only one there is."""
    path = keys.DEFAULT_CONNECTION.path
    names = ", ".join(connections)
    if path not in resolver.entries and DEFAULT_NAME not in connections:
        if len(connections) > 1:
            said = f"default_connection is not set, and no connection is named warehouse. Set it: {names}."
            resolver.mistakes.tell(SettingsError(said))
        resolver.origins[dotted(path)] = "default: the only connection"
        return next(iter(connections))
    name = resolver.text(path, DEFAULT_NAME)
    if name in connections:
        return name
    at = place_of(resolver.entry(path, DEFAULT_NAME), path)
    said = f"{at} names no connection: '{printable(name)}'.{did_you_mean(name, connections)} Connections: {names}."
    if dotted(path) in resolver.origins:  # else the text itself was refused, and that is told
        resolver.refuse(path, said)
    return next(iter(connections))


def _params(resolver: Resolver) -> Mapping[str, Mapping[str, Any]]:
    families: dict[str, dict[str, Any]] = {}
    for path in resolver.entries:
        if path[0] == "params":
            entry = resolver.entry(path, None)
            resolver.origins.setdefault(dotted(path[:2]), entry.table_origin)
            families.setdefault(path[1], {})[path[2]] = resolver.expand(entry, entry.value, path)
    return MappingProxyType({family: MappingProxyType(values) for family, values in families.items()})


def _modules(resolver: Resolver) -> tuple[str, ...]:
    path = keys.PIPELINES_MODULES.path
    if path not in resolver.entries:
        return ()
    entry = resolver.entry(path, [])
    modules = tuple(resolver.expand(entry, entry.value, path))
    for module in modules:
        if not re.fullmatch(_MODULE, module):
            resolver.refuse(
                path,
                f"{place_of(entry, path)}: '{printable(module)}' is not the dotted name of a Python module, "
                "as in acme.etl.",
            )
    return tuple(module for module in modules if re.fullmatch(_MODULE, module))


def _pipelines_path(resolver: Resolver) -> Path | None:
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
            both = [dotted(path_of(keys.CONNECTION_URL, connection.name)), dotted(keys.STATE_URL.path)]
            first, second = sorted(both, key=lambda key: settings.origins[key] == DEFAULT)  # a default is no place
            origin = settings.origins[second]
            raise SettingsError(
                f"{settings.origins[first]}: '{first}' and '{second}' "
                f"({'its default' if origin == DEFAULT else origin}) are the same SQLite file, {printable(state)}. "
                "Give them one each."
            )


def _real_file(url: Secret) -> str | None:
    file = sqlite_file(url.reveal()) if url.is_known else None
    return os.path.realpath(file) if file is not None else None
