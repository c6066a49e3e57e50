"""The document that `etlctl doctor --json` prints, and how it is made; see documents.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from etlctl.cli.documents import Document, head

if TYPE_CHECKING:
    from etlctl.doctor import Report


class SettingDocument(TypedDict):
    """One setting."""

    key: Annotated[str, "as one would write it on one line of TOML: `connections.warehouse.url`"]
    value: Annotated[str, "as a person may read it; `***` for a secret"]
    origin: Annotated[str, "where it stands: `config/etlctl.toml:7`, an environment variable, `default`"]


class FindingDocument(TypedDict):
    """One thing that was looked at."""

    area: Annotated[str, "`connection warehouse`, `state`, `files`, `pipelines`, `s3 s3://…`, `versions`"]
    level: Annotated[str, "ok, warning or failed"]
    text: Annotated[str, "what was found"]
    mend: Annotated[str, "what to do about it; empty when it is ok"]


class DoctorDocument(Document):
    """`etlctl/doctor`: the settings, and whether what they name works."""

    settings: Annotated[list[SettingDocument], "in the order in which they were read"]
    findings: Annotated[list[FindingDocument], "in the order of the screen"]
    counts: Annotated[dict[str, int], "findings by level; every level is a key"]


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/doctor": DoctorDocument}
"""These documents, by their `schema`."""


def doctor_document(report: Report) -> DoctorDocument:
    """All that was found."""
    from etlctl.doctor import Level

    return DoctorDocument(
        **head("etlctl/doctor", report.exit_code),
        settings=[SettingDocument(key=one.key, value=one.value, origin=one.origin) for one in report.values],
        findings=[
            FindingDocument(area=one.area, level=str(one.level), text=one.text, mend=one.mend)
            for one in report.findings
        ],
        counts={str(level): report.count(level) for level in Level},
    )
