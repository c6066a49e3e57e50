"""A task's parameters as options of a command: what each is called, how help shows it, what completion offers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from etlctl.core import context, dates
from etlctl.core.parameters import Parameter, ParameterVisibility
from etlctl.core.task import Task
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PREFIX = "etlctl_parameter_"
"""Goes before a parameter's name where click keeps its value, so that it can clash with nothing of ours."""


class ParameterOption(click.Option):
    """The option of a task's parameter; help shows it under its task, not among the built-in ones."""

    def __init__(self, name: str, parameter: Parameter[Any]) -> None:
        super().__init__(
            [PREFIX + name, *spellings(name)],
            multiple=True,
            metavar=metavar(parameter),
            help=shortened(parameter.description, 200) or None,
            shell_complete=lambda _ctx, _param, incomplete: offered(parameter, incomplete),
        )


def spellings(name: str) -> list[str]:
    """`--dep-delay` and `--dep_delay`."""
    dashed = "--" + name.replace("_", "-") if not name.startswith("_") else f"--{name}"
    return list(dict.fromkeys([dashed, f"--{name}"]))


def is_flag(parameter: Parameter[Any]) -> bool:
    """Whether the option may stand without a value, meaning true."""
    return hasattr(parameter, "parsing")


def options_of(classes: Iterable[type[Task]], taken: Collection[str]) -> list[click.Parameter]:
    """An option for each parameter of `classes`; none where one of its spellings is `taken` by a built-in."""
    found: dict[str, click.Parameter] = {}
    for cls in classes:
        for name, parameter in cls.get_params():
            if name not in found and not clashes(name, taken):
                found[name] = ParameterOption(name, parameter)
    return list(found.values())


def clashes(name: str, taken: Collection[str]) -> bool:
    """Whether a built-in option has the name, so that only `-p name=value` reaches the parameter."""
    return any(spelling in taken for spelling in spellings(name))


def with_flags_spelled_out(words: Sequence[str], classes: Iterable[type[Task]], taken: Collection[str]) -> list[str]:
    """`words` with `--flag` as `--flag=true`, `--flag false` as `--flag=false`, `--no-flag` as `--flag=false`.

    A flag takes the next word only when that is `true` or `false`, so `build A --flag B` names two tasks.
    """
    meanings: dict[str, tuple[str, str]] = {}
    for cls in classes:
        for name, parameter in cls.get_params():
            if is_flag(parameter) and not clashes(name, taken):
                for spelling in spellings(name):
                    meanings.setdefault("--no-" + spelling[2:], (spelling, "false"))
                    meanings[spelling] = (spelling, "true")
    done: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*done, word, *rest]
        if word not in meanings:
            done.append(word)
            continue
        spelling, meaning = meanings[word]
        if meaning == "true" and rest and rest[0].lower() in ("true", "false"):
            meaning = rest.pop(0).lower()
        done.append(f"{spelling}={meaning}")
    return done


def metavar(parameter: Parameter[Any]) -> str:
    """DATE, INT, TEXT …: the parameter's kind as help names it."""
    kind = type(parameter).__name__.removesuffix("Parameter").removeprefix("Optional")
    words = {"": "TEXT", "Str": "TEXT", "Bool": "[true|false]", "Of": "VALUE", "Numerical": "NUMBER", "Task": "TASK"}
    return words.get(kind, kind.upper())


def kind_of(parameter: Parameter[Any]) -> str:
    """`DateParameter`: the name of the parameter's class."""
    return type(parameter).__name__


def default_text(cls: type[Task], name: str, parameter: Parameter[Any]) -> str | None:
    """The value the task gets when none is given, as text; None when one must be given. Private ones are masked."""
    section = context.current().params.get(cls.task_family, {})
    if not default_is_there(cls, name, parameter):
        return None
    if parameter.visibility is ParameterVisibility.PRIVATE:
        return "***"
    if name in section:
        return shortened(str(section[name]))
    try:
        return shortened(parameter.serialize(parameter.default_value()))
    except Exception as error:  # noqa: BLE001  a user's function: help says so and goes on
        return f"cannot be told: {shortened(str(error))}"


def default_is_there(cls: type[Task], name: str, parameter: Parameter[Any]) -> bool:
    """Whether the parameter may be left out."""
    return parameter.has_default or name in context.current().params.get(cls.task_family, {})


def option_text(name: str, taken: Collection[str]) -> str:
    """`--date`, or `-p force=` where a built-in option has the name."""
    return f"-p {name}=" if clashes(name, taken) else spellings(name)[0]


def help_rows(cls: type[Task], taken: Collection[str]) -> list[tuple[str, str]]:
    """What `--help` shows of the task's parameters: the option, and what is to be known of it."""
    rows = []
    for name, parameter in cls.get_params():
        value = metavar(parameter)
        option = option_text(name, taken)
        rows.append((option + value if option.endswith("=") else f"{option} {value}", _told(cls, name, parameter)))
    return rows


def _told(cls: type[Task], name: str, parameter: Parameter[Any]) -> str:
    default = default_text(cls, name, parameter)
    from_settings = name in context.current().params.get(cls.task_family, {})
    if default is None:
        said = "required"
    elif default == "":
        said = "default: empty"
    else:
        said = f"default: {default}" + (", from the settings" if from_settings else "")
    described = printable(parameter.description).strip()
    sentence = f"{described}{'' if described.endswith(('.', '!', '?')) else '.'} " if described else ""
    return f"{sentence}{_capital(printable(dates.accepts(parameter)))}. [{said}]"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def offered(parameter: Parameter[Any], incomplete: str) -> list[CompletionItem]:
    """What completion offers as the parameter's value."""
    from click.shell_completion import CompletionItem  # a list of tasks completes nothing

    values: Sequence[str] = parameter.suggestions
    if dates.is_date_like(parameter):
        values = ("today", "yesterday", "-3d")
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]
