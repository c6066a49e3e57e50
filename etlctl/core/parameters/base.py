"""What every parameter kind has in common: the descriptor, its options and the plain text kind.

It must not know tasks, settings or the command line: whoever makes a task hands values in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Self, TypedDict, overload

from etlctl.errors import MissingParameterError, ParameterError, ParameterValueError

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # shipped with the type checkers: `default=` makes Parameter() mean str

    T = TypeVar("T", default=str)
else:
    from typing import TypeVar

    T = TypeVar("T")

_creation = itertools.count()


class ParameterVisibility(Enum):
    """Who may see a value. Only PUBLIC parameters are part of the task id; PRIVATE ones are never shown."""

    PUBLIC = 0
    HIDDEN = 1
    PRIVATE = 2

    @classmethod
    def has_value(cls, value: object) -> bool:
        """Is `value` one of the numbers behind the members?"""
        return any(value == member.value for member in cls)

    def serialize(self) -> int:
        """The number behind the member, as Luigi sends it."""
        return int(self.value)


class NoValue(Enum):
    """The type of NO_VALUE: an Enum, because type checkers narrow `is NO_VALUE` then."""

    NO_VALUE = "no value"

    def __repr__(self) -> str:
        return "NO_VALUE"


NO_VALUE = NoValue.NO_VALUE
"""Stands for "no default": None is a value like any other."""


class ParameterOptions(TypedDict, total=False):
    """The keyword options that every kind takes."""

    significant: bool
    description: str | None
    positional: bool
    visibility: ParameterVisibility
    always_in_help: bool
    batch_method: Callable[[Iterable[Any]], Any] | None


class Parameter(Generic[T]):
    """One value that a task is told, as a class attribute; on a task it reads as the value, on the class as itself.

    The plain kind holds text, kept exactly as it is given. A kind of one's own is a subclass with `parse`,
    `serialize` and `normalize`; `parse(serialize(x)) == x` must hold, since workers and task ids depend on it.

    `default` may be a callable (not a class), asked each time a task is made. `significant=False` leaves the value
    out of the task's identity; `visibility=ParameterVisibility.PRIVATE` keeps it out of every output.
    """

    name: str = ""
    """The attribute's name on the class; set by Python when the class is made."""
    _holds_text = True
    _default_is_asked = True

    def __init__(
        self,
        default: T | Callable[[], T] | NoValue = NO_VALUE,
        *,
        significant: bool = True,
        description: str | None = "",
        positional: bool = True,
        visibility: ParameterVisibility = ParameterVisibility.PUBLIC,
        always_in_help: bool = False,
        batch_method: Callable[[Iterable[Any]], Any] | None = None,
    ) -> None:
        if not isinstance(visibility, ParameterVisibility):
            raise ParameterError(f"visibility={visibility!r}: give one of ParameterVisibility.PUBLIC, HIDDEN, PRIVATE.")
        self.default: Any = default
        self.has_default = default is not NO_VALUE
        self.significant = significant
        self.description = description or ""
        self.positional = positional
        self.visibility = visibility
        self.always_in_help = always_in_help
        self.batch_method = batch_method
        self.creation_order = next(_creation)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._holds_text = cls.parse is Parameter.parse and cls.serialize is Parameter.serialize

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if self.name and self.name != name:
            raise ParameterError(
                f"{owner.__name__}.{name} is the same object as a parameter named {self.name}: make a new one."
            )
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self.name]
        except KeyError:
            raise AttributeError(
                f"{type(instance).__name__}.{self.name} has no value yet: an own __init__ must call super().__init__()"
            ) from None

    def __set__(self, instance: Any, value: T) -> None:
        if not getattr(type(instance), "_parameters_are_mutable", False):
            raise AttributeError(f"{type(instance).__name__}.{self.name} is fixed when the task is made")
        try:
            instance.__dict__[self.name] = self.normalize(value)
        except (ValueError, TypeError) as error:
            reason = "" if self.visibility is ParameterVisibility.PRIVATE else f" {error};"
            raise ParameterValueError(
                f"{type(instance).__name__}.{self.name} cannot be set:{reason} {self.accepts} is accepted."
            ) from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or '(no name yet)'}>"

    @property
    def accepts(self) -> str:
        """What would be accepted, for an error sentence and for help: "a date like 2013-01-31"."""
        return "text" if self._holds_text else f"a value of {type(self).__name__}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        """Texts that the kind takes, for completion in a shell; empty where there is no short list of them."""
        return ()

    def default_value(self) -> T:
        """The default, normalised; a callable one is asked anew each time. Raises MissingParameterError without one."""
        if not self.has_default:
            raise MissingParameterError(f"{self.name or 'the parameter'} has no default.")
        default = self.default
        if self._default_is_asked and callable(default) and not isinstance(default, type):
            default = default()
        return self.normalize(default)

    def is_at_fixed_default(self, value: T) -> bool:
        """Whether `value` is the default, in whatever form that was written; never so for one that is asked anew."""
        if not self.has_default or (self._default_is_asked and callable(self.default)):
            return False
        try:
            return self.serialize(self.default_value()) == self.serialize(value)
        except Exception:  # noqa: BLE001  a default that the kind refuses, told where it is used: this value is another
            return False

    def parse(self, text: str) -> T:
        """The value that `text` means; raises ValueError with a reason in plain words."""
        value: Any = text
        return self.normalize(value)

    def serialize(self, value: T) -> str:
        """`value` as text that `parse` reads: task ids are made of it, so it is Luigi's text for every kind."""
        return str(value)

    def normalize(self, value: Any) -> T:
        """`value` checked and in its one form, immutable; raises ValueError or TypeError with a reason.

        A kind that overrides `parse` or `serialize` but not this takes any hashable value that equals itself.
        """
        if self._holds_text:
            plain: T = self._text(value)
            return plain
        if type(value).__hash__ is None:
            raise TypeError(
                f"{named_type(value)} can be changed afterwards; {type(self).__name__} needs a normalize() that "
                f"makes it immutable (a tuple, a frozenset, a FrozenDict)"
            )
        if value != value:  # noqa: PLR0124  NaN and NaT: a task with one would not equal itself
            raise ValueError("it does not equal itself (NaN), so no task could be found again by it")
        checked: T = value
        return checked

    def next_in_enumeration(self, value: T) -> T | None:
        """The value after `value`, or None where the kind has no order or this is its last one."""
        return None

    def _text(self, value: Any) -> Any:
        if type(value) is str:
            return value
        if isinstance(value, str):
            return str.__str__(value)  # the characters of a subclass (an Enum of text, numpy's), as plain text
        raise TypeError(
            f"{named_type(value)} was given where text is held; use the kind made for it (IntParameter, "
            f"DateParameter, …) or give text"
        )


class StrParameter(Parameter[str]):
    """Text, kept exactly as it is given."""


def named_type(value: object) -> str:
    """ "an int", "a list", "None": the type of a value in words, since the value itself may be secret or long."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"
