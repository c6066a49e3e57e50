"""`etlctl completion`: the script that lets a shell complete commands, tasks, parameters and their values."""

from __future__ import annotations

import click

from etlctl.cli import documents
from etlctl.cli.options import Command
from etlctl.cli.session import session
from etlctl.errors import UsageError

SHELLS = {
    "bash": ("~/.bashrc", 'eval "$(etlctl completion bash)"'),
    "zsh": ("~/.zshrc", 'eval "$(etlctl completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", "etlctl completion fish | source"),
}
"""Shell -> the file it reads at its start, and the line to add there."""

_EXAMPLES = """
etlctl completion               # what to add to which file
etlctl completion bash          # the script itself
"""


def _completion(ctx: click.Context, shell: str | None) -> int:
    call = session(ctx)
    script = _script(shell) if shell is not None else None
    if call.asked.json:
        told = [documents.ShellDocument(shell=one, file=file, line=line) for one, (file, line) in SHELLS.items()]
        head = documents.head("etlctl/completion")
        call.streams.result(documents.dump(documents.CompletionDocument(**head, shells=told, script=script)))
    elif script is not None:
        call.streams.result(script)
    else:
        call.streams.result("Add the line of your shell to the file it reads at its start, and open a new shell:")
        for file, line in SHELLS.values():
            call.streams.result(f"  {file:<28} {line}")
    return 0


def _script(shell: str) -> str:
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:  # an older click
        raise UsageError(f"This click cannot complete in {shell}: pip install --upgrade click.")
    named_only = click.Command("etlctl")  # the script calls etlctl by name; the command itself is not looked into
    return found(named_only, {}, "etlctl", "_ETLCTL_COMPLETE").source()


command = Command(
    "completion",
    callback=click.pass_context(_completion),
    params=[click.Argument(["shell"], required=False, metavar="[bash|zsh|fish]", type=click.Choice(list(SHELLS)))],
    help="Print the script that completes commands, tasks, their parameters and values in a shell; without a shell, "
    "how to set it up.",
    examples=_EXAMPLES,
)
