"""Which statements end a transaction on MySQL and MariaDB, told by their first words; sends nothing.

Source: "Statements That Cause an Implicit Commit" (dev.mysql.com/doc/refman/8.4/en/implicit-commit.html) and "SQL
statements That Cause an Implicit Commit" (mariadb.com/kb). Only the beginning of a statement is looked at, however long
it is; the server takes one statement at a time from us. What hides in a procedure is found afterwards, by the server's
own word that the transaction is over.
"""

from __future__ import annotations

import re

from etlctl.db.sqltext import MYSQL, Kind, Token, significant, tokens
from etlctl.errors import QueryError

_BEGINNING = re.compile(r"(?:[\s;(]+|--(?=[\s]|\Z)[^\n]*|\#[^\n]*|/\*M?!\d*|\*/|/\*(?!M?!).*?(?:\*/|\Z))+", re.DOTALL)
"""What may stand before a word, where `/*! … */` does not: the server runs what is in it."""
_WORD = re.compile(r"[A-Za-z_]+")
_WORDS = 4

_ENDS = frozenset(("COMMIT", "BEGIN", "START", "XA"))
_DEFINES = frozenset(("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"))
_ADMINISTERS = frozenset(
    (
        "GRANT", "REVOKE", "OPTIMIZE", "REPAIR", "CHECK", "CACHE", "FLUSH", "RESET", "INSTALL", "UNINSTALL", "BACKUP",
        "SHUTDOWN", "RESTART", "CHANGE", "STOP", "CLONE", "IMPORT", "PURGE", "LOCK", "UNLOCK",
    )
)  # fmt: skip
_DYNAMIC = frozenset(("PREPARE", "EXECUTE"))


def ending(statement: str | bytes | bytearray) -> str | None:
    """The words by which `statement` would end the transaction (`COMMIT`, `CREATE TABLE`), or None.

    `USE` counts too: the marker of the load is in the default database.
    """
    text = statement if isinstance(statement, str) else statement.decode("utf-8", "replace")
    words = _first_words(text)
    if not words:
        return None
    first, rest = words[0], words[1:]
    if first == "ROLLBACK":
        return None if "TO" in rest[:2] else "ROLLBACK"
    if first in _DEFINES:
        return None if _is_temporary(words) else " ".join(words[:2])
    if first in _ENDS | _ADMINISTERS or first == "USE":
        return first if first in ("COMMIT", "BEGIN", "USE", "XA") else " ".join(words[:2])
    if first == "ANALYZE":
        return "ANALYZE TABLE" if "TABLE" in rest[:2] else None
    if first == "LOAD":
        return "LOAD INDEX" if rest[:1] == ["INDEX"] else None
    return _inside(text) if first in _DYNAMIC or first == "SET" else None


def makes_temporary(statement: str | bytes | bytearray) -> bool:
    """Whether a temporary table may be there after it, which would stand before another of its name."""
    text = statement if isinstance(statement, str) else statement.decode("utf-8", "replace")
    words = _first_words(text)
    return words[:1] in (["CALL"], ["EXECUTE"]) or (words[:1] == ["CREATE"] and _is_temporary(words))


def _first_words(text: str) -> list[str]:
    words: list[str] = []
    position = 0
    while len(words) < _WORDS:
        before = _BEGINNING.match(text, position)
        position = before.end() if before is not None else position
        word = _WORD.match(text, position)
        if word is None:
            break
        words.append(word[0].upper())
        position = word.end()
    return words


def _is_temporary(words: list[str]) -> bool:
    """CREATE and DROP of what belongs to the session do not commit: a temporary table, a prepared statement. ALTER and
    TRUNCATE of a temporary table do."""
    if words[0] not in ("CREATE", "DROP"):
        return False
    if words[:2] == ["DROP", "PREPARE"]:
        return True  # which lasts as long as the session
    return words[1:2] == ["TEMPORARY"] or words[1:4] == ["OR", "REPLACE", "TEMPORARY"]


def _inside(text: str) -> str | None:
    """SET of autocommit, and the statement in a SET STATEMENT … FOR, a PREPARE or an EXECUTE IMMEDIATE."""
    try:
        pieces = significant(tokens(_BEGINNING.sub(" ", text, count=1), flavour=MYSQL))
    except QueryError:
        return None  # the server will not read it either
    first = pieces[0].word if pieces else ""
    if first != "SET":
        texts = [_unquoted(piece) for piece in pieces if piece.kind is Kind.STRING]
        return next((found for found in map(ending, texts) if found is not None), None)
    if any(piece.name.lower() == "autocommit" for piece in pieces if piece.kind in (Kind.WORD, Kind.QUOTED)):
        return "SET autocommit"
    if pieces[1].word == "STATEMENT" if len(pieces) > 1 else False:
        at = next((index for index, piece in enumerate(pieces) if piece.word == "FOR"), len(pieces))
        return ending(" ".join(piece.text for piece in pieces[at + 1 :]))
    return "SET PASSWORD" if len(pieces) > 1 and pieces[1].word == "PASSWORD" else None


def _unquoted(string: Token) -> str:
    return string.text[1:-1]
