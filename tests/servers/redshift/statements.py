"""What is to be done for one statement of a client: what the server behind gets, or a command of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from servers.redshift import ddl, rules
from servers.redshift.errors import SYNTAX, UNSUPPORTED, Refusal, syntax
from servers.redshift.words import Token, depth_0, position_of, quoted, relation, starts, table_at, tokens

_LAYOUT = ("distkey", "diststyle", "sortkey", "compound", "interleaved", "encode")
NO_SOURCE = "LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)"


@dataclass
class Step:
    """`do` is send, answer, begin, end, truncate, append, copy or unload.

    send: `sql` goes to the server behind, in a transaction in which `writes` (a table) was locked against other
    writers, and then `after`, whose results nobody sees. answer: only the tag `sql` comes back.
    """

    do: str
    sql: str = ""
    writes: str = ""
    after: list[str] = field(default_factory=list)
    table: list[str] = field(default_factory=list)
    said: ddl.Said | None = None
    words: list[Token] = field(default_factory=list)


def step(sql: str) -> Step:
    """Raises `Refusal` for what Redshift refuses, and for a text that ends too early."""
    try:
        return _step(sql, tokens(sql))
    except (IndexError, StopIteration):
        raise Refusal("syntax error at end of input", SYNTAX) from None


def _step(sql: str, words: list[Token]) -> Step:
    first = words[0].low
    if first in ("copy", "unload"):
        return _external(first, sql, words)
    rules.check(sql, words)
    maker = _MAKERS.get(first)
    made = maker(sql, words) if maker else Step("send", sql)
    if made.do == "send":
        made.sql = _own_words(made.sql)
    made.words = words
    return made


def _external(first: str, sql: str, words: list[Token]) -> Step:
    if first == "copy" and position_of(words, "from") is None:
        raise Refusal("COPY TO is not supported: use UNLOAD", UNSUPPORTED)
    if first == "copy" and (position_of(words, "stdin") is not None or position_of(words, "program") is not None):
        raise Refusal(NO_SOURCE, UNSUPPORTED)
    return Step(first, sql, words=words)


def _own_words(sql: str) -> str:
    """NVL and SYSDATE in words of the server behind."""
    text, end = "", 0
    found = tokens(sql)
    for index, token in enumerate(found):
        follows = found[index + 1].text if index + 1 < len(found) else ""
        before = found[index - 1].text if index else ""
        new = ""
        if token.low == "nvl" and follows == "(":
            new = "coalesce"
        elif token.low == "sysdate" and follows != "(" and before != ".":
            new = "pg_catalog.sysdate()"
        if new and token.kind == "word":
            text += sql[end : token.start] + new
            end = token.end
    return text + sql[end:]


def _written(sql: str, words: list[Token], at: int) -> Step:
    return Step("send", sql, writes=relation(table_at(words, at)[0]))


def _insert(sql: str, words: list[Token]) -> Step:
    return _written(sql, words, 2)


def _update(sql: str, words: list[Token]) -> Step:
    return _written(sql, words, 1)


def _delete(sql: str, words: list[Token]) -> Step:
    if starts(words, "delete", "from"):
        return _written(sql, words, 2)
    return _written(f"DELETE FROM {sql[words[1].start :]}", words, 1)


def _merge(sql: str, words: list[Token]) -> Step:
    return _written(sql, words, 2)


def _with(sql: str, words: list[Token]) -> Step:
    """WITH stands before SELECT, UPDATE and DELETE, not before INSERT."""
    for index, token in depth_0(words):
        if token.low in ("insert", "merge"):
            raise syntax(token.text)
        if token.low in ("update", "delete"):
            return _written(sql, words, index + (2 if words[index + 1].low == "from" else 1))
    return Step("send", sql)


def _begin(sql: str, words: list[Token]) -> Step:
    """Every isolation level that is named means the database's own, as in Redshift."""
    only = " READ ONLY" if position_of(words, "read", "only") is not None else ""
    return Step("begin", f"BEGIN{only}")


def _end(sql: str, words: list[Token]) -> Step:
    word = {"end": "COMMIT", "abort": "ROLLBACK"}.get(words[0].low, words[0].text.upper())
    return Step("end", word)


def _truncate(sql: str, words: list[Token]) -> Step:
    at = 2 if starts(words, "truncate", "table") else 1
    table, after = table_at(words, at)
    if after < len(words):
        raise syntax(words[after].text)
    return Step("truncate", f"TRUNCATE {relation(table)}")


def _create(sql: str, words: list[Token]) -> Step:
    kinds = [token.low for token in words[1:4]]
    if "table" not in kinds or kinds[0] in ("external", "schema", "view", "or"):
        return Step("send", sql)
    created = ddl.create_table(sql, words)
    name = relation(created.table)
    return Step("send", created.sql, after=[_count_bytes(name)], table=created.table, said=created.said)


def _count_bytes(name: str) -> str:
    return f"SELECT pg_catalog.standin_count_bytes({quoted(name)}::regclass)"


def _alter(sql: str, words: list[Token]) -> Step:
    if not starts(words, "alter", "table"):
        return Step("send", sql)
    table, at = table_at(words, 2)
    rest = words[at:]
    name = relation(table)
    if starts(rest, "append"):
        source = table_at(rest, 2)[0]
        return Step("append", f"{relation(source)}", writes=name)
    if starts(rest, "alter") and rest[1].low in _LAYOUT:
        return Step("answer", "ALTER TABLE")
    if starts(rest, "alter") and position_of(rest, "encode") is not None:
        return Step("answer", "ALTER TABLE")
    if starts(rest, "add") and rest[1].low in ("constraint", "primary", "unique", "foreign"):
        return Step("answer", "ALTER TABLE")
    if starts(rest, "add") or (starts(rest, "alter") and position_of(rest, "type") is not None):
        return _altered_column(sql, rest, table)
    return Step("send", sql)


def _altered_column(sql: str, rest: Sequence[Token], table: list[str]) -> Step:
    """ADD [COLUMN] …, which may say a type and an encoding, and ALTER COLUMN … TYPE varchar(n)."""
    name = relation(table)
    at = 2 if rest[1].low == "column" else 1
    if starts(rest, "add"):
        added = f"ALTER TABLE {name} ADD COLUMN {ddl.column(rest[at:], table, sql)}"
        return Step("send", added, after=[_count_bytes(name)], table=table)
    kind_at = next(index for index, token in enumerate(rest) if token.low == "type") + 1
    kind = ddl.column_type(rest[kind_at:], f"{table[-1]}.{rest[at].name}")
    if not kind.startswith("varchar"):
        raise Refusal("ALTER COLUMN TYPE is only supported for the size of a VARCHAR column")
    forget = f"SELECT pg_catalog.standin_forget_bytes({quoted(name)}::regclass)"
    changed = f"ALTER TABLE {name} ALTER COLUMN {rest[at].text} TYPE {kind}"
    return Step("send", changed, after=[forget, _count_bytes(name)], table=table)


def _set(sql: str, words: list[Token]) -> Step:
    at = 2 if len(words) > 2 and words[1].low in ("session", "local") else 1
    name = words[at].low
    if name in ("authorization", "session") or (name == "time" and words[at + 1].low == "zone"):
        return Step("send", sql)
    if name in ("characteristics", "transaction") or name in rules.IGNORED_SETTINGS:
        return Step("answer", "SET")
    rules.check_setting(name)
    return Step("send", _renamed(sql, words[at]))


def _show(sql: str, words: list[Token]) -> Step:
    name = words[1].low
    if name in ("all", "transaction", "time"):
        return Step("send", sql)
    rules.check_setting(name)
    return Step("send", _renamed(sql, words[1]))


def _renamed(sql: str, token: Token) -> str:
    """Redshift's own settings live under a name that PostgreSQL lets everybody set."""
    if token.low not in rules.OWN_SETTINGS:
        return sql
    return f"{sql[: token.start]}redshift_standin.{token.low}{sql[token.end :]}"


def _vacuum(sql: str, words: list[Token]) -> Step:
    """FULL, SORT ONLY, DELETE ONLY, REINDEX, RECLUSTER; TO n PERCENT; BOOST: what PostgreSQL has not is left out."""
    at = 1
    while at < len(words) and words[at].low in ("full", "sort", "only", "delete", "reindex", "recluster"):
        at += 1
    table = table_at(words, at)[0]
    return Step("send", f"VACUUM {relation(table)}" if table else "VACUUM")


def _analyze(sql: str, words: list[Token]) -> Step:
    if starts(words, "analyze", "compression"):
        raise Refusal("ANALYZE COMPRESSION is unknown to the tests' stand-in")
    cut = next((token.start for token in words if token.low in ("predicate", "all")), len(sql))
    return Step("send", sql[:cut])


_MAKERS = {
    "insert": _insert,
    "update": _update,
    "delete": _delete,
    "merge": _merge,
    "with": _with,
    "begin": _begin,
    "start": _begin,
    "commit": _end,
    "end": _end,
    "rollback": _end,
    "abort": _end,
    "truncate": _truncate,
    "create": _create,
    "alter": _alter,
    "set": _set,
    "reset": _show,
    "show": _show,
    "vacuum": _vacuum,
    "analyze": _analyze,
    "analyse": _analyze,
}
