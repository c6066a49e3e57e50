"""`etlctl gc`: removes what killed processes have left behind: uploads to S3 that nobody will complete."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import click

from etlctl.cli import documents, gc_documents
from etlctl.cli.layout import Line, Span, Style, line, span, table
from etlctl.cli.options import Command
from etlctl.cli.screen import show
from etlctl.cli.session import session
from etlctl.cli.standing import moment_text
from etlctl.errors import ExitCode, UsageError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.s3.leftovers import Swept

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST = dt.timedelta(days=3660)
_EXAMPLES = """
etlctl gc --s3 --dry-run                          # what it would end, and change nothing
etlctl gc --s3 --older-than 6h
etlctl gc --s3 s3://lake/exports/ --json | jq '.places[].uploads[].address'
"""


def _gc(ctx: click.Context, places: tuple[str, ...], s3: bool, older_than: str, dry_run: bool) -> int:
    if not s3:
        raise UsageError("gc is told what to look for: give --s3 for the uploads that nobody has ended.")
    call = session(ctx)
    before = call.now - _age(older_than)
    swept = call.app.sweep_uploads(places, older_than=before, is_dry=dry_run)
    code = ExitCode.worst({one.error.exit_code for one in swept if one.error is not None})
    if call.asked.json:
        call.streams.result(documents.dump(gc_documents.gc_document(swept, before, is_dry=dry_run, code=code)))
    else:
        show(call.streams, [shown for one in swept for shown in _lines(one, older_than, call.now, is_dry=dry_run)])
    for one in swept:
        if one.error is not None:
            call.streams.story(f"etlctl: {one.error}")
    return code


def _age(text: str) -> dt.timedelta:
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    age = dt.timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if match is not None else None
    if age is None or age > _MOST:
        raise UsageError(
            f"--older-than cannot take {shortened(text)!r}: it is a whole number and one of s, m, h, d and w, as in "
            "6h or 1d, and ten years at most."
        )
    return age


def _lines(swept: Swept, older_than: str, now: dt.datetime, *, is_dry: bool) -> list[Line]:
    heading = line(span("GC", Style.STRONG), "  uploads      ", span(str(swept.place), Style.DIM))
    word, style = ("unended", Style.WARN) if is_dry else ("ended", Style.GOOD)
    rows: list[list[Span]] = [
        [span(word, style), span(upload.address.key), span(f"begun {moment_text(upload.begun_at, now)}", Style.DIM)]
        for upload in swept.uploads
    ]
    return [heading, *table(rows), line(_counted(swept, older_than, is_dry=is_dry))]


def _counted(swept: Swept, older_than: str, *, is_dry: bool) -> str:
    number = len(swept.uploads)
    if not number:
        return " nothing could be asked" if swept.error is not None else f" no upload is older than {older_than}"
    counted = f"{number:,} upload{'' if number == 1 else 's'} older than {older_than}"
    if is_dry:
        return f"{counted}; nothing was changed (--dry-run)"
    return f"{counted} ended, parts and all" if swept.error is None else f"{counted} ended, and then it failed"


command = Command(
    "gc",
    callback=click.pass_context(_gc),
    params=[
        click.Argument(["places"], nargs=-1, metavar="[PLACE]..."),
        click.Option(["--s3"], is_flag=True, help="Uploads to S3 that nobody has completed or aborted."),
        click.Option(
            ["--older-than"],
            metavar="AGE",
            default="1d",
            show_default=True,
            help="Those begun before that: 90m, 6h, 1d, 2w. Give more than your longest upload takes.",
        ),
        click.Option(["--dry-run"], is_flag=True, help="Tell what would be ended, and change nothing."),
    ],
    help="Remove what killed processes have left behind. With --s3: multipart uploads that will never be completed, "
    "whose parts nobody sees and somebody pays for. A PLACE is s3://BUCKET or s3://BUCKET/PREFIX; without one, `gc` of "
    "[s3] in the settings and the `s3_staging` of the connections. Everybody's uploads there are ended, not etlctl's "
    "alone.",
    examples=_EXAMPLES,
)
