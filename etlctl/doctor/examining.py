"""Everything the doctor looks at, in the order in which it is told; the one place where secrets are taken out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from etlctl.doctor import databases, operations, pipelines, stores, surroundings, told
from etlctl.doctor.findings import Finding, Level, warning
from etlctl.doctor.pipelines import ClassTold, TablesTold
from etlctl.doctor.told import Value
from etlctl.errors import ExitCode
from etlctl.settings.secret import masked

if TYPE_CHECKING:
    from etlctl.app import App


class Report(NamedTuple):
    """What was found."""

    values: tuple[Value, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 where anything failed; warnings are for people."""
        return ExitCode.FAILED if self.count(Level.FAIL) else ExitCode.DONE

    def count(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(one.level is level for one in self.findings)


def examined(app: App, *, pitfall: ClassTold, tables: TablesTold, write: bool) -> Report:
    """Looks at all there is. What fails is a finding; nothing is raised but for mistakes of ours.

    `pitfall` and `tables` tell of a task class what `show` does; `write` lets the S3 places be written to.
    """
    settings = app.settings
    found = [
        *surroundings.version_findings(settings),
        *(warning("settings", text, "mend it, or take it out.") for text in settings.warnings),
        *surroundings.file_findings(settings, user=os.getuid()),
        *databases.connection_findings(settings, app.context.database),
        *stores.store_findings(settings, write=write),
        *pipelines.pipeline_findings(app, pitfall, tables),
        *operations.operation_findings(app),
    ]
    secrets = settings.secrets()
    findings = tuple(one._replace(text=masked(one.text, secrets), mend=masked(one.mend, secrets)) for one in found)
    is_public = pipelines.public_parameters(app)
    values = tuple(one._replace(value=masked(one.value, secrets)) for one in told.values(settings, is_public))
    return Report(values, findings)
