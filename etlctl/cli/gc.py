"""`etlctl gc`: removes what killed processes have left behind, and what of history and logs is too old."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from etlctl.cli import documents, gc_documents
from etlctl.cli.ages import age
from etlctl.cli.layout import Line, Span, Style, line, span, table
from etlctl.cli.options import Command
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.standing import moment_text
from etlctl.errors import ExitCode, UsageError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.dialects.redshift.remains import SweptStaging
    from etlctl.db.state.cleaning import Pruned
    from etlctl.db.state.logs import Removed
    from etlctl.s3.leftovers import Swept
    from etlctl.targets.leftovers import SweptFolder

_LEASES_S = 7 * 86_400.0
"""Ended leases tell who did a task while others waited: of no use for long."""
_EXAMPLES = """
etlctl gc --dry-run                               # what it would remove, and change nothing
etlctl gc                                         # temporary files, old history, old logs
etlctl gc --files data/ /mnt/share --older-than 6h
etlctl gc --s3 s3://lake/exports/ --json | jq '.places[].uploads[].address'
"""


@dataclass(frozen=True)
class _Wanted:
    """What is to be looked for; nothing named means all but uploads."""

    files: bool
    history: bool
    s3: bool
    places: tuple[str, ...]
    older_than: str
    before: dt.datetime
    is_dry: bool

    @property
    def s3_places(self) -> tuple[str, ...]:
        """Those of S3; where no files were asked for, all: what is no address is refused there."""
        return tuple(one for one in self.places if not self.files or one.startswith("s3://"))


def _gc(
    ctx: click.Context,
    places: tuple[str, ...],
    files: bool,
    history: bool,
    s3: bool,
    older_than: str,
    dry_run: bool,
) -> int:
    call = session(ctx)
    before = call.now - age(older_than, "--older-than")
    by_default = not (files or history or s3)
    addresses = tuple(place for place in places if place.startswith("s3://"))
    if addresses and not s3:
        raise UsageError(f"{shortened(addresses[0])} is a place of S3: give --s3 too, for the uploads that it holds.")
    if len(places) > len(addresses) and not files and not by_default and not s3:
        raise UsageError("a folder goes with --files; history and logs are where the settings say.")
    wanted = _Wanted(files or by_default, history or by_default, s3, places, older_than, before, dry_run)
    uploads, staging = _uploads(call, wanted), _staging(call, wanted)
    folders = _folders(call, wanted)
    pruned = _pruned(call, wanted)
    errors = [*(one.error for one in uploads if one.error), *(one.error for one in staging if one.error)]
    codes = {error.exit_code for error in errors}
    code = ExitCode.worst(codes | ({ExitCode.FAILED} if any(one.errors for one in folders) else set()))
    if call.asked.json:
        found = gc_documents.gc_document(uploads, staging, folders, pruned, before, is_dry=dry_run, code=code)
        call.streams.result(documents.dump(found))
    else:
        lines = [shown for one in uploads for shown in _upload_lines(one, wanted, call.now)]
        lines += [shown for one in staging for shown in _staging_lines(one, wanted, call.now)]
        lines += [shown for one in folders for shown in _file_lines(call, one, wanted)]
        lines += _history_lines(call, *pruned, is_dry=dry_run) if pruned is not None else []
        show(call.streams, lines)
    for told in (*errors, *(error for one in folders for error in one.errors)):
        call.streams.story(f"etlctl: {told}")
    return code


# -- uploads to S3


def _uploads(call: Session, wanted: _Wanted) -> list[Swept]:
    if not wanted.s3:
        return []
    return call.app.sweep_uploads(wanted.s3_places, older_than=wanted.before, is_dry=wanted.is_dry)


def _upload_lines(swept: Swept, wanted: _Wanted, now: dt.datetime) -> list[Line]:
    heading = line(span("GC", Style.STRONG), "  uploads      ", span(str(swept.place), Style.DIM))
    word, style = ("unended", Style.WARN) if wanted.is_dry else ("ended", Style.GOOD)
    rows: list[list[Span]] = [
        [span(word, style), span(upload.address.key), span(f"begun {moment_text(upload.begun_at, now)}", Style.DIM)]
        for upload in swept.uploads
    ]
    return [heading, *table(rows), line(_counted(swept, wanted))]


def _counted(swept: Swept, wanted: _Wanted) -> str:
    number = len(swept.uploads)
    if not number:
        unasked = " nothing could be asked"
        return unasked if swept.error is not None else f" no upload is older than {wanted.older_than}"
    counted = f"{number:,} upload{'' if number == 1 else 's'} older than {wanted.older_than}"
    if wanted.is_dry:
        return f"{counted}; nothing was changed (--dry-run)"
    return f"{counted} ended, parts and all" if swept.error is None else f"{counted} ended, and then it failed"


# -- rows on their way to Redshift


def _staging(call: Session, wanted: _Wanted) -> list[SweptStaging]:
    if not wanted.s3:
        return []
    return call.app.sweep_staging(wanted.s3_places, older_than=wanted.before, is_dry=wanted.is_dry)


def _staging_lines(swept: SweptStaging, wanted: _Wanted, now: dt.datetime) -> list[Line]:
    heading = line(span("GC", Style.STRONG), "  rows on their way      ", span(str(swept.place), Style.DIM))
    word, style = ("left", Style.WARN) if wanted.is_dry else ("removed", Style.GOOD)
    rows = [
        [
            span(word, style),
            span(one.address.key.removeprefix(swept.place.key)),
            span(_size(one.size_bytes).rjust(8)),
            span(f"written {moment_text(one.written_at, now)}", Style.DIM),
        ]
        for one in swept.folders
    ]
    number = len(swept.folders)
    if not number:
        none = f"no load's folder is older than {wanted.older_than}"
        return [heading, line(f" {'nothing could be asked' if swept.error is not None else none}")]
    told = f"{number:,} folder{'' if number == 1 else 's'} of loads older than {wanted.older_than}"
    return [heading, *table(rows), line(_done(told, is_dry=wanted.is_dry))]


# -- temporary files


def _folders(call: Session, wanted: _Wanted) -> list[SweptFolder]:
    if not wanted.files:
        return []
    from etlctl.targets.leftovers import swept

    named = [place for place in wanted.places if not place.startswith("s3://")]
    for folder in named:
        if not os.path.isdir(folder):
            raise UsageError(f"{shortened(folder)} is no folder; name one in which targets are, or s3://… with --s3.")
    folders = [os.path.abspath(folder) for folder in named] or [os.fspath(call.settings.project)]
    return swept(folders, older_than=wanted.before, is_dry=wanted.is_dry)


def _file_lines(call: Session, swept: SweptFolder, wanted: _Wanted) -> list[Line]:
    heading = line(span("GC", Style.STRONG), "  temporary files      ", span(swept.folder, Style.DIM))
    word, style = ("left", Style.WARN) if wanted.is_dry else ("removed", Style.GOOD)
    rows = [
        [
            span(word, style),
            span(call.shown_path(one.path)),
            span(_size(one.size_bytes).rjust(8)),
            span(f"written {moment_text(one.written_at, call.now)}", Style.DIM),
        ]
        for one in swept.files
    ]
    number = len(swept.files)
    if not number:
        return [heading, line(f" none older than {wanted.older_than} that nobody is writing")]
    size = _size(sum(one.size_bytes for one in swept.files))
    told = f"{number:,} file{'' if number == 1 else 's'} older than {wanted.older_than}, {size}"
    return [heading, *table(rows), line(_done(told, is_dry=wanted.is_dry))]


# -- history and logs


def _pruned(call: Session, wanted: _Wanted) -> tuple[Pruned, Removed] | None:
    if not wanted.history:
        return None
    from etlctl.db.state.cleaning import pruned
    from etlctl.db.state.logs import LogStore
    from etlctl.db.state.store import Store

    settings = call.settings
    call.app  # noqa: B018  the client of S3 is that of the settings in place
    store = Store(settings.state)
    try:
        found = pruned(
            store,
            runs_s=settings.history_keep_s,
            logs_s=settings.logs.keep_s,
            leases_s=_LEASES_S,
            is_dry=wanted.is_dry,
        )
    finally:
        store.close()
    before_s = call.now.timestamp() - settings.logs.keep_s
    return found, LogStore(settings.logs.store, settings.project).remove_older(before_s, is_dry=wanted.is_dry)


def _history_lines(call: Session, pruned: Pruned, removed: Removed, *, is_dry: bool) -> list[Line]:
    settings = call.settings
    heading = line(span("GC", Style.STRONG), "  history and logs      ", span(call.state_heading, Style.DIM))
    told = [
        (pruned.runs, "run", f"begun more than {_age(settings.history_keep_s)} ago, {pruned.attempts:,} attempts"),
        (pruned.leases, "lease", f"ended more than {_age(_LEASES_S)} ago"),
        (
            pruned.turns + pruned.stops + pruned.alerts + pruned.pauses,
            "turns, stops, alerts and ended pauses",
            f"older than {_age(settings.history_keep_s)}",
        ),
        (pruned.logs, "end of a log", f"older than {_age(settings.logs.keep_s)}"),
        (removed.runs, "folder of logs", f"older than {_age(settings.logs.keep_s)}, {_size(removed.size_bytes)}"),
    ]
    lines = [line(_done(f" {number:,} × {what} {why}", is_dry=is_dry)) for number, what, why in told if number]
    if not lines:
        keep = f"{_age(settings.history_keep_s)} of history and {_age(settings.logs.keep_s)} of logs"
        lines = [line(f" nothing is older than what is kept: {keep} (keep in [history] and [logs])")]
    return [heading, *lines]


def _done(text: str, *, is_dry: bool) -> str:
    return f"{text}; nothing was changed (--dry-run)" if is_dry else f"{text}, removed"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _size(number: int) -> str:
    """`12 KB`, in thousands."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= length:
            return f"{number / length:.1f} {unit}"
    return f"{number} B"


def _flag(name: str, said: str) -> click.Option:
    return click.Option([name], is_flag=True, help=said)


_PARAMS: Sequence[click.Parameter] = (
    click.Argument(["places"], nargs=-1, metavar="[PLACE]..."),
    _flag("--files", "Temporary files of targets that nobody will publish."),
    _flag("--history", "Runs, turns of schedules, logs and ended leases that are older than the settings keep them."),
    _flag("--s3", "Uploads to S3 that nobody has completed or aborted, and rows on their way to Redshift."),
    click.Option(
        ["--older-than"],
        metavar="AGE",
        default="1d",
        show_default=True,
        help="Files and uploads begun before that: 90m, 6h, 1d, 2w. Give more than your longest task takes.",
    ),
    _flag("--dry-run", "Tell what would be removed or ended, and change nothing."),
)

command = Command(
    "gc",
    callback=click.pass_context(_gc),
    params=list(_PARAMS),
    help="Remove what killed processes have left behind, and what is too old. Without --files, --history or --s3: "
    "temporary files in the project, and history and logs that are older than `keep` in [history] and [logs]. A PLACE "
    "is a folder for --files. With --s3: multipart uploads that will never be completed, whose parts nobody sees and "
    "somebody pays for; a PLACE is s3://BUCKET or s3://BUCKET/PREFIX, and without one it is `gc` of [s3] in the "
    "settings and the `s3_staging` of the connections. Everybody's uploads there are ended, not etlctl's alone; and "
    "what killed loads have left in an `s3_staging` is removed.",
    examples=_EXAMPLES,
)
