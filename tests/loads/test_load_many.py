"""LoadTable from a folder of S3 with more objects than one listing tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from any_warehouse import AnyWarehouse
from etlctl import ExternalTask, LoadTable, S3FlagTarget
from servers.s3 import RcloneServer, bucket_in
from servers.s3_fixtures import lead
from servers.s3_proxy import S3Proxy

OBJECTS = 1_010
"""A listing tells 1,000."""


class Folder(ExternalTask):
    """The objects of a day, made by somebody else."""

    address = ""

    def output(self) -> Any:
        return S3FlagTarget(self.address)


class LoadNumbers(LoadTable):
    columns = {"n": "bigint", "word": "text"}
    table: Any = "numbers"
    address = ""

    def requires(self) -> Any:
        return type("Folder", (Folder,), {"address": self.address})()


@pytest.fixture
def stocked(rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3Proxy, str]]:
    """A proxy in front of rclone, and the address of a folder of objects with a row each."""
    assert rclone_server.url is not None
    with bucket_in(rclone_server) as bucket, S3Proxy(rclone_server.url) as proxy:
        lead(monkeypatch, rclone_server, url=proxy.url)
        folder = rclone_server.data / bucket / "day"
        folder.mkdir()
        for number in range(OBJECTS):
            (folder / f"part-{number:05}.csv").write_text(f"n,word\n{number},w{number}\n")
        (folder / "_SUCCESS").touch()
        yield proxy, f"s3://{bucket}/day/"


@pytest.mark.long
def test_load_of_a_folder_takes_every_object_once(
    stocked: tuple[S3Proxy, str], beside_s3: Callable[[str], AnyWarehouse]
) -> None:
    """Of both pages of the listing; with a GET and two HEADs of each, and a few requests for all of them."""
    proxy, address = stocked
    warehouse = beside_s3("postgresql")

    type("LoadNumbers", (LoadNumbers,), {"address": address})().run()

    found = warehouse.ask("SELECT n, word FROM numbers ORDER BY n")
    assert found == [(number, f"w{number}") for number in range(OBJECTS)]
    assert [state for _, _, state, _ in warehouse.markers()] == ["done"]
    assert proxy.counts["GetObject"] <= OBJECTS + 1  # the first header is looked at before
    assert proxy.counts.total() <= 3 * OBJECTS + 10
