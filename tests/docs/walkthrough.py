"""Runs a page of documentation as a reader would: its files are written, its commands typed, in the page's order.

    python tests/docs/walkthrough.py README.md docs/tutorial.md             tells what differs
    python tests/docs/walkthrough.py --update README.md docs/tutorial.md    puts what was printed into the page

What the fenced blocks of a page mean:

* The first line of a block is a comment that names a file (`# pipelines/shop.py`, `-- pipelines/sales.sql`): the block
  is written there. `(continued)` behind the name: it is added at the end of that file.
* `console`: a line that begins with `$ ` is a command (`> ` goes on with it), and what follows is what it prints,
  stdout and stderr as they come. A command exits with what it says last (`exit 3`), else with 0; `$ echo $?` shows it.
* `sh`: commands alone. `python` without a file name: a script, run in the folder at hand.
* `cd FOLDER` holds for all that follows, files included.
* Everything else (`text`, `json`, `toml` without a file name) is for reading.

Two outputs are the same when they differ in nothing but blanks at the end of lines, the length of runs of blanks, times
(`0.8 s`), instants and run ids. `…` stands for any text on its line, and for any lines where it stands alone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEMO = ("pipelines", "config", "data")
LONGEST_S = 60

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:#|--) ([\w./-]+\.(?:py|sql|toml|csv|txt))( \(continued\))?")
_VOLATILE = (
    (re.compile(r"\b[0-9]{8}T[0-9]{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9:]+)?"), "INSTANT"),
    (re.compile(r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b"), "CLOCK"),
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}\b(?!:)"), "CLOCK"),  # of yesterday
    (re.compile(r"\b[0-9]+\.[0-9]+ ?s\b"), "TIME"),
    (re.compile(r" {2,}"), "  "),
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    """Where its content begins, counted from 1."""
    language: str
    text: str
    span: tuple[int, int]
    """Where its content stands in the page's text."""

    @property
    def place(self) -> str:
        """`README.md:41`."""
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block is written to, or None."""
        match = _FILE.fullmatch(self.text.split("\n", 1)[0])
        return match[1] if match else None

    @property
    def is_continued(self) -> bool:
        """Whether it is added to a file that is there."""
        match = _FILE.fullmatch(self.text.split("\n", 1)[0])
        return bool(match and match[2])


@dataclass(frozen=True)
class Command:
    """A command of a `console` or `sh` block, and what the page says that it prints."""

    text: str
    expected: str


@dataclass(frozen=True)
class Printed:
    """What a command did."""

    text: str
    code: int


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[1], match[2], match.span(2))
        for match in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[Command]:
    """The commands of a block; those of an `sh` block print what they like."""
    if block.language == "sh":
        return [Command(line, "…") for line in block.text.splitlines() if line and not line.startswith("#")]
    commands: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], ""))
        elif line.startswith("> ") and commands and not commands[-1].expected:
            commands[-1] = Command(f"{commands[-1].text}\n{line[2:]}", "")
        else:
            assert commands, f"{block.place}: a console block begins with a command"
            commands[-1] = Command(commands[-1].text, f"{commands[-1].expected}{line}\n")
    return commands


def is_same(expected: str, printed: str) -> bool:
    """Whether the page shows what was printed, by the rule of this module."""
    pattern = ""
    for line in _settled(expected).splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
    return re.fullmatch(pattern, _settled(printed)) is not None


def _settled(text: str) -> str:
    text = "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())
    for found, name in _VOLATILE:
        text = found.sub(name, text)
    return text


class Walk:
    """A project folder that the blocks of one page are carried out in."""

    def __init__(self, folder: Path, *, stands_for: Mapping[str, str] | None = None) -> None:
        """`stands_for`: commands that set a machine up, and what is run here in their place (nothing, if empty)."""
        self.folder = folder.resolve()
        self._stands_for = dict(stands_for or {})
        self._top = self.folder
        self._code = 0
        self._environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONWARNINGS": "error",
            "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:xdist -p no:timeout",  # what a reader has not, and is slow
            "COLUMNS": "100",
        }

    def take(self, block: Block) -> Iterator[tuple[Command, Printed, str]]:
        """Carries the block out; yields each command, what it printed, and what is wrong with that ("" if nothing)."""
        if block.file is not None:
            self._write(block)
        elif block.language in ("console", "sh"):
            for command in commands_of(block):
                printed = self._run(command.text)
                yield command, printed, self._problem(block, command, printed)
        elif block.language == "python":
            printed = self._script(block)
            yield Command("python", ""), printed, "" if printed.code == 0 else f"{block.place}: {printed.text}"

    def _write(self, block: Block) -> None:
        path = self.folder / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = block.text.split("\n", 1)[1].lstrip("\n") if path.suffix in (".csv", ".txt") else block.text
        if block.is_continued:
            assert path.exists(), f"{block.place} goes on with {block.file}, which is not there"
            text = f"{path.read_text(encoding='utf-8')}\n\n{block.text.split(chr(10), 1)[1]}"
        path.write_text(text, encoding="utf-8")

    def _run(self, text: str) -> Printed:
        if text == "echo $?":
            return Printed(f"{self._code}\n", 0)
        for begins, instead in self._stands_for.items():
            if text.startswith(begins):
                text = instead
        if not text:
            return Printed("", 0)
        if text.startswith("cd "):
            self.folder = (self.folder / text[3:]).resolve(strict=True)
            return Printed("", 0)
        return self._finished(["bash", "-c", text])

    def _script(self, block: Block) -> Printed:
        path = self.folder / f"snippet_{block.line}.py"
        path.write_text(block.text, encoding="utf-8")
        try:
            return self._finished([sys.executable, path.name])
        finally:
            path.unlink()

    def _finished(self, words: list[str]) -> Printed:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST_S,
            check=False,
        )
        text = done.stdout.decode().replace(str(self._top), "/home/you")
        self._code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Printed(text + "Killed\n" if self._code == 137 else text, self._code)

    def _problem(self, block: Block, command: Command, printed: Printed) -> str:
        shown = f"{block.place}: `{command.text}`"
        if block.language == "sh" and printed.code:
            return f"{shown} exits with {printed.code}:\n{printed.text}"
        if not is_same(command.expected, printed.text):
            return f"{shown}\n--- the page\n{command.expected}+++ printed\n{printed.text}"
        told = re.search(r"exit ([0-9]+)\n?$", printed.text)
        wanted = int(told[1]) if told else 0
        if printed.code != wanted and not _shows_its_code(block, command):
            return f"{shown} exits with {printed.code}, and the page does not show it (`$ echo $?`)"
        return ""


def _shows_its_code(block: Block, command: Command) -> bool:
    commands = commands_of(block)
    following = commands[commands.index(command) + 1 :]
    return (bool(following) and following[0].text == "echo $?") or command.expected.endswith("Killed\n")


def copy_demo(folder: Path) -> None:
    """Puts the demo's pipelines, settings and data into an empty folder."""
    for name in DEMO:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def demo_command() -> str:
    """What `make demo` runs, as the Makefile says it."""
    match = re.search(r'^DEMO := "?\$\(B\)/(\w+)"?(.*)$', (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None, "the Makefile says no DEMO"
    return match[1] + match[2]


def stand_ins() -> dict[str, str]:
    """Commands that set a machine up: what they do is tested elsewhere (tests/test_setup.py)."""
    return {
        "git clone": "",
        "python3 -m venv": "",
        "env/bin/": "",
        "source ": "",
        "pip install": "",
        "python -m pip install": "",
        "make demo": demo_command(),
        "make ": "",
    }


def updated(page: Path, folder: Path) -> str:
    """The page's text with the outputs that differ replaced by what was printed."""
    text = page.read_text(encoding="utf-8")
    walk = Walk(folder, stands_for=stand_ins())
    pieces, end = [], 0
    for block in blocks_of(page):
        done = list(walk.take(block))
        pieces.append(text[end : block.span[0]])
        end = block.span[1]
        if block.language == "console":
            pieces.append("".join(_retold(*one) for one in done))
        else:
            pieces.append(block.text)
            for _, _, problem in done:
                if problem:
                    print(problem)
    return "".join(pieces) + text[end:]


def _retold(command: Command, printed: Printed, problem: str) -> str:
    typed = "$ " + command.text.replace("\n", "\n> ") + "\n"
    kept = command.expected if is_same(command.expected, printed.text) else printed.text
    if problem:
        print(problem)
    return typed + kept


def main() -> int:
    """Walks the pages named; 0 when every one shows what is printed."""
    parser = argparse.ArgumentParser(description="Run pages of documentation as a reader would.")
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--update", action="store_true", help="put what was printed into the pages")
    options = parser.parse_args()
    is_changed = False
    for page in options.pages:
        with tempfile.TemporaryDirectory(prefix="walk-") as folder:
            if page.name == "README.md":
                copy_demo(Path(folder))
            text = updated(page, Path(folder).resolve())
        if text != page.read_text(encoding="utf-8"):
            is_changed = True
            if options.update:
                page.write_text(text, encoding="utf-8")
    return int(is_changed and not options.update)


if __name__ == "__main__":
    sys.exit(main())
