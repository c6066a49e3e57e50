"""`etlctl list`: the tasks there are. As fast as it can be: no rich, no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import click

from etlctl.cli import parameters
from etlctl.cli.classes import first_line, tags_of
from etlctl.cli.layout import Line, Span, Style, fold, span, table
from etlctl.cli.options import Command
from etlctl.cli.pitfalls import pitfall
from etlctl.cli.screen import show, width_of
from etlctl.cli.session import Session, session
from etlctl.core.task import Task
from etlctl.errors import AmbiguousTaskError
from etlctl.text import printable, shortened

_EXAMPLES = """
etlctl list
etlctl list flights delays      # those that have one of these words in name, module, tags or docstring
etlctl list --json | jq -r '.tasks[].family'
"""


def _list(ctx: click.Context, words: tuple[str, ...]) -> int:
    call = session(ctx)
    registry = call.app.registry
    classes = [cls for cls in registry.classes() if _matches(cls, words)]
    if call.asked.json:
        from etlctl.cli import documents  # the shapes of all documents cost more than the list

        call.streams.result(documents.dump(documents.list_document(registry, classes)))
    elif classes:
        show(call.streams, _lines(classes, width_of(call.streams)), colours=False)  # rich takes longer than the rest
    for module in registry.broken:
        call.streams.story(f"broken: {printable(str(module)).replace(str(call.settings.project) + '/', '')}")
    for warning in _warnings(call, classes):
        call.streams.story(f"warning: {warning}".replace(str(call.settings.project) + "/", ""))
    if not classes:
        call.streams.story(_nothing(call, words))
    return 0


def _matches(cls: type[Task], words: Iterable[str]) -> bool:
    words = list(words)
    text = " ".join([cls.task_family, cls.__module__, cls.__doc__ or "", *tags_of(cls)]).casefold()
    return not words or any(word.casefold() in text for word in words)


def _lines(classes: Iterable[type[Task]], width: int) -> list[Line]:
    by_module: dict[str, list[type[Task]]] = {}
    for cls in classes:
        by_module.setdefault(cls.__module__, []).append(cls)
    rows = [
        [span(cls.task_family, Style.STRONG), span(_signature(cls), Style.DIM), *_said(cls)]
        for cls in (cls for module in sorted(by_module) for cls in by_module[module])
    ]
    aligned = iter(table(rows, indent=2))
    lines: list[Line] = []
    for module in sorted(by_module):
        lines.append((span(module),))
        for _ in by_module[module]:
            lines.extend(fold(next(aligned), width, indent=6))
    return lines


def _warnings(call: Session, classes: Sequence[type[Task]]) -> Iterator[str]:
    """What is wrong with classes of the list: names that are taken twice, and what would lose rows without an error."""
    families = Counter(cls.task_family for cls in classes)
    for family, number in families.items():
        if number > 1:
            try:
                call.app.registry.find(family)
            except AmbiguousTaskError as error:
                yield f"{error} Until then neither can be built."
    for cls in classes:
        found = pitfall(cls)
        if found is not None:
            yield f"{cls.task_family}: {found}"


def _signature(cls: type[Task]) -> str:
    """`date [batch]`: those that may be left out in brackets."""
    words = [
        f"[{name}]" if parameters.default_is_there(cls, name, parameter) else name
        for name, parameter in cls.get_params()
    ]
    return shortened(" ".join(words), 32)


def _said(cls: type[Task]) -> list[Span]:
    tags = tags_of(cls)
    text = shortened(first_line(cls), 200)
    return [span(text + (f"  #{' #'.join(tags)}" if tags else ""))]


def _nothing(call: Session, words: tuple[str, ...]) -> str:
    if words and call.app.registry.classes():
        return f"no task has {' or '.join(printable(word) for word in words)} in its name, module, tags or docstring"
    return no_tasks(call)


def no_tasks(call: Session) -> str:
    """What to do in a project that has none."""
    where = ", ".join(call.app.registry.packages)
    return f"no tasks in {where}: write a class derived from etlctl.Task in a .py file there"


command = Command(
    "list",
    callback=click.pass_context(_list),
    params=[click.Argument(["words"], nargs=-1, metavar="[WORD]...")],
    help="Tasks by module, with their parameters and the first line of their docstring. WORDs narrow it down. On "
    "stderr: modules that cannot be imported, names that two tasks have, loads that would lose rows without an error.",
    examples=_EXAMPLES,
)
