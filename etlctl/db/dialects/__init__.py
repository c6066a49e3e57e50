"""What differs between databases: one module each behind the protocol of `base.py`; a new database is one file here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlctl.db.dialects.base import Dialect


def dialect_for(url: str, shown: str) -> Dialect:
    """The Dialect that speaks to `url`; `shown` begins the error and tells where it was given. Raises SettingsError.

    The modules bring SQLAlchemy, which `--help` does without.
    """
    scheme = url.partition("://")[0]
    match re.split(r"[+]", scheme, maxsplit=1)[0]:
        case "sqlite":
            from etlctl.db.dialects.sqlite.dialect import SQLiteDialect

            return SQLiteDialect()
        case "postgresql":
            from etlctl.db.dialects.postgresql.dialect import PostgreSQLDialect

            return PostgreSQLDialect(scheme, shown)
        case "redshift":
            from etlctl.db.dialects.redshift.dialect import RedshiftDialect

            return RedshiftDialect(scheme, shown)
        case "mysql" | "mariadb":
            from etlctl.db.dialects.mysql.dialect import MySQLDialect

            return MySQLDialect(scheme, shown)
    from etlctl.db.dialects.generic.dialect import GenericDialect

    return GenericDialect(scheme, shown)
