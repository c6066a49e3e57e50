"""The one ambient thing: where a target finds its database and a task its settings, and what the attempt at hand tells.

`app.py` puts a Context in place around everything it runs. Code that uses a target outside any app (a script, a
notebook) gets one made from the settings of the current folder: `current()` asks the module named in `_DEFAULT`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from etlctl.errors import UsageError

if TYPE_CHECKING:
    from etlctl.core.task import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What tasks and targets may ask of the program around them."""

    project: Path
    """Relative paths start here; an absolute path."""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Values of the settings' `[params.Family]` sections, by task family."""
    place_of_param: Callable[[str, str], str] = field(default=lambda family, name: f"[params.{family}]")  # noqa: ARG005
    """Where the value of a family's parameter stands, for sentences about it: `config/etlctl.toml:7`."""
    database: Callable[[str | None], Any] = field(default=lambda name: _no_database(name))
    """A `db.connections.Database` by name or URL; None asks for the default connection."""
    settings: Any = None
    """The Settings it was made of, for a build inside it; nothing is read from them here."""
    has_state: bool = False
    """Whether the build around it takes leases and keeps a history, for a build inside it."""
    mask: Callable[[str, Collection[str]], str] = field(default=lambda text, values: text)  # noqa: ARG005
    """A text without the secrets of the settings, nor these values; for `private.hidden`."""
    given: Sequence[tuple[Collection[str], Mapping[str, Any]]] = ()
    """What schedules of the settings give to parameters: families, and values by name."""
    stop: Callable[[], Any] = field(default=lambda: None)
    """Whether the build around it is to end (its exit code), for a build inside it."""


@dataclass(frozen=True)
class LeaseOfAttempt:
    """What a load needs to know of the lease it works under."""

    key: str
    owner: str
    fence: int
    register: Callable[[str, str], None] = field(repr=False, compare=False)
    """Called with the connection's name and the session's own mark before a load begins its transaction."""


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
    waiting: str = ""
    """What it waits for at the moment ("the lock of the database"); empty while it works."""
    progress: tuple[float, float] | None = None
    """What the task itself told last: done and total, in units of its own."""
    status: str = ""
    """The sentence that the task told last."""
    number: int = 1
    """Which attempt at the task it is in this run, from 1."""
    log: str = ""
    """Where its output is kept: a path or an `s3://` address; empty when it is kept nowhere."""
    worker: str = ""
    """`host:pid` of the process that runs it, where that is another than the run's own."""
    lease: LeaseOfAttempt | None = None
    """Its lease, where there is one."""
    transactions: int = 0
    """Load transactions open at the moment; a run() that yields tasks must not hold one."""
    committed: set[Any] = field(default_factory=set, repr=False, compare=False)
    """Markers whose COMMIT the database has acknowledged meanwhile: they are there, and need not be asked for."""
    module: str = ""
    """The module that the task's class is written in; empty outside a build."""
    met: Sequence[Task] = field(default=(), repr=False, compare=False)
    """Requirements known to have ended well: an executor need not ask the runner for them."""


class InPlace(Generic[T]):
    """Puts a value in place for one `with` block. No @contextmanager: each task has such a block."""

    def __init__(self, variable: ContextVar[T | None], everywhere: dict[InPlace[T], tuple[int, T]], value: T) -> None:
        self._variable = variable
        self._everywhere = everywhere
        self._value = value

    def __enter__(self) -> T:
        self._token = self._variable.set(self._value)
        self._everywhere[self] = (threading.get_ident(), self._value)
        return self._value

    def __exit__(self, *exception: object) -> None:
        del self._everywhere[self]
        self._variable.reset(self._token)


_context: ContextVar[Context | None] = ContextVar("etlctl_context", default=None)
_attempt: ContextVar[Attempt | None] = ContextVar("etlctl_attempt", default=None)
# What is in place in any thread, with that thread: a thread that run() starts begins with empty context variables, and
# must not fall back to other settings than those it was started under.
_contexts: dict[InPlace[Context], tuple[int, Context]] = {}
_attempts: dict[InPlace[Attempt], tuple[int, Attempt]] = {}
_DEFAULT = "etlctl.outside"
"""The module whose `default_context()` makes a Context where nobody has put one in place. Named, not imported: it is
three floors up, and a program that opens an app never needs it here."""


def current() -> Context:
    """The Context in place; in a thread that a task has started, that of the task; else that of the current folder.

    Raises UsageError in a thread where two projects are open in others and it cannot tell which it belongs to.
    """
    context = _context.get() or in_place()  # each task that is made asks for it
    if context is not None:
        return context
    made: Context = import_module(_DEFAULT).default_context()  # waits where another thread is importing it
    return made


def in_place() -> Context | None:
    """The Context that this thread, or the task that has started it, works in; None outside any app."""
    context = _context.get()
    return context if context is not None else _of_other_threads()


def attempt() -> Attempt:
    """The attempt at hand; outside a build, one that nobody reads."""
    found = _attempt.get()
    if found is not None:
        return found
    elsewhere = _innermost(_attempts)
    return elsewhere[0] if len(elsewhere) == 1 else Attempt()


def use(context: Context) -> InPlace[Context]:
    """For a `with` block: puts `context` in place, in this thread and those that are started in it."""
    return InPlace(_context, _contexts, context)


def attempting(attempt: Attempt) -> InPlace[Attempt]:
    """For a `with` block: makes `attempt` the one that `attempt()` returns."""
    return InPlace(_attempt, _attempts, attempt)


def _of_other_threads() -> Context | None:
    """The innermost of the one other thread that has any; that of all others when they agree."""
    if not _contexts:
        return None
    elsewhere = _innermost(_contexts)
    if len({id(context) for context in elsewhere}) > 1:
        raise UsageError(
            "Several projects are open in this process, and this thread was started outside of all of them. Start it "
            "with contextvars.copy_context().run, in the task that it works for."
        )
    return next(iter(elsewhere), None)


def _innermost(everywhere: Mapping[InPlace[T], tuple[int, T]]) -> list[T]:
    """What each other thread has put in place last."""
    here = threading.get_ident()
    return list({thread: value for thread, value in list(everywhere.values()) if thread != here}.values())


def _no_database(name: str | None) -> Any:
    raise RuntimeError(f"no settings are open, so there is no database {name or '(default)'}")
