"""Where logs are kept: a folder, or S3 with a folder before it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.project import Project
from etlctl.core import context
from etlctl.core.context import Context
from etlctl.db.state.logs import LogStore, Removed, file_name
from etlctl.errors import UnavailableError
from etlctl.s3 import client
from etlctl.settings import load
from servers.s3 import S3Service

RUN = "20261122T100000-1f3a"


def _written(path: str, content: bytes = b"x") -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(content)
    return path


def _aged(path: str, days: int) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[Path]:
    """A project whose settings, in place, reach the services of S3."""
    monkeypatch.chdir(tmp_path)
    with context.use(Context(tmp_path, settings=load(None, environ=os.environ, cwd=tmp_path))):
        yield tmp_path
    client.close()


def test_log_files_of_two_tasks_never_meet() -> None:
    """Ids of any length and letters; the end of an id, which tells it from others, stays."""
    long = "x" * 300

    names = {file_name(f"{long}_0123456789", 1), file_name(f"{long}_9876543210", 1), file_name("a/../b\0_01", 2)}

    assert names == {f"{'x' * 148}__0123456789.1.log", f"{'x' * 148}__9876543210.1.log", "a_.._b__01.2.log"}
    assert max(len(name) for name in names) < 255


def test_log_store_of_a_folder_finds_what_was_written(tmp_path: Path) -> None:
    """Relative to the project; the address is the path."""
    store = LogStore("logs", tmp_path)
    path = _written(store.path_for(RUN, "T_1", 1), b"a line\n")

    store.kept(path)
    store.close()

    assert path == str(tmp_path / "logs" / RUN / "T_1.1.log")
    assert b"".join(store.opened(store.address_of(path))) == b"a line\n"
    with pytest.raises(FileNotFoundError):
        list(store.opened(str(tmp_path / "nothing")))


def test_log_store_removes_runs_that_are_old_and_nothing_else(tmp_path: Path) -> None:
    """A run goes when its newest file is old; folders and files that are no run's stay, links are not followed."""
    store = LogStore("logs", tmp_path)
    old = _written(store.path_for(RUN, "T_1", 1), b"12345")
    both = [_written(store.path_for("20261122T110000-1f3a", f"T_{n}", 1)) for n in range(2)]
    other = _written(str(tmp_path / "logs/mine/file"))
    outside = _written(str(tmp_path / "outside/file"))
    (tmp_path / "logs/20261122T120000-1f3a").symlink_to(tmp_path / "outside")
    for path in (old, both[0], other, outside):
        _aged(path, 40)
    before_s = time.time() - 30 * 86_400

    dry = store.remove_older(before_s, is_dry=True)
    there = os.path.exists(old)
    removed = store.remove_older(before_s, is_dry=False)

    assert (dry, there) == (Removed(1, 5), True)
    assert removed == Removed(1, 5)
    assert [os.path.exists(path) for path in (old, *both, other, outside)] == [False, True, True, True, True]
    assert LogStore("nowhere", tmp_path).remove_older(before_s, is_dry=False) == Removed(0, 0)


def test_log_store_of_s3_takes_a_log_there_and_reads_it(here: Path, s3_server: S3Service, bucket: str) -> None:
    """The file is gone once it is there; an attempt that wrote nothing is passed over."""
    store = LogStore(f"s3://{bucket}/logs", here)
    path = _written(store.path_for(RUN, "T_1", 1), b"a line\n" * 1000)

    store.kept(path)
    store.kept(store.path_for(RUN, "T_2", 1))
    store.close()

    address = store.address_of(path)
    assert address == f"s3://{bucket}/logs/{RUN}/T_1.1.log"
    assert store.failure == ""
    assert not os.path.exists(os.path.dirname(path))
    assert b"".join(store.opened(address)) == b"a line\n" * 1000
    assert s3_server.keys(bucket) == [f"logs/{RUN}/T_1.1.log"]


def test_log_store_of_s3_reads_the_file_while_it_is_here(here: Path, bucket: str) -> None:
    """Of an attempt that runs on this machine."""
    store = LogStore(f"s3://{bucket}/logs/", here)
    path = _written(store.path_for(RUN, "T_1", 1), b"so far")

    assert store.local_of(store.address_of(path)) == path
    assert b"".join(store.opened(store.address_of(path))) == b"so far"


def test_log_store_keeps_the_file_where_s3_does_not_take_it(here: Path) -> None:
    """A bucket that is not there: told once, the file stays."""
    store = LogStore("s3://no-such-bucket-anywhere/logs", here)
    path = _written(store.path_for(RUN, "T_1", 1), b"a line\n")

    store.kept(path)
    store.close()

    assert "no-such-bucket-anywhere" in store.failure
    assert Path(path).read_bytes() == b"a line\n"


def test_log_store_of_s3_removes_runs_that_are_old(here: Path, s3_server: S3Service, bucket: str) -> None:
    """Below its prefix, folders of runs alone."""
    s3_server.put(bucket, f"logs/{RUN}/T_1.1.log", b"12345")
    s3_server.put(bucket, "logs/other/T_1.1.log", b"1")
    s3_server.put(bucket, f"logs2/{RUN}/T_1.1.log", b"1")
    store = LogStore(f"s3://{bucket}/logs", here)

    young = store.remove_older(time.time() - 3600, is_dry=False)
    removed = store.remove_older(time.time() + 3600, is_dry=False)

    assert (young, removed) == (Removed(0, 0), Removed(1, 5))
    assert s3_server.keys(bucket) == ["logs/other/T_1.1.log", f"logs2/{RUN}/T_1.1.log"]


def test_log_store_that_may_not_remove_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the file system is UnavailableError, with the path."""
    store = LogStore("logs", tmp_path)
    old = _written(store.path_for(RUN, "T_1", 1))
    _aged(old, 40)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(UnavailableError, match=f"removing old logs: .*{RUN}: Permission denied"):
        store.remove_older(time.time(), is_dry=False)


def test_logs_of_a_build_go_to_s3_and_are_shown_from_there(tmp_path: Path, s3_server: S3Service, bucket: str) -> None:
    """[logs] store of the settings: the whole from the store, on a machine that never had the file."""
    project = Project(tmp_path, "flows_of_logs")
    project.write("config/etlctl.toml", f"[pipelines]\npath = 'flows_of_logs'\n[logs]\nstore = 's3://{bucket}/logs'\n")
    project.pipeline(
        "from etlctl import Task\n"
        "class Loud(Task):\n"
        "    def run(self):\n"
        "        for number in range(20_000):\n"
        "            print('line', number)\n"
    )

    reached = {name: value for name, value in os.environ.items() if name.startswith("ETLCTL_S3")}

    built = project.spawn("build", "Loud", "-j", "2", env=reached)
    shown = project.spawn("logs", "last", env=reached)

    assert (built.code, shown.code) == (0, 0), built.err + shown.err
    assert len(s3_server.keys(bucket)) == 1
    assert not list((tmp_path / ".etlctl").rglob("*.log"))
    assert shown.out.splitlines()[1:] == [f"line {number}" for number in range(20_000)]
