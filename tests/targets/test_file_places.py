"""F45, F46, S18: what stands at the final path or around it, names and permissions."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlctl.errors import EtlctlError, ExitCode, TaskError
from etlctl.targets.local import LocalTarget

Child = Callable[..., subprocess.CompletedProcess[str]]


def _refused(act: Callable[[], Any]) -> str:
    with pytest.raises(EtlctlError) as caught:
        act()
    assert caught.value.exit_code is ExitCode.FAILED
    return str(caught.value)


def _write(path: str | Path, content: str = "content", **options: Any) -> None:
    with LocalTarget(path, **options).open("w") as file:
        file.write(content)


def test_link_at_the_final_path_is_replaced() -> None:
    """F45: the link becomes the file; what it pointed to, or pointed to in vain, is left alone."""
    Path("elsewhere.csv").write_text("precious")
    Path("x.csv").symlink_to("elsewhere.csv")
    Path("y.csv").symlink_to("nothing")

    _write("x.csv", "new")
    _write("y.csv", "new")

    assert Path("elsewhere.csv").read_text() == "precious" and not os.path.lexists("nothing")
    assert not Path("x.csv").is_symlink() and not Path("y.csv").is_symlink() and Path("x.csv").read_text() == "new"


def test_link_to_nothing_and_first_wins_is_refused() -> None:
    """F45: such a path is neither there nor free, so no writer could ever win."""
    Path("x.csv").symlink_to("nothing")

    assert "x.csv is a symbolic link to nothing" in _refused(lambda: _write("x.csv", if_absent=True))


def _make_folder(path: Path) -> None:
    path.mkdir()
    (path / "part").touch()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (_make_folder, "is a folder"),
        (Path.mkdir, "is a folder"),
        (os.mkfifo, "is no file but a FIFO"),
        (lambda path: path.symlink_to("/"), "is a folder"),
        (lambda path: path.symlink_to(os.devnull), "is no file but a device"),
    ],
    ids=["full folder", "empty folder", "FIFO", "link to a folder", "link to a device"],
)
def test_what_no_file_can_replace_is_refused_before_writing(make: Callable[[Path], None], word: str) -> None:
    """F45: found at open(), not after hours of work; and it is still there."""
    make(Path("x.csv"))
    before = os.lstat("x.csv").st_ino

    message = _refused(lambda: LocalTarget("x.csv").open("w"))

    assert message.startswith(f"x.csv {word}") and os.lstat("x.csv").st_ino == before and os.listdir() == ["x.csv"]


def test_path_that_ends_with_a_slash_is_no_file() -> None:
    """F45: `out/` can be a folder only."""
    assert "names a folder" in _refused(lambda: _write("out/"))


def test_full_folder_is_not_replaced_by_a_folder() -> None:
    """F45: no system call swaps two folders whole, so it says so before the tool begins."""
    _make_folder(Path("x"))

    assert "x is a folder" in _refused(lambda: LocalTarget("x").temporary_path().__enter__())


def test_mount_point_at_the_final_path_is_refused(other_disk: Path) -> None:
    """F45: a file that is mounted cannot be replaced: a sentence, and nothing left beside it."""
    Path("source").write_text("mounted")
    Path("x.csv").touch()
    subprocess.run(["mount", "--bind", "source", "x.csv"], check=True)
    try:
        message = _refused(lambda: _write("x.csv"))
        content = Path("x.csv").read_text()
    finally:
        subprocess.run(["umount", "x.csv"], check=True)

    assert "x.csv: giving the written file its name failed: it is a mount point (EBUSY)" in message
    assert content == "mounted" and sorted(os.listdir()) == ["other", "source", "x.csv"]


def test_folder_that_may_not_be_written_is_named(child: Child) -> None:
    """F46: as a user without the right, a sentence that names the path; nothing is made."""
    Path("locked").mkdir(mode=0o555)
    code = """
if os.geteuid() == 0: os.seteuid(65534)
for path in ("locked/x.csv", "locked/deeper/x.csv"):
    try: LocalTarget(path).open("w")
    except EtlctlError as error: print(error)
"""

    done = child(code)

    assert done.stdout.splitlines() == [
        "locked/x.csv: opening a temporary file beside it failed: this user may not write there (EACCES)",
        "locked/deeper/x.csv: making the folder locked/deeper failed: this user may not write there (EACCES)",
    ], done.stderr
    assert os.listdir("locked") == []


def test_read_only_disk_is_named(other_disk: Path) -> None:
    """F46: EROFS says that the file system is read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(other_disk)], check=True)

    message = _refused(lambda: _write(other_disk / "x.csv"))

    assert message.startswith(f"{other_disk}/x.csv: ") and "the file system is read-only (EROFS)" in message


@pytest.mark.parametrize("length", [256, 300])
def test_name_too_long_is_found_before_writing(length: int) -> None:
    """F46: at open(), though the temporary name would fit."""
    message = _refused(lambda: LocalTarget("x" * length).open("w"))

    assert "a file name may have 255 bytes" in message and "xxx" in message and os.listdir() == []


@pytest.mark.parametrize(
    "name", ["x" * 255, "ü" * 127, "x" * 251 + ".csv", "a." + "b." * 126 + "c", "\x1b[31m\n", "-rf", "🦆.csv.gz"]
)
def test_name_as_long_and_odd_as_the_system_takes_works(name: str) -> None:
    """F46: the temporary name never is the longer one, whatever the final one holds."""
    _write(name, "content")
    with LocalTarget(name).temporary_path() as path:
        Path(path).write_text("by a tool")

    assert os.listdir() == [name] and Path(name).read_text() == "by a tool"


def test_parent_that_is_a_file_is_named() -> None:
    """F46: `a.csv/x.csv` cannot be made when a.csv is a file."""
    Path("a.csv").touch()

    assert re.match(
        r"a\.csv/x\.csv: making the folder a\.csv failed: .*ENOTDIR", _refused(lambda: _write("a.csv/x.csv"))
    )


def test_messages_hold_no_escape_sequences() -> None:
    """A hostile file name does not reach the terminal through an error."""
    name = "\x1b]0;title\x07\n[red]"
    Path(name).mkdir()

    message = _refused(lambda: _write(name))

    assert message.isprintable() and "[red]" in message and r"\x1b" in message


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o666), (0o022, 0o644), (0o077, 0o600)])
def test_permissions_follow_the_umask(umask: int, mode: int, child: Child) -> None:
    """S18: as any file the user makes, not the 0600 of mkstemp; folders likewise."""
    done = child(f"os.umask({umask})\nLocalTarget('made/x.csv').open('w').close()")

    assert done.returncode == 0, done.stderr
    assert os.stat("made/x.csv").st_mode & 0o7777 == mode and os.stat("made").st_mode & 0o7777 == 0o777 & ~umask


def test_error_is_the_tasks_own() -> None:
    """A file that cannot be written fails its task (exit 1), and no sibling."""
    Path("x.csv").mkdir()

    with pytest.raises(TaskError):
        _write("x.csv")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("s3://bucket/a b.csv", 'give S3Target("s3://bucket/a b.csv")'),
        ("S3A://bucket/x.csv", 'give S3Target("s3://bucket/x.csv")'),
        ("s3n://bucket/", 'give S3Target("s3://bucket/")'),
        (Path("s3://bucket/x.csv"), 'give S3Target("s3://bucket/x.csv")'),
        ("s3://AKIA:hunter2@bucket/x.csv", 'give S3Target("s3://***@bucket/x.csv")'),
        ("gs://bucket/x.csv", "give a path of this machine"),
        ("https://example.org/x.csv", "give a path of this machine"),
        ("hdfs://host:8020/x.csv", "give a path of this machine"),
        ("sqlite:///x.db", "give a path of this machine"),
        ("file:///data/x.csv", 'give LocalTarget("/data/x.csv")'),
        ("file://localhost/data/x.csv", 'give LocalTarget("/data/x.csv")'),
        ("https://user:hunter2@host/x\x1b[31m", "give a path of this machine"),
    ],
)
def test_address_is_refused_when_the_target_is_made(path: str | Path, meant: str) -> None:
    """Else a folder `s3:` is made here, and a build says OK of a file that is in no store."""
    message = _refused(lambda: LocalTarget(path))

    assert "is an address, and a LocalTarget is a file on this machine" in message and meant in message
    assert message.isprintable() and "hunter2" not in message and os.listdir() == []


def test_address_is_refused_as_root_and_as_goal_of_a_copy() -> None:
    """Wherever a path of this machine is meant."""
    _write("x.csv")

    for act in (
        lambda: LocalTarget("x.csv", root="s3://bucket/folder"),
        lambda: LocalTarget("x.csv").copy("s3://bucket/x.csv"),
        lambda: LocalTarget("x.csv").move("s3://bucket/x.csv"),
    ):
        assert "is an address" in _refused(act)

    assert os.listdir() == ["x.csv"]


@pytest.mark.parametrize("path", ["12:30/x.csv", "a/s3://b", "s3:x", "s3", "./s3:/x.csv", "c:/x.csv", "://x", "3s://x"])
def test_path_that_only_looks_like_an_address_is_one(path: str) -> None:
    """A colon in a name is legal, and a path that begins with `./` always is one."""
    _write(path)

    assert Path(path).read_text() == "content"
