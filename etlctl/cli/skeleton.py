"""The files of a new project, out of etlctl/templates, and how they get into a folder: what is there is never changed.

A template is named after its file with `.in` behind it, and `dot-` for a dot in front, so that no tool takes it for a
file of etlctl's own. `@NAME@` and `@VERSION@` are put in.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from etlctl import __version__
from etlctl.errors import UsageError
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

FILES = {
    "README.md": "five commands, and the way into containers",
    "pipelines/__init__.py": "",
    "pipelines/sales.py": "a file, a load, a query, a report, and a name for all",
    "pipelines/product_sales.sql": "the query",
    "data/sales/2026-11-20.csv": "two days of sales",
    "data/sales/2026-11-21.csv": "",
    "config/etlctl.toml": "connections, schedules, the profile production",
    "tests/test_sales.py": "tests of the pipeline, with etlctl.testing",
    "pytest.ini": "",
    "requirements.txt": "what to install, and for tests",
    "requirements-dev.txt": "",
    "wheels/README.md": "for wheels that no package index has",
    "Dockerfile": "the loop as one process without rights",
    "compose.yaml": "PostgreSQL and three loops",
    ".dockerignore": "",
    ".github/workflows/tests.yml": "the tests, at each push",
    ".gitignore": "",
}
"""Path -> what it is, for people; empty for what explains itself."""
_UNNOTICED = (".git", ".DS_Store")
"""What may be in a folder that counts as empty."""
_MOST_NAMED = 4
_MEND = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room there, and say it again: nothing of it is left behind.")


class Written(NamedTuple):
    """What came of it; paths as in FILES."""

    folder: Path
    """Absolute."""
    name: str
    created: tuple[str, ...]
    kept: tuple[str, ...]
    """There before, and left as they were."""


def write(directory: str, *, name: str | None, adds: bool, cwd: Path) -> Written:
    """Writes the project into `directory`, which is made; with `adds` into one that holds something already.

    UsageError, before anything is written, for a folder that cannot be taken; and where writing fails.
    """
    if not directory.strip():
        raise UsageError("The folder's name is empty. Give one, as in etlctl init demo, or . for this one.")
    if not directory.isprintable():
        raise UsageError(
            f"The folder's name '{shortened(directory)}' holds what cannot be printed. Give another; in a folder "
            "that is called so, say etlctl init with no DIR."
        )
    folder = Path(os.path.abspath(cwd / directory))
    shown = shortened(directory, 200)
    try:
        _check(folder, shown, adds=adds)
        called = _name_of(name if name is not None else folder.name, is_given=name is not None)
        return _written(folder, called)
    except OSError as error:
        place = shortened(str(error.filename or shown), 200)
        mend = _MEND.get(error.errno or 0, "Give a folder that is yours to write.")
        raise UsageError(f"{place} cannot be written: {error.strerror}. {mend}") from error


def _check(folder: Path, shown: str, *, adds: bool) -> None:
    if not folder.parent.is_dir():
        above = folder.parent
        near = did_you_mean(above.name, os.listdir(above.parent) if above.parent.is_dir() else ())
        raise UsageError(f"There is no folder {printable(str(above))} to make {printable(folder.name)} in.{near}")
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UsageError(f"{shown} is there, and is no folder. Give another name.")
    there = sorted(set(os.listdir(folder)) - set(_UNNOTICED))
    if there and not adds:
        named = ", ".join(shortened(one, 40) for one in there[:_MOST_NAMED])
        more = f" and {len(there) - _MOST_NAMED:,} more" if len(there) > _MOST_NAMED else ""
        raise UsageError(
            f"The folder {shown} is not empty: it holds {named}{more}. Give a new one (etlctl init demo), or --add, "
            "which puts beside it what is missing and changes nothing that is there."
        )
    for path in FILES:
        if (folder / path).is_dir():
            raise UsageError(f"{shown}/{path} is a folder where a file is needed. Move it away, or give another DIR.")
        for above in Path(path).parents[:-1]:
            if os.path.lexists(folder / above) and not (folder / above).is_dir():
                raise UsageError(
                    f"{shown}/{above} is a file where a folder is needed. Move it away, or give another DIR."
                )


def _name_of(text: str, *, is_given: bool) -> str:
    """What the project is called in compose.yaml: https://docs.docker.com/compose/how-tos/project-name/."""
    name = re.sub("[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    if is_given and name != text:
        hint = f" As in --name {name}." if name else ""
        raise UsageError(f"--name '{shortened(text)}': a project's name is small letters, digits, - and _.{hint}")
    return name or "project"


def _written(folder: Path, name: str) -> Written:
    """All or nothing: what was made is removed again where one file cannot be."""
    with ExitStack() as made:
        created = [path for path in FILES if _is_made(folder / path, _content(path, name), made)]
        made.pop_all()
    return Written(folder, name, tuple(created), tuple(path for path in FILES if path not in created))


def _is_made(place: Path, content: str, made: ExitStack) -> bool:
    """Whether the file was not there; `made` is what takes it, and its new folders, away again."""
    for above in [one for one in reversed(place.parents) if not one.exists()]:
        above.mkdir()
        made.callback(_removed, above.rmdir)
    try:
        file = place.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    made.callback(_removed, place.unlink)
    with file:
        file.write(content)
    return True


def _removed(remove: Callable[[], None]) -> None:
    with suppress(OSError):  # somebody has put something in, or taken it away: theirs to settle
        remove()


def _content(path: str, name: str) -> str:
    template = files("etlctl").joinpath("templates", *f"{re.sub('^[.]', 'dot-', path)}.in".split("/"))
    return template.read_text(encoding="utf-8").replace("@NAME@", name).replace("@VERSION@", __version__)
