"""Namespaces of task families, by module: what `etlctl.namespace("shop", scope=__name__)` sets."""

from __future__ import annotations

_MODULE_NAME = "\0module"
_namespaces: dict[str, str] = {}  # module scope -> namespace: Luigi's call, which a class being made has to find


def namespace(name: str | None = None, scope: str = "") -> None:
    """Classes made after this in module `scope` and below get `name.` before their name; no name takes it back.

    Call it with `scope=__name__`; an empty scope is every module.
    """
    if name is None:
        _namespaces.pop(scope, None)
    else:
        _namespaces[scope] = name


def auto_namespace(scope: str = "") -> None:
    """Classes made after this in module `scope` and below get their module's dotted name as namespace."""
    _namespaces[scope] = _MODULE_NAME


def namespace_of(module: str) -> str | None:
    """The namespace of a class made now in `module`: that of the longest scope that holds it, or None."""
    if not _namespaces:
        return None
    scopes = [scope for scope in _namespaces if not scope or module == scope or module.startswith(scope + ".")]
    if not scopes:
        return None
    found = _namespaces[max(scopes, key=len)]
    return module if found is _MODULE_NAME else found
