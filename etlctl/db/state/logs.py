"""Where the output of attempts is kept: a folder, or a prefix in S3 with a folder of this machine before it.

    path_for(run_id, task_id, number)    the file that an attempt's output is written to while it runs
    kept(path)                           the attempt is over: the file goes to its place, from a thread of its own
    close()                              waits for what is on its way

The end of each log is in the state database besides (history.py), which every host can read.
"""

from __future__ import annotations

import contextvars
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from etlctl.errors import EtlctlError, UnavailableError
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.s3.address import S3Address

TAIL_BYTES = 64 * 1024
"""Of each attempt's output that the state database keeps."""
_ODD = re.compile(r"[^A-Za-z0-9._-]")
"""What a name of a file is better without."""
_LONGEST_NAME = 160
_BLOCK = 1024 * 1024
_RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]+")
"""What the folder of a run is called: nothing else below the store is ever removed."""


class Removed(NamedTuple):
    """Logs of runs that were too old, or would be removed."""

    runs: int
    size_bytes: int


class LogStore:
    """`[logs] store`: `place` is a folder (a relative one starts at the project) or `s3://bucket/prefix`."""

    def __init__(self, place: str, project: Path) -> None:
        self._prefix: S3Address | None = None
        self._own = os.path.join(project, ".etlctl", "logs")
        self.folder = os.path.join(project, place)
        """Where files are written to; with S3 they are on their way."""
        self.shown = place
        if place.startswith("s3://"):
            from etlctl.s3.address import parse

            self._prefix = parse(place, needs_key=False)
            self.folder = self._own
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread: Thread | None = None
        self.failure = ""
        """Why a log could not be taken to S3: its file is still in `folder`; empty for none."""

    @property
    def is_local(self) -> bool:
        """Whether files stay where they are written to."""
        return self._prefix is None

    def prepare(self) -> str:
        """Makes the folder. Where that cannot be, files go to `.etlctl/logs` of the project from here on.

        The answer is a sentence about it for the user, empty where all is well.
        """
        why = _why_not(self.folder)
        if not why:
            return ""
        said = f"logs cannot be written to {printable(self.folder)}, the store in [logs]: {why}"
        if self.folder == self._own or _why_not(self._own):
            return f"{said}. What tasks of this run print is not kept."
        self.folder = self._own
        return f"{said}. Those of this run are in {printable(self.folder)}."

    def path_for(self, run_id: str, task_id: str, number: int) -> str:
        """The local file of an attempt's output; its folder need not be there yet."""
        return os.path.join(self.folder, run_id, file_name(task_id, number))

    def written(self, run_id: str) -> set[str]:
        """The files that attempts of a run have written to so far: asked once, and not for each attempt."""
        folder = os.path.join(self.folder, run_id)
        try:
            return {os.path.join(folder, name) for name in os.listdir(folder)}
        except OSError:
            return set()

    def address_of(self, path: str) -> str:
        """Where the log of this file is to be found in the end."""
        return path if self._prefix is None else str(self._address(self._prefix, path))

    def kept(self, path: str) -> None:
        """The attempt is over. Returns at once; what fails is told in `failure`."""
        if self._prefix is None:
            return
        if self._thread is None:
            here = contextvars.copy_context()  # the client of S3 is that of the settings in place
            target = (self._upload_all, self._prefix)
            self._thread = Thread(target=here.run, args=target, name="etlctl-logs", daemon=True)
            self._thread.start()
        self._queue.put(path)

    def close(self, patience_s: float = 30) -> None:
        """Waits until all is in its place, or for `patience_s`: what is left stays in `folder`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(patience_s)
            if thread.is_alive():
                self.failure = self.failure or f"{self.shown} did not take them within {patience_s:.0f} s"

    def local_of(self, address: str) -> str:
        """The file that the log at `address` is, or was written to on the machine it ran on."""
        if self._prefix is None or not address.startswith(f"{self._prefix}"):
            return address
        return os.path.join(self.folder, address[len(str(self._prefix)) :].lstrip("/"))

    def opened(self, address: str) -> Iterator[bytes]:
        """The log in blocks: from the file where it is on this machine, else from S3.

        FileNotFoundError where it is in neither; errors of the store come up as ours.
        """
        with suppress(FileNotFoundError):
            with open(self.local_of(address), "rb") as file:
                yield from iter(lambda: file.read(_BLOCK), b"")
            return
        if not address.startswith("s3://"):
            raise FileNotFoundError(address)
        from etlctl.s3.address import parse
        from etlctl.s3.reader import open_object

        with open_object(parse(address)) as stream:
            yield from iter(lambda: stream.read(_BLOCK), b"")

    # -- removing

    def remove_older(self, before_s: float, *, is_dry: bool) -> Removed:
        """Removes the logs of runs whose newest file was written before `before_s` (seconds since 1970).

        UnavailableError where that is not allowed.
        """
        try:
            local = self._remove_folders(before_s, is_dry=is_dry)
        except OSError as error:
            raise UnavailableError(
                f"removing old logs: {printable(str(error.filename or self.folder))}: {error.strerror}. "
                "Give this user the right to, or remove them by hand."
            ) from error
        if self._prefix is None:
            return local
        remote = _remove_objects(self._prefix, before_s, is_dry=is_dry)
        return Removed(local.runs + remote.runs, local.size_bytes + remote.size_bytes)

    def _remove_folders(self, before_s: float, *, is_dry: bool) -> Removed:
        runs = size = 0
        with suppress(FileNotFoundError), os.scandir(self.folder) as folders:
            for folder in folders:
                if not _RUN.fullmatch(folder.name) or not folder.is_dir(follow_symlinks=False):
                    continue
                with os.scandir(folder.path) as files:
                    told = [file.stat(follow_symlinks=False) for file in files]
                newest = max((one.st_mtime for one in told), default=folder.stat(follow_symlinks=False).st_mtime)
                if newest < before_s:
                    runs += 1
                    size += sum(one.st_size for one in told)
                    if not is_dry:
                        import shutil  # 4 ms that a build need not wait for

                        shutil.rmtree(folder.path)
        return Removed(runs, size)

    # -- uploading

    def _upload_all(self, prefix: S3Address) -> None:
        while (path := self._queue.get()) is not None:
            try:
                self._upload(prefix, path)
            except FileNotFoundError:
                continue  # it wrote nothing
            except (EtlctlError, OSError) as error:
                self.failure = self.failure or printable(str(error))

    def _upload(self, prefix: S3Address, path: str) -> None:
        from etlctl.s3.writer import ObjectWriter

        with open(path, "rb") as file, ObjectWriter(self._address(prefix, path)) as writer:
            while block := file.read(_BLOCK):
                writer.write(block)
        os.remove(path)
        with suppress(OSError):  # others of the run are still in it
            os.rmdir(os.path.dirname(path))

    def _address(self, prefix: S3Address, path: str) -> S3Address:
        return prefix.joined(os.path.relpath(path, self.folder))


def file_name(task_id: str, number: int) -> str:
    """The name of an attempt's log; its end is the end of the id, which no other task of the run has."""
    name = task_id if task_id.isascii() and task_id.isidentifier() else _ODD.sub("_", task_id)  # most are
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 12]}_{name[-11:]}"
    return f"{name}.{number}.log"


def tail_of(path: str) -> tuple[int, bytes] | None:
    """The size of a file and its last 64 KB; None where there is none, or it is empty."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL_BYTES, 0))
            return (size, file.read(TAIL_BYTES)) if size else None
    except OSError:
        return None


def _why_not(folder: str) -> str:
    """Why no file can be made in a folder, which is made where it is not there; empty where one can."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "this user may not write there"


def _folder(address: S3Address) -> S3Address:
    return address._replace(key=f"{address.key}/")


def _remove_objects(prefix: S3Address, before_s: float, *, is_dry: bool) -> Removed:
    from etlctl.s3 import objects

    folder = prefix if not prefix.key or prefix.key.endswith("/") else _folder(prefix)
    by_run: dict[str, list[objects.ObjectInfo]] = {}
    for info in objects.listed(folder):
        run = info.address.key[len(folder.key) :].partition("/")[0]
        if _RUN.fullmatch(run):
            by_run.setdefault(run, []).append(info)
    old = {run: infos for run, infos in by_run.items() if max(one.updated_at.timestamp() for one in infos) < before_s}
    if not is_dry:
        for run in old:
            objects.remove_prefix(_folder(folder.joined(run)))
    return Removed(len(old), sum(one.size for infos in old.values() for one in infos))
