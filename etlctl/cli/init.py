"""`etlctl init`: a small project that builds at once. Imports no pipeline and opens no database."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Final

import click

from etlctl.cli import documents, skeleton
from etlctl.cli.layout import Line, Style, line, span, table
from etlctl.cli.options import Command, common
from etlctl.cli.screen import show
from etlctl.cli.streams import STREAMS, of_process
from etlctl.text import printable

_EXAMPLES = """
etlctl init demo && cd demo && etlctl build All
etlctl init --add               # into this folder, beside what is there
"""


class InitDocument(documents.Document):
    """`etlctl/init`: a new project."""

    folder: Annotated[str, "where it is, an absolute path"]
    name: Annotated[str, "what it is called in compose.yaml and README.md"]
    created: Annotated[list[str], "the files that were written, relative to `folder`"]
    kept: Annotated[list[str], "files that were there before, and were left as they are"]
    next: Annotated[list[str], "commands to go on with"]


SCHEMAS: Final[dict[str, type[Any]]] = {"etlctl/init": InitDocument}
"""The document, by its `schema`."""


def _init(ctx: click.Context, directory: str, name: str | None, add: bool) -> int:
    done = skeleton.write(directory, name=name, adds=add, cwd=Path.cwd())
    streams = ctx.meta.get(STREAMS) or of_process()
    following = _next(done, directory)
    if common(ctx).json:
        document = InitDocument(
            **documents.head("etlctl/init"),
            folder=os.fspath(done.folder),
            name=done.name,
            created=list(done.created),
            kept=list(done.kept),
            next=following,
        )
        streams.result(documents.dump(document))
    else:
        show(streams, _lines(done, following))
    return 0


def _next(done: skeleton.Written, directory: str) -> list[str]:
    place = f"./{directory}" if directory.startswith("-") else directory  # no option of cd's
    there = [] if done.folder == Path.cwd() else [f"cd {quote(place)}"]
    return [*there, "etlctl plan All", "etlctl build All", "python -m pytest"]


def _lines(done: skeleton.Written, following: list[str]) -> list[Line]:
    lines = [line(span("NEW", Style.STRONG), f"  {printable(done.name)}      {printable(os.fspath(done.folder))}")]
    rows = [
        [span(sign, style), span(path), span(skeleton.FILES[path] if sign == "+" else "was there", Style.DIM)]
        for sign, style, paths in (("+", Style.GOOD, done.created), ("=", Style.DIM, done.kept))
        for path in paths
    ]
    kept = f", {len(done.kept)} kept as they were" if done.kept else ""
    said = {1: "# what would run, and why", 3: "# its tests (pip install pytest)"}
    first = len(following) - 3
    steps = [
        [span("next" if index == 0 else ""), span(step), span(said.get(index - first + 1, ""), Style.DIM)]
        for index, step in enumerate(following)
    ]
    return [*lines, *table(rows), line(f"{_files(len(done.created))} written{kept}"), *table(steps, indent=0)]


def _files(number: int) -> str:
    return f"{number} file{'s' if number != 1 else ''}"


command = Command(
    "init",
    callback=click.pass_context(_init),
    params=[
        click.Argument(["directory"], metavar="[DIR]", default=".", type=click.Path()),
        click.Option(
            ["--name"], metavar="NAME", help="What it is called in compose.yaml; the folder's name unless given."
        ),
        click.Option(
            ["--add"], is_flag=True, help="Also into a folder that is not empty; what is there stays as it is."
        ),
    ],
    help="Write a small project into DIR, a new or empty folder: a pipeline that builds at once on SQLite, its tests, "
    "settings, a Dockerfile, a compose file with PostgreSQL and three loops, a CI file. No file is ever overwritten.",
    examples=_EXAMPLES,
)
