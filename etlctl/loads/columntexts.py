"""Values of one column as fields of the text that a database reads; what each is stored as, columnvalues.py says.

What comes again and again is written once, and a column of plain texts or integers is looked at as one: some hundred
rows at a time, outside of Python's own loops.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from etlctl.db.columns import Column, Kind
from etlctl.loads.columnvalues import LONG, MOMENTS, ColumnValues, RefusedError, Stored, canonical, whole_number

if TYPE_CHECKING:
    from etlctl.db.dialects.lines import FieldForm

_NONE = type(None)


class ColumnTexts(ColumnValues):
    """Writes the values of one column of `width` in `form`. `null_values` as for ColumnValues."""

    def __init__(
        self, column: Column, stored: Stored, null_values: Collection[Any], width: int, form: FieldForm
    ) -> None:
        super().__init__(column, stored, null_values, width)
        self._form = form
        self._nulls = self._null_words | {None}
        kind = column.type.kind
        self._is_text = kind is Kind.TEXT
        self._is_long = kind in LONG
        self.own_form = self._own_form()
        """A pattern for texts that are their own fields, and for the words that mean NULL; None where no pattern tells,
        but `are_own`. No text matches in two ways, so that many columns are told by one pattern in no time."""
        self._own: set[str] = set()
        form_of_value = canonical(column.type)
        self._canonical = None if form_of_value is None else self._all_of(self._or_words(form_of_value)).fullmatch
        alike = (str, int, bool, date, *([datetime] if kind in MOMENTS else ())) if not self._is_long else ()
        self._fields: dict[type, dict[Any, str]] = {one: {None: form.null} for one in alike}
        """Of types of which only the same values are equal."""
        whole = self.own_form if kind is Kind.INTEGER else None
        self._are_whole = None if whole is None else self._all_of(whole).fullmatch

    def _own_form(self) -> str | None:
        type_ = self._column.type
        if type_.kind is Kind.INTEGER:
            return self._or_words(whole_number(type_))
        if type_.kind is Kind.TEXT:
            most = "" if type_.length is None else type_.length
            return self._or_words(f"[^{re.escape(self._form.separator)}]{{0,{most}}}+")
        return None

    def _or_words(self, form: str) -> str:
        """Also the words for NULL, those that do not have the form anyway."""
        words = [word for word in self._null_words if self._form.separator not in word]
        further = sorted(re.escape(word) for word in words if re.fullmatch(form, word) is None)
        return f"(?:{'|'.join([form, *further])})"

    def _all_of(self, form: str) -> re.Pattern[str]:
        """For fields of the form, each with the separator behind it."""
        return re.compile(f"(?>(?:{form}{re.escape(self._form.separator)})*)")

    def are_own(self, texts: Sequence[str]) -> bool:
        """Whether each of these texts without separators is its own field or a word that means NULL, in a column
        without `own_form`. In doubt it is not."""
        if self._own.issuperset(texts):
            return True
        has_room = len(self._own) <= self._most_known
        if self._canonical is not None and self._canonical(self._form.separator.join((*texts, ""))):
            self._own.update(texts if has_room else ())
            return True
        if self._is_long or not has_room:
            return False
        new = list(set(texts) - self._own)
        try:
            fields = self.texts(new)
        except RefusedError:
            return False
        pairs = zip(new, fields, strict=True)
        self._own.update(text for text, field in pairs if text == field or text in self._null_words)
        return self._own.issuperset(new)

    def texts(self, values: Sequence[Any]) -> Sequence[str]:
        """A field for each, also for those that are NULL. Raises RefusedError."""
        kinds = set(map(type, values))
        has_none = _NONE in kinds
        kinds.discard(_NONE)
        kind = kinds.pop() if len(kinds) == 1 and not self._null_others else None
        if kind is str and self._is_text:
            return self._plain(values)
        if kind is str and self._are_whole is not None and not has_none:
            cut = self._form.separator
            joined = cut.join((*values, ""))
            if joined.count(cut) == len(values) and self._are_whole(joined):
                return self._with_nulls(values)
        known = self._fields.get(kind) if kind is not None else None
        return self._written(self.stored(values)) if known is None else self._remembered_fields(known, values)

    def _plain(self, values: Sequence[str]) -> Sequence[str]:
        words = self._nulls
        present = values if words.isdisjoint(values) else [value for value in values if value not in words]
        joined = "".join(present)
        if self._are_texts(present) and not any(mark in joined for mark in self._form.marks):
            return values if present is values else self._with_nulls(values)
        return self._written(self.stored(values))

    def _with_nulls(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts as they are, but for the words that mean NULL."""
        words, null = self._nulls, self._form.null
        return texts if words.isdisjoint(texts) else [null if text in words else text for text in texts]

    def _remembered_fields(self, known: dict[Any, str], values: Sequence[Any]) -> Sequence[str]:
        try:
            return list(map(known.__getitem__, values))
        except KeyError:
            pass
        if len(known) > self._most_known:
            return self._written(self.stored(values))
        new = [value for value in set(values) if value not in known]
        try:
            known.update(zip(new, self._written(self.stored(new)), strict=True))
        except RefusedError:
            return self._written(self.stored(values))  # tells which of them it was
        return list(map(known.__getitem__, values))

    def _written(self, values: Sequence[Any]) -> Sequence[str]:
        null, text_of = self._form.null, self._form.text_of
        return [null if value is None else text_of(value) for value in values]
