"""The demo of pipelines/warehouse.py, end to end: PostgreSQL, S3, the stand-in of Redshift, S3 again."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

from servers.s3 import S3Service

REPOSITORY = Path(__file__).resolve().parent.parent
DAY = "2013-01-02"


class Place:
    """A copy of the project, with servers for its profile `warehouse`."""

    def __init__(self, folder: Path, lake: str, variables: dict[str, str]) -> None:
        self.folder, self.lake = folder, lake
        self.redshift_url = variables["DEMO_REDSHIFT_URL"]
        self.postgres_url = variables["DEMO_POSTGRES_URL"]
        self.environ = os.environ | variables

    def etlctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "etlctl", *words, "--profile", "warehouse"]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, env=self.environ, timeout=300
        )

    def build(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.etlctl("build", "Warehouse", "--date", DAY, "--lake", self.lake, *words)


@pytest.fixture
def place(tmp_path: Path, postgres_url: str, redshift_url: str, redshift_role: str, s3_url: str) -> Place:
    for name in ("pipelines", "config", "data"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    variables = {
        "DEMO_POSTGRES_URL": postgres_url,
        "DEMO_REDSHIFT_URL": redshift_url,
        "DEMO_REDSHIFT_ROLE": redshift_role,
        "DEMO_STAGING": f"{s3_url}staging/",
    }
    return Place(tmp_path, f"{s3_url}lake", variables)


def test_day_goes_from_production_to_the_lake_once(place: Place, s3_server: S3Service) -> None:
    """Each step's rows are those of the step before; a second build has nothing to do."""
    first = place.build()
    assert first.returncode == 0, first.stdout + first.stderr
    again = place.build()

    assert again.returncode == 0 and "nothing to do" in again.stdout, again.stdout
    with gzip.open(REPOSITORY / f"data/flights/{DAY}.csv.gz", "rt", newline="") as lines:
        flights = list(csv.DictReader(lines))
    loaded = "SELECT count(*) FROM lake_flights"
    assert rows(place.postgres_url, "SELECT count(*) FROM flights") == rows(place.redshift_url, loaded)
    assert rows(place.redshift_url, loaded) == [(len(flights),)]
    routes = rows(place.redshift_url, "SELECT origin, dest, flights FROM route_delays ORDER BY 1, 2")
    ((number, miles),) = rows(place.redshift_url, "SELECT sum(flights), sum(miles) FROM destination_totals")
    markers = rows(place.redshift_url, "SELECT target_table, state FROM table_updates ORDER BY 1")
    assert len(routes) == len({(row["origin"], row["dest"]) for row in flights})
    assert (number, miles) == (len(flights), sum(int(row["distance"]) for row in flights))
    assert markers == [
        ("day_summaries", "done"),
        ("destination_totals", "done"),
        ("lake_flights", "done"),
        ("route_delays", "done"),
    ]
    unloaded = list(unloaded_rows(s3_server, f"{place.lake}/routes/{DAY}.csv.gz.manifest"))
    assert sorted((row["origin"], row["dest"], int(row["flights"])) for row in unloaded) == routes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "seen"), [(["--kills", "3"], " 3 of them with a load"), (["--control"], "doubled: ")]
)
def test_killed_builds_of_a_warehouse_load_each_day_once(words: list[str], seen: str) -> None:
    """A short form of `make torture-warehouse`: pairs of builds, some killed; and without the lock it finds doubles."""
    command = [sys.executable, str(REPOSITORY / "tests/torture/warehouse.py"), "--seed", "1", *words]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)

    assert done.returncode == 0, done.stdout + done.stderr
    assert seen in done.stdout


def unloaded_rows(service: S3Service, manifest: str) -> Iterator[dict[str, str]]:
    for entry in json.loads(content(service, manifest))["entries"]:
        yield from csv.DictReader(gzip.decompress(content(service, entry["url"])).decode().splitlines())


def content(service: S3Service, url: str) -> bytes:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    body: bytes = service.client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Redshift's wire is PostgreSQL's."""
    with closing(psycopg2.connect(host_of(url))) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def host_of(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
