"""Everything the doctor looks at, in the order in which it is told; the one place where secrets are taken out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from etlctl.doctor import databases, operations, pipelines, stores, surroundings, told
from etlctl.doctor.findings import SETTINGS, Finding, Level, told_of, warning
from etlctl.doctor.pipelines import ClassTold, TablesTold
from etlctl.doctor.told import Value
from etlctl.errors import ExitCode, SettingsError
from etlctl.settings.secret import masked

if TYPE_CHECKING:
    from etlctl.app import App


class Report(NamedTuple):
    """What was found."""

    values: tuple[Value, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """2 where settings cannot be used; 1 where anything else failed; warnings are for people."""
        broken = {one.area for one in self.findings if one.level is Level.FAIL}
        if SETTINGS in broken:
            return ExitCode.USAGE
        return ExitCode.FAILED if broken else ExitCode.DONE

    def count(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(one.level is level for one in self.findings)


def examined(
    app: App, mistakes: Sequence[SettingsError], *, pitfall: ClassTold, tables: TablesTold, write: bool
) -> Report:
    """Looks at all there is. What fails is a finding; nothing is raised but for mistakes of ours.

    `mistakes` is what is wrong with the settings, of which all others are looked at. `pitfall` and `tables` tell of a
    task class what `show` does; `write` lets the S3 places be written to.
    """
    settings = app.settings
    broken = [told_of(SETTINGS, error) for error in sorted(mistakes, key=_line)]
    found = [
        *surroundings.version_findings(settings),
        *broken,
        *(warning(SETTINGS, text, "mend it, or take it out.") for text in settings.warnings),
        *surroundings.file_findings(settings, user=os.getuid()),
        *databases.connection_findings(settings, app.context.database),
        *stores.store_findings(settings, write=write),
        *pipelines.pipeline_findings(app, pitfall, tables),
        *operations.operation_findings(app),
    ]
    told_there = [one.text.removesuffix(".") for one in broken]
    found = [one for one in found if one in broken or not any(text in one.text for text in told_there)]
    secrets = settings.secrets()
    findings = tuple(one._replace(text=masked(one.text, secrets), mend=masked(one.mend, secrets)) for one in found)
    is_public = pipelines.public_parameters(app)
    values = tuple(one._replace(value=masked(one.value, secrets)) for one in told.values(settings, is_public))
    return Report(values, findings)


def _line(error: SettingsError) -> tuple[str, int]:
    """By its line in the file, which an editor goes through from its top; others stay as they were told."""
    place = re.match(r"(.*?):(\d+)[: ]", str(error))
    return (place[1], int(place[2])) if place is not None else ("", 0)
