"""Tables that are not ours: what MySQL would change in silence is refused, with the value and its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse, in_place
from etlctl import ExternalTask, LoadTable, LocalTarget, QueryTable, merge_on
from etlctl.errors import BadDataError, EtlctlError, LoadError
from etlctl.loads.tableload import TableLoad

CHANGED: dict[str, tuple[str, str, str, str]] = {
    "a fraction of a second": ("datetime", "timestamp", "2013-01-31 19:07:38.7", "finer fraction of a second"),
    "of three digits": ("datetime(3)", "timestamp", "2013-01-31 19:07:38.1234", "finer fraction of a second"),
    "of a TIMESTAMP": ("timestamp null", "timestamptz", "2013-01-31 19:07:38.5Z", "finer fraction|Incorrect datetime"),
    "of a time": ("time", "time", "19:07:38.7", "finer fraction of a second"),
    "the number of a word": ("enum('a','b')", "text", "1", "is no word of enum"),
    "capitals of a word": ("enum('a','b')", "text", "A", "is no word of enum"),
    "the number of words": ("set('a','b')", "text", "3", "is no word of set"),
    "blanks at the end": ("varchar(3)", "text", "abc ", r"is longer than varchar\(3\) \(4 characters\)"),
    "two digits of a year": ("year", "integer", "13", "no year of four digits"),
}
KEPT: dict[str, tuple[str, str, str, str]] = {
    "a whole second": ("datetime", "timestamp", "2013-01-31 19:07:38", "2013-01-31 19:07:38"),
    "three digits": ("datetime(3)", "timestamp", "2013-01-31 19:07:38.123", "2013-01-31 19:07:38.123000"),
    "a word": ("enum('a','it''s')", "text", "it's", "it's"),
    "words": ("set('a','b')", "text", "b,a", "a,b"),
    "blanks that fit": ("varchar(3)", "text", "ab ", "ab "),
    "a year": ("year", "integer", "2013", "2013"),
}


@pytest.fixture
def house(mysql_url: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(mysql_url, tmp_path) as found:
        yield found


def load_of(tmp_path: Path, words: str, text: str, road: str) -> TableLoad:
    """A load of one value, in line 3 of a file or as row 2 of rows(), by one of the roads that there are."""
    (tmp_path / "in.csv").write_text(f"id,x\n1,\n2,{text}\n" if "," not in text else f'id,x\n1,\n2,"{text}"\n')

    class File(ExternalTask):
        def output(self) -> LocalTarget:
            return LocalTarget(str(tmp_path / "in.csv"))

    class Given(LoadTable):
        table = "t"
        columns = {"id": "integer", "x": words}

        def requires(self) -> Any:
            return File()

    class Rows(Given):
        def requires(self) -> Any:
            return []

        def rows(self) -> Any:
            return [(1, None), (2, text)]

    class Merge(Given):
        mode = merge_on("id")

    class Constant(Given):
        given = text
        values = {"x": "given"}

        def rows(self) -> Any:
            return [(1,)]

    class Query(QueryTable):
        table = "t"
        columns = {"id": "integer", "x": words}
        query = f"SELECT 2 AS id, CAST('{text}' AS CHAR) AS x".replace("it's", "it''s")

    return {"file": Given, "rows": Rows, "merge": Merge, "values": Constant, "query": Query}[road]()


ROADS = ["file", "rows", "merge", "values", "query"]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("case", CHANGED)
def test_a_value_that_the_column_would_change_is_refused(
    house: AnyWarehouse, tmp_path: Path, case: str, road: str
) -> None:
    """On every road, and nothing is kept."""
    native, words, text, reason = CHANGED[case]
    house.write(f"CREATE TABLE t (id int PRIMARY KEY, x {native}) ENGINE=InnoDB")
    task = load_of(tmp_path, words, text, road)

    with pytest.raises((BadDataError, LoadError), match=reason) as caught:
        task.run()

    if road == "file":
        assert "line 3, column x: " in str(caught.value)
    assert house.count("t") == 0 and house.markers() == []


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("case", KEPT)
def test_a_value_that_the_column_keeps_is_loaded(house: AnyWarehouse, tmp_path: Path, case: str, road: str) -> None:
    native, words, text, kept = KEPT[case]
    house.write(f"CREATE TABLE t (id int PRIMARY KEY, x {native}) ENGINE=InnoDB")

    load_of(tmp_path, words, text, road).run()

    assert str(house.ask("SELECT x FROM t WHERE x IS NOT NULL")[0][0]) == kept


@pytest.mark.parametrize("road", ["file", "rows"])
@pytest.mark.parametrize(
    ("native", "words", "text", "shown"),
    [
        ("varchar(3)", "text", "abcd", "'abcd' is longer than varchar"),
        ("tinyint", "integer", "300", "is out of range for the column"),
        ("varchar(3) character set ascii", "text", "ü", "'ü' was refused by the database: Incorrect string value"),
        ("int NOT NULL", "integer", "", "NULL"),
        ("int CHECK (x < 5)", "integer", "7", "was refused by the database: CONSTRAINT"),
        ("json", "json", '"\\ud800"', "was refused by the database: CONSTRAINT"),
    ],
)
def test_what_the_server_refuses_is_shown_with_its_place(
    house: AnyWarehouse, tmp_path: Path, native: str, words: str, text: str, shown: str, road: str
) -> None:
    """The value itself, and no row number of the server's beside ours."""
    house.write(f"CREATE TABLE t (id int, x {native}) ENGINE=InnoDB")
    (tmp_path / "in.csv").write_text(f"id,x\n1,{good_of(words)}\n2,{quoted(text)}\n")

    with pytest.raises(EtlctlError) as caught:
        pair_of(tmp_path, words, text, road).run()

    said = str(caught.value)
    assert shown in said and "at row" not in said, said
    assert ("line 3, column x: " if road == "file" else "row 2, column x: ") in said


def good_of(words: str) -> str:
    return {"integer": "1", "text": "a", "json": "1"}[words]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if text else ""


def pair_of(tmp_path: Path, words: str, text: str, road: str) -> LoadTable:
    class File(ExternalTask):
        def output(self) -> LocalTarget:
            return LocalTarget(str(tmp_path / "in.csv"))

    class Pair(LoadTable):
        table = "t"
        columns = {"id": "integer", "x": words}

        def requires(self) -> Any:
            return File() if road == "file" else []

        if road == "rows":

            def rows(self) -> Any:
                return [(1, good_of(words)), (2, text)]

    return Pair()


@pytest.mark.parametrize("road", ["file", "rows"])
def test_a_key_that_is_there_already_names_its_line(house: AnyWarehouse, tmp_path: Path, road: str) -> None:
    """The row is shown; the server tells the key."""
    house.write("CREATE TABLE t (id int, x int UNIQUE) ENGINE=InnoDB")
    (tmp_path / "in.csv").write_text("id,x\n1,1\n2,1\n")

    with pytest.raises(BadDataError, match="Duplicate entry '1' for key") as caught:
        pair_of(tmp_path, "integer", "1", road).run()

    assert ("line 3: " if road == "file" else "row 2: ") in str(caught.value)
