"""Options that every command has, before or after its name, and what they say as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from etlctl.cli.streams import STREAMS, of_process

CLASSES = "etlctl.task_classes"
"""Where `ctx.meta` holds the task classes named on the command line."""


@dataclass
class Common:
    """What the shared options said; lives at `ctx.obj` of the whole call."""

    config: str | None = None
    profile: str | None = None
    json: bool = False
    debug: bool = False


def common(ctx: click.Context) -> Common:
    """The shared options of this call, as far as they have been read."""
    found: Common = ctx.ensure_object(Common)
    return found


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if value is not None and value is not False and parameter.name is not None:
        setattr(common(ctx), parameter.name, value)
    return value


def _show_help(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """click's own help goes to `sys.stdout`, which is not the command's result once pipelines are imported."""
    if value and not ctx.resilient_parsing:
        (ctx.meta.get(STREAMS) or of_process()).result(ctx.get_help())
        ctx.exit()


def common_options() -> list[click.Parameter]:
    """`--config`, `--profile`, `--json`, `--debug`; each may stand before or after the command."""
    return [
        click.Option(
            ["--config"], metavar="FILE", help="Settings file.", expose_value=False, callback=_keep, type=click.Path()
        ),
        click.Option(
            ["--profile"], metavar="NAME", help="Profile of the settings to use.", expose_value=False, callback=_keep
        ),
        click.Option(["--json"], is_flag=True, help="One JSON document on stdout.", expose_value=False, callback=_keep),
        click.Option(
            ["--debug"],
            is_flag=True,
            help="Log everything and show tracebacks, on stderr.",
            expose_value=False,
            callback=_keep,
        ),
    ]


class Command(click.Command):
    """A command with the shared options last and its examples as they are written."""

    def __init__(self, name: str, *, examples: str, params: list[click.Parameter] | None = None, **more: Any) -> None:
        help_option = click.Option(
            ["--help", "-h", "show_help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_help,
            help="Show this message and exit.",
        )
        super().__init__(name, params=[*(params or []), *common_options(), help_option], add_help_option=False, **more)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """The examples of a command's help, line by line as they are written."""
    with formatter.section("Examples"):
        for one in examples.strip().splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{one.strip()}\n")
