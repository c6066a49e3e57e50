"""Formats: what is text, what is packed, and that the same content makes the same file."""

from __future__ import annotations

import bz2
import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from etlctl.targets import formats
from etlctl.targets.local import LocalTarget


@pytest.mark.parametrize(
    ("name", "unpack"),
    [("a.csv", bytes), ("a.csv.gz", gzip.decompress), ("a.GZ", gzip.decompress), ("a.csv.bz2", bz2.decompress)],
)
def test_format_follows_the_suffix(name: str, unpack: Callable[[bytes], bytes]) -> None:
    """Without a format, `.gz` and `.bz2` are packed, and other programs can unpack them."""
    with LocalTarget(name).open("w") as file:
        file.write("ü\r\n")

    assert unpack(Path(name).read_bytes()) == "ü\r\n".encode()


def test_format_given_holds_whatever_the_suffix() -> None:
    """format=Nop on a `.gz` takes bytes that are packed already; format=Text >> Gzip packs without the suffix."""
    with LocalTarget("a.gz", format=formats.Nop).open("w") as file:
        file.write(gzip.compress(b"packed by a tool"))
    with LocalTarget("b", format=formats.Text >> formats.Gzip).open("w") as file:
        file.write("packed by us")

    with LocalTarget("a.gz").open() as file:
        assert file.read() == "packed by a tool"
    assert gzip.decompress(Path("b").read_bytes()) == b"packed by us"


def test_format_gzip_alone_takes_bytes() -> None:
    """As Luigi's: `format=Gzip` is bytes on the near side, `Text >> Gzip` is text."""
    assert not formats.Gzip.is_text and not formats.Bzip2.is_text and (formats.UTF8 >> formats.Bzip2).is_text


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.bz2", "a.csv"])
def test_format_is_reproducible(name: str) -> None:
    """The same rows make the same bytes, whenever and under whatever name they are written."""
    for number in range(2):
        with LocalTarget(f"{number}/{number}{name}").open("w") as file:
            csv.writer(file).writerows([i, "x" * (i % 50)] for i in range(20_000))

    assert Path(f"0/0{name}").read_bytes() == Path(f"1/1{name}").read_bytes()


def test_format_gzip_header_holds_no_time_and_no_name() -> None:
    """RFC 1952: bytes 4 to 7 are the time, flag 8 says that a name follows."""
    with LocalTarget("secret-name.gz").open("w") as file:
        file.write("content")

    header = Path("secret-name.gz").read_bytes()
    assert header[3] == 0 and header[4:8] == bytes(4) and b"secret" not in header


def test_format_of_another_encoding() -> None:
    """TextFormat names the encoding; what it cannot hold is an error at the write, and nothing is published."""
    target = LocalTarget("latin.csv", format=formats.TextFormat("latin-1"))
    with target.open("w") as file:
        file.write("ü")

    with pytest.raises(UnicodeEncodeError), target.open("w") as file:
        file.write("\N{SNOWMAN}")

    assert Path("latin.csv").read_bytes() == b"\xfc"


def test_format_unknown_encoding_is_found_when_it_is_named() -> None:
    """Not hours later, at the first write."""
    with pytest.raises(LookupError, match="utf-88"):
        formats.TextFormat("utf-88")


@pytest.mark.parametrize(
    ("left", "right", "why"), [(formats.Gzip, formats.Text, "takes text"), (formats.Gzip, formats.Bzip2, "both")]
)
def test_format_chain_that_makes_no_sense_is_refused(left: formats.Format, right: formats.Format, why: str) -> None:
    """`>>` goes from the program to the disk, and compresses once."""
    with pytest.raises(TypeError, match=why):
        left >> right


def test_format_bytes_that_are_no_text_are_an_error_at_the_read() -> None:
    """Nothing is replaced silently."""
    Path("bad.csv").write_bytes(b"\xff")

    with LocalTarget("bad.csv").open() as file, pytest.raises(UnicodeDecodeError):
        file.read()


def test_format_cut_gzip_is_an_error_at_the_read() -> None:
    """A download that broke off does not pass for a short file."""
    Path("cut.gz").write_bytes(gzip.compress(b"0123456789" * 1000)[:-9])

    with LocalTarget("cut.gz").open() as file, pytest.raises(EOFError):
        file.read()
