"""Rows by way of S3 into Redshift, objects by its own COPY, and its UNLOAD: against the stand-in and an S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse, in_place
from etlctl import LoadTable, QueryTable, Redshift, merge_on
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.db.columns import BadValueError, Column, parse_type
from etlctl.db.dialects.base import BadRecordError, Records, Staged
from etlctl.db.dialects.objects import CopiesObjects, Unloaded, Unloads
from etlctl.db.dialects.redshift import copy as redshift_copy
from etlctl.db.dialects.redshift.encode import CsvEncoder
from etlctl.db.sessions import open_session
from etlctl.errors import BadDataError, EtlctlError, LoadError, SettingsError
from redshift_house import keys_under, put, rows_of, whole_story
from servers.redshift.errors import internal
from servers.redshift.standin import Standin
from servers.s3 import S3Service


@pytest.fixture
def house(redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(redshift_url, tmp_path, s3_staging=redshift_staging, iam_role=redshift_role) as found:
        yield found


def columns(**words: str) -> list[Column]:
    return [Column(name, parse_type(word)) for name, word in words.items()]


TWO = columns(k="integer", v="text")


def copied(house: AnyWarehouse, its: list[Column], *objects: tuple[str, int], **options: Any) -> Staged:
    assert isinstance(house.dialect, CopiesObjects)
    with open_session(house.database, "t") as session, house.database.translating("t on warehouse"):
        return house.dialect.stage_objects(session.connection, "rows_1", its, objects, **options)


def unloaded(house: AnyWarehouse, query: str, values: Any, prefix: str, **options: Any) -> list[Unloaded]:
    assert isinstance(house.dialect, Unloads)
    with house.database.reading("t") as connection:
        return house.dialect.unload(connection, query, values, prefix, **options)


# -- rows by way of S3


class Flights(LoadTable):
    columns = {"k": "integer", "v": "text"}
    null_values = ()

    def rows(self) -> Any:
        return [(1, ""), (2, None), (3, "\\N"), (4, 'a "quote", a\nline\r\n and ü🚀 '), (5, "NULL")]


def test_any_text_gets_there_as_it_is_and_no_object_is_left(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str
) -> None:
    Flights().run()

    assert rows_of(house, "flights") == [
        (1, ""), (2, None), (3, "\\N"), (4, 'a "quote", a\nline\r\n and ü🚀 '), (5, "NULL"),
    ]  # fmt: skip
    assert keys_under(s3_server, redshift_staging) == []


def test_rows_are_cut_into_parts_and_counted(
    house: AnyWarehouse, redshift: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redshift_copy, "_PART_BYTES", 400_000)

    class Many(LoadTable):
        columns = {"k": "integer", "v": "text"}

        def rows(self) -> Any:
            return ((number, "x" * 50) for number in range(30_000))

    Many().run()

    assert house.ask("SELECT count(*), count(DISTINCT k), sum(length(v)) FROM many") == [(30_000, 30_000, 1_500_000)]
    (copy,) = [text for _, text in redshift.log if text.startswith("COPY")]
    assert "MANIFEST GZIP" in copy and "/manifest'" in copy


def test_no_rows_are_no_copy(house: AnyWarehouse, redshift: Standin) -> None:
    class Nothing(LoadTable):
        columns = {"k": "integer"}

        def rows(self) -> Any:
            return []

    Nothing().run()

    assert house.count("nothing") == 0 and [row[3] for row in house.markers()] == [0]
    assert not [text for _, text in redshift.log if text.startswith("COPY")]


def test_an_error_of_the_rows_leaves_no_object(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str
) -> None:
    def broken() -> Iterator[Any]:
        yield (1, "a")
        raise ZeroDivisionError("mine")

    with (
        open_session(house.database, "t") as session,
        pytest.raises(ZeroDivisionError, match="mine"),
    ):
        session.stage_records("rows", TWO, Records(TWO, broken()))

    assert keys_under(s3_server, redshift_staging) == []


def test_a_failed_copy_leaves_no_object(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    redshift.fault("^COPY", "fail", refusal=internal("S3ServiceException:Access Denied,Status 403,Error AccessDenied"))

    with pytest.raises(EtlctlError, match=r"S3 lets Redshift not in.*s3:GetObject"):
        Flights().run()

    assert keys_under(s3_server, redshift_staging) == [] and house.markers() == []


def test_what_the_server_refuses_of_ours_names_the_record(house: AnyWarehouse) -> None:
    """The encoder lets it pass; file and line of the system table become the number of the record."""
    its = [Column("k", parse_type("smallint"))]

    with open_session(house.database, "t") as session, pytest.raises(BadRecordError) as caught:
        session.stage_records("rows", its, Records(its, [(1,), (2,), (70_000,)]))

    assert caught.value.number == 2 and caught.value.error.column == its[0]
    assert "the row is refused by Redshift: " in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("s3_staging", 'connection warehouse does not say .* s3_staging = "s3://BUCKET/FOLDER/"'),
        ("iam_role", "set iam_role of the connection warehouse in the settings"),
    ],
)
def test_a_missing_setting_is_a_sentence_with_the_mend(
    missing: str, said: str, redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path
) -> None:
    given = {"s3_staging": redshift_staging, "iam_role": redshift_role} | {missing: None}

    with in_place(redshift_url, tmp_path, **given), pytest.raises(SettingsError, match=said):
        Flights().run()


def test_a_bad_value_names_the_row(house: AnyWarehouse) -> None:
    class Bad(LoadTable):
        columns = {"k": "integer"}

        def rows(self) -> Any:
            return [(1,), ("x",)]

    with pytest.raises(BadDataError, match=r"rows\(\): row 2, column k: 'x' is no integer"):
        Bad().run()


def test_a_text_that_is_too_long_in_bytes_is_refused(house: AnyWarehouse) -> None:
    type_ = parse_type("text")

    with pytest.raises(BadValueError, match="has 80000 bytes"):
        house.dialect.stored(type_, "ü" * 40_000)
    with pytest.raises(BadValueError, match="NUL"):
        house.dialect.stored(type_, "a\0b")


def test_null_is_a_word_that_no_text_is() -> None:
    first, second = (CsvEncoder(TWO, nulls=None, constants={}) for _ in range(2))

    assert first.null != second.null
    assert b"".join(first.blocks([(None, ""), (1, 'a"b')])).decode() == f'{first.null},\n1,"a""b"\n'


def test_an_empty_text_alone_in_its_row_is_quoted() -> None:
    encoder = CsvEncoder(columns(v="text"), nulls=None, constants={})

    assert b"".join(encoder.blocks([("",), ("a",)])) == b'""\na\n'


# -- keys


def test_keys_are_taken_only_when_the_setting_says_so_and_are_never_shown(
    redshift_url: str, redshift_staging: str, redshift: Standin, s3_server: S3Service, tmp_path: Path, caplog: Any
) -> None:
    """S4: the canary goes to the server, and stands in no error, traceback, note or log."""
    redshift.fault("^COPY", "fail", refusal=internal(f"boom SECRET_ACCESS_KEY '{s3_server.secret}'"))
    attempt = Attempt()

    with in_place(redshift_url, tmp_path, s3_staging=redshift_staging, static_keys=True), context.attempting(attempt):
        with caplog.at_level("DEBUG"), pytest.raises(EtlctlError) as caught:
            Flights().run()
        Flights().run()

    told = whole_story(caught.value) + str(attempt.notes) + caplog.text
    assert "boom" in told and s3_server.secret is not None and s3_server.secret not in told
    sent = [text for _, text in redshift.log if text.startswith("COPY")]
    assert len(sent) == 2 and all(f"SECRET_ACCESS_KEY '{s3_server.secret}'" in text for text in sent)


def test_keys_in_a_users_own_copy_are_not_shown(house: AnyWarehouse) -> None:
    sql = "COPY nowhere FROM 's3://b/k' ACCESS_KEY_ID 'AKIACANARY' SECRET_ACCESS_KEY 'S3cr3t-canary' CSV"

    with pytest.raises(EtlctlError) as caught, house.database.reading("t") as connection:
        connection.exec_driver_sql(sql)

    assert "canary" not in whole_story(caught.value).lower()


# -- objects by Redshift's own COPY


def test_objects_are_copied_in_their_forms(house: AnyWarehouse, s3_server: S3Service, redshift_staging: str) -> None:
    """Those that are named, and no others that begin so; with what every row gets besides."""
    first, second, third = (f"{redshift_staging}in's/{name}" for name in ("a.csv", "a.csv.old", "rows.json"))
    put(s3_server, first, b"k;v\n1;one\n")
    put(s3_server, second, b"k;v\n2;two\n")
    put(s3_server, third, b'{"k": 1, "v": "one"}\n{"v": "two", "k": 2}\n{"k": 3, "v": "x"}\n')
    csv = {"delimiter": ";", "ignoreheader": 1}
    day = Column("day", parse_type("date"))

    assert copied(house, TWO, (first, 10), options=csv).rows == 1
    assert copied(house, TWO, (first, 10), (second, 10), options=csv).rows == 2
    staged = copied(house, TWO, (third, 62), format="json", constants={day: "2013-01-02"})
    assert (staged.rows, staged.columns) == (3, ("k", "v", "day"))
    assert keys_under(s3_server, f"{redshift_staging}") == sorted(
        one.split("/", 3)[3] for one in (first, second, third)
    )


def test_a_bad_row_names_file_line_and_column(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """From stl_load_errors, or from sys_load_error_detail where the server names that."""
    objects = [(f"{redshift_staging}in/{number}.csv", 12) for number in range(5)]
    for number in range(5):
        lines = ["1,a", "x,b" if number == 2 else "2,b", "3,c"]
        put(s3_server, f"{redshift_staging}in/{number}.csv", "\n".join([*lines, ""]).encode())

    for _ in range(2):
        with pytest.raises(BadDataError, match=rf"{redshift_staging}in/2.csv, line 2, column k: .*nteger"):
            copied(house, TWO, *objects)
        redshift.be_serverless()


def test_what_is_not_there_and_what_is_not_allowed_are_sentences(house: AnyWarehouse, redshift_staging: str) -> None:
    nothing = (f"{redshift_staging}nothing", 1)
    with pytest.raises(EtlctlError, match="nothing' does not exist"):
        copied(house, TWO, nothing)
    with pytest.raises(LoadError, match="takes no option credentials"):
        copied(house, TWO, nothing, options={"credentials": "x"})


# -- UNLOAD


def test_a_query_is_unloaded_and_told(house: AnyWarehouse, s3_server: S3Service, redshift_staging: str) -> None:
    Flights().run()

    found = unloaded(house, "SELECT k, v FROM flights WHERE v <> %(v)s", {"v": "it's \\"}, f"{redshift_staging}out/a/")

    assert sum(one.rows or 0 for one in found) == 4 and all(one.size for one in found)
    keys = keys_under(s3_server, f"{redshift_staging}out/a/")
    assert {one.location.split("/", 3)[3] for one in found} | {keys[-1]} <= set(keys)


def test_a_query_with_a_limit_is_unloaded(house: AnyWarehouse, redshift_staging: str) -> None:
    """UNLOAD itself takes no LIMIT on the outside."""
    Flights().run()

    found = unloaded(house, "SELECT k FROM flights ORDER BY k LIMIT 2;", {}, f"{redshift_staging}out/b/")

    assert sum(one.rows or 0 for one in found) == 2


def test_no_rows_are_no_objects(house: AnyWarehouse, redshift_staging: str) -> None:
    Flights().run()

    assert unloaded(house, "SELECT k FROM flights WHERE k > 100", {}, f"{redshift_staging}out/c/") == []


# -- modes, tables, upkeep


def test_merge_looks_for_doubles_in_the_data(house: AnyWarehouse) -> None:
    """No key keeps them out there."""

    class Merged(LoadTable):
        table = "merged"
        columns = {"k": "integer", "v": "text"}
        mode = merge_on("k")

        @property
        def update_id(self) -> str:
            return self.mark

        mark = "1"
        given: Any = [(1, "a"), (2, "b")]

        def rows(self) -> Any:
            return self.given

    class Second(Merged):
        mark = "2"
        given = [(2, "new"), (3, "c")]

    class Third(Merged):
        mark = "3"
        given = [(2, "newer")]

    class Doubled(Merged):
        mark = "4"
        given = [(9, "a"), (9, "b")]

    Merged().run()
    Second().run()
    assert rows_of(house, "merged") == [(1, "a"), (2, "new"), (3, "c")]
    with pytest.raises(BadDataError, match="same key k"):
        Doubled().run()
    house.write("INSERT INTO merged VALUES (2, 'double')")
    with pytest.raises(LoadError, match="holds several of a key"):
        Third().run()


def test_a_query_makes_its_table(house: AnyWarehouse, redshift: Standin) -> None:
    class Totals(QueryTable):
        query = "SELECT v, count(*) AS n FROM flights WHERE k > 2 GROUP BY v"
        redshift = Redshift(diststyle="all", sortkey="n", analyze=True, vacuum=True)

    Flights().run()
    attempt = Attempt()
    with context.attempting(attempt):
        Totals().run()

    assert house.count("totals") == 3
    (said,) = [value for (_, table), value in redshift.said.items() if table == "totals"]
    assert said.sortkey == ("n",) and said.diststyle is not None and said.diststyle.lower() == "all"
    sent = [text for _, text in redshift.log]
    assert 'VACUUM "totals"' in sent and 'ANALYZE "totals"' in sent and attempt.notes == []


def test_upkeep_that_fails_is_a_note(house: AnyWarehouse, redshift: Standin) -> None:
    class Kept(Flights):
        table = "kept"
        redshift = Redshift(vacuum=True)

    redshift.fault("^VACUUM", "fail")
    attempt = Attempt()
    with context.attempting(attempt):
        Kept().run()

    assert house.count("kept") == 5 and len(attempt.notes) == 1
    assert attempt.notes[0].startswith("VACUUM of kept failed after the load, which is done")


def test_evolve_knows_its_own_varchar(house: AnyWarehouse) -> None:
    """varchar(20) is made as VARCHAR(80), which the next load must not take for wider."""

    class Wide(LoadTable):
        table = "wide"
        columns = {"k": "integer", "v": "varchar(20)"}
        evolve = True

        def rows(self) -> Any:
            return [(1, "ü" * 20)]

    class Wider(Wide):
        columns = {"k": "integer", "v": "varchar(20)", "w": "date"}

        def rows(self) -> Any:
            return [(2, "ü" * 20, "2013-01-01")]

    class Narrow(Wide):
        columns = {"k": "integer", "v": "varchar(10)"}

    Wide().run()
    Wider().run()
    with pytest.raises(LoadError, match="narrower"):
        Narrow().run()

    assert house.ask("SELECT k, octet_length(v) FROM wide ORDER BY 1") == [(1, 40), (2, 40)]
