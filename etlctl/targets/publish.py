"""How a file or folder comes to its final name whole and durable, or not at all; nothing here knows formats or targets.

    refuse_unfit(final)              a folder, a device, a name too long: found before anything is written
    make_folder(parent)              missing parents, each one flushed into its own parent
    PendingFile / staged()           a temporary name in the same folder, for our writers / for a user's tool
      fsync of the content           an error here is final: a second fsync of the same file would lie (F43)
      place(temporary, final)        os.replace, or os.link where the first writer wins
      fsync of the folder            so that the name survives a power loss

A process killed half-way leaves nothing but a file or folder with a temporary name (temporaries.py).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from etlctl import faultpoints
from etlctl.core import context
from etlctl.errors import TaskError
from etlctl.targets.temporaries import random_token, temporary_beside
from etlctl.text import printable

_ATTEMPTS = 10

_HINTS = {
    errno.ENOSPC: "its disk is full: free some space and run again",
    errno.EDQUOT: "the quota is used up: free some space and run again",
    errno.EFBIG: "the file is larger than the system allows (ulimit -f)",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "the system does not permit it",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "a file name may have 255 bytes, a path 4,095",
    errno.EIO: "the disk reports an error: look at it before you run again",
    errno.EXDEV: "it is on another file system than its folder",
    errno.EBUSY: "it is a mount point",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.ELOOP: "the path goes through too many symbolic links",
}


def refusal(path: str, doing: str, error: OSError) -> TaskError:
    """The sentence for a system call that failed while `doing` something to `path`."""
    reason = _HINTS.get(error.errno or 0) or error.strerror or type(error).__name__
    name = errno.errorcode.get(error.errno or 0, "OSError")
    return TaskError(f"{printable(path)}: {doing} failed: {reason} ({name})")


class naming:  # noqa: N801  reads as a function; not made of a generator: five such blocks stand about each file
    """Turns an OSError of the block into a TaskError that names `path`."""

    def __init__(self, path: str, doing: str) -> None:
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise refusal(self._path, self._doing, error) from error


def prepare(final: str, *, if_absent: bool, may_be_folder: bool) -> None:
    """Makes the folder of `final` and refuses, before any work is done, what could not be published there.

    A symbolic link to a file, or to nothing, is replaced by the file itself and what it pointed to is left alone (F45);
    a link to a folder or a device is refused, as the folder or device itself is. `may_be_folder`: the result may be
    one, and then an empty folder may be there before; one that holds something cannot be replaced in one step.
    """
    if not os.path.basename(final):
        raise TaskError(f"{printable(final)} names a folder: leave the '/' at the end out to write a file")
    make_folder(os.path.dirname(final), of=final)
    with naming(final, "looking at what is there"):
        try:
            kind = os.stat(final).st_mode
        except FileNotFoundError:
            if if_absent and os.path.islink(final):
                raise TaskError(
                    f"{printable(final)} is a symbolic link to nothing, neither there nor free: remove the link"
                ) from None
            return
        if stat.S_ISREG(kind) or (may_be_folder and stat.S_ISDIR(kind) and (if_absent or _is_free_folder(final))):
            return
    if stat.S_ISDIR(kind):
        raise TaskError(
            f"{printable(final)} is a folder, which no file and no other folder can replace: remove it first"
        )
    raise TaskError(f"{printable(final)} is no file but a {_kind_word(kind)}: it cannot be replaced whole")


def make_folder(folder: str, *, of: str) -> None:
    """Makes `folder` and its missing parents, durably; does nothing where it is there."""
    missing = []
    while folder and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with naming(of, f"making the folder {printable(path)}"):
            try:
                os.mkdir(path)
            except FileExistsError as error:
                if not os.path.isdir(path):  # else another task made it a moment ago
                    raise NotADirectoryError(errno.ENOTDIR, "is not a folder", path) from error
            sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    """Makes the names in `folder` survive a power loss, as far as its file system can."""
    try:
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # a drop box: writable but not readable, and only a readable folder can be flushed
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def place(temporary: str, final: str, *, if_absent: bool) -> bool:
    """Gives `temporary`, flushed already, the final name; `flush_name` then makes that durable.

    False when `if_absent` and another one was first: `temporary` is then still there, for the caller to deal with.
    """
    with naming(final, "giving the written file its name"):
        placed = _link(temporary, final) if if_absent else _replace(temporary, final)
    faultpoints.point("file.renamed")
    return placed


def flush_name(final: str) -> None:
    """Flushes the folder of what was just placed."""
    with naming(final, "flushing its folder, with the file in place,"):
        sync_folder(os.path.dirname(final))
    faultpoints.point("file.dirsynced")


def remove_any(path: str) -> None:
    """Removes a file, link or folder; nothing there is no error."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil  # heavy, and folders are rare

            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


class PendingFile:
    """A `writers.Pending` on the disk: one open temporary file, ours alone, with the permissions of the umask."""

    def __init__(self, final: str, *, if_absent: bool, token: Callable[[], str] = random_token) -> None:
        """Opens the temporary file; TaskError where `final` cannot be written."""
        prepare(final, if_absent=if_absent, may_be_folder=False)
        self.name = final
        self.published: bool | None = None
        self._if_absent = if_absent
        with naming(final, "opening a temporary file beside it"):
            self.temporary, self._descriptor = _create(final, token)
        self.raw = _Raw(self._descriptor, final)
        faultpoints.point("file.tmp_open")

    def publish(self) -> None:
        """fsync, rename, fsync of the folder."""
        self.raw.check_owner()
        if self.raw.failed:
            raise TaskError(f"{printable(self.name)}: writing failed before, so nothing of it is published")
        faultpoints.point("file.written")
        with naming(self.name, "flushing it to the disk"):
            os.fsync(self._descriptor)
        faultpoints.point("file.fsynced")
        self._close()
        self.published = _publish(self.temporary, self.name, if_absent=self._if_absent)
        flush_name(self.name)

    def mute(self) -> None:
        """Bytes that the layers above still hold go nowhere."""
        self.raw.muted = True

    def discard(self) -> None:
        """Closes and removes the temporary file; a forked child leaves its parent's file alone."""
        self._close()
        if self.published is None:
            self.published = False
            if self.raw.owner == os.getpid():
                with contextlib.suppress(OSError):  # the error at hand matters more, and a sweep finds the name
                    remove_any(self.temporary)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):  # after fsync it has nothing left to tell; while discarding nobody asks
                os.close(descriptor)


@dataclass
class Staged:
    """A temporary path that a user's tool fills."""

    path: str
    published: bool | None = None
    """None until the block is over; False when another one was there first."""


@contextmanager
def staged(final: str, *, if_absent: bool, token: Callable[[], str] = random_token) -> Iterator[Staged]:
    """A path beside `final` for a tool that makes a file or a folder; published, durable, when the block ends well."""
    prepare(final, if_absent=if_absent, may_be_folder=True)
    owner = os.getpid()
    with naming(final, "finding a temporary name beside it"):
        stage = Staged(_free_name(final, token))
    faultpoints.point("file.tmp_open")
    try:
        yield stage
        faultpoints.point("file.written")
        _sync_whole(stage.path, final)
        faultpoints.point("file.fsynced")
        stage.published = _publish(stage.path, final, if_absent=if_absent)
        flush_name(final)
    finally:
        if stage.published is None and owner == os.getpid():  # a forked child leaves its parent's work alone
            with contextlib.suppress(OSError):  # the error at hand matters more, and a sweep finds the name
                remove_any(stage.path)


class _Raw(io.FileIO):
    """The temporary file under the buffers: its errors name the final path, and one error spoils the whole file."""

    def __init__(self, descriptor: int, final: str) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.name = final
        self.owner = os.getpid()
        self.failed = False
        self.muted = False

    def write(self, data: Any, /) -> int:
        if self.muted:
            return memoryview(data).nbytes
        self.check_owner()
        try:
            return super().write(data)
        except OSError as error:
            self.failed = True
            raise refusal(str(self.name), "writing", error) from error

    def check_owner(self) -> None:
        """A forked child holds a copy of its parent's buffers: it must not write them a second time, nor publish."""
        if os.getpid() != self.owner:
            raise TaskError(f"{printable(str(self.name))} was opened by process {self.owner}, which alone can write it")


def _create(final: str, token: Callable[[], str]) -> tuple[str, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(_ATTEMPTS):
        temporary = temporary_beside(final, keep_suffix=False, token=token)
        with contextlib.suppress(FileExistsError):  # a file, or a link that somebody planted: take another name
            return temporary, os.open(temporary, flags, 0o666)
    raise _no_name(final)


def _free_name(final: str, token: Callable[[], str]) -> str:
    for _ in range(_ATTEMPTS):
        temporary = temporary_beside(final, keep_suffix=True, token=token)
        if not os.path.lexists(temporary):
            return temporary
    raise _no_name(final)


def _no_name(final: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, f"{_ATTEMPTS} names in a row were taken", final)


def _publish(temporary: str, final: str, *, if_absent: bool) -> bool:
    """`place`; the loser of `if_absent` removes its work and says so in the summary."""
    placed = place(temporary, final, if_absent=if_absent)
    if not placed:
        remove_any(temporary)
        context.attempt().notes.append(
            f"{printable(final)} was there already: the first one stays, what this run wrote is discarded"
        )
    return placed


def _replace(temporary: str, final: str) -> bool:
    try:
        os.replace(temporary, final)
    except (IsADirectoryError, NotADirectoryError) as error:
        raise TaskError(
            f"{printable(final)}: a file cannot replace a folder, nor a folder a file: remove it first"
        ) from error
    return True


def _link(temporary: str, final: str) -> bool:
    if os.path.isdir(temporary):  # a folder has no second name, but a rename never replaces one that holds anything
        try:
            os.rename(temporary, final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            return False
        return True
    try:
        os.link(temporary, final, follow_symlinks=False)
        first = True
    except FileExistsError:
        # over NFS a link may be made and its answer lost, and the repeated request says EEXIST: open(2), O_EXCL
        first = os.path.samestat(os.lstat(temporary), os.lstat(final))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise OSError(error.errno, "its file system has no hard links, which if_absent=True needs") from error
        raise
    if first:
        os.unlink(temporary)
    return first


def _sync_whole(path: str, final: str) -> None:
    """Flushes a file, or a folder with all that is in it, innermost first."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        raise TaskError(
            f"{printable(final)}: the block ended, but wrote nothing at the temporary path it was given"
        ) from None
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise TaskError(
            f"{printable(final)}: the block left a {_kind_word(mode)} at the temporary path, not a file or folder"
        )
    with naming(final, "flushing it to the disk"):
        if stat.S_ISREG(mode):
            _sync_file(path)
            return
        for folder, _, names in os.walk(path, topdown=False, onerror=_raise):
            for name in names:
                inner = os.path.join(folder, name)
                if stat.S_ISREG(os.lstat(inner).st_mode):
                    _sync_file(inner)
            sync_folder(folder)


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise(error: OSError) -> None:
    raise error


def _is_free_folder(path: str) -> bool:
    if os.path.islink(path):
        return False
    with os.scandir(path) as entries:
        return next(entries, None) is None


def _kind_word(mode: int) -> str:
    kinds = {stat.S_ISLNK: "symbolic link", stat.S_ISFIFO: "FIFO", stat.S_ISSOCK: "socket"}
    return next((word for test, word in kinds.items() if test(mode)), "device")
