"""`etlctl gc --s3`: ends the uploads that killed processes have left, and no others (F49)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest

from cli.documents import check
from cli.project import Project
from etlctl.cli.schemas import SCHEMAS
from servers.s3 import RcloneServer, S3Service, bucket_in
from servers.s3_fixtures import lead
from servers.s3_proxy import S3Proxy

KEYS = ("etl/day=1/flights.csv", "etl/ü 'x'#?.csv", "logs/app")


@pytest.fixture
def left(s3_server: S3Service, bucket: str) -> str:
    """The name of a bucket with three uploads that nobody has ended; moto says that they are years old."""
    for key in KEYS:
        upload = s3_server.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        s3_server.client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    return bucket


def _left_in(service: S3Service, bucket: str) -> list[str]:
    return sorted(key for key, _ in service.uploads(bucket))


def test_gc_ends_the_old_uploads_of_a_prefix_and_tells_them(
    empty_project: Project, s3_server: S3Service, left: str
) -> None:
    """Letter by letter below the prefix; what lies beside it stays."""
    ran = empty_project.run("gc", "--s3", f"s3://{left}/etl/")

    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"ended +etl/day=1/flights\.csv +begun \d{4}-\d\d-\d\d \d\d:\d\d", ran.out)
    assert "2 uploads older than 1d ended, parts and all" in ran.out
    assert _left_in(s3_server, left) == ["logs/app"]


def test_gc_leaves_young_uploads_alone(
    empty_project: Project, s3_server: S3Service, left: str, s3_proxy: S3Proxy
) -> None:
    """They may be running; the age is that of the beginning."""
    young = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    s3_proxy.edit(
        "ListMultipartUploads",
        lambda body: re.sub(b"<Initiated>[^<]+<", f"<Initiated>{young}<".encode(), body),
        times=2,
    )

    first = empty_project.run("gc", "--s3", f"s3://{left}", "--older-than", "6h")
    kept = _left_in(s3_server, left)
    second = empty_project.run("gc", "--s3", f"s3://{left}", "--older-than", "4h")

    assert (first.code, kept) == (0, sorted(KEYS))
    assert "no upload is older than 6h" in first.out
    assert "3 uploads older than 4h ended" in second.out
    assert _left_in(s3_server, left) == []


def test_gc_only_tells_with_dry_run(empty_project: Project, s3_server: S3Service, left: str) -> None:
    """Nothing is changed, and it says so."""
    ran = empty_project.run("gc", "--s3", f"s3://{left}", "--dry-run")

    assert ran.code == 0
    assert "3 uploads older than 1d; nothing was changed (--dry-run)" in ran.out
    assert _left_in(s3_server, left) == sorted(KEYS)


def test_gc_looks_where_the_settings_say(empty_project: Project, s3_server: S3Service, left: str) -> None:
    """`gc` of [s3], and the staging folders of connections; a place within another is asked once."""
    empty_project.write(
        "config/etlctl.toml",
        f"[s3]\ngc = ['s3://{left}/logs', 's3://{left}/logs/app']\n"
        f"[connections.dw]\nurl = 'redshift://etl@wh/dw'\ns3_staging = 's3://{left}/etl'",
    )

    ran = empty_project.run("gc", "--s3", "--json")

    check(ran.json, SCHEMAS["etlctl/gc"])
    assert [place["place"] for place in ran.json["places"]] == [f"s3://{left}/logs", f"s3://{left}/etl/"]
    assert sorted(one["address"] for place in ran.json["places"] for one in place["uploads"]) == [
        f"s3://{left}/{key}" for key in sorted(KEYS)
    ]
    assert _left_in(s3_server, left) == []


def test_gc_names_the_place_that_cannot_be_asked_and_goes_on(
    empty_project: Project, s3_server: S3Service, left: str
) -> None:
    """A missing bucket is exit 4; the others are swept all the same."""
    ran = empty_project.run("gc", "--s3", "s3://no-such-bucket", f"s3://{left}", "--json")

    missing, swept = ran.json["places"]
    check(ran.json, SCHEMAS["etlctl/gc"])
    assert (ran.code, ran.json["exit_code"]) == (4, 4)
    assert missing["error"]["type"] == "UnavailableError"
    assert "s3://no-such-bucket/: there is no such bucket" in ran.err
    assert (swept["error"], len(swept["uploads"])) == (None, 3)


def test_gc_tells_what_it_ended_before_it_failed(
    empty_project: Project, s3_server: S3Service, left: str, s3_proxy: S3Proxy
) -> None:
    """A right that is missing is named; what is gone is told."""
    s3_proxy.answer("AbortMultipartUpload", 403, skip=1, times=9)

    ran = empty_project.run("gc", "--s3", f"s3://{left}")

    assert ran.code == 4
    assert "1 upload older than 1d ended, and then it failed" in ran.out
    assert "Grant s3:AbortMultipartUpload." in ran.err
    assert len(_left_in(s3_server, left)) == 2


STAGING = """
[connections.dw]
url = 'redshift://etl@wh/dw'
s3_staging = 's3://{bucket}/etl/staging'
"""
OURS = ("manifest", "part-000000.csv.gz", "part-000001.csv.gz")


@pytest.fixture
def staged(empty_project: Project, s3_server: S3Service, bucket: str) -> list[str]:
    """What a killed load has left below `s3_staging` of the settings, and the keys of what is not ours."""
    empty_project.write("config/etlctl.toml", STAGING.format(bucket=bucket))
    others = [
        "etl/staging/notes.txt",
        "etl/staging/2013-01-02/part-000000.csv.gz",
        f"etl/staging/{'b' * 32}/part-000000.csv.gz",
        f"etl/staging/{'b' * 32}/photo.jpg",
        f"etl/{'c' * 32}/manifest",
    ]
    for key in [*(f"etl/staging/{'a' * 32}/{name}" for name in OURS), *others]:
        s3_server.client.put_object(Bucket=bucket, Key=key, Body=b"rows")
    return sorted(others)


def _keys(service: S3Service, bucket: str) -> list[str]:
    return sorted(entry["Key"] for entry in service.client.list_objects_v2(Bucket=bucket).get("Contents", []))


def test_gc_removes_what_killed_loads_left_on_its_way_to_redshift(
    empty_project: Project, s3_server: S3Service, bucket: str, staged: list[str]
) -> None:
    """Folders with the name and the content of ours alone; a folder with one thing more in it stays whole."""
    dry = empty_project.run("gc", "--s3", "--older-than", "0s", "--dry-run")
    before = _keys(s3_server, bucket)
    ran = empty_project.run("gc", "--s3", "--older-than", "0s", "--json")

    assert (dry.code, dry.err) == (0, "")
    assert f"left  {'a' * 32}/      12 B  written " in dry.out
    assert "1 folder of loads older than 0s; nothing was changed (--dry-run)" in dry.out
    assert len(before) == len(staged) + len(OURS)
    check(ran.json, SCHEMAS["etlctl/gc"])
    (place,) = ran.json["staging"]
    (folder,) = place["folders"]
    assert (place["place"], place["error"]) == (f"s3://{bucket}/etl/staging/", None)
    assert (folder["address"], folder["objects"]) == (f"s3://{bucket}/etl/staging/{'a' * 32}/", len(OURS))
    assert _keys(s3_server, bucket) == staged


def test_gc_leaves_young_rows_on_their_way_alone(
    empty_project: Project, s3_server: S3Service, bucket: str, staged: list[str]
) -> None:
    """A load may be reading them: the age is that of the newest object, a day by default."""
    ran = empty_project.run("gc", "--s3")

    assert ran.code == 0
    assert "no load's folder is older than 1d" in ran.out
    assert len(_keys(s3_server, bucket)) == len(staged) + len(OURS)


@pytest.mark.parametrize(("place", "is_swept"), [("", True), ("/etl/", True), ("/etl/stag", True), ("/logs", False)])
def test_gc_looks_at_staging_in_the_places_named_alone(
    empty_project: Project, s3_server: S3Service, bucket: str, staged: list[str], place: str, is_swept: bool
) -> None:
    ran = empty_project.run("gc", "--s3", f"s3://{bucket}{place}", "--older-than", "0s", "--json")

    assert (ran.code, len(ran.json["staging"])) == (0, int(is_swept))
    assert (_keys(s3_server, bucket) == staged) == is_swept


def test_gc_names_a_right_that_it_lacks_for_staging(
    empty_project: Project, s3_server: S3Service, bucket: str, staged: list[str], s3_proxy: S3Proxy
) -> None:
    """Exit 4; nothing is told as removed."""
    s3_proxy.answer("DeleteObjects", 403, times=9)

    ran = empty_project.run("gc", "--s3", "--older-than", "0s", "--json")

    assert ran.code == 4
    assert ran.json["staging"][0]["folders"] == []
    assert ran.json["staging"][0]["error"]["type"] == "UnavailableError"
    assert "removing all of" in ran.err and len(_keys(s3_server, bucket)) == len(staged) + len(OURS)


def test_gc_passes_over_an_upload_that_somebody_else_has_ended(
    empty_project: Project, s3_server: S3Service, left: str, s3_proxy: S3Proxy
) -> None:
    """Two of them may run at once, and a lifecycle rule too."""
    s3_proxy.answer("AbortMultipartUpload", 404, "NoSuchUpload", passes_on=True)

    ran = empty_project.run("gc", "--s3", f"s3://{left}")

    assert (ran.code, ran.err) == (0, "")
    assert "2 uploads older than 1d ended" in ran.out
    assert _left_in(s3_server, left) == []


def test_gc_works_on_another_service(
    empty_project: Project, rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rclone answers NoSuchUpload where there is none."""
    lead(monkeypatch, rclone_server)
    with bucket_in(rclone_server) as bucket:
        none = empty_project.run("gc", "--s3", f"s3://{bucket}", "--older-than", "0s")
        rclone_server.client.create_multipart_upload(Bucket=bucket, Key="a/b")
        one = empty_project.run("gc", "--s3", f"s3://{bucket}/a/", "--older-than", "0s")

        assert rclone_server.uploads(bucket) == []
    assert (none.code, one.code) == (0, 0)
    assert "no upload is older than 0s" in none.out
    assert "1 upload older than 0s ended, parts and all" in one.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["s3://lake/logs"], "s3://lake/logs is a place of S3: give --s3 too"),
        (["--history", "data"], "a folder goes with --files"),
        (["nowhere"], "nowhere is no folder"),
        (["--s3"], "no place is known to look in: name one (s3://BUCKET/PREFIX), or set gc in [s3] of the settings"),
        (["--s3", "lake/etl"], "lake/etl is no address in S3: write s3://BUCKET or s3://BUCKET/PREFIX."),
        (["--s3", "s3://"], "s3:// names no bucket"),
        (["--s3", "s3://lake/a/../b"], "has a part that is '.' or '..'"),
        (["--s3", "s3://lake", "--older-than", "1 day"], "--older-than cannot take '1 day': it is a whole number"),
        (["--s3", "s3://lake", "--older-than", "-1d"], "--older-than cannot take '-1d'"),
        (["--s3", "s3://lake", "--older-than", "999999w"], "a hundred years at most."),
    ],
)
def test_gc_refuses_what_it_cannot_understand(empty_project: Project, words: list[str], said: str) -> None:
    """Before anything is asked: exit 2."""
    ran = empty_project.run("gc", *words)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_gc_without_credentials_says_how_to_mend_it(empty_project: Project, left: str, monkeypatch: Any) -> None:
    """F53: exit 4."""
    monkeypatch.delenv("ETLCTL_S3_ACCESS_KEY_ID")
    monkeypatch.delenv("ETLCTL_S3_SECRET_ACCESS_KEY")

    ran = empty_project.run("gc", "--s3", f"s3://{left}")

    assert ran.code == 4
    assert "there are no credentials" in ran.err
