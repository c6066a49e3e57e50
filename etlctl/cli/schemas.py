"""Every document that `--json` prints, by its schema; the reference page is written from it. No command needs it."""

from __future__ import annotations

from typing import Any, Final

from etlctl.cli import (
    cron_documents,
    doctor_documents,
    documents,
    gc_documents,
    history_documents,
    init,
    loop_documents,
    marker_documents,
    operation_documents,
)

SCHEMAS: Final[dict[str, type[Any]]] = {
    **documents.SCHEMAS,
    **marker_documents.SCHEMAS,
    **gc_documents.SCHEMAS,
    **history_documents.SCHEMAS,
    **operation_documents.SCHEMAS,
    **doctor_documents.SCHEMAS,
    **loop_documents.SCHEMAS,
    **cron_documents.SCHEMAS,
    **init.SCHEMAS,
}
"""Every document there is."""
