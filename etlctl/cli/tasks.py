"""Commands that take tasks: finds TASK among the words, lets its parameters be options, and makes the tasks."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from shlex import quote
from typing import Any

import click
from click.shell_completion import CompletionItem

from etlctl.cli import mistakes, parameters
from etlctl.cli.options import CLASSES, Command, Common, common
from etlctl.cli.session import Session, brief_session, session
from etlctl.core import dates
from etlctl.core.parameters import Parameter, ParameterVisibility
from etlctl.core.private import hidden
from etlctl.core.task import Task
from etlctl.errors import EtlctlError, ParameterValueError, UnknownParameterError, UsageError
from etlctl.suggest import nearest
from etlctl.text import printable, shortened

MOST_TASKS = 1_000_000
"""More tasks than this from one command line are taken for a mistake."""

MANY_TASKS = 20_000
"""From so many tasks on the wait is worth a word."""

_OPTIONS = "etlctl.parameter_options"


@dataclass(frozen=True)
class Request:
    """What a command line asks for: the task classes, and each parameter's text as it was typed."""

    classes: tuple[type[Task], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    by_p: frozenset[str] = frozenset()
    """Those that were given as `-p name=value`."""
    now: dt.datetime | None = None
    """What `yesterday` was counted from."""

    @property
    def words(self) -> str:
        """The same as words of a command line that means it on any day; private values are left out."""
        words = [quote(cls.task_family) for cls in self.classes]
        for name, typed in self.texts.items():
            if not any(_is_private(cls, name) for cls in self.classes):
                text = self._without_words(name, typed)
                given = f"-p {name}=" if name in self.by_p else f"{parameters.spellings(name)[0]} "
                words.append(given + quote(printable(text)))
        return " ".join(words)

    def _without_words(self, name: str, typed: str) -> str:
        """`2013-01-02` for `yesterday`; as it was typed where two tasks would take two things for it."""
        if self.now is None:
            return typed
        of = (dict(cls.get_params()).get(name) for cls in self.classes)
        found = {dates.without_words(one, typed, self.now) for one in of if one is not None}
        return found.pop() if len(found) == 1 else typed


class TaskCommand(Command):
    """A command whose words are TASKs and their parameters.

    `make_context` parses twice: once with the built-in options alone, to find the tasks; then with the parameters of
    those tasks as options. Pipelines are imported in between, so that `--help` without a TASK imports none.
    """

    def __init__(
        self, name: str, *, needs_task: bool = True, params: Sequence[click.Parameter] = (), **more: Any
    ) -> None:
        super().__init__(
            name,
            params=[
                click.Argument(
                    ["tasks"],
                    nargs=-1,
                    metavar="TASK..." if needs_task else "[TASK]...",
                    shell_complete=_complete_task,
                ),
                *params,
                click.Option(
                    ["-p", "--param", "by_name"],
                    multiple=True,
                    metavar="NAME=VALUE",
                    help="A parameter by name, also one whose name is a built-in option.",
                    shell_complete=_complete_by_name,
                ),
            ],
            options_metavar="[--PARAMETER VALUE]... [OPTIONS]",
            **more,
        )
        self.needs_task = needs_task

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, ())]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_OPTIONS] = []
        ctx.meta[mistakes.WORDS] = args
        taken = built_in_spellings(ctx)
        classes = self._classes(ctx, args)
        ctx.meta[CLASSES] = classes
        ctx.meta[_OPTIONS] = parameters.options_of(classes, taken)
        rest = super().parse_args(ctx, parameters.with_flags_spelled_out(args, classes, taken))
        if not ctx.resilient_parsing:
            self._keep_request(ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for cls in ctx.meta.get(CLASSES, ()):
            rows = parameters.help_rows(cls, built_in_spellings(ctx))
            with formatter.section(f"Parameters of {printable(cls.task_family)}"):
                formatter.write_dl(rows) if rows else formatter.write_text("none")
        records = [one.get_help_record(ctx) for one in super().get_params(ctx) if isinstance(one, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])

    def _classes(self, ctx: click.Context, args: list[str]) -> list[type[Task]]:
        """The tasks named among words whose options are not all known yet."""
        if ctx.resilient_parsing and args and args[-1].startswith("-"):
            args = args[:-1]  # completion: its value is being typed, and click would stop at an option without one
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        found, _, _ = parser.parse_args(list(args))
        _apply(common(ctx), found)
        rest = found.get("tasks")
        words = [word for word in rest if isinstance(word, str)] if isinstance(rest, (list, tuple)) else []
        candidates = [word for word in words if not word.startswith("-")]
        if not words or (ctx.resilient_parsing and not candidates):
            return []
        try:
            registry = session(ctx).app.registry
            ctx.meta[mistakes.ALL_CLASSES] = registry.classes()
            if not candidates:
                return []
            known = {cls.task_family for cls in registry.classes()}
            named = [word for word in dict.fromkeys(candidates) if word in known]
            if not named:
                values = {words[n + 1] for n, word in enumerate(words[:-1]) if word.startswith("-") and "=" not in word}
                free = [word for word in candidates if word not in values]
                if not free and nearest(candidates[0], known) is None:
                    return []  # values of options alone: click stops at the first of these options
                named = (free or candidates)[:1]
                if mistakes.looks_like_date(named[0]):
                    raise click.UsageError(mistakes.no_task_but_date(ctx, named[0], ()), ctx)
            return [registry.find(name) for name in named]
        except EtlctlError:
            if ctx.resilient_parsing:
                return []
            raise

    def _keep_request(self, ctx: click.Context) -> None:
        names: tuple[str, ...] = ctx.params.pop("tasks") or ()
        by_name: tuple[str, ...] = ctx.params.pop("by_name") or ()
        given: dict[str, tuple[str, ...]] = {}
        for key in [key for key in ctx.params if key.startswith(parameters.PREFIX)]:
            texts = ctx.params.pop(key)
            if texts:
                given[key.removeprefix(parameters.PREFIX)] = texts
        if not names:
            if self.needs_task:
                raise click.UsageError(f"{ctx.command_path} needs a TASK; `etlctl list` shows them all.", ctx)
            if by_name:
                raise click.UsageError("-p gives a parameter to a TASK, and none is named.", ctx)
            ctx.params["request"] = Request()
            return
        registry = session(ctx).app.registry
        known = {cls.task_family for cls in registry.classes()}
        for name in names:
            if name not in known and mistakes.looks_like_date(name):
                raise click.UsageError(mistakes.no_task_but_date(ctx, name, ctx.meta[CLASSES]), ctx)
        classes = tuple(registry.find(name) for name in dict.fromkeys(names))
        ctx.params["request"] = replace(_request(classes, given, by_name), now=session(ctx).now)


def built_in_spellings(ctx: click.Context) -> set[str]:
    """The options of this command that are no task's parameters: `--force`, `-p` …"""
    built_in = (one for one in ctx.command.get_params(ctx) if not isinstance(one, parameters.ParameterOption))
    return {spelling for one in built_in for spelling in one.opts}


def _request(classes: tuple[type[Task], ...], given: Mapping[str, tuple[str, ...]], by_name: Sequence[str]) -> Request:
    texts: dict[str, str] = {}
    pairs = [(name, text, False) for name, several in given.items() for text in several]
    for one in by_name:
        name, equals, text = one.partition("=")
        if not equals:
            raise UsageError(f"-p {shortened(one)}: write it as -p NAME=VALUE.")
        pairs.append((_with_underscores(name, classes), text, True))
    for name, text, _ in pairs:
        if not any(name in dict(cls.get_params()) for cls in classes):
            classes[0].parse_param(name, text)  # raises, with the nearest name
            raise UnknownParameterError(f"{classes[0].task_family} has no parameter {shortened(name)!r}.")
        if name in texts:
            raise UsageError(
                f"{parameters.spellings(name)[0]} was given twice. Give it once; dates take a range, A..B."
            )
        texts[name] = text
    return Request(classes, texts, frozenset(name for name, _, by_p in pairs if by_p))


def _with_underscores(name: str, classes: Iterable[type[Task]]) -> str:
    underscored = name.replace("-", "_")
    return underscored if any(underscored in dict(cls.get_params()) for cls in classes) else name


def make_tasks(request: Request, of: Session) -> list[Task]:
    """The tasks asked for: for each class the product of what its parameters' texts mean. Raises UsageError."""
    of.log()
    made: dict[Task, None] = {}
    for cls in request.classes:
        values = {
            name: _values(cls, name, parameter, request.texts[name], of)
            for name, parameter in cls.get_params()
            if name in request.texts
        }
        number = math.prod(len(several) for several in values.values())
        if len(made) + number > MOST_TASKS:
            raise UsageError(f"{cls.task_family}: these ranges mean {number:,} tasks; give shorter ones.")
        for combination in product(*values.values()):
            made[_made(cls, dict(zip(values, combination, strict=True)))] = None
    if len(made) > MANY_TASKS:
        of.streams.story(f"etlctl: looking at {len(made):,} tasks and all that they require; this takes a while …")
    return list(made)


def texts_of(cls: type[Task], request: Request, of: Session) -> dict[str, list[str]]:
    """What the parameters that were given may be, as text; none is asked for. Raises UsageError, for a private one too:
    it is kept nowhere that it could be compared with."""
    found: dict[str, list[str]] = {}
    for name, parameter in cls.get_params():
        if name in request.texts:
            if _is_private(cls, name):
                raise UsageError(f"{cls.task_family}.{name} is private, so the history does not know it.")
            values = _values(cls, name, parameter, request.texts[name], of)
            found[name] = [str(parameter.serialize(parameter.normalize(value))) for value in values]
    return found


def _values(cls: type[Task], name: str, parameter: Parameter[Any], text: str, of: Session) -> list[Any]:
    try:
        return dates.expand(parameter, text, of.now)
    except EtlctlError:
        raise
    except Exception as error:  # a user's own kind may raise anything
        where = f"{cls.task_family}.{name}"
        if _is_private(cls, name):
            raise ParameterValueError(f"{where}: the private value is refused.") from error
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        accepted = dates.accepts(parameter)
        raise ParameterValueError(
            f"{where}: cannot take {shortened(text)!r}: {shortened(reason, 200)}; {accepted} is accepted."
        ) from error


def _made(cls: type[Task], values: dict[str, Any]) -> Task:
    try:
        return cls(**values)
    except EtlctlError:
        raise
    except Exception as error:  # a user's own __init__
        raise UsageError(
            f"{cls.task_family} cannot be made: {type(error).__name__}: {shortened(hidden(str(error)), 200)} "
            "(--debug shows where)."
        ) from error


def _is_private(cls: type[Task], name: str) -> bool:
    parameter = dict(cls.get_params()).get(name)
    return parameter is not None and parameter.visibility is ParameterVisibility.PRIVATE


def _apply(asked: Common, found: Mapping[str, Any]) -> None:
    """Shared options that stand after the command are needed before it is fully parsed."""
    for name in ("config", "profile"):
        if isinstance(found.get(name), str):
            setattr(asked, name, found[name])
    asked.debug = asked.debug or found.get("debug") is True


# -- completion


def _complete_task(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        with brief_session(ctx) as call:
            classes = call.app.registry.classes()
    except EtlctlError:
        return []  # a shell that is completing has no place to show an error
    first_lines = [(cls.task_family, (cls.__doc__ or "").strip().split("\n")[0]) for cls in classes]
    return [CompletionItem(name, help=printable(line)) for name, line in first_lines if name.startswith(incomplete)]


def _complete_by_name(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    name, equals, value = incomplete.partition("=")
    known = {key: parameter for cls in ctx.meta.get(CLASSES, ()) for key, parameter in cls.get_params()}
    if equals and name in known:
        return [CompletionItem(f"{name}={item.value}") for item in parameters.offered(known[name], value)]
    return [CompletionItem(f"{key}=") for key in known if key.startswith(incomplete)]
