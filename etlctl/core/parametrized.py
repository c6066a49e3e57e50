"""A class with parameters: how values are gathered, checked and turned back into text. Base of Task and of Config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, ClassVar, Self

from etlctl.core import context
from etlctl.core.identity import json_form
from etlctl.core.parameters import Parameter, ParameterVisibility
from etlctl.errors import (
    DuplicateParameterError,
    MissingParameterError,
    ParameterError,
    ParameterValueError,
    UnknownParameterError,
)
from etlctl.suggest import did_you_mean
from etlctl.text import shortened


class Parametrized:
    """Values by position or by name, then from the settings' `[params.Family]`, then the default.

    The positional order is Luigi's: by creation of the Parameter objects, so `@requires(A)` puts A's parameters
    before a class's own, a redeclared one moves last, and a plain override (`x = 5`) removes the parameter.
    """

    task_family: ClassVar[str] = "Parametrized"
    """The name in ids, settings and on the command line: the class name, behind its namespace."""
    _parameters: ClassVar[dict[str, Parameter[Any]]] = {}
    _positional: ClassVar[tuple[str, ...]] = ()
    _identifying: ClassVar[dict[str, Parameter[Any]]] = {}
    """Those that identity consists of, by alphabet."""
    _identity_form: ClassVar[str] = "{}"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.task_family = cls.__name__
        cls._collect_parameters()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.update(self._gather(args, kwargs))

    @classmethod
    def get_params(cls) -> list[tuple[str, Parameter[Any]]]:
        """Name and Parameter of each, in positional order."""
        return list(cls._parameters.items())

    @classmethod
    def get_param_names(cls, include_significant: bool = False) -> list[str]:
        """Names of the significant parameters; of all with `include_significant` (Luigi's word for it)."""
        return [name for name, parameter in cls._parameters.items() if include_significant or parameter.significant]

    @classmethod
    def from_str_params(cls, params: Mapping[str, str]) -> Self:
        """The instance that `to_str_params()` describes."""
        return cls(**{name: cls.parse_param(name, text) for name, text in params.items()})

    @classmethod
    def parse_param(cls, name: str, text: str) -> Any:
        """The value that `text` means for this parameter; raises ParameterError in a full sentence."""
        parameter = cls._parameter(name)
        try:
            return parameter.parse(text)
        except Exception as error:
            raise cls._value_error(parameter, text, error) from error

    @property
    def param_kwargs(self) -> dict[str, Any]:
        """Every parameter's value by name."""
        return {name: self.__dict__[name] for name in self._parameters}

    def to_str_params(self, only_significant: bool = False, only_public: bool = False) -> dict[str, str]:
        """Every parameter's value as text that `from_str_params` reads; private ones too unless `only_public`."""
        return {
            name: parameter.serialize(self.__dict__[name])
            for name, parameter in self._parameters.items()
            if (parameter.significant or not only_significant)
            and (parameter.visibility is ParameterVisibility.PUBLIC or not only_public)
        }

    @classmethod
    def _collect_parameters(cls) -> None:
        found: dict[str, Parameter[Any]] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Parameter):
                    found[name] = value
                else:
                    found.pop(name, None)
        cls._parameters = dict(sorted(found.items(), key=lambda item: item[1].creation_order))
        cls._positional = tuple(name for name, parameter in cls._parameters.items() if parameter.positional)
        cls._identifying = {
            name: parameter
            for name, parameter in sorted(cls._parameters.items(), key=itemgetter(0))
            if parameter.significant and parameter.visibility is ParameterVisibility.PUBLIC
        }
        cls._identity_form = json_form(cls._identifying)

    @classmethod
    def _parameter(cls, name: str) -> Parameter[Any]:
        try:
            return cls._parameters[name]
        except KeyError:
            raise UnknownParameterError(cls._unknown(name)) from None

    @classmethod
    def _unknown(cls, name: str, where: str = "") -> str:
        known = ", ".join(cls._parameters) or "none"
        return (
            f"{cls.task_family} has no parameter {shortened(name)!r}{where}.{did_you_mean(name, cls._parameters)} "
            f"Its parameters: {known}."
        )

    @classmethod
    def _gather(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        parameters = cls._parameters
        given = cls._by_name(args, kwargs) if args else kwargs
        section = context.current().params.get(cls.task_family)
        if section:
            cls._check_section(section)
        values: dict[str, Any] = {}
        taken = 0
        for name, parameter in parameters.items():
            if name in given:
                taken += 1
                value = given[name]
                try:
                    values[name] = parameter.normalize(value)
                except Exception as error:
                    raise cls._value_error(parameter, value, error, from_python=True) from error
            elif section and name in section:
                values[name] = cls._from_settings(parameter, section[name])
            else:
                values[name] = cls._default(parameter)
        if taken < len(given):
            unknown = next(name for name in given if name not in parameters)
            raise UnknownParameterError(cls._unknown(unknown))
        return values

    @classmethod
    def _check_section(cls, section: Mapping[str, Any]) -> None:
        for name in section:
            if name not in cls._parameters:
                where = context.current().place_of_param(cls.task_family, name)
                raise UnknownParameterError(cls._unknown(name, f", named in {where}"))

    @classmethod
    def _by_name(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        positional = cls._positional
        if len(args) > len(positional):
            takes = f"takes {len(positional)} by position ({', '.join(positional)})" if positional else "takes none"
            raise UnknownParameterError(f"{cls.task_family} was given {len(args)} values by position, but {takes}.")
        for place, value in enumerate(args):
            name = positional[place]
            if name in kwargs:
                raise DuplicateParameterError(f"{cls.task_family} was given {name} twice: by position and by name.")
            kwargs[name] = value
        return kwargs

    @classmethod
    def _from_settings(cls, parameter: Parameter[Any], value: Any) -> Any:
        try:
            return parameter.normalize(parameter.parse(value) if isinstance(value, str) else value)
        except Exception as error:
            where = f" (from {context.current().place_of_param(cls.task_family, parameter.name)})"
            raise cls._value_error(parameter, value, error, where) from error

    @classmethod
    def _default(cls, parameter: Parameter[Any]) -> Any:
        if not parameter.has_default:
            name = parameter.name
            raise MissingParameterError(
                f"{cls.task_family} needs {name}: give --{name.replace('_', '-')} on the command line or "
                f"{cls.__name__}({name}=…) in Python; {parameter.accepts} is accepted."
            )
        try:
            return parameter.default_value()
        except ParameterError:
            raise
        except Exception as error:
            private = parameter.visibility is ParameterVisibility.PRIVATE
            reason = "." if private else f": {_reason(error)}"
            raise ParameterValueError(
                f"{cls.task_family}.{parameter.name}: its default cannot be used{reason}"
            ) from error

    @classmethod
    def _value_error(
        cls, parameter: Parameter[Any], value: Any, error: Exception, where: str = "", *, from_python: bool = False
    ) -> ParameterValueError:
        # the text of the kind's own error may quote the value, so a private one gives neither
        if parameter.visibility is ParameterVisibility.PRIVATE:
            return ParameterValueError(f"{cls.task_family}.{parameter.name}: the private value is refused{where}.")
        reason = _reason(error)
        # what to give from Python is no text; the text that is accepted elsewhere would only contradict it
        accepted = "" if from_python and "; give " in reason else f"; {parameter.accepts} is accepted"
        return ParameterValueError(
            f"{cls.task_family}.{parameter.name}: cannot take {_value_shown(value)}{where}: {reason}{accepted}."
        )


def _value_shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(shortened(value))
    try:
        return shortened(repr(value))
    except Exception:  # noqa: BLE001  a user's __repr__, or Python's own: it refuses integers of 4,300 digits
        return f"a value of type {type(value).__name__}"


def _reason(error: Exception) -> str:
    """What a kind says of a value, in its own words; where they are Python's, with the kind of the error."""
    text = str(error) if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: {error}"
    return shortened(text, 200)


class Config(Parametrized):
    """A typed section of the settings: `[params.MyConfig]`. Its values may be assigned; `MyConfig()` is one object
    per process, so that every place that makes it sees the same values."""

    _parameters_are_mutable: ClassVar[bool] = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if args or kwargs:
            return super().__new__(cls)
        existing: Self | None = vars(cls).get("_instance")
        if existing is None:
            existing = super().__new__(cls)
            cls._instance = existing  # kept on the class itself, never inherited
        return existing

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs or not self.__dict__:
            super().__init__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{self.task_family}({_shown(self)})"


def _shown(instance: Parametrized, names: Iterable[str] | None = None) -> str:
    parameters = instance._parameters  # its own base class
    return ", ".join(
        f"{name}={parameter.serialize(instance.__dict__[name])}"
        for name, parameter in parameters.items()
        if parameter.visibility is not ParameterVisibility.PRIVATE and (names is None or name in names)
    )
