"""Files that are not what they should be: each is loaded whole, alike on every database, or refused with its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cli.project import Project
from etlctl import faultpoints
from etlctl.core.parameters import IntParameter
from etlctl.core.results import Status
from etlctl.core.task import ExternalTask, Task
from etlctl.errors import ExitCode
from etlctl.loads.modes import append
from etlctl.loads.table import LoadTable
from etlctl.targets.local import LocalTarget
from faults.faultcase import build, faults, rows_of
from torture.loads import NUMBERS, FileLoad
from torture.places import Place

BIG = "x" * 1_000_000
WHOLE: dict[str, tuple[bytes, list[tuple[Any, ...]]]] = {
    "quoted end of data": (b'n,word\n1,"\\."\n2,b\n', [(1, "\\."), (2, "b")]),
    "bom": (b"\xef\xbb\xbfn,word\n1,a\n", [(1, "a")]),
    "embedded newlines": (b'n,word\n1,"a\nb\r\nc"\n', [(1, "a\nb\r\nc")]),
    "quotes": (b'n,word\n1,"say ""a"", b"\n', [(1, 'say "a", b')]),
    "mixed line ends": (b"n,word\r\n1,a\n2,b\r\n", [(1, "a"), (2, "b")]),
    "no final newline": (b"n,word\n1,a\n2,b", [(1, "a"), (2, "b")]),
    "null and empty": (b'n,word\n1,\n2,""\n', [(1, None), (2, None)]),
    "backslashes": (b"n,word\n1,a\\nb\\\\\n2,\\N\n", [(1, "a\\nb\\\\"), (2, "\\N")]),
    "a field of a megabyte": (f"n,word\n1,{BIG}\n".encode(), [(1, BIG)]),
    "header alone": (b"n,word\n", []),
    "nothing at all": (b"", []),
    "unicode": ("n,word\n1,é漢字\U0001f600\n".encode(), [(1, "é漢字\U0001f600")]),
    "surplus column": (b"more,word,n\nx,a,1\n", [(1, "a")]),
}
"""Content, and the rows it means."""
REFUSED: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "end of data": (b"n,word\n1,a\n\\.\n2,b\n", ("feed.csv", "line 3")),
    "nul": (b"n,word\n1,a\n2,b\0c\n", ("feed.csv", "line 3")),
    "latin-1": (b"n,word\n1,a\n2,\xe9\n", ("feed.csv", "line 3", "UTF-8")),
    "too few fields": (b"n,word\n1,a\n2\n", ("feed.csv", "line 3")),
    "too many fields": (b"n,word\n1,a\n2,b,c\n", ("feed.csv", "line 3")),
    "open quote": (b'n,word\n1,a\n2,"b\n', ("feed.csv", "line 3", "quote")),
    "header twice": (b"n,word,n\n1,a,2\n", ("feed.csv", "n")),
    "header without a column": (b"n,wrod\n1,a\n", ("feed.csv", "word")),
    "no number": (b"n,word\n1,a\ntwo,b\n", ("feed.csv", "line 3", "column n", "two")),
}


class Feed(ExternalTask):
    """The file."""

    def output(self) -> LocalTarget:
        return LocalTarget("feed.csv")


class FromFeed(LoadTable):
    """All of it."""

    part = IntParameter(default=1)
    table = "t_feed"
    columns = {"n": "integer", "word": "text"}
    mode = append

    def requires(self) -> Task:
        return Feed()


@pytest.mark.parametrize("content", WHOLE)
def test_odd_file_means_the_same_rows_everywhere(place: Place, content: str) -> None:
    """F82: what CSV allows is loaded, and no line is lost."""
    written, rows = WHOLE[content]
    (place.project / "feed.csv").write_bytes(written)

    summary = build(place, FromFeed())

    assert summary.exit_code == ExitCode.DONE, summary.text
    connection = place.connect()
    assert place.ask(connection, "SELECT n, word FROM t_feed ORDER BY n") == rows
    connection.close()


@pytest.mark.parametrize("content", REFUSED)
def test_broken_file_is_refused_with_its_place(place: Place, content: str) -> None:
    """F82: exit 1, file, line and column where there is one; nothing of it is loaded."""
    written, said = REFUSED[content]
    (place.project / "feed.csv").write_bytes(written)

    summary = build(place, FromFeed())

    assert summary.exit_code == ExitCode.FAILED, summary.text
    assert all(word in summary.text for word in said), summary.text
    assert "Traceback" not in summary.text
    assert rows_of(place, "t_feed") == 0 and rows_of(place, "table_updates") == 0


@pytest.mark.parametrize("change", ["grows", "shrinks", "is replaced"])
def test_file_that_changes_while_it_is_loaded_is_not_committed(
    place: Place, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """F83: size, time and inode are looked at again before COMMIT."""
    task = FileLoad(1)
    path = place.project / NUMBERS

    def at(name: str) -> None:
        if name == "load.rowcount":
            _change(path, change)

    monkeypatch.setattr(faultpoints, "point", at)
    summary = build(place, task)

    assert summary.exit_code == ExitCode.FAILED and "changed" in summary.text, summary.text
    assert faults(place, task, done=False) == {} and rows_of(place, task.table) == 0

    monkeypatch.setattr(faultpoints, "point", lambda name: None)
    assert build(place, task).counts[Status.OK] == 1


def _change(path: Path, change: str) -> None:
    if change == "grows":
        with path.open("a") as file:
            file.write("9999,late\n")
    elif change == "shrinks":
        os.truncate(path, path.stat().st_size // 2)
    else:
        other = path.with_suffix(".new")
        other.write_bytes(path.read_bytes())
        os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        other.replace(path)


@pytest.mark.parametrize("day", ["2023-02-29", "10000-01-01", "2013-1", "01/02/2013", "2013-01-01T00:00+02:00", ""])
def test_date_that_is_none_ends_before_anything_runs(tmp_path: Path, day: str) -> None:
    """F80: exit 2; the parameter and what was given stand in the sentence."""
    project = Project(tmp_path, f"dates_{abs(hash(day))}")
    project.pipeline(
        """
        from etlctl import DateParameter, LoadTable

        class Daily(LoadTable):
            date = DateParameter()
            columns = {"date": "date"}

            def rows(self):
                return [(self.date,)]
        """
    )

    ran = project.run("build", "Daily", "--date", day)

    assert ran.code == ExitCode.USAGE
    assert "date" in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / ".etlctl").exists()
