"""Where the files of a load are: what a manifest's entry, or an object of a folder, is taken for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlctl import LocalTarget, S3Target
from etlctl.errors import BadDataError
from etlctl.loads.places import found_at

Put = Callable[[str, str], Any]


@pytest.fixture(params=["disk", "s3"])
def put(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Writes a file, on this machine or in S3; its target."""
    monkeypatch.chdir(tmp_path)
    url = request.getfixturevalue("s3_url") if request.param == "s3" else None

    def write(name: str, content: str) -> Any:
        target = LocalTarget(name) if url is None else S3Target(url + name)
        with target.open("w") as file:
            file.write(content)
        return target

    return write


def entry(target: Any, *, size: int | None = None, is_mandatory: bool = False) -> dict[str, Any]:
    meta = {} if size is None else {"meta": {"content_length": size}}
    return {"url": target.path, "mandatory": is_mandatory, **meta}


def test_place_that_may_be_missing_is_passed_over_where_it_is(put: Put) -> None:
    """Nothing more than absence passes: not the bucket, the folder or a right."""
    first, second = put("0.csv", "n\n1\n"), put("1.csv", "n\n2\n")
    second.remove()
    text = json.dumps({"entries": [entry(first, is_mandatory=True), entry(second, size=4)]})

    origin = found_at(put("all.csv.manifest", text), "all")

    assert origin is not None and [place.shown for place in origin.places] == [str(first)]
    assert origin.missing == [str(second)]


def test_place_that_may_be_missing_and_is_not_must_have_its_size(put: Put) -> None:
    """Else its rows are lost, with a note that says the file is not there."""
    first, second = put("0.csv", "n\n1\n"), put("1.csv", "n\n2\n3\n")
    text = json.dumps({"entries": [entry(first, is_mandatory=True), entry(second, size=4)]})

    origin = found_at(put("all.csv.manifest", text), "all")
    assert origin is not None and origin.missing == []

    with pytest.raises(BadDataError, match=r"1\.csv: has 6 bytes, where the manifest that names it says 4"):
        origin.places[1].open()


def test_place_that_may_be_missing_and_cannot_be_looked_at_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that leads to itself, as a folder without a right, does not say that nothing is there."""
    monkeypatch.chdir(tmp_path)
    Path("0.csv").write_text("n\n1\n")
    os.symlink("1.csv", "1.csv")
    entries = [{"url": "0.csv"}, {"url": "1.csv", "mandatory": False}]
    Path("all.csv.manifest").write_text(json.dumps({"entries": entries}))

    with pytest.raises(BadDataError, match=r"1\.csv: cannot be read"):
        found_at(LocalTarget("all.csv.manifest"), "all")


def test_places_of_a_manifest_are_the_same_from_the_first_look_on(put: Put) -> None:
    """Also those that are opened later: one replaced by as many bytes, while the load waits, is refused."""
    first, second = put("0.csv", "n\n1\n"), put("1.csv", "n\n2\n")
    text = json.dumps({"entries": [entry(first, size=4), entry(second, size=4)]})
    origin = found_at(put("all.csv.manifest", text), "all")
    assert origin is not None
    origin.remember()

    put("1.csv", "n\n3\n")

    origin.places[0].open().close()
    with pytest.raises(BadDataError, match=r"1\.csv: changed while it was being loaded"):
        origin.places[1].open()
    with pytest.raises(BadDataError, match=r"1\.csv: changed while it was being loaded"):
        origin.check_unchanged()


def test_places_of_a_manifest_are_told_apart_in_the_marker(put: Put) -> None:
    """The same names and sizes with other content are another input; what nobody has touched is the same."""
    file = put("0.csv", "n\n1\n")
    manifest = put("all.csv.manifest", json.dumps({"entries": [entry(file, size=4)]}))

    def described() -> dict[str, Any]:
        origin = found_at(manifest, "all")
        assert origin is not None
        return origin.described()

    first, second = described(), described()
    put("0.csv", "n\n2\n")
    third = described()

    assert first == second and third["files_size"] == first["files_size"] == 4
    assert third["files_digest"] != first["files_digest"]
