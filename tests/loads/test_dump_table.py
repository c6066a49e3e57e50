"""DumpTable: what is in the file, when it is there, and what is said when it cannot be."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlctl import DateParameter, DumpTable, ExternalTask, IntParameter, ListParameter, LoadTable, LocalTarget, Task
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.errors import BadDataError, ExitCode, LoadError, QueryError, TaskError, UnavailableError
from etlctl.loads.sequence import transaction
from etlctl.targets.formats import Nop, TextFormat
from etlctl.targets.mock import MockTarget
from warehouse import Warehouse

FLIGHTS = (
    """CREATE TABLE flights (date date, carrier varchar(2), delay integer, on_time boolean, mean numeric(6,2),
    distance double precision, payload blob, time_hour timestamp)""",
    "INSERT INTO flights VALUES ('2013-01-01', 'UA', 2, 1, 1.5, 1400.0, x'00ff', '2013-01-01 05:00:00')",
    "INSERT INTO flights VALUES ('2013-01-02', 'AA', NULL, 0, 3, 0.1, NULL, '2013-01-02 05:00:00.250000')",
)
FLIGHTS_CSV = (
    "date,carrier,delay,on_time,mean,distance,payload,time_hour\n"
    "2013-01-01,UA,2,true,1.50,1400,\\x00ff,2013-01-01 05:00:00\n"
    "2013-01-02,AA,,false,3.00,0.1,,2013-01-02 05:00:00.25\n"
)


class Dump(DumpTable):
    """A dump into `name`, for classes that set their table or query."""

    name = "out.csv"

    def output(self) -> Any:
        return LocalTarget(self.name)


class DumpFlights(Dump):
    table = "flights"


def dumped(task: Task) -> str:
    """What the task's file holds after a run."""
    task.run()
    with task.output().open() as file:
        return str(file.read())


def leftovers(warehouse: Warehouse) -> list[str]:
    """Whatever is in the project besides the warehouse."""
    return sorted(
        str(path.relative_to(warehouse.project))
        for path in warehouse.project.rglob("*")
        if path.is_file() and ".etlctl" not in path.parts
    )


def attempted(task: Task) -> Attempt:
    """Runs a task and returns what it told meanwhile."""
    attempt = Attempt()
    with context.attempting(attempt):
        task.run()
    return attempt


# --- what is written ----------------------------------------------------------------------------------------------


def test_dump_writes_every_type_of_a_table_as_its_columns_declare(warehouse: Warehouse) -> None:
    """Booleans, numerics, bytes, dates and NULL have one form each, whatever SQLite keeps them as."""
    warehouse.write(*FLIGHTS)

    assert dumped(DumpFlights()) == FLIGHTS_CSV


def test_dump_of_a_query_keeps_the_types_of_the_columns_it_takes(warehouse: Warehouse) -> None:
    """A column taken as it is has its type in a query too, under any name."""
    warehouse.write(*FLIGHTS)

    class OnTime(Dump):
        query = "SELECT on_time AS punctual, mean, max(delay, 1) AS delay FROM flights ORDER BY date;"

    assert dumped(OnTime()) == "punctual,mean,delay\ntrue,1.50,2\nfalse,3.00,\n"


def test_dump_takes_columns_in_the_order_asked_for(warehouse: Warehouse) -> None:
    """`columns` picks and orders; names are found without regard to case."""
    warehouse.write(*FLIGHTS)

    class Short(DumpFlights):
        columns = ("Delay", "carrier")

    assert dumped(Short()) == "delay,carrier\n2,UA\n,AA\n"


def test_dump_writes_json_lines_with_real_types(warehouse: Warehouse) -> None:
    """Numbers, booleans and null are JSON's own; all else is text."""
    warehouse.write(*FLIGHTS)

    class AsJson(DumpFlights):
        name = "out.jsonl"

    first, second = (json.loads(line) for line in dumped(AsJson()).splitlines())

    assert first == {
        "date": "2013-01-01",
        "carrier": "UA",
        "delay": 2,
        "on_time": True,
        "mean": 1.5,
        "distance": 1400,
        "payload": "\\x00ff",
        "time_hour": "2013-01-01 05:00:00",
    }
    assert (second["delay"], second["on_time"], second["payload"]) == (None, False, None)


@pytest.mark.parametrize("name", ["out.tsv", "out.TAB", "dir.csv/out.tsv"])
def test_dump_writes_tabs_by_suffix(warehouse: Warehouse, name: str) -> None:
    """TSV is cut at tabs, and a text with a tab or a quote is quoted as in CSV; a comma need not be."""
    warehouse.write("CREATE TABLE t (a text, b text)", "INSERT INTO t VALUES ('x\ty', 'p,q'), ('\"', '')")

    class Tabs(Dump):
        table = "t"

    Tabs.name = name

    assert dumped(Tabs()) == 'a\tb\n"x\ty"\tp,q\n""""\t""\n'


def test_dump_reads_a_table_of_any_name(warehouse: Warehouse) -> None:
    """Also words that SQL has another use for, which SQLAlchemy's own list lacks."""
    warehouse.write('CREATE TABLE "nothing" ("Do" integer, "a b" text)', "INSERT INTO \"nothing\" VALUES (1, 'x')")

    class Named(Dump):
        table = "nothing"

    assert dumped(Named()) == "Do,a b\n1,x\n"


def test_dump_tells_null_from_an_empty_text(warehouse: Warehouse) -> None:
    """NULL is nothing, an empty text is a pair of quotes: in one column and in several."""
    warehouse.write("CREATE TABLE t (a text, b text)", "INSERT INTO t VALUES ('', NULL), (NULL, '')")

    class One(Dump):
        name = "one.csv"
        query = "SELECT a FROM t ORDER BY rowid"

    class Two(Dump):
        table = "t"

    assert dumped(Two()) == 'a,b\n"",\n,""\n'
    assert dumped(One()) == 'a\n""\n\n'


def test_dump_quotes_a_text_that_reads_as_the_null_word(warehouse: Warehouse) -> None:
    """With a word for NULL, that word as a text is quoted, and an empty text is nothing special."""
    warehouse.write("CREATE TABLE t (a text, b integer)", "INSERT INTO t VALUES ('NA', NULL), ('', 1)")

    class WithWord(Dump):
        table = "t"
        null = "NA"

    assert dumped(WithWord()) == 'a,b\n"NA",NA\n,1\n'


def test_dump_writes_numbers_in_plain_digits(warehouse: Warehouse) -> None:
    """No exponent, no zeros at the end, and none of the digits that a database has kept is lost."""
    warehouse.write(
        "CREATE TABLE t (a numeric(6,2), b numeric, c double precision)",
        "INSERT INTO t VALUES (1.234, 1e20, 1e-7), (-0.0, 12.0, -2.50), (7, 9007199254740993, 1e16)",
    )

    class Numbers(Dump):
        table = "t"
        header = False

    assert dumped(Numbers()).splitlines() == [
        "1.234,100000000000000000000,0.0000001",
        "0.00,12,-2.5",
        "7.00,9007199254740993,10000000000000000",
    ]


def test_dump_leaves_what_is_no_value_of_its_type_as_it_is(warehouse: Warehouse) -> None:
    """SQLite takes any value in any column; what another program put there is not made up into something else."""
    warehouse.write("CREATE TABLE t (a boolean, b date)", "INSERT INTO t VALUES (2, 20130101), ('maybe', x'ff')")

    class Odd(Dump):
        table = "t"
        header = False

    assert dumped(Odd()) == "2,20130101\nmaybe,\\xff\n"


def test_dump_escapes_formulas_only_when_asked(warehouse: Warehouse) -> None:
    """S20: with escape_formulas a text that a spreadsheet would run gets an apostrophe; a negative number does not."""
    warehouse.write(
        "CREATE TABLE t (a text, b integer)",
        "INSERT INTO t VALUES ('=cmd()', -5), ('+1', 1), ('@x', 2), ('-2', 3), (char(9) || 'y', 4), ('a=b', 5)",
    )

    class Plain(Dump):
        table = "t"
        header = False

    class Escaped(Plain):
        name = "escaped.csv"
        escape_formulas = True

    assert dumped(Plain()) == "=cmd(),-5\n+1,1\n@x,2\n-2,3\n\ty,4\na=b,5\n"
    assert dumped(Escaped()) == "'=cmd(),-5\n'+1,1\n'@x,2\n'-2,3\n'\ty,4\na=b,5\n"


def test_dump_makes_the_same_bytes_of_the_same_rows(warehouse: Warehouse) -> None:
    """Run again, a packed file is the same to the byte."""
    warehouse.write(*FLIGHTS)

    class Packed(DumpFlights):
        name = "out.csv.gz"

    digests = []
    for _ in range(2):
        Packed().run()
        digests.append(hashlib.sha256((warehouse.project / "out.csv.gz").read_bytes()).hexdigest())

    assert digests[0] == digests[1]
    assert gzip.decompress((warehouse.project / "out.csv.gz").read_bytes()).decode() == FLIGHTS_CSV


def test_dump_goes_through_any_target(warehouse: Warehouse) -> None:
    """A target in memory, and one whose format speaks bytes, get the same content."""
    warehouse.write(*FLIGHTS)

    class ToMemory(DumpFlights):
        def output(self) -> Any:
            return MockTarget("dump/out.csv")

    class ToBytes(DumpFlights):
        def output(self) -> Any:
            return LocalTarget("bytes.csv", format=Nop)

    ToBytes().run()

    assert dumped(ToMemory()) == FLIGHTS_CSV
    assert (warehouse.project / "bytes.csv").read_text() == FLIGHTS_CSV


def test_dump_format_wins_over_a_suffix_that_says_nothing(warehouse: Warehouse) -> None:
    """`format` serves files of other names."""
    warehouse.write(*FLIGHTS)

    class Named(DumpFlights):
        name = "out.txt"
        format = "tsv"
        columns = ("carrier", "delay")

    assert dumped(Named()) == "carrier\tdelay\nUA\t2\nAA\t\n"


# --- the query ----------------------------------------------------------------------------------------------------


def test_dump_query_takes_parameters_and_properties(warehouse: Warehouse) -> None:
    """`:name` is a parameter of the task, or where there is none, a public property; a list fills an IN."""
    warehouse.write(*FLIGHTS)

    class Some(Dump):
        date = DateParameter()
        carriers = ListParameter()
        query = "SELECT carrier FROM flights WHERE date BETWEEN :date AND :last AND carrier IN :carriers"

        @property
        def last(self) -> dt.date:
            return self.date + dt.timedelta(days=1)

    assert dumped(Some(date=dt.date(2013, 1, 1), carriers=["AA", "DL"])) == "carrier\nAA\n"


PIPELINE = """
from etlctl import DateParameter, DumpTable, LocalTarget

class LateFlights(DumpTable):
    date = DateParameter()

    def output(self):
        return LocalTarget("late.csv")

class LaterFlights(LateFlights):
    pass

class Unknown(DumpTable):
    day = DateParameter()
    query = '''
        SELECT *
        FROM flights
        WHERE date = :dat
    '''

    def output(self):
        return LocalTarget("unknown.csv")

class WrongColumn(Unknown):
    query = '''SELECT date,
        carier FROM flights'''

class WrongTable(Unknown):
    table, query = "flihgts", None
"""


@pytest.fixture
def pipeline(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of tasks in a file of the project, and the warehouse they read."""
    from importlib import util

    file = warehouse.project / "pipelines" / "late.py"
    file.parent.mkdir()
    file.write_text(PIPELINE)
    warehouse.write(*FLIGHTS)
    spec = util.spec_from_file_location("dump_pipeline_of_tests", file)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


DAY = dt.date(2013, 1, 1)


def test_dump_query_is_in_the_file_named_after_the_class(pipeline: Any, warehouse: Warehouse) -> None:
    """Without table and query, it is the `.sql` file beside the module; a subclass has its base's unless its own."""
    folder = warehouse.project / "pipelines"
    (folder / "late_flights.sql").write_text("SELECT carrier FROM flights WHERE date = :date")

    inherited = dumped(pipeline.LaterFlights(date=DAY))
    (folder / "later_flights.sql").write_text("SELECT delay FROM flights WHERE date = :date")

    assert dumped(pipeline.LateFlights(date=DAY)) == inherited == "carrier\nUA\n"
    assert dumped(pipeline.LaterFlights(date=DAY)) == "delay\n2\n"


def test_dump_names_the_query_file_that_is_missing(pipeline: Any) -> None:
    """The path, and what else would do."""
    with pytest.raises(QueryError, match=r"LateFlights has no query: there is no pipelines/late_flights\.sql\. Write"):
        pipeline.LateFlights(date=DAY).run()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" \n", r"late_flights\.sql: the file is empty"),
        (b"SELECT 1\n, '\xe4'", r"late_flights\.sql:2: byte 0xe4 is not UTF-8"),
        (b"SELECT date\nFROM flihgts", r"late_flights\.sql:2: LateFlights.* no such table: flihgts"),
        (b"SELECT date FROM flights\n\nWERE 1", r"late_flights\.sql:3: LateFlights.* near \"1\": syntax error"),
        (b"SELECT date\n, nofun(date) FROM flights", r"late_flights\.sql:2: LateFlights.* no such function: nofun"),
        (b"DELETE FROM flights RETURNING date", r"late_flights\.sql:1: LateFlights.* near \"DELETE\": syntax error"),
        (b"SELECT '", r"late_flights\.sql:1: the quote ' opened here never ends"),
        (b"SELECT date, date FROM flights", r"two columns called date; name them apart with AS"),
    ],
)
def test_dump_names_file_and_line_of_a_query_that_is_wrong(
    pipeline: Any, warehouse: Warehouse, content: bytes, said: str
) -> None:
    """Whether we or the database refuse it; nothing is written, and no row of the table is touched."""
    (warehouse.project / "pipelines" / "late_flights.sql").write_bytes(content)

    with pytest.raises(QueryError, match=said):
        pipeline.LateFlights(date=DAY).run()

    assert not (warehouse.project / "late.csv").exists()
    assert warehouse.count("flights") == 2


def test_dump_names_class_and_line_of_a_parameter_that_is_not_there(pipeline: Any) -> None:
    """The parameters there are, and the one that was meant."""
    with pytest.raises(QueryError, match=r"late\.py, Unknown\.query:4: :dat is no parameter of .*there are: :day\."):
        pipeline.Unknown(day=DAY).run()


def test_dump_names_the_line_of_a_column_that_is_not_there(pipeline: Any) -> None:
    """In the query's own lines."""
    with pytest.raises(QueryError, match=r"late\.py, WrongColumn\.query:2: .*no such column: carier"):
        pipeline.WrongColumn(day=DAY).run()


def test_dump_of_a_table_that_is_not_there_names_the_class(pipeline: Any) -> None:
    """File and line of the class, and the table that was meant."""
    with pytest.raises(
        QueryError, match=r"pipelines/late\.py:\d+: .*there is no table flihgts\. Did you mean 'flights'"
    ):
        pipeline.WrongTable(day=DAY).run()


# --- when it fails ------------------------------------------------------------------------------------------------


def test_dump_of_a_column_that_is_not_there_suggests(warehouse: Warehouse) -> None:
    """The columns there are, and the one that was meant; nothing is written."""
    warehouse.write(*FLIGHTS)

    class Wrong(DumpFlights):
        columns = ("date", "carier")

    with pytest.raises(QueryError, match=r"test_dump_table\.py:\d+: .*no column carier; it has: date.*mean 'carrier'"):
        Wrong().run()

    assert leftovers(warehouse) == []


def test_dump_without_a_database_is_unavailable(warehouse: Warehouse) -> None:
    """Exit 4; reading makes no database, and no folder for the file either."""

    class ToFolder(DumpFlights):
        name = "reports/out.csv"

    with pytest.raises(UnavailableError, match=r"ToFolder.* does not exist yet") as caught:
        ToFolder().run()

    assert caught.value.exit_code is ExitCode.UNAVAILABLE
    assert list(warehouse.project.iterdir()) == []


def test_dump_publishes_nothing_when_a_row_fails_late(warehouse: Warehouse) -> None:
    """F47: an error after thousands of written rows leaves the old file and no other."""
    warehouse.write(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "SELECT i FROM n"
    )
    (warehouse.project / "out.csv").write_text("old")

    class Late(Dump):
        query = "SELECT i, CASE WHEN i = 4999 THEN json('no json') END AS j FROM t"

    with pytest.raises(QueryError, match="malformed JSON"):
        Late().run()

    assert leftovers(warehouse) == ["out.csv"]
    assert (warehouse.project / "out.csv").read_text() == "old"


def test_dump_into_json_names_the_row_and_column_of_an_infinite_number(warehouse: Warehouse) -> None:
    """JSON has none, so nothing is published."""
    warehouse.write("CREATE TABLE t (a integer, b double precision)", "INSERT INTO t VALUES (1, 0.5), (2, -9e999)")

    class Infinite(Dump):
        name = "out.ndjson"
        table = "t"

    with pytest.raises(BadDataError, match=r"Infinite.* row 2, column b: -inf is no number in JSON"):
        Infinite().run()

    assert leftovers(warehouse) == []


def test_dump_names_a_character_that_the_encoding_lacks(warehouse: Warehouse) -> None:
    """A target in another encoding is the user's choice; what does not fit it is said and not replaced."""
    warehouse.write("CREATE TABLE t (a text)", "INSERT INTO t VALUES ('żółw')")

    class InLatin(Dump):
        table = "t"

        def output(self) -> Any:
            return LocalTarget("out.csv", format=TextFormat("latin-1"))

    with pytest.raises(BadDataError, match=r"'ż' cannot be written in (iso8859-1|latin-1)"):
        InLatin().run()

    assert leftovers(warehouse) == []


def test_dump_reports_a_target_that_cannot_be_written(warehouse: Warehouse) -> None:
    """F46: the target's own sentence comes through, naming the path."""
    warehouse.write(*FLIGHTS)
    (warehouse.project / "out.csv").mkdir()
    (warehouse.project / "out.csv" / "inside").touch()

    with pytest.raises(TaskError, match=r"out\.csv"):
        DumpFlights().run()


def test_dump_is_refused_inside_an_open_transaction(warehouse: Warehouse) -> None:
    """Its file would outlive a rollback."""
    warehouse.write(*FLIGHTS)

    with pytest.raises(LoadError, match=r"inside an open transaction\(\)"), transaction("warehouse"):
        DumpFlights().run()

    assert leftovers(warehouse) == []


class Bad(DumpFlights):
    """What each case below sets wrong."""


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"query": "SELECT 1"}, r"both a table and a query"),
        ({"table": None, "query": "SELECT 1", "columns": ("a",)}, r"columns are of a table"),
        ({"columns": "date"}, r"write columns = "),
        ({"name": "out.xlsx"}, r"out\.xlsx does not end with \.csv"),
        ({"format": "xml"}, r"format is 'xml'; there are csv, tsv, jsonl and parquet"),
        ({"null": "a,b"}, r"null is 'a,b'"),
        ({"output": lambda self: []}, r"output\(\) must give one file.* nothing"),
        (
            {"output": lambda self: [LocalTarget("a.csv"), LocalTarget("b.csv")]},
            r"must give one file.*a\.csv, .*b\.csv",
        ),
    ],
)
def test_dump_declared_wrongly_says_what_to_write(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any], said: str
) -> None:
    """A sentence for each; nothing is written."""
    warehouse.write(*FLIGHTS)
    monkeypatch.chdir(warehouse.project)
    task = type("Wrong", (Bad,), attributes)()

    with pytest.raises(LoadError, match=said):
        task.run()

    assert leftovers(warehouse) == []


# --- what is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("out.csv", "carrier\n", "out.csv holds a header alone: 0 rows"),
        ("out.jsonl", "", "out.jsonl is empty: 0 rows"),
    ],
)
def test_dump_of_no_rows_writes_the_header_and_says_so(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, name: str, content: str, note: str
) -> None:
    """The file is there, so that the task is complete; the summary tells that nothing is in it."""
    warehouse.write(*FLIGHTS)

    monkeypatch.chdir(warehouse.project)

    class Nothing(Dump):
        query = "SELECT carrier FROM flights WHERE date = '1999-12-31'"

    Nothing.name = name
    attempt = attempted(Nothing())

    assert (warehouse.project / name).read_text() == content
    assert attempt.rows == 0
    assert attempt.notes == [note]
    assert Nothing().complete()


def test_dump_counts_rows_as_it_goes(warehouse: Warehouse) -> None:
    """The live display reads the attempt's rows while the file is being written."""
    warehouse.write(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "SELECT i FROM n"
    )
    seen: list[int] = []

    class Watched(MockTarget):
        def open(self, mode: str = "r") -> Any:
            out: Any = super().open(mode)
            write = out.write

            def noting(text: str) -> Any:
                seen.append(context.attempt().rows or 0)
                return write(text)

            out.write = noting
            return out

    class Counted(Dump):
        table = "t"

        def output(self) -> Any:
            return Watched("counted.csv")

    attempt = attempted(Counted())

    assert attempt.rows == 3000
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert 0 < seen[-1] < 3000


def test_dump_holds_no_lock_once_it_is_published(warehouse: Warehouse) -> None:
    """The read transaction has ended: another program can write at once."""
    warehouse.write(*FLIGHTS)

    DumpFlights().run()
    warehouse.write("PRAGMA busy_timeout = 0", "DELETE FROM flights")

    assert warehouse.count("flights") == 0


# --- there and back -----------------------------------------------------------------------------------------------

NULL = "\\N"
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_HARD = st.sampled_from(
    ["", ",", '"', '""', "\n", "\r\n", "\r", "\t", "\\", "\\.", "NULL", "'", " x ", "ü\u2028", "😀"]
)
_VALUE = st.one_of(st.none(), _TEXT, _HARD).filter(lambda text: text != NULL)


class DumpTexts(Dump):
    query = "SELECT a, b FROM source ORDER BY rowid"
    null = NULL


class TextsFile(ExternalTask):
    name = "out.csv"

    def output(self) -> Any:
        return LocalTarget(self.name)


class LoadTexts(LoadTable):
    number = IntParameter()
    table = "copied"
    columns = {"number": "integer", "a": "text", "b": "text"}
    values = {"number": "number"}
    null_values = (NULL,)

    def requires(self) -> Any:
        return TextsFile()


@pytest.mark.parametrize("name", ["out.csv", "out.tsv"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(_VALUE, _VALUE), max_size=40))
def test_dump_and_load_give_the_same_rows(
    warehouse: Warehouse, name: str, rows: list[tuple[str | None, str | None]]
) -> None:
    """Any text, and NULL where it has a word of its own, comes back from CSV and TSV as it was."""
    warehouse.write("DROP TABLE IF EXISTS source", "CREATE TABLE source (a text, b text)")
    fill(warehouse, rows)
    DumpTexts.name = TextsFile.name = name
    number = len(warehouse.markers())  # each example is a load of its own

    DumpTexts().run()
    LoadTexts(number=number).run()

    assert warehouse.ask("SELECT a, b FROM copied WHERE number = ? ORDER BY rowid", number) == rows


def fill(warehouse: Warehouse, rows: list[tuple[str | None, str | None]]) -> None:
    """Puts rows into the table `source` with the bare driver."""
    import sqlite3

    connection = sqlite3.connect(warehouse.file)
    try:
        connection.executemany("INSERT INTO source VALUES (?, ?)", rows)
        connection.commit()
    finally:
        connection.close()
