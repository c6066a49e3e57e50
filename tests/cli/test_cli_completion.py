"""Completion in a shell: commands, tasks, parameters and their values, as bash asks for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.project import Project, environment


@pytest.fixture
def offered(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    """What completion offers after these words, the last of them not finished."""
    from etlctl.cli.main import main

    def ask(*words: str) -> list[str]:
        monkeypatch.chdir(project.folder)
        monkeypatch.setenv("_ETLCTL_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["etlctl", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit):
            main([])
        return [line.split(",", 1)[1] for line in capsys.readouterr().out.splitlines() if line]

    return ask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bu"], ["build"]),
        (["s"], ["status", "show", "stop"]),
        (["build", "Fl"], ["Flights"]),
        (["build", "Flights", "De"], ["Delays"]),
        (["show", "--json", "Re"], ["Report"]),
        (["build", "Flights", "--da"], ["--date"]),
        (["build", "Flights", "--kind", "l"], ["late"]),
        (["build", "Flights", "--kind", ""], ["all", "late"]),
        (["build", "Flights", "--date", "y"], ["yesterday"]),
        (["build", "Flights", "--dry-run", "tr"], ["true"]),
        (["build", "Flights", "-p", "ki"], ["kind="]),
        (["build", "Flights", "-p", "kind=l"], ["kind=late"]),
        (["graph", "Flights", "--format", "m"], ["mermaid"]),
        (["completion", "z"], ["zsh"]),
        (["--config", "nowhere.toml", "build", "Fl"], []),
    ],
)
def test_completion_offers(offered: object, words: list[str], expected: list[str]) -> None:
    """Names that begin with what was typed; nothing, and no error, where settings cannot be read."""
    assert callable(offered)
    assert offered(*words) == expected


def test_completion_says_how_to_set_it_up(project: Project) -> None:
    """Without a shell: which line goes into which file."""
    ran = project.run("completion")

    assert ran.code == 0
    for line in (
        '~/.bashrc                    eval "$(etlctl completion bash)"',
        '~/.zshrc                     eval "$(etlctl completion zsh)"',
        "~/.config/fish/config.fish   etlctl completion fish | source",
    ):
        assert line in ran.out


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash"])
def test_completion_prints_the_script(project: Project, shell: str) -> None:
    """The script asks etlctl itself."""
    ran = project.run("completion", shell)

    assert ran.code == 0
    assert f"_ETLCTL_COMPLETE={shell}_complete" in ran.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_reads_the_script(project: Project, tmp_path: Path) -> None:
    """bash takes the script without a word, and completes a task through it."""
    script = project.run("completion", "bash").out
    (tmp_path / "script.bash").write_text(script)
    asked = "source script.bash; COMP_WORDS=(etlctl build Fl); COMP_CWORD=2; _etlctl_completion etlctl"
    asked += '; echo "${COMPREPLY[@]}"'
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    starter = bin_folder / "etlctl"
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m etlctl "$@"\n')
    starter.chmod(0o755)

    ran = subprocess.run(
        ["bash", "--norc", "-c", asked],
        cwd=project.folder,
        env=environment({"PATH": f"{bin_folder}:{os.environ['PATH']}"}),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.stdout.strip() == "Flights"
