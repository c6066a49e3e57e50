"""LoadTable by Redshift's own COPY: what is refused, before anything runs or by a sentence that names the place."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from copy_house import JSON, PACKERS, House, loading, parquet, zstd
from etlctl import (
    LocalTarget,
    S3Target,
    faultpoints,
)
from etlctl.errors import BadDataError, SettingsError
from etlctl.s3 import client as s3_client
from redshift_house import keys_under
from servers.redshift.standin import Standin
from servers.s3 import S3Service


@pytest.mark.parametrize("is_serverless", [False, True])
@pytest.mark.parametrize("suffix", [".json", ".csv.zst", ".json.bz2"])
def test_a_bad_row_in_the_third_of_five_files_is_named(
    copy_house: House, redshift: Standin, suffix: str, is_serverless: bool
) -> None:
    """File, line, column and reason, by stl_load_errors or sys_load_error_detail; the table is as it was."""
    if is_serverless:
        redshift.be_serverless()
    lines = [f'{{"n": {number}}}\n' if "json" in suffix else f"{number}\n" for number in range(1, 6)]
    bad = ['{"n": 3}\n', '{"n": "x"}\n'] if "json" in suffix else ["3\n", "x\n"]
    head = "" if "json" in suffix else "n\n"
    pack = PACKERS[suffix[suffix.rindex(".") :] if suffix.count(".") > 1 else ""]
    files = {f"{number}{suffix}": pack((head + line).encode()) for number, line in enumerate(lines)}
    files[f"2{suffix}"] = pack((head + "".join(bad)).encode())

    told = copy_house.refusal(loading(copy_house.manifest(files), columns={"n": "bigint"}), BadDataError)

    line = 2 if "json" in suffix else 3
    assert told.startswith(f"{copy_house.folder}2{suffix}, line {line}, column n: Invalid digit, Value 'x'"), told
    assert copy_house.warehouse.count("numbers") == 0 and copy_house.warehouse.markers() == []
    assert keys_under(copy_house.service, f"{copy_house.folder}staging/") == []


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"format": "jsn"},
        "Numbers.format is 'jsn'; there are csv, tsv, json, jsonl, parquet, avro. Did you mean 'json'?",
    ),
    ({"format": 5}, "Numbers.format is 5; there are csv"),
    ({"jsonpaths": ["$.a"]}, "Numbers.jsonpaths is ['$.a']; write"),
    ({"jsonpaths": "autto"}, "Did you mean 'auto'?"),
    ({"jsonpaths": "s3://b/k", "format": "csv"}, "Numbers.jsonpaths is of json and avro; "),
    ({"copy_options": ["gzip"]}, "Numbers.copy_options is ['gzip']; write {"),
    ({"copy_options": {"truncatecolumn": True}}, "Numbers.copy_options: COPY has no option 'truncatecolumn'"),
    ({"copy_options": {"truncatecolumn": True}}, "Did you mean 'truncatecolumns'?"),
    ({"copy_options": {"maxerror": 10}}, "rows would be left out in silence"),
    (
        {"copy_options": {"iam_role": "arn:aws:iam::1:role/x"}},
        "who may read and write in S3 is the connection's matter",
    ),
    ({"copy_options": {"manifest": True}}, "a requirement whose path ends in .manifest is read as one"),
    ({"copy_options": {"compression": "gz"}}, "there are gzip, lzop, zstd, bzip2. Did you mean 'gzip'?"),
    ({"copy_options": {"delimiter": ";"}}, "the option delimiter is of csv; json takes none such"),
    ({"format": "parquet", "copy_options": {"region": "eu-west-1"}}, "COPY of parquet takes no option region"),
    ({"delimiter": ";"}, "Numbers.delimiter is of csv; the file is json"),
    ({"null_values": "NA"}, "Numbers.null_values is of csv; the file is json"),
    ({"format": "csv", "null_values": ("x", "y"), "copy_options": {"roundec": True}}, "COPY knows one word for NULL"),
    ({"format": "csv", "copy_options": {"ignoreheader": 1}}, "header = True passes over the first line already"),
    ({"rows": lambda self: [], "format": "json"}, "Numbers.format is of a file, and Numbers has rows()"),
]


@pytest.mark.parametrize(("attributes", "said"), WRONG)
def test_what_fits_no_copy_is_refused_before_anything_runs(
    copy_house: House, redshift: Standin, attributes: dict[str, Any], said: str
) -> None:
    """Also before the marker table is made; the requirement need not even be there."""
    told = copy_house.refusal(loading(S3Target(f"{copy_house.folder}later.json"), **attributes))

    assert said in told
    assert not [text for _, text in redshift.log if text.startswith(("COPY", "CREATE"))]


def refused_elsewhere() -> list[tuple[str, dict[str, Any], str]]:
    mend = "Make it CSV, or give Numbers rows() that yields what is in it."
    return [
        ("n.json", {}, mend),
        ("n.parquet", {}, mend),
        ("n.avro.manifest", {}, mend),
        ("rows", {"format": "json"}, mend),
        ("n.csv.zst", {}, "is packed by zstd, which only Redshift unpacks, and warehouse is sqlite. Pack it with gzip"),
        ("n.csv", {"copy_options": {"roundec": True}}, "Take them out: header, delimiter and null_values say"),
    ]


@pytest.mark.parametrize(("name", "attributes", "said"), refused_elsewhere())
def test_what_only_redshift_reads_is_refused_elsewhere(
    s3_server: S3Service, s3_url: str, tmp_path: Path, name: str, attributes: dict[str, Any], said: str
) -> None:
    """Before anything runs, with the mend."""
    house = House(tmp_path, f"sqlite:///{tmp_path}/w.db", s3_url, s3_server)

    told = house.refusal(loading(S3Target(f"{s3_url}{name}"), **attributes))

    assert said in told and "warehouse is sqlite" in told
    assert not (tmp_path / "w.db").exists()
    s3_client.close()


def test_a_missing_role_is_a_setting_to_mend(
    redshift_url: str, s3_url: str, s3_server: S3Service, tmp_path: Path
) -> None:
    """And a missing s3_staging, where the manifest lies meanwhile."""
    house = House(tmp_path, redshift_url, s3_url, s3_server, s3_staging=f"{s3_url}staging/")
    target = house.put("n.json", JSON)
    assert "set iam_role of the connection" in house.refusal(loading(target), SettingsError)

    house = House(tmp_path, redshift_url, s3_url, s3_server, iam_role="default")

    assert 's3_staging = "s3://BUCKET/FOLDER/"' in house.refusal(loading(target), SettingsError)
    s3_client.close()


def test_parquet_is_not_copied_by_keys(redshift_url: str, s3_url: str, s3_server: S3Service, tmp_path: Path) -> None:
    """Redshift says "only accepts IAM_ROLE credentials" (awsdocs/amazon-redshift-developer-guide#34)."""
    house = House(tmp_path, redshift_url, s3_url, s3_server, s3_staging=f"{s3_url}staging/", static_keys=True)

    told = house.refusal(loading(house.put("n.parquet", parquet(n=[1], word=["a"]))), SettingsError)
    json_too = house.build(loading(house.put("n.json", JSON)))

    assert "COPY of Parquet takes a role" in told and json_too.rows == 3
    s3_client.close()


def test_a_file_on_this_machine_is_not_copied(copy_house: House, tmp_path: Path) -> None:
    """Redshift cannot reach it."""
    (tmp_path / "n.json").write_bytes(JSON)

    told = copy_house.refusal(loading(LocalTarget(str(tmp_path / "n.json"))))

    assert "is on this machine, and Redshift's COPY reads json from S3. Let its task write an S3Target." in told


def test_files_that_are_not_alike_are_refused(copy_house: House) -> None:
    """COPY reads one form, and finds fields by their place."""
    mixed = copy_house.manifest({"0.json": JSON, "1.json.gz": gzip.compress(JSON)})
    assert "1.json.gz is json packed by gzip, and COPY reads one form" in copy_house.refusal(loading(mixed))
    one, other = parquet(n=[1], word=["a"]), parquet(word=["b"], n=[2])

    told = copy_house.refusal(loading(copy_house.manifest({"0.parquet": one, "1.parquet": other})), BadDataError)
    assert told.startswith(f"{copy_house.folder}1.parquet: its schema is not that of {copy_house.folder}0.parquet")
    files = {"0.csv.zst": zstd(b"n,word\n1,a\n"), "1.csv.zst": zstd(b""), "2.csv.zst": zstd(b"word,n\nb,2\n")}
    told = copy_house.refusal(loading(copy_house.manifest(files)), BadDataError)
    assert told.startswith(f"{copy_house.folder}2.csv.zst: its header is not that of {copy_house.folder}0.csv.zst")


def test_columns_that_are_not_in_the_file_are_named(copy_house: House) -> None:
    """And those of Parquet that are not in the table."""
    lacking = copy_house.put("n.csv.zst", zstd(b"n,wrd\n1,a\n"))
    told = copy_house.refusal(loading(lacking), BadDataError)
    assert told == f"{lacking.path}: has no column word; it has: n, wrd. Did you mean 'wrd'?"
    more = copy_house.put("n.parquet", parquet(n=[1], word=["a"], x=[1]))
    assert "has the column x, which is not loaded" in copy_house.refusal(loading(more), BadDataError)
    none = copy_house.put("m.parquet", b"no parquet at all")
    assert copy_house.refusal(loading(none), BadDataError).startswith(f"{none.path}: is no Parquet file")
    header = copy_house.put("n.csv.lzo", b"\x89LZO")
    assert 'Set header = False and copy_options = {"ignoreheader": 1, …}' in copy_house.refusal(loading(header))


def test_no_records_are_no_rows_and_a_note(copy_house: House) -> None:
    """A file with nothing in it is loaded, and told."""
    target = copy_house.put("n.json", b"")

    result = copy_house.build(loading(target))

    assert result.rows == 0 and result.notes == (f"Redshift found no record in {target.path}: 0 rows",)


def test_what_is_not_there_is_told_before_the_copy(copy_house: House, redshift: Standin) -> None:
    """By its address."""
    told = copy_house.refusal(
        loading(copy_house.put("gone.manifest", b'{"entries": [{"url": "s3://nobody/x.json"}]}')), Exception
    )

    assert "s3://nobody" in told and not [text for _, text in redshift.log if text.startswith("COPY")]


def test_an_object_that_is_replaced_while_it_is_copied_is_not_loaded(
    copy_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ETag is looked at before the COPY and afterwards."""
    target = copy_house.put("n.json", JSON)

    def changed(at: str) -> None:
        if at == "s3.published":  # the manifest's, which the COPY comes after
            copy_house.put("n.json", JSON.replace(b"a", b"z"))

    monkeypatch.setattr(faultpoints, "point", changed)

    assert "n.json: changed while it was being loaded" in copy_house.refusal(loading(target), BadDataError)
    assert copy_house.warehouse.count("numbers") == 0


def test_a_text_that_is_too_long_is_refused_unless_it_is_to_be_cut(copy_house: House) -> None:
    """By COPY itself, which names the column."""
    columns = {"n": "bigint", "word": "varchar(1)"}
    target = copy_house.put("n.json", b'{"n": 1, "word": "abcdef"}')

    told = copy_house.refusal(loading(target, columns=columns), BadDataError)
    copy_house.build(loading(target, columns=columns, copy_options={"truncatecolumns": True}))

    assert "n.json, line 1, column word: " in told and copy_house.rows() == [(1, "abcd")]
