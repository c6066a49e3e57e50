"""`etlctl show`: everything about one task, or who writes and who reads a table. Asks no database."""

from __future__ import annotations

import click

from etlctl.cli import documents, parameters
from etlctl.cli.classes import first_line
from etlctl.cli.declared import Declared, declared
from etlctl.cli.layout import Line, Span, Style, cells, cut, line, span, table
from etlctl.cli.pitfalls import pitfall
from etlctl.cli.screen import show, width_of
from etlctl.cli.session import Session, session
from etlctl.cli.tasks import Request, TaskCommand, built_in_spellings, make_tasks
from etlctl.core.task import Task
from etlctl.errors import MissingParameterError, UsageError
from etlctl.suggest import did_you_mean
from etlctl.text import printable

_EXAMPLES = """
etlctl show LoadFlights
etlctl show LoadFlights --date 2013-01-02     # also what this one requires and makes
etlctl show --table flights                   # who writes it, who reads it
"""

_SHORTEST_SAID = 20


def _show(ctx: click.Context, request: Request, table_: str | None) -> int:
    call = session(ctx)
    if table_ is not None:
        if request.classes:
            raise UsageError("show takes a TASK or --table, not both.")
        return _show_table(call, table_)
    if len(request.classes) != 1:
        raise UsageError("show takes one TASK, or --table TABLE; `etlctl list` shows the tasks there are.")
    cls = request.classes[0]
    told = _told(call, cls, _one_task(call, request))
    taken = built_in_spellings(ctx)
    if call.asked.json:
        call.streams.result(documents.dump(documents.show_document(told, taken)))
    else:
        show(call.streams, _lines(call, told, taken))
    return 0


def _one_task(call: Session, request: Request) -> Task | None:
    """A task of the class, when what was given and the defaults are enough for one."""
    try:
        tasks = make_tasks(request, call)
    except MissingParameterError:
        return None
    return tasks[0] if tasks else None


def _told(call: Session, cls: type[Task], task: Task | None) -> Declared:
    return declared(cls, task, call.settings.default_connection)


def _lines(call: Session, told: Declared, taken: set[str]) -> list[Line]:
    cls = told.cls
    lines = [line(span(cls.task_family, Style.STRONG), "   ", span(call.shown_path(told.place), Style.DIM))]
    lines.extend(line(f"  {text}") for text in told.docstring.splitlines())
    lines.append(line(""))
    lines.extend(table(_facts(told), indent=2))
    rows = [[span(option), span(said)] for option, said in parameters.help_rows(cls, taken)]
    lines.extend(_section("parameters", table(rows, indent=4)))
    columns = [[span(name), span(kind)] for name, kind in told.columns.items()]
    lines.extend(_section("columns", table(columns, indent=4)))
    if told.query is not None:
        lines.extend(_section(f"query   {told.query_place}", [line(f"    {text}") for text in _dedented(told.query)]))
    return lines


def _facts(told: Declared) -> list[list[Span]]:
    facts = {
        "is a": " < ".join(told.bases),
        "table": f"{told.table} on {told.connection}" if told.table else "",
        "connection": told.connection if told.connection and not told.table else "",
        "mode": told.mode or "",
        "values": ", ".join(f"{name} = {value}" for name, value in told.values.items()),
        "NULL is": _null_words(told),
        "checks": ", ".join(told.checks),
        "redshift": told.redshift or "",
        "deadline": told.deadline or "",
        "reads": ", ".join(told.reads),
        "requires": _listed(told.requires, told.trouble),
        "makes": _listed(told.outputs, told.trouble),
        "careful": pitfall(told.cls) or "",
    }
    return [[span(name, Style.DIM), span(said)] for name, said in facts.items() if said]


def _null_words(told: Declared) -> str:
    """`'', 'NA'`, where it is not the empty text alone."""
    words = told.null_values
    return "" if words is None or words == ("",) else ", ".join(map(repr, words)) or "no text"


def _listed(names: tuple[str, ...] | None, trouble: str) -> str:
    if names is None:
        return f"cannot be told: {trouble}" if trouble else "told when its parameters are given"
    return ", ".join(names) or "nothing"


def _section(title: str, lines: list[Line]) -> list[Line]:
    return [line(span(f"  {title}", Style.DIM)), *lines] if lines else []


def _dedented(text: str) -> list[str]:
    import textwrap

    return textwrap.dedent(text.expandtabs(4)).strip("\n").splitlines()


def _show_table(call: Session, name: str) -> int:
    told = [_told(call, cls, _default_task(cls)) for cls in call.app.registry.classes()]
    writers = [one for one in told if one.table is not None and _same(one.table, name)]
    readers = [one for one in told if any(_same(table_name, name) for table_name in one.reads)]
    if not writers and not readers:
        known = {one.table for one in told if one.table} | {table_name for one in told for table_name in one.reads}
        raise UsageError(f"No task writes or reads a table {printable(name)!r}.{did_you_mean(name, sorted(known))}")
    if call.asked.json:
        document = documents.TableDocument(
            **documents.head("etlctl/table"),
            table=name,
            writers=[one.cls.task_family for one in writers],
            readers=[one.cls.task_family for one in readers],
        )
        call.streams.result(documents.dump(document))
        return 0
    rows = [[span("written by"), *_named(call, one, one.mode or "")] for one in writers]
    rows.extend([span("read by"), *_named(call, one, "")] for one in readers)
    width = width_of(call.streams)
    show(call.streams, [line(span(name, Style.STRONG)), *(_within(one, width) for one in table(rows, indent=2))])
    return 0


def _named(call: Session, told: Declared, mode: str) -> list[Span]:
    return [
        span(told.cls.task_family, Style.STRONG),
        span(mode),
        span(call.shown_path(told.place), Style.DIM),
        span(first_line(told.cls)),
    ]


def _within(one: Line, width: int) -> Line:
    """The line with its last span, the docstring, cut to the width; without it where next to nothing would be left."""
    *before, last = one
    room = width - sum(cells(part.text) for part in before)
    return one if cells(last.text) <= room else (*before, span(cut(last.text, room) if room >= _SHORTEST_SAID else ""))


def _default_task(cls: type[Task]) -> Task | None:
    """A task without a word, for a class whose table only a task can tell."""
    try:
        return cls()
    except Exception:  # noqa: BLE001  it needs parameters, or its __init__ does more: the class alone must do
        return None


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


command = TaskCommand(
    "show",
    callback=click.pass_context(_show),
    needs_task=False,
    params=[click.Option(["--table", "table_"], metavar="TABLE", help="Who writes and who reads this table.")],
    help="Everything about one TASK: where it stands, its parameters, what it loads, its query, what it requires.",
    examples=_EXAMPLES,
)
