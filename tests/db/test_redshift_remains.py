"""What a killed load leaves under `s3_staging` is known by its names alone."""

from __future__ import annotations

import pytest

from etlctl.db.dialects.redshift.folder import OURS, AttemptFolder
from etlctl.s3.address import parse

NAME = "0123456789abcdef" * 2


@pytest.mark.parametrize("number", [0, 999_999, 1_000_000])
def test_all_that_a_load_puts_there_is_known_as_its_own(number: int) -> None:
    folder = AttemptFolder(parse(f"s3://lake/staging/{NAME}/"))

    keys = [one.key.removeprefix("staging/") for one in (folder.manifest, folder.part(number))]

    assert all(OURS.fullmatch(key) for key in keys), keys


@pytest.mark.parametrize(
    "key",
    [
        f"{NAME}/",
        f"{NAME}/part-000000.csv",
        f"{NAME}/manifest.json",
        f"{NAME}/deeper/manifest",
        f"{NAME[1:]}/manifest",
        f"{NAME.upper()}/manifest",
        "manifest",
    ],
)
def test_what_is_called_otherwise_is_somebody_elses(key: str) -> None:
    assert OURS.fullmatch(key) is None
