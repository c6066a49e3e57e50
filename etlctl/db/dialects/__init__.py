"""What differs between databases: one module each behind the protocol of `base.py`; a new database is one file here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlctl.errors import SettingsError

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Dialect

SUPPORTED = ("sqlite",)
"""First words of the URLs that a connection may have."""


def dialect_for(url: str, shown: str) -> Dialect:
    """The Dialect that speaks to `url`; `shown` begins the error and tells where it was given. Raises SettingsError."""
    word = url.partition(":")[0].partition("+")[0]
    if word == "sqlite":
        from etlctl.db.dialects.sqlite import SQLiteDialect  # SQLAlchemy comes with it, and --help does without

        return SQLiteDialect()
    raise SettingsError(
        f"{shown}: this version loads into SQLite, whose URLs begin with sqlite:///. Name such a connection."
    )
