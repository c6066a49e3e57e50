"""The settings: where they are found, how they are read, and the one frozen value that comes of it.

`find` and `load` are the way in; `Settings` is handed down, and nothing here is asked again later. Neither SQLAlchemy
nor click is known here, and nothing is read at import.
"""

from __future__ import annotations

from etlctl.settings.load import find, find_project, load, searched
from etlctl.settings.model import (
    ConnectionSettings,
    LoopSettings,
    MetricsSettings,
    NotifySettings,
    S3Settings,
    ScheduleSettings,
    Settings,
)
from etlctl.settings.secret import Secret, masked
from etlctl.settings.urls import masked_url, sqlite_file

__all__ = [
    "ConnectionSettings",
    "LoopSettings",
    "MetricsSettings",
    "NotifySettings",
    "S3Settings",
    "ScheduleSettings",
    "Secret",
    "Settings",
    "find",
    "find_project",
    "load",
    "masked",
    "masked_url",
    "searched",
    "sqlite_file",
]
