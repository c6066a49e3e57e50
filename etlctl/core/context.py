"""The one ambient thing: where a target finds its database and a task its settings, and what the attempt at hand tells.

`app.py` puts a Context in place around everything it runs. Code that uses a target outside any app (a script, a
notebook) gets one made from the settings of the current folder: `current()` asks the module named in `_DEFAULT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Context:
    """What tasks and targets may ask of the program around them."""

    project: Path
    """Relative paths start here; an absolute path."""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
    transactions: int = 0
    """Load transactions open at the moment; a run() that yields tasks must not hold one."""


_context: ContextVar[Context | None] = ContextVar("etlctl_context", default=None)
_attempt: ContextVar[Attempt | None] = ContextVar("etlctl_attempt", default=None)
_DEFAULT = "etlctl.app"
"""The module whose `default_context()` makes a Context where nobody has put one in place. Named, not imported: it is
three floors up, and a program that opens an app never needs it here."""


def current() -> Context:
    """The Context in place; without one, that of the current folder's settings."""
    context = _context.get()
    if context is not None:
        return context
    made: Context = import_module(_DEFAULT).default_context()
    return made


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


def _no_database(name: str | None) -> Any:
    raise RuntimeError(f"no settings are open, so there is no database {name or '(default)'}")
