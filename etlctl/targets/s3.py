"""S3Target and S3FlagTarget: objects in S3 as targets. How they are read and written: etlctl/s3."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, Any

from etlctl.core.target import Target
from etlctl.errors import TaskError
from etlctl.s3 import options as s3_options
from etlctl.s3.address import S3Address, parse
from etlctl.s3.existence import exist
from etlctl.s3.objects import ObjectInfo, copy, head, listed, remove
from etlctl.s3.reader import open_object
from etlctl.s3.upload import Upload
from etlctl.s3.writer import ObjectWriter
from etlctl.targets import formats
from etlctl.targets.writers import open_writer

FLAG = "_SUCCESS"


class S3Target(Target):
    """An object `s3://bucket/key` that a task makes.

    What is written appears under the key when it is complete, and replaces what was there; with `if_absent=True` the
    first writer wins, and a later one discards its work (`published` of the writer is False, and a note goes to the
    summary). The key is taken letter by letter: `#`, `?`, `%41`, spaces and `//` are parts of it.

    path       `s3://bucket/key`; with `root`, a key below it
    format     of `etlctl.targets.formats`; default: UTF-8 text, packed when the suffix is .gz or .bz2
    root       `s3://bucket/prefix/`, which `path` must not leave: use it where a part of `path` comes from outside
    options    what is said of the object when it is written, by boto3's names, of `etlctl.s3.options.ALLOWED`:
               ServerSideEncryption, SSEKMSKeyId, StorageClass, ContentType, Metadata, … TaskError for any other
    """

    def __init__(
        self,
        path: str,
        format: formats.Format | None = None,
        *,
        root: str | None = None,
        if_absent: bool = False,
        **options: Any,
    ) -> None:
        self.address = parse(path) if root is None else parse(root, needs_key=False).joined(path)
        self.format = format or formats.by_suffix(self.address.key)
        self.if_absent = if_absent
        self.options = s3_options.checked(options, f"S3Target({self.address.shown})")

    @property
    def path(self) -> str:
        """The whole address, as `s3://bucket/key`."""
        return str(self.address)

    def __str__(self) -> str:
        return self.address.shown

    def __repr__(self) -> str:
        return f"S3Target({self.path!r})"

    def beside(self, name: str) -> S3Target:
        """`name` in the same folder, or below it, written by the same options; its format is by its own suffix.

        It replaces what is there, whatever this target does.
        """
        folder = "".join(self.address.key.rpartition("/")[:2])
        return S3Target(str(S3Address(self.address.bucket, folder).joined(name)), **self.options)

    def exists(self) -> bool:
        """Whether an object of exactly this key is there.

        UnavailableError where the store cannot be asked or will not say, and where there is no such bucket.
        """
        return self.info() is not None

    @classmethod
    def exists_many(cls, targets: Sequence[Any]) -> Sequence[bool | Exception]:
        """As `exists()` of each: one listing where keys share a prefix, else HEADs in parallel."""
        return exist([target.address for target in targets])

    def info(self) -> ObjectInfo | None:
        """Size, ETag and time of the object, in one request; None where nothing is there."""
        return head(self.address)

    def updated_at(self) -> datetime | None:
        """When the object was written, by the store's clock, aware UTC; None where nothing is there."""
        info = self.info()
        return None if info is None else info.updated_at

    def size(self) -> int | None:
        """In bytes, as it is stored; None where nothing is there."""
        info = self.info()
        return None if info is None else info.size

    def etag(self) -> str | None:
        """The store's mark of this content, with its quotes; None where nothing is there."""
        info = self.info()
        return None if info is None else info.etag

    def open(self, mode: str = "r") -> IO[Any]:
        """A file to read or write: `r` and `w` as the format says, `rb`/`wb` for bytes, `rt`/`wt` for text.

        Reading streams one and the same object: a connection that breaks is made again where it broke, and an object
        that is replaced meanwhile is an error. FileNotFoundError where nothing is there.
        Writing goes through memory, 8 MiB at a time, and publishes at close() or at the end of the `with` block; an
        exception out of the block, a writer that is dropped without being closed, and the interpreter's end publish
        nothing. TransientError or UnavailableError when the store refuses; the old object is then as it was.
        """
        wanted = formats.parse_mode(mode, self.format)
        if not wanted.writes:
            return formats.open_reader(open_object(self.address), wanted.format)
        return open_writer(
            _PendingObject(Upload(self.address, if_absent=self.if_absent, options=self.options)), wanted.format
        )

    def remove(self) -> None:
        """Removes the object; nothing there is no error."""
        remove(self.address)

    def copy(self, new_path: str, raise_if_exists: bool = False) -> None:
        """Copies within the store, whole or not at all; `raise_if_exists`: TaskError when something is there."""
        other = parse(new_path)
        _refuse_other(other, raise_if_exists)
        copy(self.address, other, options=self.options)

    def move(self, new_path: str, raise_if_exists: bool = False) -> None:
        """`copy`, then `remove`: two steps, since S3 has no one for it."""
        self.copy(new_path, raise_if_exists)
        self.remove()


class S3FlagTarget(Target):
    """A folder `s3://bucket/folder/` that is complete once it holds a flag, an object written last.

    For results of many objects that nobody can publish in one step, such as those of Spark or Hadoop; a reader that
    looks at the flag first sees all of them or none. Removing or replacing a part is not seen by it.
    """

    def __init__(self, path: str, flag: str = FLAG) -> None:
        self._folder = parse(path, needs_key=False)
        if not path.endswith("/"):
            raise TaskError(f"S3FlagTarget({self._folder.shown}): a flag stands in a folder: end the path with a '/'")
        self.flag = flag
        self.address = self._folder.joined(flag)

    @property
    def path(self) -> str:
        """The folder, with the `/` at its end."""
        return str(self._folder)

    def __str__(self) -> str:
        return self.address.shown

    def __repr__(self) -> str:
        return f"S3FlagTarget({self.path!r}, {self.flag!r})"

    def exists(self) -> bool:
        """Whether the flag is there; as `S3Target.exists`."""
        return head(self.address) is not None

    @classmethod
    def exists_many(cls, targets: Sequence[Any]) -> Sequence[bool | Exception]:
        """As `S3Target.exists_many`, of the flags."""
        return exist([target.address for target in targets])

    def updated_at(self) -> datetime | None:
        """When the flag was written, aware UTC; None where it is not there."""
        info = head(self.address)
        return None if info is None else info.updated_at

    def joined(self, name: str, format: formats.Format | None = None, **options: Any) -> S3Target:
        """An object of the folder, to be read, or written before `touch()`; TaskError for a name that leaves it."""
        return S3Target(name, format, root=self.path, **options)

    def parts(self) -> Iterator[S3Target]:
        """The objects of the folder, in the store's order, but for the flag and for markers of folders.

        As for Hadoop's and Spark's own readers, what begins with `_` or `.` is none of them, object or folder, such as
        `_committed_…` and `.part-0.crc`; `_name=value/`, a folder of a partition, is.
        """
        for info in listed(self._folder):
            names = info.address.key.removeprefix(self._folder.key).split("/")
            if names[-1] and info.address != self.address and not any(map(_is_hidden, names)):
                yield S3Target(str(info.address))

    def touch(self) -> None:
        """Writes the flag, empty: the last step of whoever makes the folder."""
        ObjectWriter(self.address).close()

    def remove(self) -> None:
        """Removes the flag, so that the folder is incomplete; its objects stay."""
        remove(self.address)


class _PendingObject:
    """A `writers.Pending` in the store."""

    def __init__(self, upload: Upload) -> None:
        self.name = str(upload.address)
        self.raw = _Raw(upload)
        self._upload = upload

    @property
    def published(self) -> bool | None:
        return self._upload.published

    def publish(self) -> None:
        self._upload.publish()

    def mute(self) -> None:
        self.raw.is_muted = True

    def discard(self) -> None:
        self._upload.abort()


class _Raw(io.RawIOBase):
    """The upload under the buffers; closing it neither publishes nor discards."""

    def __init__(self, upload: Upload) -> None:
        self.is_muted = False
        self._upload = upload

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return memoryview(data).nbytes if self.is_muted else self._upload.write(data)


def _is_hidden(name: str) -> bool:
    """The rule of Spark's `InMemoryFileIndex.shouldFilterOutPathName`."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _refuse_other(other: S3Address, raise_if_exists: bool) -> None:
    if raise_if_exists and head(other) is not None:
        raise TaskError(f"{other.shown} is there already, and was not to be replaced")
