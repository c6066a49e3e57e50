"""The names of files that are being written: hidden, beside the final one, telling a later sweep whose they are.

`.NAME.etlctl-tmp.HOST.PID.RANDOM[.SUFFIX]`, NAME being the start of the final name. Nothing here touches the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

# patterns as text: re compiles and keeps them at their first use
_TEMPORARY = (
    r"\.(?P<name>.*)\.etlctl-tmp\.(?P<host>[A-Za-z0-9_-]+)\.(?P<pid>[0-9]+)\.(?P<random>[0-9a-f]{16})(?P<suffix>\..*)?"
)
_SUFFIX = r"(\.[A-Za-z0-9]{1,10}){1,2}\Z"
_NAME_BYTES = 100
"""What a temporary name keeps of the final one, so that the whole stays under the 255 bytes of a file name."""


class TemporaryName(NamedTuple):
    """What the name of a temporary file tells: whose it is; its age is the file's own."""

    of: str
    """The start of the final name."""
    host: str
    pid: int


def parse_temporary(name: str) -> TemporaryName | None:
    """Reads a file name of ours; None for any other name."""
    found = re.fullmatch(_TEMPORARY, name, re.DOTALL)
    return TemporaryName(found["name"], found["host"], int(found["pid"])) if found else None


def this_host() -> str:
    """This machine's name as temporary names carry it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", os.uname().nodename)[:63] or "-"


def random_token() -> str:
    """64 bits that nobody can guess, so nobody can plant a link at the name beforehand."""
    return os.urandom(8).hex()


def temporary_beside(final: str, *, keep_suffix: bool, token: Callable[[], str] = random_token) -> str:
    """A name in the folder of `final`; with its suffix at the end for tools that go by it (`to_csv` packs a `.gz`)."""
    folder, name = os.path.split(final)
    start = os.fsencode(name)[:_NAME_BYTES].decode("utf-8", "ignore")
    suffix = re.search(_SUFFIX, name) if keep_suffix else None
    hidden = f".{start}.etlctl-tmp.{this_host()}.{os.getpid()}.{token()}{suffix[0] if suffix else ''}"
    return os.path.join(folder, hidden)
