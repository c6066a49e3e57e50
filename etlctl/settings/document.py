"""One settings file as it is read: TOML values, and the line of each key for the sentences about it."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from etlctl.errors import SettingsError
from etlctl.settings.key_lines import key_lines
from etlctl.settings.keys import KeyPath, dotted
from etlctl.text import printable

_PLACE = r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"
_TWICE = ("Cannot overwrite a value", "Cannot declare", "Duplicate inline table key")


class Document(NamedTuple):
    """The content of a settings file; an empty one stands for no file."""

    shown: str = ""
    """The file's name in messages."""
    table: Mapping[str, Any] = MappingProxyType({})
    lines: Mapping[KeyPath, int] = MappingProxyType({})

    def at(self, path: KeyPath) -> str:
        """`config/etlctl.toml:7`: the line of the key, or of the table that holds it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return f"{self.shown}:{self.lines[path[:length]]}"
        return self.shown


def read(file: Path, *, shown: str) -> Document:
    """The Document in `file`; SettingsError with the place when it cannot be read or is not TOML."""
    text = _text(_bytes(file, shown), shown)

    import tomllib  # only a command that has a settings file waits for it

    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"{shown}: values are nested too deeply to be read.") from None
    except ValueError as error:  # TOMLDecodeError, and int() for a number of too many digits
        raise SettingsError(_toml_sentence(str(error), text, shown)) from None
    return Document(shown=shown, table=table, lines=dict(reversed(key_lines(text))))


def owner_warning(file: Path, *, shown: str, user: int) -> str | None:
    """A sentence when neither `user` (a uid) nor root owns the file, so that somebody else decides what runs here."""
    owner = os.stat(file).st_uid
    if owner in (user, 0):
        return None
    return f"{shown} belongs to another user (uid {owner}), who decides what runs here. Is that meant?"


def _bytes(file: Path, shown: str) -> bytes:
    try:
        return file.read_bytes()
    except IsADirectoryError:
        raise SettingsError(f"{shown} is a folder, not a settings file.") from None
    except OSError as error:
        raise SettingsError(f"{shown}: the settings file cannot be read: {error.strerror}.") from None


def _text(content: bytes, shown: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SettingsError(f"{shown} is UTF-16 text. TOML is UTF-8: save the file as UTF-8.")
    content = content.removeprefix(codecs.BOM_UTF8)  # editors on Windows write it; tomllib refuses it
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{shown}:{line}: this line is not UTF-8 text. Save the file as UTF-8.") from None


def _toml_sentence(message: str, text: str, shown: str) -> str:
    place = re.search(_PLACE, message)
    what = printable(message[: place.start()] if place else message)
    if place is None:
        return f"{shown}: not TOML: {what}."
    if place["line"] is None:
        return f"{shown}:{max(len(text.splitlines()), 1)}: not TOML: {what} at the end of the file."
    line = int(place["line"])
    if what.startswith(_TWICE):
        return f"{shown}:{line}:{place['column']}: {_twice(text, line)}"
    return f"{shown}:{line}:{place['column']}: not TOML: {what}."


def _twice(text: str, line: int) -> str:
    """The sentence about a key that is set, or a table that is declared, a second time on `line`."""
    found = key_lines(text)
    path = next((path for path, at in reversed(found) if at <= line), ())  # a value may end lines after its key
    first = next((at for known, at in found if known == path), line)
    where = f" in line {first} already" if first != line else " already"
    return f"'{dotted(path)}' is given twice: it stands{where}. Keep one of them."
