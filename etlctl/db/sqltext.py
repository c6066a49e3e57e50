"""SQL text as tokens: finds `:name` parameters and binds values to them; runs nothing, puts no value into the text.

We read SQL ourselves because the usual road, `sqlalchemy.text()`, finds parameters by one regular expression: it sees
them in comments and strings, and its backslash escapes change literals that hold `\\:`. The lexical rules are those of
the databases' own manuals (sqlite.org/lang.html and its tokenize.c; PostgreSQL, "Lexical Structure"; MySQL, "Language
Structure").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from etlctl.errors import QueryError
from etlctl.suggest import did_you_mean


class Kind(Enum):
    """What a token is; everything that is neither text nor a name is a SYMBOL of one or two characters."""

    SPACE = "space"
    COMMENT = "comment"
    STRING = "string"
    NUMBER = "number"
    WORD = "word"
    QUOTED = "quoted"
    PARAMETER = "parameter"
    PLACEHOLDER = "placeholder"
    SYMBOL = "symbol"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text; all tokens joined give the text back."""

    kind: Kind
    text: str
    line: int
    """Counted from 1, where the token begins."""

    @property
    def name(self) -> str:
        """The name it stands for: without the colon of a parameter or the quotes of a quoted identifier."""
        if self.kind is Kind.PARAMETER:
            return self.text[1:]
        if self.kind is Kind.QUOTED:
            end = self.text[-1]
            return self.text[1:-1].replace(end * 2, end) if end != "]" else self.text[1:-1]
        return self.text

    @property
    def word(self) -> str:
        """The keyword in upper case; empty for anything that is not a bare word."""
        return self.text.upper() if self.kind is Kind.WORD else ""


@dataclass(frozen=True)
class Flavour:
    """How one database reads SQL text, and how its driver wants parameters written."""

    name: str
    paramstyle: str = "pyformat"
    backslashes: bool = False
    """A backslash escapes in every string, which double quotes enclose too (MySQL)."""
    backslashes_in_literals: bool = False
    """A backslash escapes in '…'; double quotes quote names (Redshift)."""
    escape_strings: bool = False
    """E'…' (PostgreSQL)."""
    dollar_quotes: bool = False
    nested_comments: bool = False
    hash_comments: bool = False
    backticks: bool = False
    brackets: bool = False
    """[name] quotes an identifier; where it does not, brackets are subscripts and hold slices."""
    placeholders: bool = False
    """`?`, `?1`, `@x`, `$x` would be bound by the driver as well (SQLite)."""


SQLITE = Flavour("sqlite", paramstyle="named", backticks=True, brackets=True, placeholders=True)
POSTGRESQL = Flavour("postgresql", escape_strings=True, dollar_quotes=True, nested_comments=True)
REDSHIFT = Flavour(
    "redshift", backslashes_in_literals=True, escape_strings=True, dollar_quotes=True, nested_comments=True
)
MYSQL = Flavour("mysql", backslashes=True, hash_comments=True, backticks=True)

_FLAVOURS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "redshift": REDSHIFT, "mysql": MYSQL, "mariadb": MYSQL}


def flavour_of(dialect: str) -> Flavour:
    """The flavour of a SQLAlchemy dialect name; an unknown one is read as PostgreSQL, which is nearest the standard."""
    return _FLAVOURS.get(dialect, POSTGRESQL)


@dataclass(frozen=True)
class BoundSQL:
    """A statement in the driver's own form, for `connection.exec_driver_sql(bound.statement, bound.values)`."""

    statement: str
    values: Mapping[str, Any]
    paramstyle: str

    def within(self, before: str, after: str) -> BoundSQL:
        """The statement inside other SQL, such as `INSERT INTO t SELECT * FROM (` and `)`, whose names you have quoted.

        A line end goes between, so that a comment at the statement's end does not swallow what follows.
        """
        whole = f"{self.escaped(before)}\n{self.statement}\n{self.escaped(after)}"
        return BoundSQL(whole, self.values, self.paramstyle)

    def escaped(self, text: str) -> str:
        """Further SQL as it must stand in the statement: drivers that format want a literal `%` twice."""
        return _percent_safe(self.paramstyle)(text)

    def placeholder(self, name: str) -> str:
        """How one more value is named in the statement; the caller puts it into `values`."""
        return _placeholder(name, self.paramstyle)


def tokens(sql: str, *, flavour: Flavour = SQLITE, place: str = "query", line: int = 1) -> tuple[Token, ...]:
    """The text cut into tokens, nothing left out; QueryError names the `place:line` of an open quote or comment.

    `line` is the one at which the text begins in its place.
    """
    if "\0" in sql:
        at = line + sql.count("\n", 0, sql.index("\0"))
        raise QueryError(f"{place}:{at}: the SQL text holds a NUL character")
    if len(sql) > _LONG:
        return _tokens.__wrapped__(sql, flavour, place, line)
    return _tokens(sql, flavour, place, line)


def parameters(sql: str, *, flavour: Flavour = SQLITE, place: str = "query") -> tuple[str, ...]:
    """The names the text wants values for, each once, in order of appearance."""
    found = (token.name for token in tokens(sql, flavour=flavour, place=place) if token.kind is Kind.PARAMETER)
    return tuple(dict.fromkeys(found))


def check_parameters(
    sql: str,
    known: Collection[str],
    *,
    flavour: Flavour = SQLITE,
    place: str = "query",
    owner: str = "the task",
    line: int = 1,
) -> None:
    """QueryError when the text names a parameter that is not in `known`, or holds a placeholder of the driver's.

    The sentence lists what iterating `known` gives; `owner` is whose parameters they are, `line` where the text begins
    in its place. Needs no database.
    """
    for token in tokens(sql, flavour=flavour, place=place, line=line):
        if token.kind is Kind.PLACEHOLDER:
            raise QueryError(
                f"{place}:{token.line}: {token.text} cannot be given a value; "
                f"write :name with the name of a parameter of {owner}"
            )
        if token.kind is Kind.PARAMETER and token.name not in known:
            there_are = ", ".join(f":{name}" for name in known) or "none"
            raise QueryError(
                f"{place}:{token.line}: :{token.name} is no parameter of {owner}; there are: {there_are}."
                f"{did_you_mean(token.name, known)}"
            )


def bind(
    sql: str,
    values: Mapping[str, Any],
    *,
    flavour: Flavour = SQLITE,
    place: str = "query",
    owner: str = "the task",
    line: int = 1,
    adapt: Callable[[Any], Any] = lambda value: value,
) -> BoundSQL:
    """The statement with its parameters in the driver's form and the values it names, each passed through `adapt`.

    Every value is bound, none is written into the text; a literal `%` survives drivers that format. A list or tuple is
    spread, for `IN :names` and `IN (:names)` alike; an empty one matches nothing. A single `;` at the end is dropped.
    QueryError for names that `values` does not have.
    """
    check_parameters(sql, values, flavour=flavour, place=place, owner=owner, line=line)
    pieces = _without_end(tokens(sql, flavour=flavour, place=place, line=line))
    taken = {token.name for token in pieces if token.kind is Kind.PARAMETER}
    safe = _percent_safe(flavour.paramstyle)
    bound: dict[str, Any] = {}
    out: list[str] = []
    for index, token in enumerate(pieces):
        if token.kind is not Kind.PARAMETER:
            out.append(safe(token.text))
            continue
        value = values[token.name]
        if isinstance(value, (list, tuple, set, frozenset)):
            names = _spread(token.name, list(value), taken, bound, adapt)
            out.append(_list_of(names, flavour, bare=_in_parentheses(pieces, index)))
        else:
            bound[token.name] = adapt(value)
            out.append(_placeholder(token.name, flavour.paramstyle))
        if flavour.paramstyle == "named" and _continues_name(pieces, index):
            out.append(" ")
    return BoundSQL("".join(out), bound, flavour.paramstyle)


def significant(pieces: Sequence[Token]) -> list[Token]:
    """The tokens without spaces and comments."""
    return [token for token in pieces if token.kind not in (Kind.SPACE, Kind.COMMENT)]


# --- cutting ----------------------------------------------------------------------------------------------------

_LONG = 20_000
"""Characters of a text that is not worth keeping in tokens: rows of values, which come once."""
_LETTER = r"(?:[A-Za-z_]|[^\x00-\x7f])"
_LETTER_OR_DIGIT = r"(?:[\w$]|[^\x00-\x7f])"
_OPENERS = {"'": "quote", '"': "quote", "`": "quote", "[": "bracket", "/*": "comment", "$": "dollar quote"}


@lru_cache(maxsize=256)
def _tokens(sql: str, flavour: Flavour, place: str, line: int) -> tuple[Token, ...]:
    return tuple(_slices_marked(list(_cut(sql, flavour, place, line)), flavour))


def _cut(sql: str, flavour: Flavour, place: str, line: int) -> Iterator[Token]:
    pattern, position = _pattern(flavour), 0
    while position < len(sql):
        match = pattern.match(sql, position)
        if match is None or match.lastgroup is None:  # the last alternative takes any character
            raise AssertionError(f"no token at {position} of {sql!r}")
        group, end = match.lastgroup, match.end()
        if group == "opened":
            what = _OPENERS[match[0] if match[0] in _OPENERS else match[0][0]]
            raise QueryError(f"{place}:{line}: the {what} {match[0]} opened here never ends")
        if group == "block":
            end = _end_of_comment(sql, position, flavour, f"{place}:{line}")
        text = sql[position:end]
        yield Token(_KINDS[group], text, line)
        line += text.count("\n")
        position = end


_KINDS = {
    "space": Kind.SPACE,
    "comment": Kind.COMMENT,
    "block": Kind.COMMENT,
    "string": Kind.STRING,
    "dollar": Kind.STRING,
    "quoted": Kind.QUOTED,
    "number": Kind.NUMBER,
    "parameter": Kind.PARAMETER,
    "placeholder": Kind.PLACEHOLDER,
    "word": Kind.WORD,
    "symbol": Kind.SYMBOL,
}


@lru_cache(maxsize=8)
def _pattern(flavour: Flavour) -> re.Pattern[str]:
    plain = r"'[^']*(?:''[^']*)*'"
    escaped = r"'(?:[^'\\]|\\.|'')*'"
    double = r'"[^"]*(?:""[^"]*)*"'
    string = [escaped if flavour.backslashes_in_literals else plain]
    if flavour.backslashes:
        string = [escaped, r'"(?:[^"\\]|\\.|"")*"']
    if flavour.escape_strings:
        string.insert(0, f"[eE]{escaped}")
    quoted = [] if flavour.backslashes else [double]
    quoted += [r"`[^`]*(?:``[^`]*)*`"] if flavour.backticks else []
    quoted += [r"\[[^\]]*\]"] if flavour.brackets else []
    opened = ["'", '"'] + (["`"] if flavour.backticks else []) + ([r"\["] if flavour.brackets else [])
    groups = {
        "space": r"[ \t\n\r\f\v]+",
        "comment": r"--(?=[\x00-\x20]|\Z)[^\n]*|\#[^\n]*" if flavour.hash_comments else r"--[^\n]*",
        "block": r"/\*",
        "string": "|".join(string),
        "quoted": "|".join(quoted),
        "dollar": rf"\$(?P<tag>(?:{_LETTER}\w*)?)\$.*?\$(?P=tag)\$" if flavour.dollar_quotes else None,
        "opened": "|".join([*opened, rf"\$(?:{_LETTER}\w*)?\$"] if flavour.dollar_quotes else opened),
        "number": r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\w*",
        "word": rf"{_LETTER}{_LETTER_OR_DIGIT}*",
        "parameter": rf":{_LETTER}{_LETTER_OR_DIGIT}*",
        "placeholder": rf"\?\d*|[@$:]{_LETTER_OR_DIGIT}+" if flavour.placeholders else None,
        "symbol": r"::|:=|.",
    }
    return re.compile("|".join(f"(?P<{name}>{body})" for name, body in groups.items() if body), re.DOTALL)


def _end_of_comment(sql: str, start: int, flavour: Flavour, where: str) -> int:
    depth, position = 1, start + 2
    marks = re.compile(r"/\*|\*/" if flavour.nested_comments else r"\*/")
    while depth:
        match = marks.search(sql, position)
        if match is None:
            raise QueryError(f"{where}: the comment /* opened here never ends")
        depth += 1 if match[0] == "/*" else -1
        position = match.end()
    return position


def _slices_marked(pieces: list[Token], flavour: Flavour) -> list[Token]:
    """`a[lo:hi]` as PostgreSQL reads it: in a subscript, a colon after an operand is the slice's, no parameter's.

    `a[:n]` is taken for a parameter, since a subscript by a parameter is likelier than a slice without lower bound.
    """
    if flavour.brackets:
        return pieces
    marked: list[Token] = []
    open_marks: list[str] = []
    before: Token | None = None
    for token in pieces:
        if token.kind is Kind.PARAMETER and open_marks[-1:] == ["["] and before is not None and _is_operand(before):
            marked += [Token(Kind.SYMBOL, ":", token.line), Token(Kind.WORD, token.name, token.line)]
            before = marked[-1]
            continue
        if token.text in ("[", "(") and token.kind is Kind.SYMBOL:
            open_marks.append(token.text)
        elif token.text in ("]", ")") and token.kind is Kind.SYMBOL and open_marks:
            open_marks.pop()
        marked.append(token)
        before = before if token.kind in (Kind.SPACE, Kind.COMMENT) else token
    return marked


def _is_operand(token: Token) -> bool:
    return token.kind is not Kind.SYMBOL or token.text in ("]", ")")


# --- binding ----------------------------------------------------------------------------------------------------


def _without_end(pieces: Sequence[Token]) -> list[Token]:
    """Without the `;` that ends the one statement, so that it can stand inside another."""
    for index in reversed(range(len(pieces))):
        if pieces[index].kind in (Kind.SPACE, Kind.COMMENT):
            continue
        return [*pieces[:index], *pieces[index + 1 :]] if pieces[index].text == ";" else list(pieces)
    return list(pieces)


def _placeholder(name: str, paramstyle: str) -> str:
    return f":{name}" if paramstyle == "named" else f"%({name})s"


def _spread(
    name: str, values: list[Any], taken: set[str], bound: dict[str, Any], adapt: Callable[[Any], Any]
) -> list[str]:
    names = []
    for number, value in enumerate(values, start=1):
        single = f"{name}_{number}"
        while single in taken:
            single += "_"
        bound[single] = adapt(value)
        names.append(single)
    return names


def _list_of(names: list[str], flavour: Flavour, *, bare: bool) -> str:
    inner = ", ".join(_placeholder(name, flavour.paramstyle) for name in names) or "SELECT NULL WHERE 1 = 0"
    return inner if bare else f"({inner})"


def _in_parentheses(pieces: Sequence[Token], index: int) -> bool:
    before, after = significant(pieces[:index]), significant(pieces[index + 1 :])
    return bool(before and after) and before[-1].text == "(" and after[0].text == ")"


def _continues_name(pieces: Sequence[Token], index: int) -> bool:
    """SQLite reads `:a::b` and `:a(b)` as one parameter each (tokenize.c, the form of Tcl variables)."""
    return index + 1 < len(pieces) and pieces[index + 1].text[0] in ":("


def _percent_safe(paramstyle: str) -> Callable[[str], str]:
    if paramstyle == "pyformat":
        return lambda text: text.replace("%", "%%")
    return lambda text: text
