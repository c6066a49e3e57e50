"""A file in S3 is copied by Redshift itself where that means the same, and by our reader where it might not."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse, in_place
from etlctl import ExternalTask, LoadTable, S3Target
from etlctl.core import context
from etlctl.core.context import Attempt
from etlctl.db.columns import BadValueError, parse_type
from etlctl.errors import BadDataError
from redshift_house import keys_under, put, rows_of
from servers.redshift.standin import Standin
from servers.s3 import S3Service


@pytest.fixture
def house(redshift_url: str, redshift_staging: str, redshift_role: str, tmp_path: Path) -> Iterator[AnyWarehouse]:
    with in_place(redshift_url, tmp_path, s3_staging=redshift_staging, iam_role=redshift_role) as found:
        yield found


def loading(place: str, its: dict[str, str], **attributes: Any) -> LoadTable:
    class File(ExternalTask):
        def output(self) -> Any:
            return S3Target(place)

    class Flights(LoadTable):
        columns = its

        def requires(self) -> Any:
            return File()

    for name, value in attributes.items():
        setattr(Flights, name, value)
    return Flights()


def copies(redshift: Standin) -> list[str]:
    return [text for _, text in redshift.log if text.startswith("COPY")]


TYPED = {"day": "date", "n": "numeric(10,2)", "v": "text", "b": "boolean", "at": "timestamp", "k": "bigint"}


def test_a_file_is_copied_straight(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """Columns by name, several null words, a surplus column, packed; no object of ours is made."""
    text = 'k;v;extra;n;day;b;at\n1;"a;""b""";x;1.50;2013-01-02;t;2013-01-02T03:04:05.25\nNA;;x;;NA;no;\n3;NA ;;-7;;;\n'
    place = f"{redshift_staging}in/flights.csv.gz"
    put(s3_server, place, gzip.compress(text.encode()))

    loading(place, TYPED, delimiter=";", null_values=("", "NA")).run()

    found = rows_of(house, "flights", "k, v, n, day, b, at")
    assert [tuple(None if value is None else str(value) for value in row) for row in found] == [
        ("1", 'a;"b"', "1.50", "2013-01-02", "True", "2013-01-02 03:04:05.250000"),
        ("3", "NA ", "-7.00", None, None, None),
        (None, None, None, None, "False", None),
    ]
    (copy,) = copies(redshift)
    assert place in copy and "GZIP" in copy and "IGNOREHEADER 1" in copy
    assert keys_under(s3_server, redshift_staging) == [place.split("/", 3)[3]]
    assert [row[2:] for row in house.markers()] == [("done", 3)]


FIELDS: list[tuple[str, str]] = [
    ("integer", "12"), ("integer", "+7"), ("integer", " 12 "), ("integer", "-2147483648"), ("integer", "2147483648"),
    ("integer", "1.0"), ("smallint", "00012"), ("smallint", "32768"), ("bigint", "9223372036854775807"),
    ("numeric(10,2)", "1.005"), ("numeric(10,2)", "1.5"), ("numeric(10,2)", "1e3"), ("numeric(4,0)", "12345"),
    ("numeric", "1.123456789"), ("numeric", ".5"), ("boolean", "TRUE"), ("boolean", "off"), ("boolean", "2"),
    ("date", "2013-02-28"), ("date", "2013-02-30"), ("date", "today"), ("date", "2013-02-03 00:00:00"),
    ("timestamp", "2013-01-02 03:04"), ("timestamp", "2013-01-02T03:04:05Z"), ("timestamp", "2013-01-02 24:00:00"),
    ("timestamp", "2013-01-02 03:04:05+02:00"), ("varchar(3)", "äöü"), ("varchar(3)", "abcd"), ("text", "a\r"),
    ("text", " \\N "), ("text", "etlctl-null"), ("double precision", "0.1"), ("json", '{"a": 1}'),
]  # fmt: skip


def as_stored(house: AnyWarehouse, words: str, field: str) -> tuple[Any, str | None]:
    """What our own conversion makes of a field, or why it refuses it."""
    try:
        return house.dialect.stored(parse_type(words), field), None
    except BadValueError as error:
        return None, error.reason


@pytest.mark.parametrize(("words", "field"), FIELDS)
def test_whichever_road_it_goes_a_field_means_the_same(
    house: AnyWarehouse, s3_server: S3Service, redshift_staging: str, words: str, field: str
) -> None:
    place = f"{redshift_staging}in/one.csv"
    quoted = field.replace('"', '""')
    put(s3_server, place, f'a,x\n1,"{quoted}"\n2,\n'.encode())
    load = loading(place, {"a": "integer", "x": words})
    wanted, refusal = as_stored(house, words, field)
    if refusal is not None:
        with pytest.raises(BadDataError, match=rf"one\.csv: line 2, column x: .*{re.escape(refusal)}"):
            load.run()
        return

    load.run()

    with house.database.reading() as connection:
        target = sa.table("flights", sa.column("a"), sa.column("x"))
        found = dict(connection.execute(sa.select(target.c.a, target.c.x)).all())
    assert found[2] is None
    assert str(found[1]) == str(wanted) or found[1] == wanted


def test_a_file_that_redshift_cannot_take_is_read_here(
    house: AnyWarehouse, redshift: Standin, s3_server: S3Service, redshift_staging: str
) -> None:
    """With a note that says why."""
    place = f"{redshift_staging}in/flights.csv"
    put(s3_server, place, b"k,v\n1,a\n2,b\n")
    redshift.fault("^COPY .*flights.csv", "fail")
    attempt = Attempt()

    with context.attempting(attempt):
        loading(place, {"k": "integer", "v": "text"}).run()

    assert rows_of(house, "flights") == [(1, "a"), (2, "b")] and len(copies(redshift)) == 2
    assert any("did not take" in note and "read here" in note for note in attempt.notes)


def test_a_ragged_file_is_named_with_its_line(house: AnyWarehouse, s3_server: S3Service, redshift_staging: str) -> None:
    place = f"{redshift_staging}in/flights.csv"
    put(s3_server, place, b"k,v\n1,a\n2\n")

    with pytest.raises(BadDataError, match=r"flights\.csv: line 3"):
        loading(place, {"k": "integer", "v": "text"}).run()

    assert house.markers() == []
