"""The one ambient thing: where a target finds its database and a task its settings, and what the attempt at hand tells.

`app.py` puts a Context in place around everything it runs. Code that uses a target outside any app (a script, a
notebook) gets one made from the settings of the current folder, by the hook that `etlctl/__init__.py` installs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Context:
    """What tasks and targets may ask of the program around them."""

    project: Path
    """Relative paths start here; an absolute path."""
    params: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Values of the settings' `[params.Family]` sections, by task family."""
    database: Callable[[str | None], Any] = field(default=lambda name: _no_database(name))
    """A `db.connections.Database` by name or URL; None asks for the default connection."""


@dataclass
class Attempt:
    """What one run of one task tells while it goes on; read by the live display and the summary."""

    run_id: str = ""
    forced: bool = False
    """The user asked for this task by --force: its marker does not stop it, its rows are replaced."""
    rows: int | None = None
    """Rows written so far, or None for a task that has not counted any."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the summary line, such as "the file holds a header alone"."""


_context: ContextVar[Context | None] = ContextVar("etlctl_context", default=None)
_attempt: ContextVar[Attempt | None] = ContextVar("etlctl_attempt", default=None)
_default: Callable[[], Context] | None = None


def current() -> Context:
    """The Context in place; without one, that of the current folder's settings."""
    context = _context.get()
    if context is not None:
        return context
    return _default() if _default is not None else Context(project=Path.cwd())


def attempt() -> Attempt:
    """The attempt at hand; outside a build, one that nobody reads."""
    return _attempt.get() or Attempt()


@contextmanager
def use(context: Context) -> Iterator[Context]:
    """Puts `context` in place for the block, in this thread."""
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


@contextmanager
def attempting(attempt: Attempt) -> Iterator[Attempt]:
    """Makes `attempt` the one that `attempt()` returns within the block."""
    token = _attempt.set(attempt)
    try:
        yield attempt
    finally:
        _attempt.reset(token)


def set_default(factory: Callable[[], Context]) -> None:
    """Installs what `current()` uses where nobody has put a Context in place."""
    global _default  # noqa: PLW0603  set once, by the public face, since this floor cannot import app.py
    _default = factory


def _no_database(name: str | None) -> Any:
    raise RuntimeError(f"no settings are open, so there is no database {name or '(default)'}")
