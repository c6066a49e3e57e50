"""The notebook of the blog post "Luigi ETL" (fastpages, Husain and Howard), cell by cell, with etlctl's words.

In[2] and In[3] fix the order in which a task's methods are called, which is the meaning of "resolves backwards"; of
the other cells the results bind. `luigi` became `etlctl`, and its SQLAlchemyTarget a TableTarget; a missing external
input is told by a false summary with exit code 3, where Luigi said True.
"""

from __future__ import annotations

import datetime
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pd = pytest.importorskip("pandas")

import etlctl  # noqa: E402  what a notebook's cells import stands after the check for pandas
from etlctl import MockTarget  # noqa: E402  as above

calls: list[str] = []


@pytest.fixture(autouse=True)
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own with an empty `output`, as the notebook's cells find it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    MockTarget.clear_all()
    calls.clear()
    clock[:] = range(1_600_000_000, 1_600_000_100, 10)
    yield tmp_path
    MockTarget.clear_all()


OUTPUT_PATH = Path("output")


def files() -> list[str]:
    return sorted(path.name for path in OUTPUT_PATH.iterdir() if not path.name.startswith("."))


# -- In[2] to In[4]


class GlobalParams(etlctl.Config):
    count = etlctl.IntParameter(default=1)


class Task_A(etlctl.Task):  # noqa: N801  the notebook's name
    def output(self) -> Any:
        return MockTarget("Task_A")

    def run(self) -> Any:
        print(
            f"{g.count}: run() {self.__class__.__name__} has no prior Task dependency. "
            "It is now running to complete the task"
        )
        g.count += 1
        out = self.output().open("w")
        out.write("complete")
        out.close()

    def complete(self) -> bool:
        print(f"{g.count}: complete() Checking to see if {self.__class__.__name__} has been completed")
        g.count += 1
        return bool(self.output().exists())


class Task_B(etlctl.Task):  # noqa: N801  the notebook's name
    def requires(self) -> Any:
        print(
            f"{g.count}: requires() {self.__class__.__name__} is not completed, "
            "checking to see if previous tasks are required and completed"
        )
        g.count += 1
        return Task_A()

    def output(self) -> Any:
        return MockTarget("Task_B")

    def run(self) -> Any:
        print(
            f"{g.count}: run() All previous tasks are completed and {self.__class__.__name__} "
            "is running to complete the task"
        )
        g.count += 1
        out = self.output().open("w")
        out.write("complete")
        out.close()
        print(f"{g.count}: All Tasks are completed")

    def complete(self) -> bool:
        print(f"{g.count}: complete() Checking to see if {self.__class__.__name__} has been completed")
        g.count += 1

        if self.output().exists():
            print(f"{g.count}: All Tasks are completed")
        return bool(self.output().exists())


g = GlobalParams()

PRINTED_IN_2 = """\
1: complete() Checking to see if Task_B has been completed
2: requires() Task_B is not completed, checking to see if previous tasks are required and completed
3: complete() Checking to see if Task_A has been completed
4: run() Task_A has no prior Task dependency. It is now running to complete the task
5: requires() Task_B is not completed, checking to see if previous tasks are required and completed
6: complete() Checking to see if Task_A has been completed
7: run() All previous tasks are completed and Task_B is running to complete the task
8: All Tasks are completed
"""

PRINTED_IN_3 = """\
1: complete() Checking to see if Task_B has been completed
2: All Tasks are completed
"""


def test_notebook_in_2_to_4_the_order_of_calls(capsys: pytest.CaptureFixture[str]) -> None:
    """In[2] prints the seed's eight lines, in its order; In[3] asks the root alone; In[4] cleans up in memory."""
    g.count = 1
    assert etlctl.build([Task_B()], local_scheduler=True)
    assert capsys.readouterr().out == PRINTED_IN_2

    g.count = 1
    assert etlctl.build([Task_B()], local_scheduler=True)
    assert capsys.readouterr().out == PRINTED_IN_3

    assert (Task_B().output().remove(), Task_A().output().remove()) == (None, None)
    assert not Task_A().output().exists()
    assert files() == []


# -- In[5] to In[12]


class Words(etlctl.Task):
    date = etlctl.DateParameter(default=datetime.date(2026, 11, 22))

    def output(self) -> Any:
        return etlctl.LocalTarget(OUTPUT_PATH / f"words_{self.date}.csv")

    def run(self) -> Any:
        calls.append("Words.run")
        words = ["apple", "banana", "grapefruit"]
        df = pd.DataFrame({"words": words})
        df.to_csv(self.output().path, index=False)


class Count(etlctl.Task):
    date = etlctl.DateParameter(default=datetime.date(2026, 11, 22))

    def requires(self) -> Any:
        return Words(self.date)

    def output(self) -> Any:
        return etlctl.LocalTarget(OUTPUT_PATH / f"count_{self.date}.csv")

    def run(self) -> Any:
        calls.append("Count.run")
        df = pd.read_csv(self.input().path)
        df["letter_count"] = df.words.map(len)
        df.to_csv(self.output().path, index=False)


def test_notebook_in_5_to_12_parameters() -> None:
    """In[5] makes both files, In[8] nothing, In[10] those of another day, given as a pandas Timestamp."""
    assert etlctl.build([Count()], local_scheduler=True)
    assert calls == ["Words.run", "Count.run"]
    assert files() == ["count_2026-11-22.csv", "words_2026-11-22.csv"]
    assert (OUTPUT_PATH / "count_2026-11-22.csv").read_text() == (
        "words,letter_count\napple,5\nbanana,6\ngrapefruit,10\n"
    )

    calls.clear()
    assert etlctl.build([Count()], local_scheduler=True)
    assert calls == []

    assert etlctl.build([Count(date=pd.to_datetime("10/25/2021"))], local_scheduler=True)
    assert calls == ["Words.run", "Count.run"]
    assert Count(date=pd.to_datetime("10/25/2021")).task_id == "Count_2021_10_25_8a7563aba6"
    assert files() == [
        "count_2021-10-25.csv",
        "count_2026-11-22.csv",
        "words_2021-10-25.csv",
        "words_2026-11-22.csv",
    ]


# -- In[13] to In[28]


clock: list[int] = []


def tick(path: str) -> None:
    """Sets the time of a file to the next of the clock: the notebook waited between its cells, for whole seconds."""
    moment = clock.pop(0)
    os.utime(path, (moment, moment))


class WordsFile(etlctl.ExternalTask):
    """`Words` in the notebook, which takes the name again."""

    def output(self) -> Any:
        return etlctl.LocalTarget(OUTPUT_PATH / "words.csv")


class MTimeMixin:
    """The notebook's, after stackoverflow.com/a/29304506."""

    def complete(self: Any) -> bool:
        def to_list(obj: Any) -> Any:
            if type(obj) in (tuple, list):
                return obj
            return [obj]

        def mtime(path: str) -> float:
            return os.path.getmtime(path)  # time.ctime() in the notebook: text, which is in no order

        if not all(os.path.exists(out.path) for out in to_list(self.output())):
            return False

        self_mtime = min(mtime(out.path) for out in to_list(self.output()))

        for el in to_list(self.requires()):
            if not el.complete():
                if os.path.exists(self.output().path):
                    os.remove(self.output().path)
                return False
            for output in to_list(el.output()):
                if mtime(output.path) > self_mtime:
                    os.remove(self.output().path)
                    return False
        return True


class CountLetters(MTimeMixin, etlctl.Task):
    def requires(self) -> Any:
        return WordsFile()

    def output(self) -> Any:
        return etlctl.LocalTarget(OUTPUT_PATH / "count_letters.csv")

    def run(self) -> Any:
        calls.append("CountLetters.run")
        df = pd.read_csv(self.input().path)
        df["letter_count"] = df.words.map(len)
        df.to_csv(self.output().path, index=False)
        tick(self.output().path)


class StoreSQL(etlctl.Task):
    connection_string = etlctl.Parameter()
    target_table = etlctl.Parameter()

    @property
    def update_id(self) -> str:
        mtime = os.path.getmtime(self.input().path)
        shown = datetime.datetime.fromtimestamp(mtime, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        return shown + "_" + str(self.target_table)

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        return bool(self.output().exists())

    def requires(self) -> Any:
        return CountLetters()

    def output(self) -> Any:
        return etlctl.TableTarget(self.target_table, self.update_id, connection=self.connection_string)

    def run(self) -> Any:
        calls.append("StoreSQL.run")
        con = self.output().engine
        df = pd.read_csv(self.input().path)
        df.to_sql(name=self.target_table, con=con, if_exists="replace")
        self.output().touch()


class PrintSQL(etlctl.Task):
    connection_string = etlctl.Parameter()
    target_table = etlctl.Parameter()

    def requires(self) -> Any:
        return StoreSQL(self.connection_string, self.target_table)

    def complete(self) -> bool:
        return False

    def output(self) -> Any:
        pass

    def run(self) -> Any:
        calls.append("PrintSQL.run")
        target = self.input()
        con = target.engine
        table = target.target_table

        print("// Letter Count Table")
        print(pd.read_sql(sql=table, con=con), end="\n\n")
        print("// Marker Table")
        print(pd.read_sql(sql="table_updates", con=con))


def write_words(*words: str) -> None:
    """The cells that write words.csv."""
    pd.DataFrame({"words": list(words)}).to_csv(OUTPUT_PATH / "words.csv", index=False)
    tick(str(OUTPUT_PATH / "words.csv"))


def rows(query: str) -> list[Any]:
    connection = sqlite3.connect(OUTPUT_PATH / "my.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


FIVE = ("apple", "banana", "grapefruit", "cherry", "orange")


def test_notebook_in_13_to_15_external_tasks() -> None:
    """In[13]: words.csv is missing: false, exit 3. In[14] writes it, In[15] finds it."""
    missing = etlctl.build([WordsFile()], local_scheduler=True)
    assert not missing
    assert missing.exit_code == etlctl.ExitCode.BLOCKED
    assert files() == []

    write_words("apple", "banana", "grapefruit")
    assert etlctl.build([WordsFile()], local_scheduler=True)
    assert files() == ["words.csv"]


def test_notebook_in_16_to_21_an_own_complete_method() -> None:
    """In[18] counts, In[20] does nothing, In[21] counts again since words.csv is newer."""
    write_words("apple", "banana", "grapefruit")

    assert etlctl.build([CountLetters()], local_scheduler=True)
    assert calls == ["CountLetters.run"]
    assert files() == ["count_letters.csv", "words.csv"]

    assert etlctl.build([CountLetters()], local_scheduler=True)
    assert calls == ["CountLetters.run"]

    write_words(*FIVE)
    assert etlctl.build([CountLetters()], local_scheduler=True)
    assert calls == ["CountLetters.run", "CountLetters.run"]
    assert (OUTPUT_PATH / "count_letters.csv").read_text().splitlines()[1:] == [f"{word},{len(word)}" for word in FIVE]


def test_notebook_in_23_to_28_sql_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    """In[24] loads and prints, In[27] loads anew under a second marker, In[28] prints alone."""
    connection_string = f"sqlite:///{OUTPUT_PATH}/my.db"
    letters = "SELECT words, letter_count FROM letter_count"
    markers = "SELECT update_id, target_table FROM table_updates ORDER BY update_id"
    write_words(*FIVE)

    assert etlctl.build([PrintSQL(connection_string, target_table="letter_count")], local_scheduler=True)
    assert calls == ["CountLetters.run", "StoreSQL.run", "PrintSQL.run"]
    assert files() == ["count_letters.csv", "my.db", "words.csv"]
    assert rows(letters) == [(word, len(word)) for word in FIVE]
    assert rows(markers) == [("2020-09-13 12:26:50_letter_count", "letter_count")]
    assert "grapefruit" in capsys.readouterr().out

    calls.clear()
    write_words(*FIVE, "peach", "strawberry")
    assert etlctl.build([PrintSQL(connection_string, target_table="letter_count")], local_scheduler=True)
    assert calls == ["CountLetters.run", "StoreSQL.run", "PrintSQL.run"]
    assert rows(letters) == [(word, len(word)) for word in (*FIVE, "peach", "strawberry")]

    calls.clear()
    assert etlctl.build([PrintSQL(connection_string, target_table="letter_count")], local_scheduler=True)
    assert calls == ["PrintSQL.run"]
    assert rows(markers) == [
        ("2020-09-13 12:26:50_letter_count", "letter_count"),
        ("2020-09-13 12:27:10_letter_count", "letter_count"),
    ]
