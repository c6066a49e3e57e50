"""F41 to F44: a process or a disk fails, or another writer comes: the file is whole or as it was, never a part."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlctl import faultpoints
from etlctl.errors import EtlctlError, ExitCode
from etlctl.targets.local import LocalTarget
from etlctl.targets.temporaries import parse_temporary, this_host

Child = Callable[..., subprocess.CompletedProcess[str]]
NEW = "new content\n" * 5_000

WRITINGS = {
    "open": "with LocalTarget('x.csv').open('w') as file: file.write(NEW)",
    "gzip": "with LocalTarget('x.csv', format=formats.UTF8 >> formats.Gzip).open('w') as file: file.write(NEW)",
    "first wins": "with LocalTarget('x.csv', if_absent=True).open('w') as file: file.write(NEW)",
    "temporary_path": "with LocalTarget('x.csv').temporary_path() as path: Path(path).write_text(NEW)",
    "folder": "with LocalTarget('x.csv').temporary_path() as path: os.mkdir(path); Path(path, 'part').write_text(NEW)",
}
AS_CHILD = f"import os; from etlctl.targets import formats; NEW = {NEW[:12]!r} * 5_000\n"


def _content(path: str) -> str:
    raw = Path(path, "part").read_bytes() if Path(path).is_dir() else Path(path).read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()


def _leftovers(folder: str = ".") -> list[str]:
    return [name for name in os.listdir(folder) if name != "x.csv"]


@pytest.mark.parametrize("way", WRITINGS)
@pytest.mark.parametrize("point", faultpoints.FILE_POINTS)
def test_write_killed_at_a_point_leaves_the_file_whole_or_as_it_was(way: str, point: str, child: Child) -> None:
    """F41: kill -9 before the rename leaves the old state, after it the new one; a leftover tells whose it is."""
    may_be_there = way not in ("first wins", "folder")
    if may_be_there:
        Path("x.csv").write_text("old")

    done = child(AS_CHILD + f"die_at({point!r})\nprint(os.getpid(), flush=True)\n{WRITINGS[way]}")

    is_renamed = point in ("file.renamed", "file.dirsynced")
    assert done.returncode == -9, done.stderr
    assert os.path.lexists("x.csv") == (is_renamed or may_be_there)
    if os.path.lexists("x.csv"):
        assert _content("x.csv") == (NEW if is_renamed else "old")
    owners = [parse_temporary(name) for name in _leftovers()]
    expected = 0 if is_renamed or (way in ("temporary_path", "folder") and point == "file.tmp_open") else 1
    assert len(owners) == expected
    assert all(one and (one.of, one.host, one.pid) == ("x.csv", this_host(), int(done.stdout)) for one in owners)


@pytest.mark.parametrize("way", WRITINGS)
def test_write_passes_every_point_in_order(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kills above hit something: no point in the list is dead, and bytes are on the disk before the name is."""
    passed: list[str] = []
    synced: list[str] = []
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.append(passed[-1])
        fsync(fd)

    monkeypatch.setattr(faultpoints, "point", passed.append)
    monkeypatch.setattr(os, "fsync", noting)

    exec(AS_CHILD + WRITINGS[way], {"LocalTarget": LocalTarget, "Path": Path})

    assert tuple(passed) == faultpoints.FILE_POINTS
    assert set(synced) == {"file.written", "file.renamed"}


@pytest.mark.parametrize("way", ["open", "folder"])
def test_write_flushes_all_that_it_made(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power loss takes back nothing: contents, the folders made for them, and the names in those are on the disk."""
    synced: set[int] = set()
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)

    exec(AS_CHILD + WRITINGS[way].replace("'x.csv'", "'new/deep/x.csv'"), {"LocalTarget": LocalTarget, "Path": Path})

    made = [".", "new", "new/deep", "new/deep/x.csv"] + (["new/deep/x.csv/part"] if way == "folder" else [])
    assert {path for path in made if os.stat(path).st_ino not in synced} == set()


def test_write_killed_by_the_system_at_the_rename(child: Child, strace: tuple[str, ...]) -> None:
    """F41: the same from outside: the signal arrives with the rename call itself."""
    Path("x.csv").write_text("old")
    inject = ("-e", "inject=rename,renameat,renameat2:signal=SIGKILL:when=1")

    child(AS_CHILD + WRITINGS["open"] + "\nprint('survived')", under=(*strace, *inject))

    assert _content("x.csv") in ("old", NEW)


def test_write_retried_after_a_kill_succeeds(child: Child) -> None:
    """A leftover of a killed process is in nobody's way."""
    child(AS_CHILD + "die_at('file.fsynced')\n" + WRITINGS["open"])

    done = child(AS_CHILD + WRITINGS["open"])

    assert done.returncode == 0 and _content("x.csv") == NEW and len(_leftovers()) == 1


def _refused(act: Callable[[], Any]) -> str:
    with pytest.raises(EtlctlError) as caught:
        act()
    assert caught.value.exit_code is ExitCode.FAILED
    return str(caught.value)


def _write(path: str | Path, content: str = NEW, **options: Any) -> None:
    with LocalTarget(path, **options).open("w") as file:
        file.write(content)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
@pytest.mark.parametrize("size", [2_000_000, 1_045_000])
def test_full_disk_keeps_the_old_file(small_disk: Path, suffix: str, size: int) -> None:
    """F42: ENOSPC in a write or only in the last flush: a sentence with the path, the old file intact, nothing left."""
    final = small_disk / f"x.{suffix}"
    _write(final, "old")
    noise = os.urandom(size).hex()[:size] if suffix == "csv" else os.urandom(size * 2).hex()

    message = _refused(lambda: _write(final, noise))

    assert message == f"{final}: writing failed: its disk is full: free some space and run again (ENOSPC)"
    assert os.listdir(small_disk) == [final.name]
    with LocalTarget(final).open() as file:
        assert file.read() == "old"


def test_full_disk_is_not_forgotten_by_a_late_close(small_disk: Path) -> None:
    """F42: once a write has failed, close() cannot publish what is there, even when space came free meanwhile."""
    hog, final = small_disk / "hog", small_disk / "x.csv"
    hog.write_bytes(bytes(1_000_000))
    file = LocalTarget(final).open("w")
    message = _refused(lambda: file.write("x" * 200_000))
    hog.unlink()

    late = _refused(file.close)

    assert "ENOSPC" in message and str(final) in late and os.listdir(small_disk) == []


def test_file_larger_than_allowed_keeps_the_old_file(child: Child) -> None:
    """F42 without a disk of its own: RLIMIT_FSIZE refuses the write."""
    Path("x.csv").write_text("old")
    code = f"""
import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    {WRITINGS["open"]}
except EtlctlError as error: print(error)
"""

    done = child(AS_CHILD + code)

    assert done.stdout == "x.csv: writing failed: the file is larger than the system allows (ulimit -f) (EFBIG)\n"
    assert os.listdir() == ["x.csv"] and Path("x.csv").read_text() == "old"


@pytest.mark.parametrize("way", ["open", "gzip", "temporary_path", "folder"])
def test_failed_flush_to_the_disk_is_final(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """F43: fsync says EIO once: nothing is published, and the same file is never flushed again."""
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    message = _refused(lambda: exec(AS_CHILD + WRITINGS[way], {"LocalTarget": LocalTarget, "Path": Path}))

    assert message.startswith("x.csv: flushing it to the disk failed: the disk reports an error") and "EIO" in message
    assert len(calls) == 1 and os.listdir() == []


def test_failed_flush_by_the_system_is_final(child: Child, strace: tuple[str, ...]) -> None:
    """F43: the same, with the system call itself failing."""
    Path("x.csv").write_text("old")
    code = f"try:\n    {WRITINGS['open']}\nexcept EtlctlError as error: print(error)"

    done = child(AS_CHILD + code, under=(*strace, "-e", "inject=fsync:error=EIO:when=1"))

    assert "x.csv: flushing it to the disk failed" in done.stdout and "(EIO)" in done.stdout
    assert os.listdir() == ["x.csv"] and Path("x.csv").read_text() == "old"


def test_failed_flush_of_the_folder_says_that_the_file_is_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """F43: after the rename the truth is: the new file is there, but a power loss could undo it."""
    passed: list[str] = []
    fsync = os.fsync

    def fail_on_folder(descriptor: int) -> None:
        if passed[-1] == "file.renamed":
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(faultpoints, "point", passed.append)
    monkeypatch.setattr(os, "fsync", fail_on_folder)

    message = _refused(lambda: _write("x.csv"))

    assert message.startswith("x.csv: flushing its folder, with the file in place, failed") and _content("x.csv") == NEW


@pytest.mark.parametrize("if_absent", [False, True])
def test_two_writers_leave_one_whole_file(if_absent: bool) -> None:
    """F44: writers that overlap: the last to close wins, or the first with if_absent; the other leaves nothing."""
    target = LocalTarget("x.csv", if_absent=if_absent)
    one: Any = target.open("w")
    two: Any = target.open("w")
    one.write("one\n" * 10_000)
    two.write("two\n" * 10_000)

    one.close()
    two.close()

    assert Path("x.csv").read_text() == ("one\n" if if_absent else "two\n") * 10_000
    assert (one.published, two.published) == (True, not if_absent) and os.listdir() == ["x.csv"]


@pytest.mark.parametrize("if_absent", [False, True])
def test_many_processes_leave_one_whole_file(if_absent: bool) -> None:
    """F44: eight processes at once: one whole file, nobody fails, and with if_absent exactly one has published."""
    code = f"""
import sys
from pathlib import Path
from etlctl.core import context
from etlctl.targets.local import LocalTarget
in_place = context.use(context.Context(project=Path.cwd()))
in_place.__enter__()
sys.stdin.readline()
with LocalTarget("x.csv", if_absent={if_absent}).open("w") as file:
    file.write(f"{{sys.argv[1]}}\\n" * 20_000)
print(file.published)
"""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(8)
    ]
    for racer in racers:
        racer.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
        racer.stdin.flush()  # type: ignore[union-attr]  # as above

    published = [racer.communicate(timeout=60)[0].strip() for racer in racers]

    lines = Path("x.csv").read_text().splitlines()
    assert len(lines) == 20_000 and len(set(lines)) == 1 and os.listdir() == ["x.csv"]
    assert [racer.returncode for racer in racers] == [0] * 8
    assert published.count("True") == (1 if if_absent else 8)
    assert not if_absent or published[int(lines[0])] == "True"


def test_folders_race_and_the_first_wins() -> None:
    """F44 with if_absent for a folder: a rename never replaces one that holds something."""
    target = LocalTarget("x", if_absent=True)

    with target.temporary_path() as late:
        Path(late).mkdir()
        Path(late, "part").write_text("late")
        with target.temporary_path() as early:
            Path(early).mkdir()
            Path(early, "part").write_text("early")

    assert _content("x") == "early" and os.listdir() == ["x"]


def test_forked_child_neither_publishes_nor_removes_its_parents_work(child: Child) -> None:
    """A child that leaves through the parent's `with` block, either way, does not end the parent's file."""
    code = """
for end in (SystemExit, None):
    with LocalTarget("x.csv").open("w") as file, LocalTarget("y").temporary_path() as path:
        file.write("parent")
        Path(path).write_text("parent")
        if os.fork() == 0:
            try:
                if end: raise end
                file.close()
            except EtlctlError as error:
                print("opened in another process" if "which alone can write it" in str(error) else error, flush=True)
                os._exit(0)
            raise SystemExit
        os.wait()
    assert Path("x.csv").read_text() == Path("y").read_text() == "parent"
"""

    done = child(code)

    assert (done.returncode, done.stdout, done.stderr) == (0, "opened in another process\n", "")
    assert sorted(os.listdir()) == ["x.csv", "y"]
