"""The file that node_exporter's textfile collector reads: figures of many runs added up, never half written."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from etlctl.metrics.exposition import figures_of, text_of
from etlctl.metrics.figures import Figures

_POLL_S = 0.02
_MODE = 0o644
"""node_exporter is another user; there are no secrets in it."""


def add(path: Path, figures: Figures, *, patience_s: float = 5) -> None:
    """Adds `figures` to those in the file; builds that end at once do so one after the other. Raises OSError, also
    where another process keeps the file for longer than `patience_s`: one that is stopped holds up nobody's build.

    A run lasts minutes and its counters would begin at 0 each time: Prometheus sees no growth between two runs that
    did the same. What cannot be read in the file is begun anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path, patience_s):
        _publish(path, text_of(figures.after(_there(path))))


def _there(path: Path) -> Figures:
    try:
        return figures_of(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Figures()
    except ValueError:
        return Figures()


@contextmanager
def _alone(path: Path, patience_s: float) -> Iterator[None]:
    lock = os.open(path.parent / f".{path.name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        until = time.monotonic() + patience_s
        while not _is_locked(lock):
            if time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "another process keeps it locked", os.fspath(path))
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _publish(path: Path, text: str) -> None:
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8") as file:
        try:
            file.write(text)
            os.fchmod(file.fileno(), _MODE)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(file.name)
            raise
