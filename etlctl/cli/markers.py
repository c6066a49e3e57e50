"""`etlctl markers`: the marker tables for people. Lists their rows, adopts Luigi's table, resolves a torn load."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from etlctl.cli import documents, marker_documents
from etlctl.cli.grouping import asked_for
from etlctl.cli.layout import Line, Span, Style, line, span, table
from etlctl.cli.marker_documents import word_of
from etlctl.cli.options import Command, CommandGroup, limit_option
from etlctl.cli.screen import show
from etlctl.cli.session import Session, session
from etlctl.cli.since import instant_of, since_option
from etlctl.cli.standing import moment_text
from etlctl.cli.tasks import Request, TaskCommand, make_tasks
from etlctl.errors import EtlctlError, ExitCode, UsageError
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.inventory import Adoption, Listing
    from etlctl.db.markers import Marker
    from etlctl.db.torn import Torn

_MOST = 50
_SIGNS = {"done": Style.GOOD, "torn": Style.BAD}
_LIST_EXAMPLES = """
etlctl markers                              # the newest of every connection
etlctl markers list --table flights --since yesterday
etlctl markers list --id 2013_01 --json | jq '.connections[].total'
"""
_ADOPT_EXAMPLES = """
etlctl markers adopt
etlctl markers adopt --connection warehouse
"""
_RESOLVE_EXAMPLES = """
etlctl markers resolve LoadFlights --date 2013-01-02             # looks, and changes nothing
etlctl markers resolve LoadFlights --date 2013-01-02 --loaded    # its rows are all there
etlctl markers resolve LoadFlights --date 2013-01-02 --absent    # none of its rows is there, or may stay
"""


# -- list


def _list(
    ctx: click.Context,
    connection: tuple[str, ...],
    id_: str | None,
    table_: str | None,
    state: str | None,
    since: str | None,
    limit: int,
) -> int:
    call = session(ctx)
    named = list(dict.fromkeys(connection))
    names = named or list(call.settings.connections)
    from etlctl.db.inventory import Wanted  # SQLAlchemy comes with it

    wanted = Wanted(
        id_part=_checked(id_, "--id"),
        target_table=_checked(table_, "--table"),
        is_torn=None if state is None else state == "torn",
        since=None if since is None else instant_of(since, call.now),
        most=limit or None,
    )
    listings = list(zip(names, call.app.list_markers(named, wanted), strict=True))
    errors = [listing for _, listing in listings if isinstance(listing, EtlctlError)]
    codes = {error.exit_code for error in errors}
    code = ExitCode.worst(codes) or max(codes, default=ExitCode.DONE)
    if call.asked.json:
        call.streams.result(documents.dump(marker_documents.markers_document(listings, code)))
    else:
        show(call.streams, [one for _, listing in listings for one in _listing_lines(call, listing)])
    for error in errors:
        call.streams.story(f"etlctl: {error}")
    return code


def _checked(text: str | None, option: str) -> str | None:
    """`text`, which every database can be asked for."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option} {shortened(text or '')}: this is no valid Unicode text.") from None
    return text


def _listing_lines(call: Session, listing: Listing | EtlctlError) -> list[Line]:
    if isinstance(listing, EtlctlError):
        return []
    place = call.shown_database(listing.connection, listing.shown_url)
    lines = [line(span("MARKERS", Style.STRONG), f"  {listing.marker_table}      ", span(place, Style.DIM))]
    if not listing.is_there:
        return [*lines, line(" no marker table yet: nothing has been loaded by etlctl or Luigi")]
    lines.extend(table([_row(marker, call.now) for marker in listing.markers]))
    torn = sum(marker.is_torn for marker in listing.markers)
    counted = f"{listing.total:,} marker{'' if listing.total == 1 else 's'}"
    if listing.total > len(listing.markers):
        counted += f", the newest {len(listing.markers):,} shown (--limit 0 shows all)"
    lines.append(line(counted))
    if torn:
        lines.append(
            line(
                span(f"{torn:,} torn", Style.BAD),
                ": look at the rows, then etlctl markers resolve TASK --loaded | --absent",
            )
        )
    return lines


def _row(marker: Marker, now: dt.datetime) -> list[Span]:
    word = word_of(marker)
    rows = "-" if marker.row_count is None else f"{marker.row_count:,} row{' ' if marker.row_count == 1 else 's'}"
    return [
        span(word, _SIGNS[word]),
        span(marker.update_id),
        span(marker.target_table),
        span(f"{rows:>9}"),
        span(moment_text(marker.inserted_at, now)),
        span(_by(marker), Style.DIM),
    ]


def _by(marker: Marker) -> str:
    """Host and process of who wrote it; the random word at the end tells a person nothing."""
    if marker.owner is None:
        return "Luigi"
    return marker.owner.rpartition(":")[0] or marker.owner


# -- adopt


def _adopt(ctx: click.Context, connection: str | None) -> int:
    call = session(ctx)
    adoption = call.app.adopt_markers(connection)
    if call.asked.json:
        call.streams.result(documents.dump(marker_documents.adoption_document(adoption)))
    else:
        place = call.shown_database(adoption.connection, adoption.shown_url)
        heading = line(span("ADOPT", Style.STRONG), f"  {adoption.marker_table}      ", span(place, Style.DIM))
        show(call.streams, [heading, line(f" {_adoption_text(adoption)}")])
    return 0


def _adoption_text(adoption: Adoption) -> str:
    rows = f"{adoption.rows:,} row{'' if adoption.rows == 1 else 's'}"
    if adoption.change == "made":
        return "made: there was no such table; it is empty"
    if adoption.change == "current":
        return f"nothing to do: it has our columns and key already; {rows}"
    columns = f"new columns {', '.join(adoption.columns_added)}; " if adoption.columns_added else ""
    return f"adopted: {columns}its key is (update_id, target_table); {rows} kept, and Luigi can go on writing it"


# -- resolve


def _resolve(ctx: click.Context, request: Request, loaded: bool, absent: bool) -> int:
    if loaded and absent:
        raise UsageError("--loaded says that the rows are there and --absent that they are not; give one of them.")
    call = session(ctx)
    tasks = make_tasks(request, call)
    torn = call.app.resolve_torn(tasks, as_loaded=loaded if loaded or absent else None)
    code = ExitCode.DONE if loaded or absent else ExitCode.TORN
    resolved_as = "loaded" if loaded else "absent" if absent else None
    if call.asked.json:
        call.streams.result(documents.dump(marker_documents.resolved_document(torn, resolved_as, code)))
        return code
    heading = line(
        span("RESOLVE", Style.STRONG), f"  {asked_for(tasks)}      ", span(call.heading_of(tasks), Style.DIM)
    )
    words = f"{request.words}{call.words}"
    show(
        call.streams, [heading, *table([_torn_row(call, one, resolved_as) for one in torn]), *_next(words, resolved_as)]
    )
    return code


def _torn_row(call: Session, torn: Torn, resolved_as: str | None) -> list[Span]:
    words = {None: ("torn", Style.BAD), "loaded": ("done", Style.GOOD), "absent": ("deleted", Style.WARN)}
    word, style = words[resolved_as]
    was = f"{'' if resolved_as is None else 'was '}loading since {moment_text(torn.marker.inserted_at, call.now)}"
    run = f", run {torn.marker.run_id}" if torn.marker.run_id else ""
    return [
        span(word, style),
        span(torn.task.task_label),
        span(f"{torn.key.target_table} on {torn.database.name}"),
        span(f"{was} by {_by(torn.marker)}{run}", Style.DIM),
    ]


def _next(words: str, resolved_as: str | None) -> list[Line]:
    if resolved_as == "loaded":
        return [line("its marker says done from now on; how many rows there are is not known")]
    if resolved_as == "absent":
        return [
            line("its marker is gone, its table was not touched"),
            line("load it again: ", span(f"etlctl build {words}", Style.STRONG)),
        ]
    command = f"etlctl markers resolve {words}"
    return [
        line("the rows of this load are there whole, in part, or not at all, if it is not running still: look at them"),
        line("all there:            ", span(f"{command} --loaded", Style.STRONG)),
        line("none, or deleted now: ", span(f"{command} --absent", Style.STRONG)),
    ]


# -- the commands


def _connection_option(*, multiple: bool) -> click.Option:
    said = "All of the settings unless named; may be given again." if multiple else "The default one unless named."
    return click.Option(
        ["--connection"], metavar="NAME", multiple=multiple, help=f"Connection. {said}", shell_complete=_complete
    )


def _complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from etlctl.cli.session import brief_session

    try:
        with brief_session(ctx) as call:
            names: Sequence[str] = list(call.settings.connections)
    except EtlctlError:
        return []  # a shell that is completing has no place to show an error
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _list_options() -> list[click.Parameter]:
    return [
        _connection_option(multiple=True),
        click.Option(["--id", "id_"], metavar="TEXT", help="Those whose update_id holds TEXT, in capitals or not."),
        click.Option(["--table", "table_"], metavar="TABLE", help="Those of this table."),
        click.Option(["--state"], type=click.Choice(["done", "torn"]), help="Those in this state."),
        since_option("Those written"),
        limit_option(_MOST),
    ]


_LIST_HELP = (
    "List the markers of the connections, the newest first: which loads are in the database, by whom and when. Reads "
    "Luigi's tables as they are, and writes nothing. A torn load was committed in the middle: `resolve` it."
)
_COMMANDS = [
    Command(
        "list",
        callback=click.pass_context(_list),
        params=_list_options(),
        help=_LIST_HELP,
        short_help="List markers: what is loaded, by whom and when.",
        examples=_LIST_EXAMPLES,
    ),
    Command(
        "adopt",
        callback=click.pass_context(_adopt),
        params=[_connection_option(multiple=False)],
        short_help="Give Luigi's marker table our columns and key.",
        help="Give Luigi's marker table etlctl's columns and key at once, as the first load into that database would. "
        "Its rows stay valid and Luigi can go on writing it. A missing table is made.",
        examples=_ADOPT_EXAMPLES,
    ),
    TaskCommand(
        "resolve",
        callback=click.pass_context(_resolve),
        params=[
            click.Option(["--loaded"], is_flag=True, help="All rows of the load are there: its marker says done."),
            click.Option(
                ["--absent"], is_flag=True, help="None of them is: its marker is deleted, so that it runs again."
            ),
        ],
        short_help="Say of a torn load whether its rows are there.",
        help="Resolve torn loads of the TASKs, once a person has looked at the rows. Without --loaded or --absent it "
        "only tells who was loading and since when. Refuses a marker that is not torn.",
        examples=_RESOLVE_EXAMPLES,
    ),
]

command = CommandGroup(
    "markers",
    commands=_COMMANDS,
    default="list",
    help="The marker tables: which loads are in the databases. Without a command it is `list`.",
    examples=_LIST_EXAMPLES,
)
