"""The way in: `etlctl` as a group whose commands are loaded when they are called, and the one place for errors.

Here an error becomes a sentence on stderr, a JSON document where `--json` was asked for, and an exit code. Help and
`--version` import click and nothing heavier: no pipeline, no SQLAlchemy, no rich.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from etlctl import __version__
from etlctl.cli import options, streams
from etlctl.cli.streams import Streams
from etlctl.core.garbage import collected_rarely
from etlctl.core.interruption import heard
from etlctl.errors import EtlctlError, ExitCode
from etlctl.text import printable

COMMANDS = {
    "build": ("etlctl.cli.build", "Run what is missing for a task."),
    "plan": ("etlctl.cli.plan", "Tell what would run, and why."),
    "status": ("etlctl.cli.status", "Tell what is done, as a grid over dates."),
    "list": ("etlctl.cli.listing", "Tasks, their parameters and what they are for."),
    "show": ("etlctl.cli.show", "Everything about one task or one table."),
    "graph": ("etlctl.cli.graph", "What a task requires, as a tree, Mermaid, DOT or JSON."),
    "history": ("etlctl.cli.history", "Tell what ran, when, for how long, and how it ended."),
    "logs": ("etlctl.cli.logs", "What the tasks of a run printed."),
    "loop": ("etlctl.cli.loop", "Build again and again, by schedules, in one long process."),
    "pause": ("etlctl.cli.pause", "Keep loops from beginning a task, or anything."),
    "resume": ("etlctl.cli.resume", "Let loops begin it again."),
    "stop": ("etlctl.cli.stop", "Ask a running build to end gently, on any host."),
    "cron": ("etlctl.cli.cron", "Print schedules as lines of crontab, or as units of systemd."),
    "markers": ("etlctl.cli.markers", "List the marker tables, adopt Luigi's, resolve a torn load."),
    "gc": ("etlctl.cli.gc", "Remove what killed processes have left, and what is too old."),
    "doctor": ("etlctl.cli.doctor", "Show every setting and its origin, and whether all of it works."),
    "init": ("etlctl.cli.init", "Write a small project that builds at once."),
    "completion": ("etlctl.cli.completion", "Set up completion in bash, zsh or fish."),
}
"""Command -> its module, and the line that `etlctl --help` shows without importing it."""

_EXAMPLES = """
etlctl init demo && cd demo && etlctl build All
etlctl list
etlctl build DailyReport --date 2013-01-02
etlctl plan DailyReport --date 2013-01-01..2013-01-31
"""
_COMPLETING = "_ETLCTL_COMPLETE"


class LazyGroup(click.Group):
    """`etlctl`: knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with collected_rarely():
            found: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        options.refuse_unknown(ctx, args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options.write_examples(formatter, _EXAMPLES)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return items or click.Command.shell_complete(self, ctx, incomplete)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"etlctl {__version__}")
        ctx.exit()


group = LazyGroup(
    "etlctl",
    help="Run what is missing of a data pipeline: etlctl works backwards from a task, asks what is already done, and "
    "runs only the rest, each database load exactly once.",
    params=[
        *options.common_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        ),
    ],
    context_settings={"help_option_names": ["--help", "-h"]},
    no_args_is_help=True,
    subcommand_metavar="COMMAND [TASK...]",
)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line `args` (this process's without) and returns the exit code. Raises nothing but what ends
    the interpreter."""
    words = list(sys.argv[1:] if args is None else args)
    out = streams.of_process()
    if _COMPLETING in os.environ:
        group.main(words, prog_name="etlctl", complete_var=_COMPLETING)  # prints, and leaves by SystemExit
    if os.environ.get("ETLCTL_LOGS_FORMAT") == "json":  # errors that come before the settings are read, too
        from etlctl.cli.json_log import JsonLog

        out.told = JsonLog(out).line
    code = _run(words, out)
    if out.error is not None:
        out.story(f"etlctl: cannot write the result: {out.error.strerror or out.error}.")
        code = code or ExitCode.FAILED
    out.settle()
    return code


def _run(words: list[str], out: Streams) -> int:
    asked = options.Common(json="--json" in _before_dashes(words), debug="--debug" in _before_dashes(words))
    try:
        with group.make_context("etlctl", words, obj=asked) as ctx:
            ctx.meta[streams.STREAMS] = out
            return int(group.invoke(ctx) or 0)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:
        out.give_up()
        return ExitCode.DONE
    except (KeyboardInterrupt, click.Abort) as error:
        heard(error)
        out.story("etlctl: interrupted.")
        return ExitCode.INTERRUPTED
    except (click.ClickException, EtlctlError, Exception) as error:  # noqa: BLE001  the one place that turns errors into codes
        return _fail(error, asked, out)


def _fail(error: Exception, asked: options.Common, out: Streams) -> int:
    """Tells the error in one sentence (before it the traceback, with --debug) and returns its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        out.story(error.format_message())
        return ExitCode.USAGE
    code, sentence, hint = _told(error)
    sentence = out.hidden(sentence)
    if asked.debug:
        out.story(out.hidden(_traceback(error)))
    out.story(_folded(f"etlctl: {sentence}", out), "error")
    if hint:
        out.story(hint)
    if asked.json:
        from etlctl.cli import documents

        out.result(documents.dump(documents.error_document(error, code, sentence)))
    return code


def _folded(text: str, out: Streams) -> str:
    """Broken between words where a person reads it; each line for itself."""
    if not out.story_is_terminal:
        return text
    from etlctl.cli import layout

    width = streams.columns_of(out.err)
    lines = [piece for one in text.split("\n") for piece in layout.fold(layout.line(one), width)]
    return "\n".join(layout.text_of(one) for one in lines)


def _told(error: Exception) -> tuple[ExitCode, str, str]:
    """Exit code, sentence and what to try next."""
    if isinstance(error, EtlctlError):
        return error.exit_code, "\n".join(printable(one) for one in str(error).split("\n")), ""
    if isinstance(error, click.ClickException):
        ctx = getattr(error, "ctx", None)
        named = "".join(f" {cls.task_family}" for cls in ctx.meta.get(options.CLASSES, ())) if ctx is not None else ""
        hint = f"See: {ctx.command_path}{printable(named)} --help" if ctx is not None else ""
        return ExitCode.USAGE, _sentence(error), hint
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    told = printable(f"{type(error).__name__}: {error}".rstrip(": "))
    sentence = f"internal error{where}: {told}"
    hint = "This is a mistake in etlctl. Please report it with what the same command prints with --debug."
    return ExitCode.FAILED, sentence, hint


def _sentence(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):  # click words it differently from version to version
        from etlctl.cli import mistakes  # a command that took tasks has imported what it needs

        return mistakes.no_such_option(error)
    return _capital_off(printable(error.format_message()))


def _traceback(error: BaseException) -> str:
    import traceback

    text = "".join(traceback.format_exception(error)).rstrip("\n")
    return "\n".join(printable(one) for one in text.split("\n"))


def _before_dashes(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _capital_off(text: str) -> str:
    """click begins its sentences with a capital; ours follow a colon."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
