"""Parameters whose value is one of a closed set, or a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Generic, Unpack

from etlctl.core.parameters.base import NO_VALUE, NoValue, Parameter, ParameterOptions, named_type
from etlctl.errors import ParameterError

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # shipped with the type checkers

    C = TypeVar("C", default=str)
else:
    from typing import TypeVar

    C = TypeVar("C")

E = TypeVar("E", bound=Enum)

_SEPARATOR = ","


class _Members(Generic[E]):
    """The members of an enum and their names; shared by the one-value and the list kind."""

    def __init__(self, enum: type[E] | None, owner: str) -> None:
        if not (isinstance(enum, type) and issubclass(enum, Enum)):
            raise ParameterError(f"{owner} needs the enum: {owner}(enum=Colour).")
        self.enum = enum
        self.names = ", ".join(enum.__members__)

    def named(self, name: str) -> E:
        try:
            return self.enum[name]
        except KeyError:
            pass
        parts = name.split("|") if issubclass(self.enum, Flag) else [name]
        if len(parts) == 1 or not all(part in self.enum.__members__ for part in parts):
            raise ValueError(f"{self.enum.__name__} has no member of that name; it has {self.names}")
        combined: Any = self.enum[parts[0]]
        for part in parts[1:]:
            combined |= self.enum[part]
        member: E = combined
        return member

    def checked(self, value: Any) -> E:
        if not isinstance(value, self.enum):
            example = f"{self.enum.__name__}.{next(iter(self.enum.__members__), 'MEMBER')}"
            raise TypeError(f"{named_type(value)} is not a member of {self.enum.__name__}; give {example}")
        if not value.name or self.named(value.name) is not value:
            raise ValueError(f"this combination of {self.enum.__name__} has no name, so no text could say it")
        return value


class EnumParameter(Parameter[E], Generic[E]):
    """A member of `enum`, written by its name."""

    def __init__(
        self,
        default: E | Callable[[], E] | NoValue = NO_VALUE,
        *,
        enum: type[E] | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(default, **options)
        self._members = _Members(enum, type(self).__name__)

    @property
    def accepts(self) -> str:
        return f"one of {self._members.names}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        return tuple(self._members.enum.__members__)

    def parse(self, text: str) -> E:
        return self._members.named(text)

    def serialize(self, value: E) -> str:
        return value.name

    def normalize(self, value: Any) -> E:
        return self._members.checked(value)


class EnumListParameter(Parameter[tuple[E, ...]], Generic[E]):
    """Members of `enum`, their names divided by commas; the order counts, and there may be none."""

    def __init__(
        self,
        default: Iterable[E] | Callable[[], Iterable[E]] | NoValue = NO_VALUE,
        *,
        enum: type[E] | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        declared: Any = default
        super().__init__(declared, **options)
        self._members = _Members(enum, type(self).__name__)

    @property
    def accepts(self) -> str:
        return f"names divided by commas, each one of {self._members.names}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        return tuple(self._members.enum.__members__)

    def parse(self, text: str) -> tuple[E, ...]:
        return tuple(self._members.named(name) for name in text.split(_SEPARATOR)) if text else ()

    def serialize(self, value: tuple[E, ...]) -> str:
        return _SEPARATOR.join(member.name for member in value)

    def normalize(self, value: Any) -> tuple[E, ...]:
        return tuple(self._members.checked(member) for member in _listed(value))


class _Choices(Generic[C]):
    """The permitted values by themselves and by their text; shared by the one-value and the list kind."""

    def __init__(self, choices: Iterable[C] | None, var_type: Callable[[Any], Any], owner: str) -> None:
        if choices is None:
            raise ParameterError(f"{owner} needs the choices: {owner}(choices=('a', 'b')).")
        self.values: dict[C, C] = {choice: choice for choice in choices}
        self.by_text = {str(choice): choice for choice in self.values}
        self.var_type = var_type
        for choice in self.values:
            if type(choice) is not var_type:
                kind = getattr(var_type, "__name__", var_type)
                raise ParameterError(f"{owner}: the choice {choice!r} is not of type {kind}; give var_type=….")
        if len(self.by_text) < len(self.values):
            raise ParameterError(f"{owner}: two choices have the same text.")
        self.texts = ", ".join(self.by_text)

    def named(self, text: str) -> C:
        if text in self.by_text:
            return self.by_text[text]
        try:
            return self.checked(self.var_type(text))
        except Exception:  # noqa: BLE001  whatever the user's type raises, it is the text that is wrong
            raise ValueError("it is none of the choices") from None

    def checked(self, value: Any) -> C:
        try:
            return self.values[value]
        except (KeyError, TypeError):
            raise ValueError(f"{named_type(value)} of this value is none of the choices") from None


class ChoiceParameter(Parameter[C], Generic[C]):
    """One of `choices`, all of the type `var_type` (text unless told)."""

    def __init__(
        self,
        default: C | Callable[[], C] | NoValue = NO_VALUE,
        *,
        choices: Iterable[C] | None = None,
        var_type: Callable[[Any], C] = str,  # type: ignore[assignment]  # the default goes with C's default
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(default, **options)
        self._choices = _Choices(choices, var_type, type(self).__name__)

    @property
    def accepts(self) -> str:
        return f"one of {self._choices.texts}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        return tuple(self._choices.by_text)

    def parse(self, text: str) -> C:
        return self._choices.named(text)

    def normalize(self, value: Any) -> C:
        return self._choices.checked(value)


class ChoiceListParameter(Parameter[tuple[C, ...]], Generic[C]):
    """Some of `choices`, divided by commas; the order counts, and there may be none."""

    def __init__(
        self,
        default: Iterable[C] | Callable[[], Iterable[C]] | NoValue = NO_VALUE,
        *,
        choices: Iterable[C] | None = None,
        var_type: Callable[[Any], C] = str,  # type: ignore[assignment]  # the default goes with C's default
        **options: Unpack[ParameterOptions],
    ) -> None:
        declared: Any = default
        super().__init__(declared, **options)
        self._choices = _Choices(choices, var_type, type(self).__name__)
        for text in self._choices.by_text:
            if not text or _SEPARATOR in text:
                raise ParameterError(
                    f"{type(self).__name__}: the choice {text!r} is empty or holds a comma, which divides the choices."
                )

    @property
    def accepts(self) -> str:
        return f"words divided by commas, each one of {self._choices.texts}"

    @property
    def suggestions(self) -> tuple[str, ...]:
        return tuple(self._choices.by_text)

    def parse(self, text: str) -> tuple[C, ...]:
        return tuple(self._choices.named(word) for word in text.split(_SEPARATOR)) if text else ()

    def serialize(self, value: tuple[C, ...]) -> str:
        return _SEPARATOR.join(str(choice) for choice in value)

    def normalize(self, value: Any) -> tuple[C, ...]:
        return tuple(self._choices.checked(choice) for choice in _listed(value))


def _listed(value: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(value, list | tuple):
        return value
    hint = "; a set has no order, give sorted(…)" if isinstance(value, set | frozenset) else ""
    raise TypeError(f"{named_type(value)} is not a list{hint}")
