"""LocalTarget: its path, temporary paths, folders, moving, and asking for many."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from etlctl.core import context
from etlctl.errors import TaskError
from etlctl.targets.local import LocalTarget


def test_path_is_as_written_in_the_project_folder(project: Path) -> None:
    """Short in messages, and str even when it was a pathlib path."""
    target = LocalTarget(Path("data") / "a.csv")

    assert target.path == target.fn == str(target) == "data/a.csv" and repr(target) == "LocalTarget('data/a.csv')"


def test_path_starts_at_the_project_from_anywhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that is given `.path` and our own open() mean the same file, wherever the process stands."""
    target = LocalTarget("data/a.csv")
    monkeypatch.chdir(tmp_path)

    with target.open("w") as file:
        file.write("x\n1\n")

    assert target.path == str(project / "data/a.csv")
    assert pd.read_csv(target.path)["x"].tolist() == [1] and target.exists()
    assert LocalTarget.exists_many([target] * 20) == [True] * 20


def test_path_absolute_stays(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute path is nobody's to change."""
    monkeypatch.chdir(tmp_path)

    assert LocalTarget("/data/a.csv").path == "/data/a.csv"


def test_path_absolute_needs_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script may use an absolute target anywhere: nothing ambient is asked."""
    monkeypatch.setattr(context, "current", lambda: pytest.fail("the settings were asked for"))

    assert LocalTarget(tmp_path / "a.csv").exists() is False
    assert LocalTarget.exists_many([LocalTarget(tmp_path / str(number)) for number in range(20)]) == [False] * 20


@pytest.mark.parametrize("path", ["", "a\x00b", "\ud800"], ids=["empty", "NUL", "lone surrogate"])
def test_path_that_no_disk_takes_is_refused(path: str) -> None:
    """Where the target is made, in a sentence."""
    with pytest.raises(TaskError, match=r"empty|NUL|encoding"):
        LocalTarget(path)


def test_target_without_path_is_refused() -> None:
    """Only a temporary file needs none."""
    with pytest.raises(TaskError, match="needs a path"):
        LocalTarget()


def test_is_tmp_is_removed_with_the_object() -> None:
    """A temporary target lives in the system's folder, as long as somebody holds it."""
    target = LocalTarget(is_tmp=True)
    with target.open("w") as file:
        file.write("x")
    path = target.path
    existed = Path(path).exists()

    del target
    gc.collect()

    assert existed and not Path(path).exists() and path.startswith(tempfile.gettempdir())


def test_exists_follows_links_and_takes_folders() -> None:
    """A folder is a result, a link to nothing is none."""
    Path("folder").mkdir()
    Path("good").symlink_to("folder")
    Path("dangling").symlink_to("nothing")

    assert [LocalTarget(name).exists() for name in ("folder", "folder/", "good", "dangling")] == [
        True,
        True,
        True,
        False,
    ]


def test_exists_says_when_it_cannot_tell() -> None:
    """A name that is too long, or a loop of links, is an error that names the path and no silent "absent"."""
    Path("loop").symlink_to("loop")

    for name, reason in (("x" * 256, "ENAMETOOLONG"), ("loop", "ELOOP")):
        with pytest.raises(TaskError, match=f"^{name}: .*{reason}"):
            LocalTarget(name).exists()


def test_exists_below_a_file_is_false() -> None:
    """`a.csv/b` cannot be there when a.csv is a file."""
    Path("a.csv").touch()

    assert LocalTarget("a.csv/b").exists() is False


def test_exists_many_equals_exists_on_hard_names() -> None:
    """Listing a folder and asking stat() agree: links, dangling links, folders, case, accents, odd names, errors."""
    Path("d/sub").mkdir(parents=True)
    for name in ("plain", "Upper", "caf\u00e9", "\udcff", " ", "new\nline", "*"):
        Path("d", name).touch()
    Path("d/link").symlink_to("plain")
    Path("d/dangling").symlink_to("nothing")
    Path("d/loop").symlink_to("loop")
    hard = [
        "plain",
        "upper",
        "Upper",
        "cafe\u0301",
        "caf\u00e9",
        "\udcff",
        " ",
        "new\nline",
        "*",
        "link",
        "dangling",
        "loop",
    ]
    hard += ["sub", "sub/", "sub/..", ".", "..", "absent", "absent/deeper", "plain/deeper", "x" * 256]
    targets = [LocalTarget(f"d/{name}") for name in hard * 2] + [LocalTarget(f"none/{number}") for number in range(40)]

    def alone(target: LocalTarget) -> bool | str:
        try:
            return target.exists()
        except TaskError as error:
            return str(error)

    answers = [str(one) if isinstance(one, Exception) else one for one in LocalTarget.exists_many(targets)]

    assert (
        answers == [alone(target) for target in targets] and True in answers and any("ELOOP" in str(a) for a in answers)
    )


def test_exists_many_lists_a_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred targets of one folder cost one listing and no stat()."""
    asked: list[str] = []
    Path("d").mkdir()
    for number in range(0, 100, 2):
        Path(f"d/{number}.csv").touch()
    monkeypatch.setattr(os, "stat", _noting_stat(asked))

    answers = LocalTarget.exists_many([LocalTarget(f"d/{number}.csv") for number in range(100)])

    assert answers == [number % 2 == 0 for number in range(100)] and asked == []


def test_exists_many_asks_the_system_about_names_that_may_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems hold names to be equal that differ in case or accents: only stat() can tell, and is asked."""
    asked: list[str] = []
    for name in ("Flights", "caf\u00e9", "other"):
        Path(name).touch()
    monkeypatch.setattr(os, "stat", _noting_stat(asked))

    LocalTarget.exists_many([LocalTarget(name) for name in ["flights", "cafe\u0301", "other", *map(str, range(20))]])

    assert [os.path.basename(path) for path in asked] == ["flights", "cafe\u0301"]


def test_exists_many_does_not_list_a_crowded_folder_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty targets among a thousand files are asked one by one."""
    asked: list[str] = []
    Path("d").mkdir()
    for number in range(1_000):
        Path(f"d/{number}").touch()
    monkeypatch.setattr(os, "stat", _noting_stat(asked))

    answers = LocalTarget.exists_many([LocalTarget(f"d/{number}") for number in range(990, 1_010)])

    assert answers == [True] * 10 + [False] * 10 and len(asked) == 20


def test_temporary_path_publishes_what_a_tool_made(names_in: Callable[..., list[str]]) -> None:
    """In the same folder, with the same suffix (pandas packs by it), and gone when the block is over."""
    target = LocalTarget("out/table.csv.gz")

    with target.temporary_path() as path:
        pd.DataFrame({"x": [1, 2]}).to_csv(path, index=False)
        seen = (os.path.dirname(path), path.endswith(".csv.gz"), target.exists())

    assert seen == ("out", True, False) and names_in("out") == ["table.csv.gz"]
    assert pd.read_csv(target.path)["x"].tolist() == [1, 2]


def test_temporary_path_publishes_a_folder(names_in: Callable[..., list[str]]) -> None:
    """A tool may make a folder; its name may end with a slash."""
    target = LocalTarget("out/parts/")

    with target.temporary_path() as path:
        Path(path, "deep").mkdir(parents=True)
        Path(path, "deep", "part-0").write_text("x")

    assert names_in("out") == ["parts"] and Path("out/parts/deep/part-0").read_text() == "x" and target.exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_temporary_path_leaves_nothing_after_an_exception(is_folder: bool, names_in: Callable[..., list[str]]) -> None:
    """What a tool left half-done is removed, and the old file stays."""
    target = LocalTarget("out/old")
    if not is_folder:
        target.makedirs()
        Path("out/old").write_text("old")

    def break_off() -> None:
        with target.temporary_path() as path:
            if is_folder:
                Path(path).mkdir()
                Path(path, "part-0").touch()
            else:
                Path(path).write_text("half")
            raise RuntimeError("the tool broke")

    with pytest.raises(RuntimeError, match="the tool broke"):
        break_off()

    assert names_in("out") == ([] if is_folder else ["old"])


def test_temporary_path_that_nothing_was_written_to_is_an_error() -> None:
    """A tool that ignored its path did not make the target."""
    with (
        pytest.raises(TaskError, match=r"x\.csv: the block ended, but wrote nothing"),
        LocalTarget("x.csv").temporary_path(),
    ):
        pass


def test_temporary_path_refuses_a_link_in_the_place_of_the_file() -> None:
    """Only a file or a folder is published: a link would make the result somebody else's."""

    def link() -> None:
        with LocalTarget("x.csv").temporary_path() as path:
            os.symlink("/etc/hostname", path)

    with pytest.raises(TaskError, match=r"x\.csv: the block left a symbolic link"):
        link()

    assert not os.path.lexists("x.csv")


def test_remove_takes_a_folder_and_spares_what_a_link_points_to(names_in: Callable[..., list[str]]) -> None:
    """A folder goes with all in it, a link goes alone."""
    Path("folder/deep").mkdir(parents=True)
    Path("kept").mkdir()
    Path("link").symlink_to("kept")

    LocalTarget("folder/").remove()
    LocalTarget("link").remove()

    assert names_in() == ["kept"]


def test_remove_of_a_folder_that_breaks_off_leaves_no_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a folder would pass for a result: it is gone from its name before the first file of it goes."""
    _make("folder", "content", True)

    def fail(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(shutil, "rmtree", fail)

    with pytest.raises(TaskError, match=r"^folder: removing it failed"):
        LocalTarget("folder").remove()

    assert not LocalTarget("folder").exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_move_and_copy_take_files_and_folders(is_folder: bool, names_in: Callable[..., list[str]]) -> None:
    """To a new folder, which is made."""
    _make("a", "content", is_folder)

    LocalTarget("a").copy("b/c")
    LocalTarget("a").move("d/e")

    assert _read("b/c", is_folder) == _read("d/e", is_folder) == "content" and names_in() == ["b", "d"]


def test_move_to_another_file_system_is_whole(other_disk: Path, names_in: Callable[..., list[str]]) -> None:
    """F45: where a rename is impossible the copy appears whole, then the source goes."""
    for is_folder in (False, True):
        _make("a", "content", is_folder)

        LocalTarget("a").move(other_disk / f"moved {is_folder}")

        assert _read(f"{other_disk}/moved {is_folder}", is_folder) == "content" and names_in() == ["other"]


@pytest.mark.parametrize("act", [LocalTarget.move, LocalTarget.copy])
def test_move_and_copy_spare_what_is_there_when_told(act: Callable[..., None]) -> None:
    """raise_if_exists: neither the source nor what is there is touched."""
    _make("a", "new", False)
    _make("b", "old", False)

    with pytest.raises(TaskError, match=r"^b is there already"):
        act(LocalTarget("a"), "b", raise_if_exists=True)

    assert (_read("a", False), _read("b", False)) == ("new", "old")
    act(LocalTarget("a"), "b")
    assert _read("b", False) == "new"


@pytest.mark.parametrize("act", [LocalTarget.move, LocalTarget.copy])
def test_move_and_copy_of_nothing_name_the_source(act: Callable[..., None]) -> None:
    """The sentence names what is missing, and nothing appears."""
    with pytest.raises(TaskError, match=r"^absent"):
        act(LocalTarget("absent"), "b")

    assert not os.path.lexists("b")


def test_if_absent_tells_the_summary_that_its_work_was_discarded() -> None:
    """The loser is no failure: the target is there; but nobody is left guessing."""
    late: Any
    with context.attempting(context.Attempt()) as attempt, LocalTarget("a", if_absent=True).open("w") as late:
        Path("a").write_text("first")
        late.write("second")

    assert Path("a").read_text() == "first" and late.published is False
    assert attempt.notes == ["a was there already: the first one stays, what this run wrote is discarded"]


def _noting_stat(asked: list[str]) -> Callable[..., os.stat_result]:
    """os.stat as it is now, which first puts down what it is asked about."""
    stat = os.stat

    def noting(path: str, **kwargs: Any) -> os.stat_result:
        asked.append(path)
        return stat(path, **kwargs)

    return noting


def _make(path: str, content: str, is_folder: bool) -> None:
    if is_folder:
        Path(path).mkdir()
        Path(path, "part").write_text(content)
    else:
        Path(path).write_text(content)


def _read(path: str, is_folder: bool) -> str:
    return Path(path, "part").read_text() if is_folder else Path(path).read_text()
