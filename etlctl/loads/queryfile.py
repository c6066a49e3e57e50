"""Where the text of a task's query stands: in its class, or in a `.sql` file beside it; binds no value, runs nothing.

Both QueryTable and DumpTable find their query here, and say here at which line the database refused it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from etlctl.core import context
from etlctl.core.task import Task
from etlctl.db.sqltext import Flavour, Kind, Token, bind, significant, tokens
from etlctl.errors import QueryError
from etlctl.text import printable, shortened, snake_case

_OURS = f"{__name__.partition('.')[0]}."


class Query(NamedTuple):
    """The text of one query, and where it stands."""

    text: str
    place: str
    """`pipelines/carrier_delays.sql`, or `pipelines/flights.py, MonthlyReport.query`; `:line` may be put behind it."""

    def without_values(self, values: Mapping[str, Any], flavour: Flavour) -> str:
        """The statement with NULL in place of each parameter: some databases tell the types of no other."""
        named = replace(flavour, paramstyle="named")
        bound = bind(self.text, values, flavour=named, place=self.place)
        pieces = tokens(bound.statement, flavour=named, place=self.place)
        return "".join("NULL" if piece.kind is Kind.PARAMETER else piece.text for piece in pieces)

    def check_names(self, names: Sequence[str], flavour: Flavour) -> None:
        """QueryError for a column that the query returns without a name, and for two of one name."""
        quoted = {token.name for token in tokens(self.text, flavour=flavour) if token.kind is Kind.QUOTED}
        seen: set[str] = set()
        for number, name in enumerate(names, start=1):
            # SQLite calls a second `a` `a:1`, and a column without a name by the text of its expression
            original = re.sub(r":[0-9]+$", "", name)
            if name.lower() in seen or (original != name and original.lower() in seen):
                raise QueryError(
                    f"{self.place}: two columns are called {shortened(original)}; give one another name: AS …"
                )
            if not name.isidentifier() and name in self.text and name not in quoted:
                raise QueryError(f"{self.place}: column {number}, {shortened(name)}, has no name; write … AS name")
            seen.add(name.lower())

    @contextmanager
    def locating(self, flavour: Flavour) -> Iterator[None]:
        """Puts the place in front of a QueryError of the block, with the line where the database's words tell it."""
        try:
            yield
        except QueryError as error:
            if str(error).startswith(f"{self.place}:"):
                raise
            line = _line_of(str(error), significant(tokens(self.text, flavour=flavour, place=self.place)))
            where = self.place if line is None else f"{self.place}:{line}"
            raise QueryError(f"{where}: {error}") from (error.__cause__ or error)


def query_of(task: Task) -> Query:
    """The task's `query`; where that is None, the `.sql` file named after its class (CarrierDelays: carrier_delays.sql)
    in the folder of the class's module. A base class's file serves its subclasses, unless they have one of their own.

    A `query` that ends with `.sql` names a file of that folder. QueryError when there is no such file, when it is not
    UTF-8 or when it holds nothing.
    """
    given = getattr(task, "query", None)
    if given is None:
        return _read(task, _file_by_name(task))
    if not isinstance(given, str):
        raise QueryError(f"{_shown_class(task)}: query is {shortened(repr(given))}; give its text, or a .sql file.")
    if given.rstrip().endswith(".sql") and len(given.split()) == 1:
        return _read(task, _folder(task, type(task)) / given.strip())
    if not given.strip():
        raise QueryError(f"{_shown_class(task)}: query is empty.")
    return Query(given, f"{_shown_class(task)}.query")


def place_of(task: Task) -> str:
    """`pipelines/flights.py:41`, where the class stands; its module's name where it has no file."""
    from etlctl.core.registry import place_of_class  # only an error needs it

    file, colon, line = place_of_class(type(task)).rpartition(":")
    return f"{_shown(Path(file))}:{line}" if colon else line


def _file_by_name(task: Task) -> Path:
    classes = [cls for cls in type(task).__mro__ if issubclass(cls, Task) and not cls.__module__.startswith(_OURS)]
    files = [_folder(task, cls) / f"{snake_case(cls.__name__)}.sql" for cls in classes]
    return next((file for file in files if file.exists()), files[0])


def _folder(task: Task, cls: type) -> Path:
    source = _source(cls)
    if source is None:
        raise QueryError(
            f"{type(task).__name__} has no query, and its class stands in no file that a .sql file could be beside. "
            'Give it query = "SELECT …".'
        )
    return source.parent


def _read(task: Task, file: Path) -> Query:
    place = _shown(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise QueryError(
            f'{type(task).__name__} has no query: there is no {place}. Write that file, or query = "SELECT …".'
        ) from error
    except OSError as error:
        raise QueryError(f"{place}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise QueryError(f"{place}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from error
    if not text.strip():
        raise QueryError(f"{place}: the file is empty; it is to hold the query of {type(task).__name__}.")
    return Query(text, place)


def _shown_class(task: Task) -> str:
    source = _source(type(task))
    name = type(task).__name__
    return name if source is None else f"{_shown(source)}, {name}"


def _source(cls: type) -> Path | None:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return None if file is None else Path(file)


def _shown(file: Path) -> str:
    """As seen from the project's folder, where it is inside."""
    project = context.current().project
    for folder, path in ((project, file), (project.resolve(), file.resolve())):
        if path.is_relative_to(folder):
            return printable(str(path.relative_to(folder)))
    return printable(os.fspath(file))


# The words of SQLite, PostgreSQL and MySQL; a name may be qualified, and the last part of it is looked for in the text.
_NAMED = re.compile(
    r"(?:no such (?:column|table|function)|ambiguous column name): (?P<sqlite>\S+?)\.?(?: |$)"
    r"|near \"(?P<near>[^\"]+)\""
    r"|(?:Unknown column|Table|FUNCTION|Column) '?(?P<mysql>[^\s']+)'? (?:in|doesn't|does not|is)"
    r"|(?:column|relation|function) \"?(?P<postgresql>[^\s\"(]+)\"?(?:\(.*?\))? does not exist"
)
_AT_LINE = re.compile(r" at line ([0-9]+)\.?$")  # MySQL, of its syntax errors


def _line_of(said: str, pieces: Sequence[Token]) -> int | None:
    """The line that the database tells, or that of the name it complains of; None where that is in several, or none."""
    told = _AT_LINE.search(said)
    if told is not None and pieces:
        return min(int(told[1]), pieces[-1].line)
    match = _NAMED.search(said)
    if match is None or match.lastgroup is None:
        return None
    name = match[match.lastgroup] if match["near"] else match[match.lastgroup].rpartition(".")[2]
    lines = {piece.line for piece in pieces if name.lower() in (piece.text.lower(), piece.name.lower())}
    return lines.pop() if len(lines) == 1 else None
