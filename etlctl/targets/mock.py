"""MockTarget: a target in memory, for tests and notebooks; nothing of it outlives the process or leaves it."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, ClassVar

from etlctl.core.target import Target
from etlctl.targets import formats
from etlctl.targets.writers import open_writer
from etlctl.text import printable


@dataclass(frozen=True)
class _Content:
    data: bytes
    updated_at: datetime


class MockFileSystem:
    """All MockTargets of this process, by path: one store for all, since two `MockTarget("a")` are the same thing."""

    _contents: ClassVar[dict[str, _Content]] = {}

    def get_all_data(self) -> dict[str, bytes]:
        """What each path holds, as it would be on a disk."""
        return {path: content.data for path, content in self._contents.items()}

    def exists(self, path: str) -> bool:
        """Whether something was published there."""
        return path in self._contents

    def listdir(self, path: str) -> list[str]:
        """The paths that start with `path`, sorted."""
        return sorted(one for one in self._contents if one.startswith(path))

    def remove(self, path: str) -> None:
        """Forgets one path; nothing there is no error."""
        self._contents.pop(path, None)

    def clear(self) -> None:
        """Forgets all: between two tests, or before a notebook cell that is to run again."""
        self._contents.clear()


class MockTarget(Target):
    """Content under a name in this process: `open`, `exists` and all else as a LocalTarget, without a disk.

    Two with the same name are the same thing. `MockTarget.clear_all()` empties the store.
    """

    fs: ClassVar[MockFileSystem] = MockFileSystem()

    @property
    def is_in_memory(self) -> bool:
        """Always."""
        return True

    def __init__(self, fn: str | os.PathLike[str], format: formats.Format | None = None) -> None:
        self.path = os.fsdecode(fn)
        self.format = format or formats.by_suffix(self.path)

    @property
    def fn(self) -> str:
        """`path`, by Luigi's older name."""
        return self.path

    def __str__(self) -> str:
        return printable(self.path)

    def __repr__(self) -> str:
        return f"MockTarget({self.path!r})"

    def exists(self) -> bool:
        """Whether a writer was closed on this name."""
        return self.fs.exists(self.path)

    def updated_at(self) -> datetime | None:
        """When it was last written, aware UTC."""
        content = self.fs._contents.get(self.path)
        return content.updated_at if content else None

    def open(self, mode: str = "r") -> IO[Any]:
        """As LocalTarget.open: published at close, and not after an exception in the block.

        FileNotFoundError for reading a name that was not written.
        """
        wanted = formats.parse_mode(mode, self.format)
        if wanted.writes:
            return open_writer(_PendingMemory(self.path), wanted.format)
        content = self.fs._contents.get(self.path)
        if content is None:
            raise FileNotFoundError(f"MockTarget {self} holds nothing: no task has written it in this process")
        return formats.open_reader(io.BytesIO(content.data), wanted.format)

    def remove(self) -> None:
        """Forgets the content; nothing there is no error."""
        self.fs.remove(self.path)

    @classmethod
    def clear_all(cls) -> None:
        """Forgets the content of every MockTarget."""
        cls.fs.clear()


class _PendingMemory:
    """A `writers.Pending` in memory."""

    def __init__(self, path: str) -> None:
        self.name = path
        self.published: bool | None = None
        self.raw = _Memory()

    def publish(self) -> None:
        MockFileSystem._contents[self.name] = _Content(self.raw.content, datetime.now(UTC))
        self.published = True

    def mute(self) -> None:
        """Memory takes what it is given: there is nothing to protect."""

    def discard(self) -> None:
        if self.published is None:
            self.published = False


class _Memory(io.BytesIO):
    """Keeps its bytes when the layers above close it."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()
