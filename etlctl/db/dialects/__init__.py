"""What differs between databases: one module each behind the protocol of `base.py`; a new database is one file here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlctl.errors import SettingsError

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Dialect

SUPPORTED = ("sqlite",)
"""First words of the URLs that a connection may have."""


def dialect_for(url: str, shown: str) -> Dialect:
    """The Dialect that speaks to `url`; `shown` names the connection in the error. Raises SettingsError."""
    word = url.partition(":")[0].partition("+")[0].lower()
    if word == "sqlite":
        from etlctl.db.dialects.sqlite import SQLiteDialect  # SQLAlchemy comes with it, and --help does without

        return SQLiteDialect()
    raise SettingsError(
        f"{shown}: no database of kind {word or '(none)'!r} can be loaded by this version; "
        f"a URL begins with one of: {', '.join(f'{name}:///' for name in SUPPORTED)}."
    )
