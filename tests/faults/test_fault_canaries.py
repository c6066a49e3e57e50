"""S5, S6: exceptions that quote every secret there is go through failing commands; nothing that is left behind has one.

The secrets: a password in a URL, one in an environment variable, one in a file, an access key, a webhook's address, and
a private parameter from the settings. Looked at: stdout, stderr, logs, the history, messages of notifiers, metrics,
every file of the project, and the command lines of all processes meanwhile.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import canary_house
from canary_house import FAMILIES, Watch, forms_of, in_files, made_project
from cli.project import Project, Ran

MADE = [name for name in FAMILIES if name != "Unmade"]
TELLING = [
    ("plan", *MADE, "--debug"),
    ("plan", *MADE, "--json"),
    ("status", *MADE, "--debug"),
    ("status", "--json"),
    ("status",),
    ("graph", "Requires"),
    ("show", "Requires"),
    ("list",),
    ("history",),
    ("history", "--json"),
    ("logs",),
    ("doctor",),
    ("doctor", "--json"),
    ("build", "Nothing"),
    ("build", "Raises", "--pim", "x"),
    ("markers", "list"),
    ("plan", "Unmade", "--json"),
]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One secret of each kind, in variables."""
    found = canary_house.canaries()
    for name, value in canary_house.variables(found).items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def project(tmp_path: Path, canaries: dict[str, str]) -> Project:
    """Settings that name all of them, with a notifier that keeps what it is told."""
    return made_project(tmp_path, canaries)


def test_no_secret_that_an_exception_quotes_is_left_anywhere(project: Project, canaries: dict[str, str]) -> None:
    """More than thirty commands that fail; none says a secret, neither at once nor later."""
    forms = forms_of(canaries)
    leaks: list[str] = []
    codes: list[int] = []

    def look(words: tuple[str, ...], ran: Ran) -> None:
        codes.append(ran.code)
        leaks.extend(f"{' '.join(words)}: {name}" for name, value in forms.items() if value in ran.out + ran.err)

    builds = [("build", name) for name in FAMILIES] + [("build", name, "--debug", "--json") for name in FAMILIES]
    for words in [*builds, *TELLING]:
        look(words, project.run(*words))

    assert leaks == []
    assert sum(code != 0 for code in codes) > 30
    assert in_files(project.folder, forms) == []
    assert "RuntimeError" in (project.folder / "told.txt").read_text(encoding="utf-8")
    assert "fail" in (project.folder / "metrics.prom").read_text(encoding="utf-8").lower()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")
def test_no_secret_stands_in_a_command_line(project: Project, canaries: dict[str, str]) -> None:
    """S6: neither of etlctl's own processes, nor of its workers, nor of what a notifier starts."""
    forms = forms_of(canaries)
    env = {name: value for name, value in os.environ.items() if name.startswith(("ETLCTL_", "CANARY_"))}
    watch = Watch([value.encode() for value in forms.values()])

    with watch.watching():
        built = project.spawn("build", *MADE, "--jobs", "2", env=env)
        logged = project.spawn("logs", env=env)

    assert built.code not in (0, 2), built.err
    assert [name for name, value in forms.items() if value in built.out + built.err + logged.out + logged.err] == []
    assert watch.seen > 3 and watch.hits == set()
    assert in_files(project.folder, forms) == []
