"""The reference pages and the code say the same."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import click

from etlctl.cli.main import COMMANDS, group
from etlctl.errors import EtlctlError, ExitCode

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "tools" / "write_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["write_reference"] = module
    spec.loader.exec_module(module)
    return module


write_reference = _tool()


def test_commands_page_is_what_the_code_says() -> None:
    """docs/reference/commands.md is current; `python tools/write_reference.py` writes it."""
    assert (REFERENCE / "commands.md").read_text(encoding="utf-8") == write_reference.commands_page()


def test_json_page_is_what_the_code_says() -> None:
    """docs/reference/json.md is current; `python tools/write_reference.py` writes it."""
    assert (REFERENCE / "json.md").read_text(encoding="utf-8") == write_reference.json_page()


def test_help_names_every_command_as_the_command_does_itself() -> None:
    """The line of `etlctl --help`, known without an import, belongs to a command that exists and has examples."""
    ctx = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(ctx, name)
        assert command is not None
        assert command.name == name
        assert f"etlctl {name}" in command.examples  # type: ignore[attr-defined]  # every command is our Command


def test_exit_codes_page_has_every_code() -> None:
    """One row a code, with its name; each class of errors has a code of the page."""
    page = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z]+) \|", page, re.MULTILINE))

    assert {int(code): name for code, name in rows.items()} == {int(code): code.name for code in ExitCode}
    assert all(str(int(kind.exit_code)) in rows for kind in EtlctlError.__subclasses__())
