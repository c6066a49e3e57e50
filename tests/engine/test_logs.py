"""The log of an attempt: capped, of any bytes, never a reason to fail."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.engine.logs import TAIL_BYTES, AttemptLog, LineTeller, StreamOfNow, tail_of


def test_log_is_a_file_from_its_first_byte_on(tmp_path: Path) -> None:
    """Its folders are made with it; nothing written, nothing made; nothing is held back in memory."""
    log = AttemptLog(tmp_path / "r1" / "load.log")
    assert not (tmp_path / "r1").exists()

    log.write(b"\xff\x00 one\n")

    assert (tmp_path / "r1" / "load.log").read_bytes() == b"\xff\x00 one\n"
    log.close()
    assert log.tail == tail_of(tmp_path / "r1" / "load.log") == b"\xff\x00 one\n"
    assert tail_of(tmp_path / "none.log") == b""


def test_log_of_very_much_keeps_its_begin_and_its_end(tmp_path: Path) -> None:
    """A notice where it is cut, and how much is left out; the end is that of the output."""
    path = tmp_path / "load.log"
    log = AttemptLog(path, max_bytes=1000)

    log.write(b"b" * 999)
    log.write(b"xy" + b"." * 200_000)
    assert path.read_bytes().endswith(
        b"b" * 999 + b"x\n[etlctl: more than 1,000 bytes; what follows is left out, but for its end]\n"
    )
    log.write(b"the end")
    log.close()

    data = path.read_bytes()
    left_out = 999 + 2 + 200_000 + 7 - 1000 - TAIL_BYTES
    assert f"\n[etlctl: {left_out:,} bytes are left out here]\n".encode() in data
    assert data.endswith(b"." * (TAIL_BYTES - 7) + b"the end")
    assert log.tail == tail_of(path) == data[-TAIL_BYTES:]
    assert log.written == 999 + 2 + 200_000 + 7


def test_log_a_little_too_long_is_whole_behind_its_notice(tmp_path: Path) -> None:
    """Nothing is left out where the end covers what is above the limit."""
    path = tmp_path / "load.log"
    log = AttemptLog(path, max_bytes=10)
    log.write(b"0123456789abc")
    log.close()

    begin, _, end = path.read_bytes().partition(
        b"\n[etlctl: more than 10 bytes; what follows is left out, but for its end]\n"
    )
    assert (begin, end) == (b"0123456789", b"abc")


@given(st.lists(st.binary(max_size=200), max_size=30), st.integers(1, 500))
def test_log_counts_and_keeps_the_end_however_it_comes(pieces: list[bytes], most: int) -> None:
    """Whatever the pieces, the tail is the end of all of them."""
    log = AttemptLog("", max_bytes=0)
    for piece in pieces:
        log.write(piece)
    whole = b"".join(pieces)
    assert log.tail == whole[-TAIL_BYTES:]
    assert log.written == len(whole)


def test_log_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    """A folder that is a file; a disk that is full."""
    (tmp_path / "file").write_text("")
    log = AttemptLog(tmp_path / "file" / "load.log")
    log.write(b"text")
    log.close()
    assert isinstance(log.error, OSError)
    assert log.tail == b"text"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_log_on_a_full_disk_fails_nothing() -> None:
    """The error is kept for whoever asks."""
    log = AttemptLog("/dev/full")
    log.write(b"text")
    log.write(b"more")
    log.close()
    assert log.error is not None and log.error.errno == 28
    assert log.tail == b"textmore"


def test_lines_are_told_printable_and_no_longer_than_a_screen_can_bear() -> None:
    """Control characters written out, tabs as blanks, bytes that are no text escaped, a line without end in pieces."""
    told: list[str] = []
    teller = LineTeller(told.append)

    teller.write(b"one\r\ntw")
    teller.write(b"o\tx\n\x1b[31m\xff\xe2\x82\xac\n\n")
    teller.write(b"y" * 20_000)
    teller.write(b"\nlast")
    teller.close()

    assert told[:4] == ["one", "two    x", r"\x1b[31m\xff€", ""]
    assert "".join(told[4:-1]) == "y" * 20_000
    assert max(map(len, told)) <= 8192
    assert told[-1] == "last"


def test_records_of_boto3_that_may_hold_keys_are_not_kept() -> None:
    """Its DEBUG is dropped, its warnings are told."""
    lines: list[str] = []

    class Stream:
        def write(self, text: str) -> None:
            lines.append(text)

    handler = StreamOfNow(Stream)
    for name, level in (("botocore.auth", logging.DEBUG), ("botocore.auth", logging.WARNING), ("x", logging.DEBUG)):
        record = logging.LogRecord(name, level, "f.py", 1, "said %d", (1,), None)
        if handler.filter(record):
            handler.handle(record)

    assert [line.split(" ", 2)[2] for line in lines] == ["WARNING botocore.auth: said 1\n", "DEBUG x: said 1\n"]
