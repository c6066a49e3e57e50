"""Which tables a query reads, told by its tokens alone; asks no database and binds no value.

Good enough to name them to a person: a name that is a view, or comes out of a function, cannot be told from a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from etlctl.db.sqltext import SQLITE, Flavour, Kind, Token, significant, tokens

_NAMES = (Kind.WORD, Kind.QUOTED)
_BEGIN_QUERY = ("SELECT", "WITH", "VALUES")
_JOINS = ("CROSS", "FULL", "INNER", "JOIN", "LEFT", "NATURAL", "RIGHT")
_CLAUSES = ("EXCEPT", "FETCH", "FOR", "GROUP", "HAVING", "INTERSECT", "LIMIT", "OFFSET", "ON", "ORDER", "UNION")
_NO_ALIAS = (*_JOINS, *_CLAUSES, "USING", "WHERE", "WINDOW")


def tables_read(sql: str, *, flavour: Flavour = SQLITE) -> tuple[str, ...]:
    """Names after FROM and JOIN as they are written without their quotes (`staging.flights`), each once, in order.

    The names that the query itself gives by WITH, functions, and the FROM of `EXTRACT(… FROM …)` are left out.
    Raises QueryError for a text that cannot be cut into tokens.
    """
    return _Reader(significant(tokens(sql, flavour=flavour))).names()


class _Reader:
    """One walk over the tokens that mean something."""

    def __init__(self, pieces: Sequence[Token]) -> None:
        self._pieces = pieces
        self._own = self._names_of_with()

    def names(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        is_query = [True]
        """For each open parenthesis whether it holds a query, where FROM begins a list of tables."""
        for index, piece in enumerate(self._pieces):
            if piece.text == "(":
                is_query.append(self._word(index + 1) in _BEGIN_QUERY)
            elif piece.text == ")" and len(is_query) > 1:
                is_query.pop()
            is_from = piece.word == "FROM" and is_query[-1] and self._word(index - 1) != "DISTINCT"
            if is_from or piece.word == "JOIN":
                found.update(dict.fromkeys(self._list_at(index + 1)))
        return tuple(name for name in found if name.lower() not in self._own)

    def _list_at(self, index: int) -> list[str]:
        """The tables of `a, b AS c, d` from here to what is no table."""
        found: list[str] = []
        while True:
            while self._text(index) == "(" and self._word(index + 1) not in _BEGIN_QUERY:
                index += 1
            if self._word(index) in ("LATERAL", "ONLY"):
                index += 1
            name, index = self._name_at(index)
            if name is None or self._text(index) == "(":  # a query of its own, or a function
                index = self._after_parenthesis(index)
            else:
                found.append(name)
            index = self._after_alias(index)
            if self._text(index) != ",":
                return found
            index += 1

    def _name_at(self, index: int) -> tuple[str | None, int]:
        """A name with its qualifiers, and what follows it; None where there is no name."""
        if not self._is_name(index) or self._word(index) in _BEGIN_QUERY:
            return None, index
        parts = [self._pieces[index].name]
        index += 1
        while self._text(index) == "." and self._is_name(index + 1):
            parts.append(self._pieces[index + 1].name)
            index += 2
        return ".".join(parts), index

    def _after_alias(self, index: int) -> int:
        if self._word(index) == "AS":
            return index + 2
        return index + 1 if self._is_name(index) and self._word(index) not in _NO_ALIAS else index

    def _after_parenthesis(self, index: int) -> int:
        """What follows the parenthesis that opens here."""
        if self._text(index) != "(":
            return index
        depth = 0
        for at in range(index, len(self._pieces)):
            depth += (self._text(at) == "(") - (self._text(at) == ")")
            if depth == 0:
                return at + 1
        return len(self._pieces)

    def _names_of_with(self) -> frozenset[str]:
        """Names that are given by `WITH name [(columns)] AS [NOT] [MATERIALIZED] (`."""
        found = set()
        for index in range(len(self._pieces)):
            if not self._is_name(index) or self._word(index - 1) not in ("WITH", "RECURSIVE", ""):
                continue
            after = self._after_parenthesis(index + 1)
            if self._word(after) != "AS":
                continue
            after += 1
            while self._word(after) in ("NOT", "MATERIALIZED"):
                after += 1
            if self._text(after) == "(":
                found.add(self._pieces[index].name.lower())
        return frozenset(found)

    def _is_name(self, index: int) -> bool:
        return 0 <= index < len(self._pieces) and self._pieces[index].kind in _NAMES

    def _word(self, index: int) -> str:
        return self._pieces[index].word if 0 <= index < len(self._pieces) else ""

    def _text(self, index: int) -> str:
        return self._pieces[index].text if 0 <= index < len(self._pieces) else ""
