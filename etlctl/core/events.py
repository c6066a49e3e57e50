"""Luigi's events: callbacks that a class registers and that fire for its instances and those of its subclasses."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from etlctl.core import context
from etlctl.core.private import hidden
from etlctl.text import shortened

Callback = TypeVar("Callback", bound=Callable[..., Any])


class Event(StrEnum):
    """The moments one can listen to; values are Luigi's, the arguments of each callback stand beside it."""

    DEPENDENCY_DISCOVERED = "event.core.dependency.discovered"  # (task, requirement)
    DEPENDENCY_MISSING = "event.core.dependency.missing"  # (task): an external input that is not there
    DEPENDENCY_PRESENT = "event.core.dependency.present"  # (task): found complete
    BROKEN_TASK = "event.core.task.broken"  # (task, error): requires(), output() or complete() raised
    START = "event.core.start"  # (task)
    PROGRESS = "event.core.progress"  # (task, {"done": …, "total": …} or {"status": …})
    FAILURE = "event.core.failure"  # (task, error)
    SUCCESS = "event.core.success"  # (task)
    TIMEOUT = "event.core.timeout"  # (task, sentence): it ran longer than its `timeout`, and was ended
    PROCESSING_TIME = "event.core.processing_time"  # (task, seconds)


class EventSource:
    """Gives a class `event_handler` and its instances `trigger_event`."""

    _listened: ClassVar[set[str]] = set()

    @classmethod
    def event_handler(cls, event: Event | str) -> Callable[[Callback], Callback]:
        """Decorator: the function is called at each `event` of this class and its subclasses."""

        def register(callback: Callback) -> Callback:
            handlers: dict[str, list[Callable[..., Any]]] | None = vars(cls).get("_event_handlers")
            if handlers is None:
                handlers = {}
                cls._event_handlers = handlers  # type: ignore[attr-defined]  # one table per class, made on first use
            handlers.setdefault(str(event), []).append(callback)
            EventSource._listened.add(str(event))
            return callback

        return register

    @classmethod
    def remove_event_handler(cls, event: Event | str, callback: Callable[..., Any]) -> None:
        """Takes back what `event_handler` registered on this very class; ValueError when it was not there."""
        vars(cls).get("_event_handlers", {}).get(str(event), []).remove(callback)

    @staticmethod
    def is_listened_to(event: Event | str) -> bool:
        """Whether any class ever had a handler for it: most events have none, ever."""
        listened = EventSource._listened
        return bool(listened) and event in listened  # asked for each task of a graph, and an Event hashes slowly

    def trigger_event(self, event: Event | str, *arguments: Any) -> None:
        """Calls the handlers of this class and its bases. A handler that raises is logged and changes nothing."""
        if not EventSource.is_listened_to(event):
            return
        for base in type(self).__mro__:
            for callback in tuple(vars(base).get("_event_handlers", {}).get(str(event), ())):
                try:
                    callback(*arguments)
                except (Exception, SystemExit) as error:  # noqa: BLE001  a user's: it is told, and harms no task
                    _tell(callback, event, error)


def _tell(callback: Callable[..., Any], event: Event | str, error: BaseException) -> None:
    import logging  # 8 ms that a list of tasks need not wait for

    name = getattr(callback, "__name__", None) or shortened(repr(callback))
    shown = next((f"Event.{one.name}" for one in Event if one == event), f"the event {event}")
    raised = shortened(hidden(f"{type(error).__name__}: {error}".rstrip(": ")), 200)
    own = error.__traceback__.tb_next if error.__traceback__ is not None else None  # the first is trigger_event()
    place = f" ({_in_project(own.tb_frame.f_code.co_filename)}:{own.tb_lineno})" if own is not None else ""
    logging.getLogger("etlctl").error(
        "%s, a handler of %s, raised %s%s; the task goes on", name, shown, raised, place, exc_info=error
    )


def _in_project(file: str) -> str:
    around = context.in_place()
    return file if around is None else file.removeprefix(f"{around.project}/")
