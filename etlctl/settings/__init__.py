"""The settings: where they are found, how they are read, and the one frozen value that comes of it.

`find` and `load` are the way in; `Settings` is handed down, and nothing here is asked again later. Neither SQLAlchemy
nor click is known here, and nothing is read at import.
"""

from __future__ import annotations

from etlctl.settings.load import find, find_project, load, searched
from etlctl.settings.model import ConnectionSettings, S3Settings, Settings
from etlctl.settings.secret import Secret
from etlctl.settings.urls import masked_url, sqlite_file

__all__ = [
    "ConnectionSettings",
    "S3Settings",
    "Secret",
    "Settings",
    "find",
    "find_project",
    "load",
    "masked_url",
    "searched",
    "sqlite_file",
]
