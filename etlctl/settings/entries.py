"""The raw values of the settings, key by key: what file, profile and environment say, the stronger over the weaker.

Names and types are checked here, also in profiles that are not asked for; what a text stands for is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from etlctl.errors import SettingsError
from etlctl.settings.ages import age_s, wait_s
from etlctl.settings.document import Document
from etlctl.settings.keys import (
    CONFIG_VARIABLE,
    INHERITS,
    LEAST_S,
    MOST_S,
    NAME,
    PROFILE_VARIABLE,
    PROFILES,
    SCHEDULE_CRON,
    TREE,
    Key,
    KeyPath,
    Kind,
    Tree,
    all_keys,
    child,
    dotted,
    key_of,
)
from etlctl.settings.mistakes import Mistakes
from etlctl.suggest import did_you_mean, nearest
from etlctl.text import printable, shortened

_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
_NAMED = {"connections": "connection", "schedules": "schedule", "notify": "notifier"}
"""The tables of tables that the user names."""
_INSTEAD = {"every": "cron", "cron": "every"}
_PREFIX = "ETLCTL_"
_CONNECTIONS_PREFIX = "ETLCTL_CONNECTIONS_"
_PARAMS_PREFIX = "ETLCTL_PARAMS_"
_NEARLY_OURS = ("ETLCTL_CONNECTION_", "ETLCTL_PIPELINE_", "ETLCTL_PROFILE_", "ETLCTL_CONFIG_")
_OF_TESTS = "ETLCTL_TEST_"
"""Names the services that etlctl's own tests use; docs/development.md."""
_OF_A_SERVICE = r".*_SERVICE_(HOST|PORT(_\w+)?)|.*_PORT(_\d+_\w+)?"
"""What Kubernetes sets for a service called etlctl or etlctl-state; see its page on services."""


class Entry(NamedTuple):
    """One value as it was found."""

    value: Any
    origin: str
    is_literal: bool = False
    """Taken as it is: `${` in it means nothing."""
    table_origin: str = ""
    """Where the table that holds it begins, in a file."""


Entries: TypeAlias = dict[KeyPath, Entry]


class Layer(NamedTuple):
    """What one table of keys holds: the top of the file, or a profile."""

    entries: Entries
    connections: dict[str, str]
    """Every connection that is named, be it with an empty table, and where."""
    inherits: Entry | None = None
    """Of a profile: the name of the one that it inherits from."""


def file_layer(document: Document, mistakes: Mistakes) -> Layer:
    """The keys at the top of the file, profiles aside."""
    top = {name: value for name, value in document.table.items() if name != PROFILES}
    return _layer(document, top, (), "", mistakes)


def profile_layers(document: Document, mistakes: Mistakes) -> dict[str, Layer]:
    """The keys of every `[profiles.NAME]`, by name."""
    profiles: Mapping[str, Any] = {}
    with mistakes.told():
        profiles = _table(document, document.table.get(PROFILES, {}), (PROFILES,))
    return {name: _profile(document, name, table, mistakes) for name, table in profiles.items()}


def _profile(document: Document, name: str, value: Any, mistakes: Mistakes) -> Layer:
    path = (PROFILES, name)
    table: Mapping[str, Any] = {}
    with mistakes.told():
        table = _table(document, value, path)
    own = {key: below for key, below in table.items() if key != INHERITS}
    layer = _layer(document, own, path, f" (profile {printable(name)})", mistakes)
    if INHERITS not in table:
        return layer
    at = document.at((*path, INHERITS))
    if not isinstance(table[INHERITS], str):
        shown = dotted((*path, INHERITS))
        said = f"{at}: '{shown}' must be the name of a profile, not {_kind_of(table[INHERITS])}."
        mistakes.tell(SettingsError(said))
        return layer
    return layer._replace(inherits=Entry(table[INHERITS], at))


def layered(layers: Iterable[Layer]) -> Entries:
    """The keys of all layers, the weakest first; where a stronger one gives a schedule `cron`, `every` goes, and the
    other way round."""
    found: Entries = {}
    for layer in layers:
        for path in layer.entries:
            if path[0] == SCHEDULE_CRON.path[0] and path[2] in _INSTEAD:
                found.pop((*path[:-1], _INSTEAD[path[-1]]), None)
        found |= layer.entries
    return found


def environment_entries(environ: Mapping[str, str], connections: Iterable[str], mistakes: Mistakes) -> Entries:
    """The overrides among the environment variables; one that names no connection is a mistake."""
    known = _variables(connections)
    entries: Entries = {}
    for name in sorted(environ):
        with mistakes.told():
            path = _overridden(name, known)
            if path is not None:
                entries[path] = _environment_entry(name, environ[name], path)
    return entries


def _overridden(name: str, known: Mapping[str, list[KeyPath]]) -> KeyPath | None:
    """The key that a variable of this name stands for; None for one that is none of ours."""
    if name.startswith(_PARAMS_PREFIX):
        raise SettingsError(
            f"environment variable {name}: parameters are not set this way, since their names are case sensitive. "
            'Write [params.Family] name = "${VARIABLE}" in the settings file.'
        )
    paths = known.get(name, [])
    if not paths and name.startswith(_CONNECTIONS_PREFIX):
        raise SettingsError(
            f"environment variable {name} overrides nothing: no connection is named so, or has such a key."
            f"{did_you_mean(name, known)}"
        )
    if len(paths) > 1:
        both = " and ".join(dotted(path) for path in paths)
        raise SettingsError(f"environment variable {name} stands for {both}. Rename one of the connections.")
    return paths[0] if paths else None


def variable_warnings(environ: Mapping[str, str], connections: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each environment variable that looks like an override and is none."""
    known = {*_variables(connections), CONFIG_VARIABLE, PROFILE_VARIABLE}
    warnings = []
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name.startswith(_OF_TESTS):
            continue
        if name in known or re.fullmatch(_OF_A_SERVICE, name):
            continue
        meant = nearest(name.removeprefix(_PREFIX), sorted(one.removeprefix(_PREFIX) for one in known))
        if meant is not None or name.startswith(_NEARLY_OURS):
            hint = f" Did you mean '{_PREFIX}{meant}'?" if meant is not None else ""
            warnings.append(f"environment variable {printable(name)} sets nothing.{hint} Rename or unset it.")
    return tuple(warnings)


def _variables(connections: Iterable[str]) -> dict[str, list[KeyPath]]:
    variables: dict[str, list[KeyPath]] = {}
    names = list(connections)
    for key in all_keys():
        if key.variable is None:
            continue
        if NAME not in key.path:
            variables[key.variable] = [key.path]
            continue
        for name in names:
            form = re.sub("[^A-Za-z0-9]", "_", name).upper()
            path = tuple(name if part == NAME else part for part in key.path)
            variables.setdefault(key.variable.replace(f"_{NAME}_", f"_{form}_"), []).append(path)
    return variables


def _environment_entry(name: str, text: str, path: KeyPath) -> Entry:
    origin = f"environment variable {name}"
    if not text:
        raise SettingsError(f"{origin} is set, but empty. Unset it, or give it a value.")
    key = key_of(path)
    if key is None or key.kind is Kind.TEXT:
        return Entry(text, origin, is_literal=True)
    return Entry(_value_of(key, text, f"{origin}: '{dotted(path)}'"), origin, is_literal=True)


def _value_of(key: Key, text: str, where: str) -> Any:
    """What the text of a variable is as a value of the key's kind."""
    if key.kind is Kind.TEXTS:
        return [item.strip() for item in text.split(",")]
    if key.kind is Kind.SWITCH:
        if text not in ("true", "false"):
            raise SettingsError(f"{where} must be true or false, not '{printable(shortened(text, 40))}'.")
        return text == "true"
    if key.kind is Kind.SECONDS:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise SettingsError(f"{where} must be {_seconds(key)}, as in 30, not '{printable(shortened(text, 40))}'.")
        _check_seconds(key, float(text), where)
        return float(text)
    if key.kind is Kind.COUNT:
        if not re.fullmatch("[0-9]{1,13}", text):
            raise SettingsError(f"{where} must be {_count(key)}, not '{printable(shortened(text, 40))}'.")
        _check_count(key, int(text), where)
        return int(text)
    if key.kind in (Kind.AGE, Kind.WAIT):
        _check_age(key, text, where)
    return text


def _check_seconds(key: Key, value: float, where: str) -> None:
    if not key.least_s <= value <= MOST_S or 0 < value < LEAST_S:  # nor nan
        raise SettingsError(f"{where} must be {_seconds(key)}.")


def _seconds(key: Key) -> str:
    return f"{key.kind.value} from {key.least_s:g} to {MOST_S}"


def _check_count(key: Key, value: int, where: str) -> None:
    if not key.least <= value <= key.most:
        raise SettingsError(f"{where} must be {_count(key)}.")


def _check_age(key: Key, told: Any, where: str) -> None:
    read = age_s if key.kind is Kind.AGE else wait_s
    if read(told) is None:
        raise SettingsError(f"{where} must be {key.kind.value}, not '{printable(shortened(str(told), 40))}'.")


def _count(key: Key) -> str:
    return f"{key.kind.value} from {key.least} to {key.most}"


def _layer(document: Document, table: Mapping[str, Any], prefix: KeyPath, note: str, mistakes: Mistakes) -> Layer:
    layer = Layer({}, {})
    _Collecting(document, len(prefix), layer, note, mistakes).collect(table, TREE, prefix)
    for named, what in _NAMED.items():
        below = table.get(named, {})
        for name in below if isinstance(below, Mapping) else ():
            with mistakes.told():
                _take_name(document, (*prefix, named, name), below[name], what, layer, note)
    return layer


def _take_name(document: Document, path: KeyPath, below: Any, what: str, layer: Layer, note: str) -> None:
    """Looks at the name that the user gave to a table; a connection is one with an empty table, too."""
    *_, named, name = path
    if not re.fullmatch(_NAME, name):
        raise SettingsError(
            f"{document.at(path)}: '{dotted(path)}': a {what}'s name is letters, digits, _ and -, "
            "a letter first. Rename it."
        )
    if named == "connections" and isinstance(below, Mapping):
        layer.connections[name] = document.at(path) + note
    elif not below:
        raise SettingsError(f"{document.at(path)}: '{dotted(path)}' is empty. Fill it, or take it out.")


class _Collecting(NamedTuple):
    """One layer while it is filled."""

    document: Document
    skip: int
    """How many parts of a path stand before what the layer knows it by."""
    layer: Layer
    note: str
    mistakes: Mistakes

    def collect(self, table: Mapping[str, Any], tree: Tree, path: KeyPath) -> None:
        """Puts each value under `table`, which stands at `path`, into the layer."""
        for name, value in table.items():
            with self.mistakes.told():
                self._take(value, tree, (*path, name))

    def _take(self, value: Any, tree: Tree, here: KeyPath) -> None:
        known = child(tree, here[-1])
        if known is None:
            raise _unknown(self.document, here, tree, is_top=len(here) == self.skip + 1)
        if isinstance(known, Key):
            _check_kind(self.document, here, known, value)
            at, table_at = (self.document.at(path) + self.note for path in (here, here[:-1]))
            self.layer.entries[here[self.skip :]] = Entry(value, at, table_origin=table_at)
        else:
            self.collect(_table(self.document, value, here), known, here)


def _unknown(document: Document, path: KeyPath, tree: Tree, *, is_top: bool) -> SettingsError:
    names = [*tree, *([PROFILES] if len(path) == 1 else [])]
    name = path[-1]
    sentence = f"{document.at(path)}: unknown key '{dotted(path)}'."
    if not is_top and name in TREE:
        return SettingsError(f"{sentence} {name} belongs at the top, before the first [table].")
    return SettingsError(f"{sentence}{did_you_mean(name, names)} Known here: {', '.join(sorted(names))}.")


def _table(document: Document, value: Any, path: KeyPath) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise SettingsError(f"{document.at(path)}: '{dotted(path)}' must be a table of keys, not {_kind_of(value)}.")


_TYPES: Mapping[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.URL: (str,),
    Kind.TEXTS: (list,),
    Kind.SECRET: (str,),
    Kind.COUNT: (int,),
    Kind.SECONDS: (int, float),
    Kind.AGE: (str,),
    Kind.WAIT: (int, float, str),
    Kind.SWITCH: (bool,),
}


def _check_kind(document: Document, path: KeyPath, key: Key, value: Any) -> None:
    if key.kind is Kind.ANY:
        return
    at = f"{document.at(path)}: '{dotted(path)}'"
    if type(value) not in _TYPES[key.kind]:
        raise SettingsError(f"{at} must be {key.kind.value}, not {_kind_of(value)}.")
    if key.kind is Kind.SECONDS:
        _check_seconds(key, value, at)
    if key.kind is Kind.COUNT:
        _check_count(key, value, at)
    if key.kind in (Kind.AGE, Kind.WAIT):
        _check_age(key, value, at)
    wrong = [item for item in value if not isinstance(item, str)] if key.kind is Kind.TEXTS else []
    if wrong:
        raise SettingsError(f"{at} must be {key.kind.value}; {_kind_of(wrong[0])} is among them.")


def _kind_of(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, Mapping) else "a date or time")
