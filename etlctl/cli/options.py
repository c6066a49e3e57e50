"""Options that every command has, before or after its name, what they say as one value, and kinds that some share."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import click

from etlctl.cli.streams import STREAMS, of_process
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

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


class WholeNumber(click.IntRange):
    """A whole number, with words of our own for what is none: click's name its range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. click.BadParameter, with what it may be, for anything else."""
        text, most = str(value), self.max
        number = int(text) if re.fullmatch("[0-9]{1,18}", text) else -1
        if number < (self.min or 0) or (most is not None and number > most):
            upto = "" if most is None else f" to {most}"
            self.fail(f"{shortened(text)!r} is no whole number from {self.min or 0}{upto}.", param, ctx)
        return number


def limit_option(default: int) -> click.Option:
    """`--limit` of commands that list the newest first."""
    said = "The newest so many; 0: all."
    return click.Option(["--limit"], type=WholeNumber(0), metavar="N", default=default, show_default=True, help=said)


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


class CommandGroup(Command, click.Group):
    """A command with commands of its own, of which `default` is meant where none is named."""

    def __init__(self, name: str, *, commands: Sequence[click.Command], default: str, **more: Any) -> None:
        super().__init__(name, commands=commands, subcommand_metavar="[COMMAND] [ARGS]...", **more)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self._leaves_it_open(args) and (args or not ctx.resilient_parsing):  # completion offers the commands first
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        refuse_unknown(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        items = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            items += self.commands[self.default].shell_complete(ctx, incomplete)
        return list({item.value: item for item in items}.values())

    def _leaves_it_open(self, args: Sequence[str]) -> bool:
        """Whether, after the shared options, comes nothing or an option that is none of the group's own."""
        rest = list(args)
        while rest and rest[0].partition("=")[0] in ("--json", "--debug", "--config", "--profile"):
            del rest[: 2 if rest[0] in ("--config", "--profile") else 1]
        return not rest or (rest[0].startswith("-") and rest[0] not in ("--help", "-h"))


def refuse_unknown(ctx: click.Context, name: str, commands: Collection[str]) -> None:
    """UsageError for a word that is none of the commands, with the nearest one."""
    if name not in commands and not name.startswith("-") and not ctx.resilient_parsing:
        known = ", ".join(commands)
        raise click.UsageError(f"no command {name!r}.{did_you_mean(name, commands)} Commands: {known}.", ctx)


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """The examples of a command's help, line by line as they are written."""
    with formatter.section("Examples"):
        for one in examples.strip().splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{one.strip()}\n")
