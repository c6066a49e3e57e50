"""Writes docs/reference/commands.md and json.md from the code: `python tools/write_reference.py`."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import click

from etlctl.cli import documents, options, schemas
from etlctl.cli.main import COMMANDS, group

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
_NOTE = "<!-- written by tools/write_reference.py from the code: change it there -->"

_COMMANDS_INTRO = f"""# Commands

{_NOTE}

`etlctl COMMAND --help` says the same on the terminal. After a TASK, the task's own parameters are options too:
`etlctl build LoadFlights --help` shows them. Dates take ISO (`2013-01-02`), `today`, `yesterday`, `tomorrow`, `-3d`,
`-2w`, and inclusive ranges `A..B`; ranges on several parameters mean every combination. Where a parameter has the name
of a built-in option, `-p name=value` reaches it. A flag may stand alone (`--dry-run`), with a value
(`--dry-run false`) or negated (`--no-dry-run`).

Results go to stdout; progress, warnings, errors and whatever tasks print go to stderr. `NO_COLOR`, `TERM=dumb` and
`COLUMNS` are honoured. What a command exits with: [exit codes](exit-codes.md). What `--json` prints:
[JSON documents](json.md).

## Every command

These may stand before or after the command.
"""

_JSON_INTRO = f"""# JSON documents

{_NOTE}

Every command takes `--json` and then prints exactly one document on stdout, also when it fails; what tasks print goes
to stderr. Each document has `schema`, `version`, `exit_code` and `error`. When the call could not begin (a mistyped
task, settings that cannot be used), the schema is `etlctl/error` and `error` says why. A field that is added leaves the
version as it is; one that is removed or changes its meaning raises it. The text is ASCII; other characters are escaped.

```
etlctl build DailyReport --date 2013-01-02 --json | jq -r '.tasks[] | select(.status == "FAIL") | .reason'
```
"""


def commands_page() -> str:
    """docs/reference/commands.md."""
    parts = [_COMMANDS_INTRO, _options_table(options.common_options()), ""]
    ctx = click.Context(group, info_name="etlctl")
    for name in COMMANDS:
        command = group.get_command(ctx, name)
        assert isinstance(command, options.Command)
        parts += _command_parts(command, ctx, "##")
    return "\n".join(parts).rstrip() + "\n"


def _command_parts(command: options.Command, parent: click.Context, heading: str) -> list[str]:
    """The section of a command, and those of its own commands below it."""
    name = str(command.name)
    ctx = click.Context(command, info_name=name, parent=parent)
    shared = {one.name for one in options.common_options()}
    usage = command.get_usage(ctx).removeprefix("Usage: ")
    title = ctx.command_path.removeprefix("etlctl ")
    own = [one for one in command.params if isinstance(one, click.Option) and one.name not in shared]
    own = [one for one in own if one.name != "show_help"]
    parts = [f"{heading} {title}", "", command.help or "", "", "```", " ".join(usage.split()), "```", ""]
    if own:
        parts += [_options_table(own), ""]
    parts += ["```", *(line.strip() for line in command.examples.strip().splitlines()), "```", ""]
    for below in command.commands.values() if isinstance(command, options.CommandGroup) else ():
        assert isinstance(below, options.Command)
        parts += _command_parts(below, ctx, heading + "#")
    return parts


def json_page() -> str:
    """docs/reference/json.md."""
    parts = [_JSON_INTRO]
    inner: dict[str, Any] = {}
    for schema, shape in schemas.SCHEMAS.items():
        said = f"{_doc(shape)} Version {documents.VERSION}."
        parts += [f"## {schema}", "", said, "", _fields_table(shape, inner), ""]
    written: set[str] = set()
    while missing := [name for name in inner if name not in written]:
        for name in missing:
            written.add(name)
            parts += [f"## {_title(inner[name])}", "", _doc(inner[name]), "", _fields_table(inner[name], inner), ""]
    return "\n".join(parts).rstrip() + "\n"


def shape_of(kind: Any) -> dict[str, Any]:
    """Field -> type of a document's class."""
    return typing.get_type_hints(kind)


def _options_table(params: list[click.Parameter] | list[click.Option]) -> str:
    rows = ["| option | |", "|---|---|"]
    for one in params:
        assert isinstance(one, click.Option)
        record = one.get_help_record(click.Context(click.Command("x")))
        assert record is not None
        names, said = (cell.replace("|", "\\|") for cell in record)
        rows.append(f"| `{names}` | {said} |")
    return "\n".join(rows)


def _fields_table(shape: Any, inner: dict[str, Any]) -> str:
    rows = ["| field | type | |", "|---|---|---|"]
    for name, hint in typing.get_type_hints(shape, include_extras=True).items():
        kind, said = (get_args(hint)[0], get_args(hint)[1]) if get_origin(hint) is Annotated else (hint, "")
        rows.append(f"| `{name}` | {_type(kind, inner)} | {said} |")
    return "\n".join(rows)


def _type(kind: Any, inner: dict[str, Any]) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(one, inner) for one in arguments)
    if origin is list:
        return f"list of {_type(arguments[0], inner)}"
    if origin is dict:
        return f"object of {_type(arguments[1], inner)}"
    if typing.is_typeddict(kind):
        inner.setdefault(kind.__name__, kind)
        return f"[{_title(kind)}](#{_title(kind).replace(' ', '-')})"
    return {str: "text", int: "number", float: "number", bool: "true or false", type(None): "null"}[kind]


def _title(kind: Any) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).split()
    return " ".join(words[:-1])


def _doc(kind: Any) -> str:
    text = " ".join((kind.__doc__ or "").split())
    return text.split(": ", 1)[1].capitalize() if text.startswith("`etlctl/") else text


if __name__ == "__main__":
    (FOLDER / "commands.md").write_text(commands_page(), encoding="utf-8")
    (FOLDER / "json.md").write_text(json_page(), encoding="utf-8")
