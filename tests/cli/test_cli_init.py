"""`etlctl init`: the project builds at once, its tests pass, nothing that is there is changed, and each no says why."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cli.project import Project
from etlctl.cli.skeleton import FILES

ROOT = Path(__file__).resolve().parents[2]
BARE = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
"""The environment of somebody who has nothing set."""
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest", "-W", "error"]


def run(folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python words` in the folder, with an environment that holds next to nothing."""
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=folder,
        env={**BARE, "HOME": str(folder), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def etlctl(folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`etlctl words`, likewise."""
    return run(folder, "-m", "etlctl", *words, env=env)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, every folder with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_init_writes_a_project_that_builds_at_once(tmp_path: Path) -> None:
    """As a new user would: init, build, again, a report to read; then its own tests, which leave nothing behind."""
    made = etlctl(tmp_path, "init", "demo")
    demo = tmp_path / "demo"
    assert made.returncode == 0, made.stderr
    assert {str(path.relative_to(demo)) for path in demo.rglob("*") if path.is_file()} == set(FILES)

    built = etlctl(demo, "build", "All")
    again = etlctl(demo, "build", "All")

    assert built.returncode == 0, built.stdout + built.stderr
    assert "OK=7 FAIL=0 SKIP=0 BLOCKED=0" in built.stdout + built.stderr
    assert "nothing to do: All is complete" in again.stdout + again.stderr
    assert (demo / "reports" / "2026-11-20.csv").read_text() == "product,orders,revenue\ntea,2,13.5\ncoffee,1,3.2\n"
    before = contents(demo)
    tested = run(demo, *PYTEST, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert tested.returncode == 0 and "5 passed" in tested.stdout, tested.stdout + tested.stderr
    assert contents(demo) == before


def test_init_says_what_it_wrote_and_what_comes_next(empty_project: Project) -> None:
    """A line for each file, and commands that can be copied, quoted where they must be."""
    done = empty_project.run("init", "my demo")

    lines = done.out.splitlines()
    assert lines[0] == f"NEW  my-demo      {empty_project.folder / 'my demo'}"
    assert [line.split()[1] for line in lines if line.startswith(" + ")] == list(FILES)
    assert f"{len(FILES)} files written" in lines
    assert [line[6:].split("  ")[0] for line in lines[-4:]] == [
        "cd 'my demo'",
        "etlctl plan All",
        "etlctl build All",
        "python -m pytest",
    ]
    assert "name: my-demo\n" in (empty_project.folder / "my demo" / "compose.yaml").read_text()


def test_init_tells_the_same_as_a_document(empty_project: Project) -> None:
    """Paths, what was kept, and the commands."""
    empty_project.write("demo/README.md", "mine")

    done = empty_project.run("init", "demo", "--add", "--name", "shop-1", "--json")

    assert done.json == {
        "schema": "etlctl/init",
        "version": 1,
        "exit_code": 0,
        "error": None,
        "folder": str(empty_project.folder / "demo"),
        "name": "shop-1",
        "created": [path for path in FILES if path != "README.md"],
        "kept": ["README.md"],
        "next": ["cd demo", "etlctl plan All", "etlctl build All", "python -m pytest"],
    }


def test_init_overwrites_nothing(empty_project: Project) -> None:
    """What is there stays to the byte, links that lead nowhere too; a second time there is nothing to write."""
    folder = empty_project.folder / "demo"
    empty_project.write("demo/pipelines/sales.py", "mine")
    (folder / "Dockerfile").symlink_to("elsewhere")

    done = empty_project.run("init", "--add", "demo")
    assert (folder / "pipelines" / "sales.py").read_text() == "mine"
    assert not (empty_project.folder / "elsewhere").exists() and (folder / "Dockerfile").is_symlink()
    assert " =  pipelines/sales.py           was there" in done.out
    assert f"{len(FILES) - 2} files written, 2 kept as they were" in done.out

    before = contents(folder)
    again = empty_project.run("init", "--add", "demo")
    assert f"0 files written, {len(FILES)} kept as they were" in again.out
    assert contents(folder) == before


def test_init_takes_the_folder_at_hand_and_a_new_repository(empty_project: Project) -> None:
    """`.git` alone counts as empty, and there is no `cd` to type."""
    fresh = empty_project.folder / "shop"
    (fresh / ".git").mkdir(parents=True)

    done = etlctl(fresh, "init")

    assert done.returncode == 0, done.stderr
    assert "\ncd " not in done.stdout and "next  etlctl plan All" in done.stdout
    assert "NEW  shop " in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("full",), "The folder full is not empty: it holds a, b, c, d and 1 more. Give a new one"),
        (("full/a",), "full/a is there, and is no folder"),
        (("wrok/demo",), "There is no folder"),
        (("wrok/demo",), "to make demo in. Did you mean 'work'?"),
        (("full/a/demo",), "There is no folder"),
        (("",), "The folder's name is empty"),
        (("demo", "--name", "My Shop"), "--name 'My Shop': a project's name is small letters, digits, - and _. As in"),
        (("demo", "--name", "\x1b[1m"), "--name '\\x1b[1m'"),
        (("clash", "--add"), "clash/tests is a file where a folder is needed"),
        (("taken", "--add"), "taken/compose.yaml is a folder where a file is needed"),
        (("new\nline",), "The folder's name 'new\\nline' holds what cannot be printed. Give another"),
        (("x" * 300,), "File name too long"),
        (("demo", "more"), "unexpected extra argument"),
    ],
)
def test_init_refuses_with_a_sentence(empty_project: Project, words: tuple[str, ...], said: str) -> None:
    """Exit code 2, before anything is written."""
    for name in "abcde":
        empty_project.write(f"full/{name}")
    empty_project.write("clash/tests")
    (empty_project.folder / "work").mkdir()
    (empty_project.folder / "taken" / "compose.yaml").mkdir(parents=True)
    before = contents(empty_project.folder)

    done = empty_project.run("init", *words)

    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert contents(empty_project.folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_init_without_rights_is_a_sentence(empty_project: Project) -> None:
    """As any user has it in a folder of somebody else's."""
    closed = empty_project.folder / "closed"
    closed.mkdir(mode=0o500)

    done = empty_project.run("init", "closed/demo")

    assert done.code == 2
    assert "cannot be written: Permission denied" in done.err


def test_init_where_nobody_may_write_is_a_sentence(empty_project: Project) -> None:
    """For root too: /proc takes no folder."""
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc here")

    done = empty_project.run("init", "/proc/demo")

    assert done.code == 2
    assert "/proc/demo cannot be written: " in done.err


@pytest.mark.parametrize("words", [("demo",), ("there", "--add")])
def test_init_on_a_full_disk_leaves_nothing_behind(
    empty_project: Project, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """What was there before stays; the advice is to make room, after which the same words do."""
    empty_project.write("there/data/mine.csv", "n\n1\n")
    before = contents(empty_project.folder)

    def full(path: str, name: str) -> str:
        if path == "tests/test_sales.py":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return name

    with monkeypatch.context() as patch:
        patch.setattr("etlctl.cli.skeleton._content", full)
        failed = empty_project.run("init", *words)
    left = contents(empty_project.folder)
    done = empty_project.run("init", *words)

    assert failed.code == 2
    assert "No space left on device. Make room there, and say it again: nothing of it is left behind." in failed.err
    assert left == before
    assert done.code == 0 and f"{len(FILES)} files written" in done.out


@pytest.mark.slow
def test_init_comes_with_the_wheel(tmp_path: Path) -> None:
    """The templates are in what is installed: the wheel's own etlctl, unpacked, makes and builds the project."""
    pytest.importorskip("hatchling")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    env = {"PYTHONPATH": str(tmp_path / "site")}
    where = run(tmp_path, "-c", "import etlctl; print(etlctl.__file__)", env=env)
    assert where.stdout.strip() == str(tmp_path / "site" / "etlctl" / "__init__.py")

    assert etlctl(tmp_path, "init", "demo", env=env).returncode == 0
    done = etlctl(tmp_path / "demo", "build", "All", env=env)

    assert done.returncode == 0, done.stdout + done.stderr
