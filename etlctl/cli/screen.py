"""Shows lines: with colours on a terminal that wants them, as plain text anywhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from etlctl.cli.layout import WIDE_OPEN, Line, fold, text_of
from etlctl.cli.streams import Streams, columns_of


def show(streams: Streams, lines: Iterable[Line], *, colours: bool | None = None) -> None:
    """Writes the lines to stdout. Lines are folded to the terminal's width; a pipe gets each whole."""
    width = width_of(streams)
    folded = [piece for one in lines for piece in fold(one, width)]
    if not folded:
        return
    if streams.out is not None and (wants_colours(streams, os.environ) if colours is None else colours):
        from etlctl.cli import render

        with streams.kept():
            render.write(streams.out, folded, width)
    else:
        streams.result("\n".join(text_of(one) for one in folded))


def width_of(streams: Streams) -> int:
    """Columns of the terminal that results go to; WIDE_OPEN where they go elsewhere."""
    if not streams.is_terminal:
        return WIDE_OPEN
    return columns_of(streams.out)


def wants_colours(streams: Streams, environ: Mapping[str, str]) -> bool:
    """Whether results may be coloured: a terminal that is not dumb, and no NO_COLOR (https://no-color.org)."""
    return streams.is_terminal and not environ.get("NO_COLOR") and environ.get("TERM", "") not in ("dumb", "")
