"""LocalTarget: a file or folder on this machine, seen whole or not at all. How that is done: publish.py."""

from __future__ import annotations

import errno
import os
import unicodedata
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import IO, Any

from etlctl.core.target import Target
from etlctl.errors import TaskError
from etlctl.targets import formats, paths, publish, temporaries
from etlctl.targets.writers import open_writer
from etlctl.text import printable

_LISTING_PAYS_FROM = 16
"""Fewer targets than this in one folder are asked one by one."""
_LISTING_ENTRIES_PER_TARGET = 20
"""A folder with more entries than this for each target asked about is not listed to its end."""

_SURELY_SHORT_BYTES = 100
"""Every file system takes names of this length, so a shorter one that is not listed is absent and nothing worse."""


class LocalTarget(Target):
    """A path on this machine that a task makes.

    What is written appears under `path` when it is complete and flushed to the disk, and replaces what was there;
    with `if_absent=True` the first writer wins, and a later one discards its work (`published` of the writer is False,
    and a note goes to the summary). A symbolic link at `path` is replaced, not followed; reading follows it.

    path       relative ones start at the project folder; str or pathlib
    format     of `etlctl.targets.formats`; default: UTF-8 text, packed when the suffix is .gz or .bz2. One that is
               given holds whatever the suffix: `format=Nop` on `x.csv.gz` reads and writes the packed bytes
    is_tmp     the file is removed with this object; without `path` it is in the system's temporary folder
    root       a folder that `path` must not leave: use it where a part of `path` comes from outside. Absolute paths,
               `..` and symbolic links leading out are refused with a TaskError
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        format: formats.Format | None = None,
        is_tmp: bool = False,
        *,
        root: str | os.PathLike[str] | None = None,
        if_absent: bool = False,
    ) -> None:
        if path is None:
            if not is_tmp:
                raise TaskError("a LocalTarget needs a path, or is_tmp=True for a temporary file")
            import tempfile  # heavy, and temporary targets are rare

            path = os.path.join(tempfile.gettempdir(), f"etlctl-{temporaries.random_token()}")
        self._path = paths.as_text(path)
        self._root = None if root is None else paths.as_text(root)
        self.format = format or formats.by_suffix(self._path)
        self.is_tmp = is_tmp
        self.if_absent = if_absent
        if self._root is not None:
            paths.check_relative(self._path)
            self._usable_path()
        if is_tmp:
            weakref.finalize(self, _remove_temporary, os.path.abspath(self.path), os.getpid())

    @property
    def path(self) -> str:
        """As it was written when the project is the current folder, else absolute: any open() finds the same file."""
        path = self._path if self._root is None else os.path.join(self._root, self._path)
        return paths.in_project(path)

    @property
    def fn(self) -> str:
        """`path`, by Luigi's older name."""
        return self.path

    def __str__(self) -> str:
        return printable(self.path)

    def __repr__(self) -> str:
        return f"LocalTarget({self._path!r})"

    def beside(self, name: str) -> LocalTarget:
        """`name` in the same folder, or below it, with the same root; its format is by its own suffix.

        It replaces what is there, whatever this target does.
        """
        paths.check_relative(name)
        return LocalTarget(os.path.join(os.path.dirname(self._path), name), root=self._root)

    def exists(self) -> bool:
        """Whether a file or folder is there; a link to nothing is not. TaskError where the system will not say."""
        return _exists(self._place if self._root is None else self._usable_path())

    @classmethod
    def exists_many(cls, targets: Sequence[Any]) -> Sequence[bool | Exception]:
        """As `exists()` of each; many in one folder are answered by listing it once, where that is less work."""
        if len(targets) < _LISTING_PAYS_FROM:
            return [_answer(target.exists) for target in targets]
        answers: dict[int, bool | Exception] = {}
        by_folder: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        for number, target in enumerate(targets):
            path = target._place
            folder, name = os.path.split(path)
            if target._root is not None or name in ("", ".", ".."):
                answers[number] = _answer(target.exists)
            else:
                by_folder[folder].append((number, name, path))
        for folder, asked in by_folder.items():
            listing = _list(folder, len(asked)) if len(asked) >= _LISTING_PAYS_FROM else None
            for number, name, path in asked:
                known = None if listing is None else listing.holds(name)
                answers[number] = _answer(lambda path=path: _exists(path)) if known is None else known
        return [answers[number] for number in range(len(targets))]

    def updated_at(self) -> datetime | None:
        """The modification time of the file or folder, aware UTC; None where nothing is there."""
        path = self._usable_path()
        try:
            with publish.naming(path, "looking for it"):
                return datetime.fromtimestamp(os.stat(path).st_mtime, tz=UTC)
        except TaskError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            raise

    def size(self) -> int | None:
        """In bytes, as it is on the disk; None where nothing is there."""
        path = self._usable_path()
        try:
            with publish.naming(path, "looking for it"):
                return os.stat(path).st_size
        except TaskError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            raise

    def open(self, mode: str = "r") -> IO[Any]:
        """A file to read or write: `r` and `w` as the format says, `rb`/`wb` for bytes, `rt`/`wt` for text.

        Text is UTF-8 and exact: no newline is translated in either direction. A `.gz` or `.bz2` is unpacked and packed
        on the way, in bytes mode too; the same content packs to the same gzip bytes.

        Writing makes the missing parent folders and publishes at close() or at the end of the `with` block; an
        exception out of the block, or a writer that is dropped without being closed, publishes nothing. TaskError,
        naming the path, when the disk or the system refuses; the old file is then as it was.
        Reading raises what the built-in open() raises.
        """
        wanted = formats.parse_mode(mode, self.format)
        path = self._usable_path()
        if not wanted.writes:
            return formats.open_reader(path, wanted.format)
        return open_writer(publish.PendingFile(path, if_absent=self.if_absent), wanted.format)

    @contextmanager
    def temporary_path(self) -> Iterator[str]:
        """A path in the same folder for a tool that wants a name: a file, or a folder, made there is published.

        Published and durable when the block ends well; on an exception it is removed. The path ends with the same
        suffix; its bytes are the tool's own affair (no format is applied). A folder can take the place of an empty
        one only.
        """
        with publish.staged(self._usable_path().rstrip("/"), if_absent=self.if_absent) as stage:
            yield stage.path

    def makedirs(self) -> None:
        """Makes the folders above the path; writing does so by itself."""
        path = self._usable_path()
        publish.make_folder(os.path.dirname(path.rstrip("/")), of=path)

    def remove(self) -> None:
        """Removes the file, or the folder with all in it (renamed away first, so that no half of it is ever seen)."""
        path = self._usable_path().rstrip("/")
        doomed = path
        with publish.naming(path, "removing it"):
            if os.path.isdir(path) and not os.path.islink(path):
                doomed = temporaries.temporary_beside(path, keep_suffix=False)
                os.rename(path, doomed)
            publish.remove_any(doomed)
            if os.path.isdir(os.path.dirname(path) or "."):
                publish.sync_folder(os.path.dirname(path))

    def copy(self, new_path: str | os.PathLike[str], raise_if_exists: bool = False) -> None:
        """Copies to `new_path`, whole or not at all; `raise_if_exists`: TaskError when something is there."""
        source, other = self._usable_path().rstrip("/"), LocalTarget(new_path).path
        import shutil  # heavy, and copies are rare

        with publish.staged(other, if_absent=raise_if_exists) as stage, publish.naming(source, "copying it"):
            if os.path.isdir(source):
                shutil.copytree(source, stage.path, symlinks=True)
            else:
                shutil.copy(source, stage.path)
        if not stage.published:
            raise _already_there(other)

    def move(self, new_path: str | os.PathLike[str], raise_if_exists: bool = False) -> None:
        """Renames to `new_path`; to another file system by copying, whole, and removing."""
        source, other = self._usable_path().rstrip("/"), LocalTarget(new_path).path
        if not os.path.lexists(source):
            raise TaskError(f"{printable(source)} cannot be moved: nothing is there")
        publish.prepare(other, if_absent=raise_if_exists, may_be_folder=True)
        try:
            is_moved = publish.place(source, other, if_absent=raise_if_exists)
        except TaskError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EXDEV:
                raise
            self.copy(new_path, raise_if_exists)
            self.remove()
            return
        if not is_moved:
            raise _already_there(other)
        publish.flush_name(other)

    @property
    def _place(self) -> str:
        """`path` for a look at the disk, where a relative one starts at the project whatever the current folder."""
        is_ours = self._root is None and type(self).path is LocalTarget.path
        return self._path if is_ours else self.path

    def _usable_path(self) -> str:
        """`path`, after asking again whether links lead it out of its root."""
        path = self.path
        if self._root is not None:
            paths.check_inside(paths.in_project(self._root), path)
        return path


class _Listing:
    """The names in one folder, as one pass over it found them."""

    def __init__(self, names: set[str], links: set[str]) -> None:
        self._names = names
        self._links = links
        self._folded: set[str] | None = None

    def holds(self, name: str) -> bool | None:
        """Whether `name` is there; None where only stat() can tell: a link, a name that may be too long to exist, or
        one that differs in case or accents, which some file systems hold to be the same.
        """
        if name in self._names:
            return None if name in self._links else True
        if len(os.fsencode(name)) > _SURELY_SHORT_BYTES:
            return None
        if self._folded is None:
            self._folded = {_folded(one) for one in self._names}
        return None if _folded(name) in self._folded else False


def _list(folder: str, asked: int) -> _Listing | None:
    """The folder's names; None where it cannot be listed, or holds so many more that stat() is cheaper."""
    names: set[str] = set()
    links: set[str] = set()
    try:
        with os.scandir(paths.absolute(folder or ".")) as entries:
            for entry in entries:
                names.add(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
                if len(names) > asked * _LISTING_ENTRIES_PER_TARGET:
                    return None
    except (FileNotFoundError, NotADirectoryError):
        return _Listing(set(), set())
    except OSError:  # stat() then says of each target what is the matter
        return None
    return _Listing(names, links)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _exists(path: str) -> bool:
    """os.path.exists() takes a folder that may not be looked into for an absent file; here that is an error."""
    try:
        os.stat(paths.absolute(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise publish.refusal(paths.in_project(path), "looking for it", error) from error
    return True


def _answer(ask: Any) -> bool | Exception:
    try:
        return bool(ask())
    except TaskError as error:
        return error


def _already_there(path: str) -> TaskError:
    return TaskError(f"{printable(path)} is there already, and was not to be replaced")


def _remove_temporary(path: str, owner: int) -> None:
    if os.getpid() == owner:
        with suppress(OSError):  # nobody is left to be told, and it is the system's temporary folder
            publish.remove_any(path)
