"""MockTarget: what it adds to the contract of targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlctl.targets.mock import MockFileSystem, MockTarget


def test_mock_is_the_same_under_the_same_name() -> None:
    """The notebook makes `MockTarget("Task_B")` twice and means one thing."""
    with MockTarget("Task_B").open("w") as file:
        file.write("done")

    with MockTarget(Path("Task_B")).open() as file:
        assert file.read() == "done"


def test_mock_is_published_by_close_alone() -> None:
    """The notebook opens, writes and closes without `with`."""
    file = MockTarget("Task_A").open("w")
    file.write("done")
    before = MockTarget("Task_A").exists()

    file.close()

    assert not before and MockTarget("Task_A").exists()


def test_mock_clear_all_forgets_everything() -> None:
    """Between two tests nothing is left."""
    MockTarget("a").open("w").close()

    MockTarget.clear_all()

    assert not MockTarget("a").exists() and MockFileSystem().get_all_data() == {}


def test_mock_file_system_shows_what_tests_look_for() -> None:
    """Luigi's names: get_all_data, listdir, exists, remove, clear."""
    for path in ("/d/b", "/d/a", "/e"):
        with MockTarget(path).open("w") as file:
            file.write(path)
    file_system = MockFileSystem()

    assert file_system.get_all_data()["/d/a"] == b"/d/a" and file_system.listdir("/d/") == ["/d/a", "/d/b"]
    file_system.remove("/e")
    assert not file_system.exists("/e")
    file_system.clear()
    assert MockTarget.fs.get_all_data() == {}


def test_mock_touches_no_disk(project: Path) -> None:
    """Not even for a path with folders."""
    MockTarget("deep/er/a.csv.gz").open("w").close()

    assert list(project.iterdir()) == []


def test_mock_reading_nothing_names_it() -> None:
    """The sentence says why it may be missing."""
    with pytest.raises(FileNotFoundError, match="MockTarget absent holds nothing"):
        MockTarget("absent").open()
