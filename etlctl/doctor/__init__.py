"""What `etlctl doctor` looks at: settings, databases, S3, files, pipelines, versions. It tells and mends nothing.

examined(App, …) -> Report
├── told.values       every setting with its value, secrets masked, and where it stands
├── surroundings      versions, extras, files whose owner or rights let others decide what runs
├── databases         connections and state: reachable, rights, clock, TLS, marker table, schema
├── stores            the places in S3 that the settings name
└── pipelines         what task classes declare, schedules, notifications
"""

from __future__ import annotations

from etlctl.doctor.examining import Report, examined
from etlctl.doctor.findings import Finding, Level

__all__ = ["Finding", "Level", "Report", "examined"]
