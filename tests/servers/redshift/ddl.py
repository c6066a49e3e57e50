"""CREATE TABLE and ALTER TABLE: what Redshift takes and PostgreSQL does not is taken out, and noted.

Keys are never enforced: they leave their NOT NULL behind, as in Redshift, and a note. Types that Redshift lacks are
refused by its own error; VARCHAR without a length is VARCHAR(256), TEXT too, DECIMAL without a precision is (18,0).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from servers.redshift.errors import Refusal, syntax, unsupported
from servers.redshift.words import Token, closing, depth_0, identifier, names, relation, starts, table_at

LONGEST_VARCHAR = 65535
LONGEST_CHAR = 4096
_ATTRIBUTES = names(
    "default identity generated encode distkey sortkey not null unique primary references collate check "
    "constraint deferrable initially exclude"
)
_TABLE_CONSTRAINTS = names("constraint primary unique foreign check exclude like")
_PLAIN = {
    word: word
    for word in names(
        "smallint integer int int2 int4 int8 bigint real float float4 float8 bool boolean date time timetz timestamp "
        "timestamptz decimal numeric"
    )
} | {
    "double precision": "float8",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "super": "text",
    "varbyte": "bytea",
    "varbinary": "bytea",
    "binary varying": "bytea",
}
_SIZED = {
    "varchar": ("varchar", 256),
    "character varying": ("varchar", 256),
    "nvarchar": ("varchar", 256),
    "text": ("varchar", 256),
    "char": ("char", 1),
    "character": ("char", 1),
    "nchar": ("char", 1),
    "bpchar": ("char", 256),
}
_SIZE = re.compile(r"^(.*?)\s*\(\s*(\w+)\s*\)$")


@dataclass
class Said:
    """What a statement said of a table that the server behind does not know.

    `keys` are (kind, columns) in the order they were written, kind being `primary key`, `unique` or `foreign key`.
    """

    keys: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    diststyle: str = ""
    distkey: str = ""
    sortkey: tuple[str, ...] = ()
    sortstyle: str = ""
    encodings: dict[str, str] = field(default_factory=dict)
    backup: str = ""


@dataclass
class Created:
    """A CREATE TABLE for the server behind. `table` are the parts of its name."""

    sql: str
    table: list[str]
    said: Said


def create_table(sql: str, words: Sequence[Token]) -> Created:
    """Of a statement that begins with CREATE … TABLE."""
    at = next(index for index, token in enumerate(words) if token.low == "table") + 1
    for token in words[1 : at - 1]:
        if token.low not in ("temp", "temporary", "local"):
            raise syntax(token.text)
    if starts(words[at:], "if", "not", "exists"):
        at += 3
    table, after = table_at(words, at)
    if not table:
        raise syntax(words[at].text if at < len(words) else "")
    head = sql[: words[after - 1].end]
    said = Said()
    body, after = _body(words, after, table, said, sql)
    query_at = _query_at(words, after)
    _table_attributes(words[after:query_at], said)
    if not body and query_at == len(words):
        raise syntax(words[-1].text)
    query = " " + sql[words[query_at].start :] if query_at < len(words) else ""
    return Created(f"{head}{body}{query}", table, said)


def _body(words: Sequence[Token], opening: int, table: list[str], said: Said, sql: str) -> tuple[str, int]:
    """The columns in their brackets, rewritten, and the position after them."""
    if opening >= len(words) or words[opening].text != "(":
        return "", opening
    close = closing(words, opening)
    inside = words[opening + 1 : close]
    if _query_at(words, close + 1) < len(words):  # only names: CREATE TABLE a (b, c) AS SELECT …
        return " " + sql[words[opening].start : words[close].end], close + 1
    elements = [_element(part, table, said, sql) for part in _parts(inside)]
    required = {column for kind, columns in said.keys if kind == "primary key" for column in columns}
    texts = [
        text + " NOT NULL" if column in required and " NOT NULL" not in text else text for column, text in elements
    ]
    return " (" + ", ".join(text for text in texts if text) + ")", close + 1


def _parts(words: Sequence[Token]) -> list[list[Token]]:
    """Split at the commas outside of brackets."""
    parts: list[list[Token]] = [[]]
    outer = {index for index, _ in depth_0(words)}
    for index, token in enumerate(words):
        if token.text == "," and index in outer:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _query_at(words: Sequence[Token], begin: int) -> int:
    for index, token in depth_0(words[begin:]):
        if token.low == "as":
            return begin + index
    return len(words)


def _element(part: Sequence[Token], table: list[str], said: Said, sql: str) -> tuple[str, str]:
    """Name and text of a column; ("", text) of anything else, whose text may be empty."""
    if not part:
        raise syntax(",")
    if part[0].kind == "word" and part[0].low in _TABLE_CONSTRAINTS:
        return "", _table_constraint(part, said, sql)
    name = part[0].name
    cut = next((i for i, token in depth_0(part) if i > 0 and token.low in _ATTRIBUTES), len(part))
    kind = column_type(part[1:cut], f"{table[-1]}.{name}")
    return name, f"{identifier(name)} {kind}{_column_attributes(part[cut:], name, said, sql)}"


def column_type(words: Sequence[Token], column: str) -> str:
    """The server's type for a type of Redshift's. `column` is for the error."""
    text = " ".join(token.low for token in words)
    sized = _SIZE.match(text)
    base, size = (sized[1], sized[2]) if sized else (text, "")
    if base in _SIZED:
        return _sized(base, size)
    if base in ("decimal", "numeric") and not sized and "(" not in text:
        return "numeric(18,0)"
    if base.startswith(("decimal (", "numeric (")):
        return text
    if base not in _PLAIN:
        raise Refusal(f'Column "{column}" has unsupported type "{text.replace(" ", "")}".')
    takes_size = _PLAIN[base] not in ("bytea", "text") and size
    return _PLAIN[base] + (f"({size})" if takes_size else "")


def _sized(base: str, size: str) -> str:
    name, default = _SIZED[base]
    longest = LONGEST_VARCHAR if name == "varchar" else LONGEST_CHAR
    if base == "text":
        return f"varchar({default})"
    wanted = longest if size == "max" else int(size or default)
    if wanted > longest:
        raise Refusal(f"length for type {name} cannot exceed {longest}", "22023")
    return f"{name}({wanted})"


def _column_attributes(words: Sequence[Token], column: str, said: Said, sql: str) -> str:
    """What stays of NOT NULL, DEFAULT, IDENTITY and the rest; keys and layout go to `said`."""
    kept, at = "", 0
    while at < len(words):
        text, at = _column_attribute(words, at, column, said, sql)
        kept += text
    return kept


def _column_attribute(words: Sequence[Token], at: int, column: str, said: Said, sql: str) -> tuple[str, int]:
    word = words[at].low
    if word in ("not", "null"):
        return (" NOT NULL", at + 2) if word == "not" else (" NULL", at + 1)
    if word in ("primary", "unique", "references"):
        return _column_key(words, at, column, said)
    if word in ("distkey", "sortkey", "encode"):
        return "", _layout(words, at, column, said)
    if word in ("identity", "generated"):
        return _identity(words, at)
    if word == "collate":
        return "", at + 2
    if word == "default":
        end = next((at + 1 + i for i, token in depth_0(words[at + 1 :]) if token.low in _ATTRIBUTES - {"null"}), None)
        stop = words[end].start if end is not None else words[-1].end
        return " " + sql[words[at].start : stop].rstrip(), end if end is not None else len(words)
    raise _no_constraint(words[at])


def _column_key(words: Sequence[Token], at: int, column: str, said: Said) -> tuple[str, int]:
    word = words[at].low
    if word == "primary":
        said.keys.append(("primary key", (column,)))
        return "", at + 2
    if word == "unique":
        said.keys.append(("unique", (column,)))
        return "", at + 1
    said.keys.append(("foreign key", (column,)))
    _, after = table_at(words, at + 1)
    return "", closing(words, after) + 1 if after < len(words) and words[after].text == "(" else after


def _layout(words: Sequence[Token], at: int, column: str, said: Said) -> int:
    word = words[at].low
    if word == "distkey":
        said.distkey = column
    elif word == "sortkey":
        said.sortkey = (*said.sortkey, column)
    else:
        said.encodings[column] = words[at + 1].low
        return at + 2
    return at + 1


def _identity(words: Sequence[Token], at: int) -> tuple[str, int]:
    """IDENTITY(seed, step) and GENERATED BY DEFAULT AS IDENTITY(seed, step)."""
    opening = next((i for i in range(at, len(words)) if words[i].text == "("), None)
    if opening is None or opening + 4 >= len(words):
        raise syntax(words[-1].text)
    start, step = words[opening + 1].text, words[opening + 3].text
    how = "BY DEFAULT" if words[at].low == "generated" else "ALWAYS"
    return f" GENERATED {how} AS IDENTITY (START WITH {start} INCREMENT BY {step})", closing(words, opening) + 1


def _no_constraint(token: Token) -> Refusal:
    if token.low == "check":
        return unsupported("CHECK constraint")
    return syntax(token.text)


def _table_constraint(part: Sequence[Token], said: Said, sql: str) -> str:
    if part[0].low == "like":
        return _like(part, sql)
    rest = part[2:] if part[0].low == "constraint" else part
    kind = "unique" if starts(rest, "unique") else " ".join(token.low for token in rest[:2])
    if kind not in ("primary key", "unique", "foreign key"):
        raise _no_constraint(rest[0] if rest else part[0])
    opening = next((i for i, token in enumerate(rest) if token.text == "("), None)
    if opening is None:
        raise syntax(rest[-1].text)
    close = closing(rest, opening)
    for token in rest[close + 1 :]:
        if token.low in ("deferrable", "initially"):
            raise syntax(token.text)
    said.keys.append((kind, tuple(token.name for token in rest[opening + 1 : close] if token.text != ",")))
    return ""


def _like(part: Sequence[Token], sql: str) -> str:
    parts, after = table_at(part, 1)
    for token in part[after:]:
        if token.low not in ("including", "excluding", "defaults"):
            raise syntax(token.text)
    defaults = " INCLUDING DEFAULTS" if starts(part[after:], "including") else ""
    return f"LIKE {relation(parts)}{defaults}"


def _table_attributes(words: Sequence[Token], said: Said) -> None:
    """BACKUP, DISTSTYLE, DISTKEY, SORTKEY and ENCODE AUTO; anything else is a syntax error."""
    at = 0
    while at < len(words):
        word = words[at].low
        if word in ("backup", "diststyle"):
            setattr(said, word, words[at + 1].low)
            at += 2
        elif word in ("compound", "interleaved"):
            said.sortstyle = word
            at += 1
        elif word in ("distkey", "sortkey"):
            at = _table_key(words, at, said)
        elif word == "encode":
            at += 2
        else:
            raise syntax(words[at].text)


def _table_key(words: Sequence[Token], at: int, said: Said) -> int:
    word = words[at].low
    if starts(words[at + 1 :], "auto"):
        return at + 2
    if not starts(words[at + 1 :], "("):
        raise syntax(words[at].text)
    close = closing(words, at + 1)
    columns = tuple(token.name for token in words[at + 2 : close] if token.text != ",")
    if word == "sortkey":
        said.sortkey = columns
    else:
        said.distkey = columns[0]
    return close + 1


def column(words: Sequence[Token], table: list[str], sql: str) -> str:
    """The text of one column, of ALTER TABLE … ADD."""
    return _element(words, table, Said(), sql)[1]
