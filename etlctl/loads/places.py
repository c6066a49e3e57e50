"""Where the bytes of a load come from: a file on this machine, an object in S3, the files that a manifest names.

found_at(target)      one place, or several: a `.manifest`, the objects of a folder
  Place.open()        the bytes as they lie there, packed or not; always of the very same content

What the bytes mean is known to loads/source.py.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

from etlctl.errors import BadDataError
from etlctl.loads.filenames import FORMS, PACKINGS_OF_COPY
from etlctl.loads.manifest import MOST_BYTES, SUFFIX, Entry, is_manifest, read_manifest
from etlctl.s3 import objects
from etlctl.s3.address import SCHEME, S3Address, parse
from etlctl.s3.reader import open_object
from etlctl.text import printable, shortened

_AT_ONCE = 16


class Place(Protocol):
    """Where one file lies."""

    name: str
    """Its suffixes say what it is."""
    shown: str
    """For messages."""

    def open(self) -> BinaryIO:
        """The bytes, from the first on, buffered (`peek`).

        BadDataError where nothing is there, or no longer what was opened first; UnavailableError and TransientError for
        a store that cannot be asked.
        """

    def check_unchanged(self) -> None:
        """BadDataError when it was opened, and is no longer what it was then."""

    def described(self) -> dict[str, Any]:
        """For the marker: path, size, and what else tells one content from the next. Raises as `open()`."""


class LocalPlace:
    """A file on this machine."""

    def __init__(self, path: str | os.PathLike[str], shown: str | None = None, *, size: int | None = None) -> None:
        self._path = Path(path)
        self._expected = size
        self.name = self._path.name
        self.shown = printable(shown if shown is not None else str(path))
        self._identity: tuple[int, ...] | None = None

    def open(self) -> BinaryIO:
        """See Place."""
        try:
            raw = open(self._path, "rb")  # noqa: SIM115  the caller closes it
        except OSError as error:
            raise BadDataError(f"{self.shown}: cannot be read: {error.strerror}") from error
        try:
            status = os.fstat(raw.fileno())
            _check_size(self.shown, status.st_size, self._expected)
            self._identity = self._identity or _identity(status)
            self.check_unchanged()
        except BaseException:
            raw.close()
            raise
        return raw

    def check_unchanged(self) -> None:
        """By inode, size and time."""
        if self._identity is None:
            return
        try:
            now = _identity(os.stat(self._path))
        except OSError as error:
            raise _removed(self.shown) from error
        if now != self._identity:
            raise _changed(self.shown)

    def described(self) -> dict[str, Any]:
        """See Place."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise BadDataError(f"{self.shown}: cannot be read: {error.strerror}") from error
        self._identity = self._identity or _identity(status)
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return {"path": str(self._path), "size": status.st_size, "mtime": modified.isoformat()}


class ObjectPlace:
    """An object in S3; its ETag tells whether it is still the same."""

    def __init__(self, address: S3Address, *, size: int | None = None) -> None:
        self.address = address
        self._expected = size
        self.name = PurePosixPath(address.key).name
        self.shown = shortened(address.shown, 400)
        self._found: objects.ObjectInfo | None = None

    def open(self) -> BinaryIO:
        """See Place."""
        try:
            stream = open_object(self.address)
        except FileNotFoundError as error:
            raise self._absent() from error
        try:
            self._remember(objects.ObjectInfo(self.address, stream.size, stream.etag, stream.updated_at))
        except BaseException:
            stream.close()
            raise
        return cast(BinaryIO, stream)

    def check_unchanged(self) -> None:
        """See Place; one request."""
        if self._found is None:
            return
        now = objects.head(self.address)
        if now is None:
            raise _removed(self.shown)
        self._remember(now)

    def described(self) -> dict[str, Any]:
        """See Place; no request where it was opened before."""
        found = self._found
        if found is None:
            now = objects.head(self.address)
            if now is None:
                raise self._absent()
            found = self._remember(now)
        return {
            "path": str(self.address),
            "size": found.size,
            "etag": found.etag.strip('"'),
            "updated_at": found.updated_at.isoformat(),
        }

    def _remember(self, now: objects.ObjectInfo) -> objects.ObjectInfo:
        """What was found first, which `now` must be still."""
        _check_size(self.shown, now.size, self._expected)
        self._found = self._found or now
        if (now.etag, now.size) != (self._found.etag, self._found.size):
            raise _changed(self.shown)
        return self._found

    def _absent(self) -> BadDataError:
        return BadDataError(
            f"{self.shown}: there is no such object. A key is taken letter by letter: look at capitals and slashes, "
            "and at whether what makes it has run."
        )


@dataclass(frozen=True)
class Origin:
    """What a load reads: the file, or the files that together are one."""

    shown: str
    places: Sequence[Place]
    """In the order in which they are read; one at least."""
    location: str | None = None
    """`s3://bucket/key` of the file, or of the manifest, for a database that reads S3 itself."""
    manifest: Place | None = None
    folder: str | None = None
    """The path of a folder whose objects these are."""
    missing: Sequence[str] = ()
    """Files that the manifest says may be missing, and which are."""

    @property
    def is_single(self) -> bool:
        """Whether it is one file and no more than that."""
        return self.manifest is None and self.folder is None

    def remember(self) -> None:
        """Looks at every file, so that from now on each must stay what it is, whoever reads it. Raises as `open()`."""
        _ask_all([place.described for place in self.places])

    def check_unchanged(self) -> None:
        """As that of each Place, the manifest's too."""
        _ask_all([place.check_unchanged for place in (*self.places, *([self.manifest] if self.manifest else []))])

    def note(self) -> str | None:
        """A sentence about files that the manifest says may be missing, where some are."""
        if not self.missing:
            return None
        return f"{self.shown} names files that are not there and need not be: {shortened(', '.join(self.missing), 300)}"

    def described(self) -> dict[str, Any]:
        """Of the file; of several the manifest or the folder, how many files and bytes they were, and a digest that is
        another one when any of them is.
        """
        if self.is_single:
            return self.places[0].described()
        whole = {"path": self.folder} if self.manifest is None else self.manifest.described()
        files = [place.described() for place in self.places]
        told = json.dumps(files, sort_keys=True).encode()
        return {
            **whole,
            "files": len(files),
            "files_size": sum(file["size"] for file in files),
            "files_digest": hashlib.sha256(told).hexdigest()[:32],
        }


def found_at(target: Any, shown: str) -> Origin | None:
    """What there is to load at a target, which has a `path`; None for a target without.

    A folder that tells its objects, by `parts()`, is all of them. A manifest is read. BadDataError for one that names
    no file, or a file that is missing, and for an empty folder.
    """
    parts = getattr(target, "parts", None)
    if callable(parts):
        return _of_folder(target, [part.path for part in parts()], shown)
    path = getattr(target, "path", None)
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.fsdecode(path)
    place: Place = ObjectPlace(parse(text)) if text.startswith(SCHEME) else LocalPlace(path, shown)
    location = text if text.startswith(SCHEME) else None
    if not is_manifest(text):
        return Origin(place.shown, [place], location)
    return _of_manifest(place, text, location)


def _ask_all(questions: Sequence[Callable[[], object]]) -> None:
    """Asks several at a time, since a transaction may be waiting; the error of the first that has one."""
    if len(questions) == 1:
        questions[0]()
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(questions)), thread_name_prefix="etlctl-places") as pool:
        for asked in [pool.submit(copy_context().run, question) for question in questions]:
            asked.result()


def _of_folder(target: Any, paths: Sequence[str], shown: str) -> Origin:
    if not paths:
        raise BadDataError(f"{shown}: there is no file in this folder but its flag, so there is nothing to load")
    return Origin(shown, [_place_at(path) for path in paths], folder=str(target.path))


def _of_manifest(manifest: Place, path: str, location: str | None) -> Origin:
    with manifest.open() as raw:
        content = raw.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadDataError(f"{manifest.shown}: is no manifest: it is larger than {MOST_BYTES // 2**20} MiB")
    places: list[Place] = []
    missing: list[str] = []
    for entry in read_manifest(content, manifest.shown):
        leads_to = _url_of(entry, path, manifest.shown)
        place = _place_at(leads_to, entry.size)
        place.name = _name_by(manifest.name.removesuffix(SUFFIX), place.name)
        if entry.is_mandatory or _is_there(leads_to):
            places.append(place)
        else:
            missing.append(place.shown)
    if not places:
        raise BadDataError(f"{manifest.shown}: none of the files that the manifest names is there")
    return Origin(manifest.shown, places, location, manifest=manifest, missing=missing)


def _url_of(entry: Entry, manifest: str, shown: str) -> str:
    """Where an entry leads; a name without `s3://` stands beside the manifest and may not leave its folder."""
    if "://" in entry.url:
        if not entry.url.startswith(SCHEME):
            raise BadDataError(f"{shown}: names {shortened(entry.url, 200)}; files in S3 are read, s3://BUCKET/KEY")
        return entry.url
    name = PurePosixPath(entry.url)
    if name.is_absolute() or ".." in name.parts:
        raise BadDataError(
            f"{shown}: names {shortened(entry.url, 200)}, which is not in the manifest's folder: name it "
            "s3://BUCKET/KEY, or by its path from the manifest on"
        )
    return f"{manifest.rpartition('/')[0]}/{entry.url}" if "/" in manifest else entry.url


def _place_at(path: str, size: int | None = None) -> Place:
    return ObjectPlace(parse(path), size=size) if path.startswith(SCHEME) else LocalPlace(path, size=size)


def _is_there(path: str) -> bool:
    """Whether there is a file, whatever it is: one of another size, or that may not be read, is not missing."""
    if path.startswith(SCHEME):
        return objects.head(parse(path)) is not None
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BadDataError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    return True


def _name_by(manifest: str, part: str) -> str:
    """A name that tells what a part is: what the manifest's own says, packed where either is.

    Redshift's UNLOAD calls its files 0000_part_00.gz, whatever is in them.
    """
    own, packing = _without_packing(part)
    whole, packing_of_all = _without_packing(manifest)
    told = whole if PurePosixPath(whole).suffix.lower() in FORMS else own
    return told + (packing or packing_of_all)


def _without_packing(name: str) -> tuple[str, str]:
    suffix = PurePosixPath(name).suffix
    return (name.removesuffix(suffix), suffix) if suffix.lower() in PACKINGS_OF_COPY else (name, "")


def _check_size(shown: str, size: int, expected: int | None) -> None:
    if expected is not None and size != expected:
        raise BadDataError(f"{shown}: has {size:,} bytes, where the manifest that names it says {expected:,}")


def _removed(shown: str) -> BadDataError:
    return BadDataError(f"{shown}: was removed while it was being loaded")


def _changed(shown: str) -> BadDataError:
    return BadDataError(f"{shown}: changed while it was being loaded; load it again when it is complete")


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
