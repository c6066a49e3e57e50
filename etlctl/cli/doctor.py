"""`etlctl doctor`: every setting and where it stands, and whether what the settings name works."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from etlctl.cli import doctor_documents, documents
from etlctl.cli.declared import declared
from etlctl.cli.layout import Line, Style, line, span, table
from etlctl.cli.options import Command
from etlctl.cli.pitfalls import pitfall
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.core.parameters import Parameter
from etlctl.core.task import Task

if TYPE_CHECKING:
    from etlctl.doctor import Finding, Report

_EXAMPLES = """
etlctl doctor
etlctl doctor --profile production --write      # also puts a probe into each S3 place of the settings
etlctl doctor --json | jq '.findings[] | select(.level == "failed")'
"""
_A_DAY = ("2013-01-02", "2013-01", "2013")
"""For parameters that are dates, so that a task can be made and asked what it requires."""


def _doctor(ctx: click.Context, write: bool) -> int:
    call = session(ctx)
    from etlctl.doctor import examined

    mistakes = call.look_at_settings()
    report = examined(call.app, mistakes, pitfall=pitfall, tables=lambda cls: _tables(call, cls), write=write)
    if call.asked.json:
        call.streams.result(documents.dump(doctor_documents.doctor_document(report)))
    else:
        show(call.streams, _lines(call, report))
    return report.exit_code


def _tables(call: Session, cls: type[Task]) -> tuple[str | None, tuple[str, ...], tuple[str, ...] | None]:
    told = declared(cls, _sample(cls), call.settings.default_connection)
    return told.table, told.reads, told.requires


def _sample(cls: type[Task]) -> Task | None:
    """A task of the class with any date for its dates, where nothing else is to be given."""
    from etlctl.core.parameters.dates import DateParameter

    try:
        given = {name: _any_day(one) for name, one in cls.get_params() if isinstance(one, DateParameter)}
        return cls(**given)
    except Exception:  # noqa: BLE001  it needs more, or its __init__ does: then the class alone must tell
        return None


def _any_day(parameter: Parameter[Any]) -> Any:
    for text in _A_DAY:
        with suppress(ValueError):
            return parameter.parse(text)
    raise ValueError("no text is a day of this parameter")


def _lines(call: Session, report: Report) -> list[Line]:
    settings = call.settings
    file = call.shown_path(str(settings.file)) if settings.file is not None else "no settings file: defaults"
    profile = f"   profile {settings.profile}" if settings.profile else ""
    lines = [line(span("DOCTOR", Style.STRONG), f"  {file}{profile}      ", span(str(settings.project), Style.DIM))]
    within = f"sqlite:///{settings.project}/"
    rows = [
        [span(one.key), span(one.value.replace(within, "sqlite:///")), span(one.origin, Style.DIM)]
        for one in report.values
    ]
    lines.extend(table(rows))
    lines.append(line(""))
    for one in report.findings:
        lines.extend(_finding_lines(one, within))
    return [*lines, _counted(report)]


def _finding_lines(one: Finding, within: str) -> list[Line]:
    from etlctl.doctor import Level

    word, style = {
        Level.OK: (" ok    ", Style.GOOD),
        Level.WARN: (" WARN  ", Style.WARN),
        Level.FAIL: (" FAIL  ", Style.BAD),
    }[one.level]
    lines = [line(span(word, style), f"{one.area}  ", one.text.replace(within, "sqlite:///"))]
    return [*lines, line("       mend  ", one.mend)] if one.mend else lines


def _counted(report: Report) -> Line:
    from etlctl.doctor import Level

    good, warned, bad = (report.count(level) for level in (Level.OK, Level.WARN, Level.FAIL))
    warnings = f"{warned} warning{'' if warned == 1 else 's'}"
    style = Style.BAD if bad else Style.WARN if warned else Style.GOOD
    return line(span(f"{good} ok, {warnings}, {bad} failed", style), f"     exit {int(report.exit_code)}")


command = Command(
    "doctor",
    callback=click.pass_context(_doctor),
    params=[
        click.Option(["--write"], is_flag=True, help="Also put a small object into each S3 place, and remove it again.")
    ],
    help="Show every setting and where it stands, and look whether what the settings name works: databases, S3, files, "
    "pipelines, versions. Changes nothing, unless --write is given.",
    examples=_EXAMPLES,
)
