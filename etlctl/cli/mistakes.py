"""What a command line that cannot be parsed was probably meant to be, in a sentence. Parses nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from shlex import quote

import click

from etlctl.cli import parameters
from etlctl.cli.options import CLASSES
from etlctl.core import dates
from etlctl.core.task import Task
from etlctl.text import printable, shortened

WORDS = "etlctl.words"
"""Where `ctx.meta` holds the words behind a command that takes tasks."""
ALL_CLASSES = "etlctl.all_task_classes"
"""Where `ctx.meta` holds every task class, once the pipelines are imported."""

_RANGE = "a range of dates is written --date A..B"
_ABSENT = {
    "build": {
        "--parallel": "-j N runs N tasks at once",
        "--threads": "-j N runs N tasks at once, each in a process of its own",
        "--keep-going": "a failure stops only what depends on it; --fail-fast is for those who want it to stop more",
        "--retry": "the same command once more runs what is not done; `retries` of a class is for errors that pass",
        "--retries": "`retries` is an attribute of the task's class",
        "--timeout": "`timeout` is an attribute of the task's class",
        "--from": _RANGE,
        "--to": _RANGE,
        "--dry-run": "`etlctl plan` tells what it would run",
        "--local-scheduler": "there is no other scheduler",
    },
    "plan": {
        "--from": _RANGE,
        "--to": _RANGE,
        "--tree": "`etlctl graph` draws the tree",
        "--why": "the plan tells why behind each task",
    },
    "status": {"--from": _RANGE, "--to": _RANGE},
}
"""Command -> options that people look for in it, of Luigi, of make or of later versions, and why there are none."""

_LIKENESS = 0.7
_SHORTEST_BEGUN = 3
_REST_OF_DATE = re.compile(r"[0-9]{2}[0-9T:-]*")
_DATE = re.compile(r"-[0-9]+[dwh]|today|yesterday|tomorrow|[0-9]{4}-[0-9]{1,2}(-[0-9T:-]+)?|[0-9]{4}")


def no_such_option(error: click.NoSuchOption) -> str:
    """The sentence for an option that the command does not have."""
    name, ctx = error.option_name, error.ctx
    said = f"no such option {shortened(name)!r}."
    if ctx is None:
        return said
    near = _nearest(name, [one for it in ctx.command.get_params(ctx) for one in it.opts])
    if near is not None:
        return f"{said} Did you mean '{near}'?"
    absent = _ABSENT.get(ctx.info_name or "", {}).get(name)
    if absent is not None:
        return f"{ctx.command_path} has no {name}: {absent}."
    classes: Sequence[type[Task]] = ctx.meta.get(CLASSES, ())
    word = next((one for one in ctx.meta.get(WORDS, ()) if one.startswith(name)), name)
    if looks_like_date(word):
        return no_task_but_date(ctx, word, classes)
    if classes:
        return f"{said} {_parameters_of(classes)}"
    if not ctx.meta.get(ALL_CLASSES) or not (_wanted(ctx) or getattr(ctx.command, "needs_task", True)):
        return said
    return needs_task(ctx)


def needs_task(ctx: click.Context) -> str:
    """The sentence for options of a task where no task is named, with one that has them."""
    wanted = _wanted(ctx)
    if not wanted:
        return f"{ctx.command_path} needs a TASK; `etlctl list` shows them all."
    fitting = [cls for cls in wanted if _needs(cls) <= _given(ctx)]
    words: Sequence[str] = ctx.meta.get(WORDS, ())
    return f"{ctx.command_path} needs a TASK, such as: {_command(ctx, (fitting or wanted)[0], words)}"


def _given(ctx: click.Context) -> set[str]:
    """The parameters that the words would be, of some task."""
    words: Sequence[str] = ctx.meta.get(WORDS, ())
    return {word.partition("=")[0][2:].replace("-", "_") for word in words if word.startswith("--")}


def _wanted(ctx: click.Context) -> list[type[Task]]:
    """The tasks that have all the parameters that are given; none where none is."""
    given = _given(ctx)
    return [cls for cls in ctx.meta.get(ALL_CLASSES, ()) if given and given <= set(dict(cls.get_params()))]


def no_task_but_date(ctx: click.Context, word: str, classes: Sequence[type[Task]]) -> str:
    """The sentence for a date that stands where a TASK is expected."""
    said = f"{shortened(word)!r} is a date and no TASK."
    for cls in classes:
        option = _date_option(cls)
        if option is not None:
            return f"{said} Did you mean {option} {quote(printable(word))}?"
    if classes:
        return f"{said} {_parameters_of(classes)}"
    for cls in ctx.meta.get(ALL_CLASSES, ()):
        option = _date_option(cls)
        if option is not None and len(_needs(cls)) <= 1:
            return f"{said} {ctx.command_path} needs one, such as: {_command(ctx, cls, [option, word])}"
    return f"{said} {ctx.command_path} needs one; `etlctl list` shows them all."


def looks_like_date(word: str) -> bool:
    """Whether a word is what people write for a date, or a range of them."""
    start, _, end = word.partition("..")
    return bool(_DATE.fullmatch(start)) and (not end or bool(_DATE.fullmatch(end) or _REST_OF_DATE.fullmatch(end)))


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """An option that is spelled much like `name`, or the one that it begins; a guess further off does harm."""
    from difflib import SequenceMatcher  # only an error needs it

    bare = name.lstrip("-").replace("_", "-").casefold()
    if len(bare) == 1:  # it is like every other
        return None
    options = {one[2:].replace("_", "-"): one for one in reversed(list(known)) if one.startswith("--")}
    likeness, nearest = max(((SequenceMatcher(None, bare, one).ratio(), one) for one in options), default=(0.0, ""))
    if likeness >= _LIKENESS:
        return options[nearest]
    begun = [one for one in options if len(bare) >= _SHORTEST_BEGUN and one.startswith(bare)]
    return options[begun[0]] if len(begun) == 1 else None


def _parameters_of(classes: Sequence[type[Task]]) -> str:
    options = dict.fromkeys(parameters.spellings(name)[0] for cls in classes for name, _ in cls.get_params())
    names = ", ".join(printable(cls.task_family) for cls in classes)
    if not options:
        return f"{names} takes no parameters." if len(classes) == 1 else f"{names} take no parameters."
    return f"The parameters of {names}: {', '.join(options)}."


def _date_option(cls: type[Task]) -> str | None:
    dated = (parameters.spellings(name)[0] for name, one in cls.get_params() if dates.is_date_like(one))
    return next(dated, None)


def _needs(cls: type[Task]) -> set[str]:
    return {name for name, one in cls.get_params() if not parameters.default_is_there(cls, name, one)}


def _command(ctx: click.Context, cls: type[Task], words: Sequence[str]) -> str:
    return " ".join([ctx.command_path, *(quote(printable(word)) for word in [cls.task_family, *words])])
