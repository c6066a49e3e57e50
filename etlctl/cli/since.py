"""The option `--since`: an instant, a day, or how long ago."""

from __future__ import annotations

import datetime as dt
import re

import click

from etlctl.cli.ages import age
from etlctl.core import dates
from etlctl.core.parameters import DateSecondParameter
from etlctl.errors import UsageError
from etlctl.text import shortened


def since_option(what: str) -> click.Option:
    """`--since`, where `what` says which are taken: `Those begun`."""
    said = f"{what} since: 7d, 2013-01-02, yesterday, -3h, 2013-01-02T03:04."
    return click.Option(["--since"], metavar="TIME", help=said)


def instant_of(text: str, now: dt.datetime) -> dt.datetime:
    """`7d` before now; `2013-01-02`, `yesterday` and `-3h` in the user's own time; an instant of ISO 8601 as it is."""
    try:
        if re.fullmatch(r"\d+[smhdw]", text):
            return now - age(text, "--since")
        try:
            found = dt.datetime.fromisoformat(text)
        except ValueError:
            (found,) = dates.expand(DateSecondParameter(), text.replace("..", ""), now)
        return found.astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"--since cannot take {shortened(text)!r}: {shortened(str(error), 200)}. It takes a day (2013-01-02, "
            "yesterday, -3d), an instant (2013-01-02T03:04, -3h) or an age (7d)."
        ) from None
