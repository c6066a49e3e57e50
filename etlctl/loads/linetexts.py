"""Rows of texts as whole lines, where every value is its own field or a word for NULL: columntexts.py says which are.

Rows that come as text are mostly right as they are. So they are put together first, some hundred at a time, and then
looked at as one text, by one pattern; what it does not take goes by columns, which also tell what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import compress, count, repeat
from operator import contains, itemgetter
from typing import TYPE_CHECKING, Any

from etlctl.db.dialects.lines import Lines
from etlctl.loads.columnvalues import is_unicode

if TYPE_CHECKING:
    from etlctl.db.dialects.lines import FieldForm
    from etlctl.loads.columntexts import ColumnTexts

_MOST_PASSED = 63
"""Times that nothing is tried, once it was in vain again and again."""


class LineTexts:
    """Writes rows of these columns as lines; `null_words` are those of the columns, which take no NULL where they are
    `required` (by their numbers, from 0)."""

    def __init__(
        self,
        columns: Sequence[ColumnTexts],
        form: FieldForm,
        *,
        null_words: Collection[str],
        required: Sequence[int],
    ) -> None:
        self._form = form
        self._width = len(columns)
        self._null_words = [word for word in null_words if form.separator not in word]
        self._required = required
        self._forms = [column.own_form for column in columns]
        self._asked = [(itemgetter(at), column) for at, column in enumerate(columns) if column.own_form is None]
        self._pause = 0
        self._left = 0

    def lines(self, rows: Sequence[Sequence[Any]]) -> Lines | None:
        """A line for each; None where one may have to be written otherwise, or to be refused.

        Where that is so again and again, it is told without a look most of the time.
        """
        if self._left:
            self._left -= 1
            return None
        lines = self._tried(rows)
        self._pause = min(2 * self._pause + 1, _MOST_PASSED) if lines is None else 0
        self._left = self._pause
        return lines

    @cached_property
    def _records(self) -> re.Pattern[str]:
        """Made for rows of texts only: of a wide table it takes a moment."""
        cut = re.escape(self._form.separator)
        record = "".join((form or f"[^{cut}]*+") + cut for form in self._forms)
        return re.compile(f"(?>(?:{record})*)")

    def _tried(self, rows: Sequence[Sequence[Any]]) -> Lines | None:
        try:
            lines = Lines(map(self._form.separator.join, rows))
        except TypeError:  # a value that is no text
            return None
        return self._with_nulls(lines, rows) if self._are_right(lines, rows) else None

    def _are_right(self, lines: Lines, rows: Sequence[Sequence[str]]) -> bool:
        cut = self._form.separator
        text = cut.join([*lines, ""])
        if text.count(cut) != len(rows) * self._width:  # each is one of ours then: no value holds any
            return False
        if "\0" in text or any(mark in text for mark in self._form.marks if mark != cut):
            return False
        if self._records.fullmatch(text) is None or not is_unicode(text):
            return False
        return all(column.are_own(list(map(value_of, rows))) for value_of, column in self._asked)

    def _with_nulls(self, lines: Lines, rows: Sequence[Sequence[str]]) -> Lines | None:
        cut, null = self._form.separator, self._form.null
        for word in self._null_words:
            old, new = f"{cut}{word}{cut}", f"{cut}{null}{cut}"
            for number in compress(count(), map(contains, rows, repeat(word))):
                if self._required and any(rows[number][at] == word for at in self._required):
                    return None
                line = f"{cut}{lines[number]}{cut}"
                lines[number] = line.replace(old, new).replace(old, new)[1:-1]  # of two side by side one at a time
        return lines
