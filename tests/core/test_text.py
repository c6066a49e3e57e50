"""Names of classes as names of tables and files."""

from __future__ import annotations

import pytest

from etlctl.core.text import snake_case


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CarrierDelays", "carrier_delays"),
        ("LoadS3Files", "load_s3_files"),
        ("HTTPServerLog", "http_server_log"),
        ("Day", "day"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case_parts_the_words_of_a_class_name(name: str, expected: str) -> None:
    """A class name's words, and runs of capitals, are parted by underscores."""
    assert snake_case(name) == expected
