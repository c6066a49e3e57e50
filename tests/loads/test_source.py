"""Reading CSV and TSV files strictly: every record as it was meant, or a sentence with file, line and column."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlctl.errors import BadDataError, LoadError
from etlctl.loads.source import SourceFile

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: str | bytes, name: str = "f.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def failure_of(path: Path, *wanted: str, header: bool = True) -> str:
    """What reading says, without the folder."""
    with pytest.raises(BadDataError) as caught:
        list(SourceFile(path, wanted=wanted, header=header, shown=path.name))
    return str(caught.value)


def test_source_hands_out_wanted_columns_in_wanted_order(write: Write) -> None:
    """Columns are found by header name, in any order; those not wanted are passed over."""
    path = write("a,b,c\n1,2,3\n4,5,6\n")

    source = SourceFile(path, wanted=["c", "a"])

    assert list(source) == [("3", "1"), ("6", "4")]
    assert source.rows == 2
    assert source.note(source.rows) is None


def test_source_hands_out_a_single_column_as_tuples(write: Write) -> None:
    """One wanted column still comes as a tuple of one."""
    assert list(SourceFile(write("a,b\n1,2\n"), wanted=["b"])) == [("2",)]


def test_source_without_header_names_columns_in_order(write: Write) -> None:
    """header = False: the wanted columns are the file's, in order, and the first line is data."""
    assert list(SourceFile(write("1,2\n3,4\n"), wanted=["a", "b"], header=False)) == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b\r\n1,2\n3,4\r\n5,6", [("1", "2"), ("3", "4"), ("5", "6")]),
        ("\ufeffa,b\n1,2\n", [("1", "2")]),
        ('a,b\n"1\r\n\r\n",",\n"\n', [("1\r\n\r\n", ",\n")]),
        ('a,b\n"say ""hi""",""\n', [('say "hi"', "")]),
        ("a,b\n\\.,\\N\n", [("\\.", "\\N")]),
        ('"a","b"\n\u2028,\u0085\n', [("\u2028", "\u0085")]),
        ('a,b\n"""",""""""\n', [('"', '""')]),
    ],
)
def test_source_reads_what_rfc_4180_allows(write: Write, content: str, rows: list[tuple[str, str]]) -> None:
    """Mixed line ends, no final one, a byte order mark, line ends and quotes in quotes, and a line that is only \\."""
    assert list(SourceFile(write(content), wanted=["a", "b"])) == rows


def test_source_reads_a_backslash_period_line(write: Write) -> None:
    """A line that is only \\. is data and ends nothing."""
    path = write("a\n1\n\\.\n2\n")

    assert list(SourceFile(path, wanted=["a"])) == [("1",), ("\\.",), ("2",)]


def test_source_takes_an_empty_line_for_an_empty_field_of_a_single_column(write: Write) -> None:
    """Of a file with one column an empty line is an empty field, as for COPY."""
    assert list(SourceFile(write("a\n1\n\n2\n"), wanted=["a"])) == [("1",), ("",), ("2",)]


@pytest.mark.parametrize(("name", "pack"), [("f.csv.gz", gzip.compress), ("f.CSV.BZ2", bz2.compress), ("f.csv", bytes)])
def test_source_unpacks_by_suffix(write: Write, name: str, pack: Callable[[bytes], bytes]) -> None:
    """gzip and bzip2 files are unpacked while they are read."""
    assert list(SourceFile(write(pack(b"a\n1\n"), name), wanted=["a"])) == [("1",)]


@pytest.mark.parametrize("name", ["f.tsv", "f.tab", "f.tsv.gz"])
def test_source_cuts_tsv_files_at_tabs(write: Write, name: str) -> None:
    """The delimiter comes from the suffix."""
    content = b"a\tb\n1,5\t2\n"

    path = write(gzip.compress(content) if name.endswith("gz") else content, name)

    assert list(SourceFile(path, wanted=["a", "b"])) == [("1,5", "2")]


def test_source_takes_another_delimiter(write: Write) -> None:
    """A delimiter that is said wins over the suffix."""
    assert list(SourceFile(write('a|b\n"1|2"|3\n'), wanted=["a"], delimiter="|")) == [("1|2",)]


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_source_refuses_an_impossible_delimiter(write: Write, delimiter: str) -> None:
    """A delimiter is one character and neither a quote nor a line end."""
    with pytest.raises(LoadError, match="must be one character"):
        SourceFile(write("a\n"), wanted=["a"], delimiter=delimiter)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
                           min_size=2, max_size=2), max_size=150),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)  # fmt: skip
def test_source_reads_back_what_csv_writes(
    tmp_path: Path, rows: list[list[str]], end: str, quoting: Literal[0, 1]
) -> None:
    """Any text that Python's csv module writes comes back as it was, and each record's line is where it begins."""
    if quoting == csv.QUOTE_MINIMAL and end != "\r\n":
        # Python's writer leaves the other character of a line end without quotes then, and nobody can read that
        other = "\r" if end == "\n" else "\n"
        rows = [[field.replace(other, "") for field in row] for row in rows]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator=end, quoting=quoting)
    lines = []
    for row in [["a", "b"], *rows]:
        before = written.getvalue()
        lines.append(1 + len((before + "x").splitlines()) - 1 if _only_line_ends(before) else None)
        writer.writerow(row)
    path = tmp_path / "f.csv"
    path.write_bytes(written.getvalue().encode())

    source = SourceFile(path, wanted=["a", "b"])
    found, places = [], []
    for record in source:
        found.append(list(record))
        places.append(source.line)

    assert found == rows
    for place, line in zip(places, lines[1:], strict=True):
        assert line is None or place == line


def _only_line_ends(text: str) -> bool:
    """Whether str.splitlines cuts at nothing but \\r and \\n in it."""
    return not set(text) & set("\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def test_source_knows_the_line_of_each_record(write: Write) -> None:
    """Lines are physical ones, through records that take several, and far into the file."""
    path = write('a,b\n1,2\n"x\ny\nz",3\n' + "4,5\n" * 500 + '"\n",6\n7,8\n')
    source = SourceFile(path, wanted=["a"], shown="x.csv")

    lines = [source.line for _ in source]

    assert lines == [2, 3, *range(6, 506), 506, 508]


def test_source_place_is_that_of_the_record_at_hand(write: Write) -> None:
    """While a record is worked on, place() names its line, and the column it is asked for."""
    source = SourceFile(write('a,b\n"1\n2",2\n3,4\n'), wanted=["a"], shown="x.csv")

    places = [source.place("a") for _ in source]

    assert places == ["x.csv: line 2, column a", "x.csv: line 4, column a"]


def test_source_reads_a_field_of_a_megabyte(write: Write) -> None:
    """A long field is no fault."""
    long = "é" * 1_000_000

    assert list(SourceFile(write(f"a,b\n{long},1\n"), wanted=["a"])) == [(long,)]


@pytest.mark.parametrize(
    ("content", "header", "note"),
    [
        ("", True, "f.csv is empty: 0 rows"),
        ("a,b\n", True, "f.csv holds a header alone: 0 rows"),
        ("", False, "f.csv is empty: 0 rows"),
    ],
)
def test_source_says_that_a_file_holds_nothing(write: Write, content: str, header: bool, note: str) -> None:
    """An empty file and a header alone give no rows and a sentence."""
    source = SourceFile(write(content), wanted=["a", "b"], header=header, shown="f.csv")

    assert list(source) == []
    assert source.note(source.rows) == note


BARE = 'a quote inside a field without quotes; write "5"" pipe" and not 5" pipe'
ICONV = "is not UTF-8; convert the file, for example with iconv"
NO_HEADER = "For a file without a header say header = False."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n1\n", "line 3, column b: missing (1 field instead of 2)"),
        ("a,b\n1,2,3\n", "line 2: 3 fields instead of 2; the first too many is '3'"),
        ("a,b\n1,2\n\n3,4\n", "line 3: is empty, where 2 fields are expected"),
        ('a,b\n"1\n\n",2\n3\n', "line 5, column b: missing (1 field instead of 2)"),
        ("a,b\n" + "1,2\n" * 1000 + "1\n", "line 1002, column b: missing (1 field instead of 2)"),
        ('a,b\n1,2\n"x\ny","3\n4,5\n', "line 4, column b: the quote opened here never ends"),
        ('a,b\n1,"2', "line 2, column b: the quote opened here never ends"),
        ('a,"b\n1,2\n', "line 1, column number 2: the quote opened here never ends"),
        ('a,b\n1,"2" \n', "line 2, column b: text after the closing quote; a quote inside a field is written twice"),
        ('a,b\n5" pipe,2\n', f"line 2, column a: {BARE}"),
        ('a,b\n"x""y",2\n1,5"\n', f"line 3, column b: {BARE}"),
        ('a,b\n"x\n""y",2\n"z",5"6\n', f"line 4, column b: {BARE}"),
        ("a,b\n1,x\0\n", "line 2, column b: holds a NUL character"),
        (b"a,b\n1,2\n1,caf\xe9\n", f"line 3, column b: byte 0xe9 {ICONV}"),
        (b'a,b\n"1\n2\xff",2\n', f"line 3, column a: byte 0xff {ICONV}"),
        (b"a,b\n" + b"1,2\n" * 100_000 + b"1,\xc3\n", f"line 100002, column b: byte 0xc3 {ICONV}"),
        (b"\xff\xfea\0,\0b\0\n\0", "line 1, column number 1: holds a NUL character"),
        ("a,b,a\n1,2,3\n", "line 1, column a: twice in the header, as field 1 and as field 3"),
        ("a,,b\n1,2,3\n", "line 1: field 2 of the header has no name"),
        ("a,B\n1,2\n", f"line 1: the header has no column b; it has: a, B. Did you mean 'B'? {NO_HEADER}"),
        ("a,a1\n1,2\n", f"line 1: the header has no column b; it has: a, a1. {NO_HEADER}"),
        (
            "a;b\n1;2\n",
            (
                'line 1: the header is one field, a;b, and has no column a. Set delimiter = ";" in the task if that '
                "is where its fields end."
            ),
        ),
        (
            "b\ta\n1\t2\n",
            (
                'line 1: the header is one field, b\\ta, and has no column a. Set delimiter = "\\t" in the task if '
                "that is where its fields end."
            ),
        ),
        ("x;1\n1\n", f"line 1: the header has no column a; it has: x;1. {NO_HEADER}"),
        ("\na,b\n1,2\n", "line 1: is empty, where the header with the names of the columns is expected"),
        ("\n", "line 1: is empty, where the header with the names of the columns is expected"),
        ("1,2\n3,4\n", f"line 1: the header has no column a; it has: 1, 2. {NO_HEADER}"),
    ],
)
def test_source_refuses_what_is_not_certain(write: Write, content: str | bytes, sentence: str) -> None:
    """Each fault is one sentence with file, line and column."""
    assert failure_of(write(content), "a", "b") == f"f.csv: {sentence}"


def test_source_suggests_no_column_that_has_its_place(write: Write) -> None:
    """`id` is the file's `id` already, so it is not what `d` was meant to be."""
    assert failure_of(write("id,v\n1,2\n"), "id", "v", "d").startswith(
        "f.csv: line 1: the header has no column d; it has: id, v. For a file"
    )


def test_source_without_header_counts_fields_by_the_columns(write: Write) -> None:
    """Without a header the file must have just as many fields as there are columns."""
    assert failure_of(write("1,2\n3\n"), "a", "b", header=False) == (
        "f.csv: line 2, column b: missing (1 field instead of 2)"
    )


def test_source_hands_out_the_records_before_a_fault(write: Write) -> None:
    """The first fault of a file is the one that is told: a value before it is seen before it."""
    source = SourceFile(write("a,b\n1,2\n3,4\n5\n"), wanted=["a"])
    found: list[tuple[str, ...]] = []

    with pytest.raises(BadDataError):
        found.extend(source)

    assert found == [("1",), ("3",)]


@pytest.mark.parametrize(("name", "pack"), [("f.csv.gz", gzip.compress), ("f.csv.bz2", bz2.compress)])
def test_source_refuses_a_truncated_archive(write: Write, name: str, pack: Callable[[bytes], bytes]) -> None:
    """Of a packed file that ends too early nothing is taken for the whole."""
    packed = pack(b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * 7919) for number in range(20_000)))

    message = failure_of(write(packed[:-20], name), "a", "b")

    assert message.startswith(f"{name}: cannot be read on after line ")
    assert "end" in message


@pytest.mark.parametrize("name", ["f.csv.gz", "f.csv.bz2"])
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n"])
def test_source_refuses_what_is_no_archive(write: Write, name: str, content: bytes) -> None:
    """An empty or unpacked file under the name of a packed one is refused."""
    assert failure_of(write(content, name), "a", "b").startswith(f"{name}: cannot be read on after line 0: ")


def test_source_refuses_a_corrupt_archive(write: Write) -> None:
    """Bytes that changed on the way are found by the archive's own sum."""
    packed = bytearray(gzip.compress(os.urandom(3000).hex().encode()))
    packed[len(packed) // 2] ^= 0xFF

    assert "cannot be read on" in failure_of(write(bytes(packed), "f.csv.gz"), "a", header=False)


@pytest.mark.parametrize("missing", ["none.csv", "."])
def test_source_names_a_file_that_cannot_be_opened(tmp_path: Path, missing: str) -> None:
    """A missing file or a folder is a sentence, not a traceback."""
    with pytest.raises(BadDataError, match=r"cannot be read: (No such file|Is a directory)"):
        list(SourceFile(tmp_path / missing, wanted=["a"]))


def test_source_shows_names_without_their_escapes(write: Write) -> None:
    """A file or column named with escape sequences reaches no terminal as such."""
    message = failure_of(write("\x1b[31m,b\n1\n", "f\x1b.csv"), "b")

    assert "\x1b" not in message
    assert message.startswith("f\\x1b.csv: line 2")


def _replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.write_text("a\n1\n2\n"), "changed while it was being loaded"),
        (lambda path: os.utime(path, (0, 0)), "changed while it was being loaded"),
        (lambda path: os.truncate(path, 2), "changed while it was being loaded"),
        (_replaced, "changed while it was being loaded"),
        (Path.unlink, "was removed while it was being loaded"),
    ],
)
def test_source_notices_a_file_that_changed(write: Write, change: Callable[[Path], None], sentence: str) -> None:
    """Size, time and identity are compared again, before what was read is committed."""
    path = write("a\n1\n")
    source = SourceFile(path, wanted=["a"])
    list(source)
    source.check_unchanged()

    change(path)

    with pytest.raises(BadDataError, match=sentence):
        source.check_unchanged()


def test_source_reports_progress(write: Write) -> None:
    """The count of records is told every few thousand, and at the end in `rows`."""
    told: list[int] = []

    source = SourceFile(write("a\n" + "1234567\n" * 20_000), wanted=["a"], progress=told.append)
    list(source)

    assert [rows // 8192 for rows in told] == [1, 2]
    assert source.rows == 20_000


def test_source_keeps_no_records(write: Write) -> None:
    """Memory does not grow with the file: many records take no more than a few."""
    path = write("a,b\n" + "some text of a field,1\n" * 150_000)

    tracemalloc.start()
    try:
        for _ in SourceFile(path, wanted=["a"]):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 3_000_000 < path.stat().st_size


def test_source_reads_real_files() -> None:
    """The committed flights of a day are read whole."""
    path = Path(__file__).parents[2] / "data" / "flights" / "2013-01-01.csv.gz"
    with gzip.open(path, "rt", newline="") as unpacked:
        expected = [(row["carrier"], row["dep_delay"]) for row in csv.DictReader(unpacked)]

    assert list(SourceFile(path, wanted=["carrier", "dep_delay"])) == expected
