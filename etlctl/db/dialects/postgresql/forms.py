r"""How fields look that COPY reads exactly as `db/values.py` does, as patterns; opens and sends nothing.

PostgreSQL takes far more than we do: `today` and `infinity` are dates to it, the offset of a `timestamp` is dropped
without a word, `0x1F` and `1_000` are integers, any text is bytes, `tru` is true, and a text whose surplus characters
are blanks is cut to the column's length (chapters 8 and 4.1.2 of its manual). So the patterns say what is certain: a
field that has the form is either refused by the server or means there what it means here. What has not is no mistake:
such a file is read and converted by us.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.dialects.base import TableColumn

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6}+)?+)?+"
_UTC = r"(?:Z|\+00(?::?00)?+)?+"
_OFFSET = r"(?:Z|[-+][0-9]{2}(?::?[0-9]{2})?+)?+"
_NUMBER = r"[-+ 0-9.]{0,200}+(?:[eE][-+]?[0-9]{1,2}+ *+)?+"
"""No NaN, no infinity; at most 300 digits, which is less than `to_value` takes."""
_NEGATIVE_ZERO = r"(?! *+-[0.]*+[^0-9.])"  # which no column of ours keeps
_FORMS = {
    Kind.INTEGER: r"[-+ 0-9]{0,40}+",
    Kind.NUMERIC: _NUMBER,
    Kind.FLOAT: _NEGATIVE_ZERO + _NUMBER,
    Kind.BOOLEAN: r"(?:[tTfFyYnN01]|(?i:true|false|yes|no|on|off))?+",
    Kind.DATE: rf"(?:{_DAY}(?:[ T]00:00:00)?+)?+",
    Kind.TIMESTAMP: rf"(?:{_DAY}(?:[ T]{_CLOCK}{_UTC})?+)?+",
    # at the ends of our calendar an offset leads out of it
    Kind.TIMESTAMPTZ: rf"(?:(?!0001|9999){_DAY}(?:[ T]{_CLOCK}{_OFFSET})?+)?+",
    Kind.TIME: rf"(?:{_CLOCK})?+",
    Kind.BYTES: r"\\x[0-9a-fA-F]*+",
}


def is_read_alike(column: Column, there: TableColumn) -> bool:
    """Whether a field in the form of `column` means, put into the table's column as it is, what we would put there."""
    declared, actual = column.type, there.type
    if declared.kind is Kind.TEXT and declared.length is None:
        return True  # as the text that it is, whatever the column makes of it
    if actual is None or (actual.kind is Kind.FLOAT and there.declared.lower() != "double precision"):
        return False
    if declared.kind is Kind.NUMERIC and declared.precision is None:
        return actual.kind is Kind.NUMERIC
    return declared == actual


def pattern_of(types: Sequence[ColumnType | None], nulls: Sequence[str], delimiter: str, *, quotes: bool) -> bytes:
    """A pattern for one record without its line end: fields of these types in this order, or null words.

    None is a column that nobody looks at. Without `quotes` it matches records that hold no quote at all; with them,
    those that keep RFC 4180's rules. There is no NUL in what it matches. Encoded as UTF-8.
    """
    cut = re.escape(delimiter)
    fields = [_field(type_, nulls, cut, quotes=quotes) for type_ in types]
    if len(fields) == 1:
        fields = [rf"(?!\\\.[\r\n]){fields[0]}"]  # for PostgreSQL before 18 that line is the end of all data
    return cut.join(fields).encode()


def _field(type_: ColumnType | None, nulls: Sequence[str], cut: str, *, quotes: bool) -> str:
    bare, quoted = rf'[^"{cut}\r\n\0]*+', r'"[^"\0]*+(?:""[^"\0]*+)*+"'
    if type_ is None or type_.kind is Kind.JSON or (type_.kind is Kind.TEXT and type_.length is None):
        return f"(?:{bare}|{quoted})" if quotes else bare
    if type_.kind is Kind.TEXT:
        return _bounded(type_.length or 0, cut, quotes=quotes)
    words = "".join(f"|{re.escape(word)}" for word in nulls)
    form = f"{_FORMS[type_.kind]}{words}"
    return f'(?:{form}|"(?:{form})")' if quotes else f"(?:{form})"


def _bounded(length: int, cut: str, *, quotes: bool) -> str:
    """A text that is not longer than its column even in bytes, or that the server refuses, since no blank ends it."""
    end = rf"(?=[{cut}\r\n])"
    bare = rf'[^"{cut}\r\n\0]{{0,{length}}}+{end}|[^"{cut}\r\n\0]*+(?<! )'
    if not quotes:
        return f"(?:{bare})"
    return rf'(?:{bare}|"(?:[^"\0]{{0,{length}}}+"{end}|[^"\0]*+(?:""[^"\0]*+)*+(?<! )"))'
