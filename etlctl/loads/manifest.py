"""A manifest: a JSON document that names the files which together are one, in the form of Redshift's COPY and UNLOAD.

    {"entries": [{"url": "s3://bucket/key", "mandatory": true, "meta": {"content_length": 5956875}}, …]}

https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html. Opens nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from etlctl.errors import BadDataError
from etlctl.text import shortened

SUFFIX = ".manifest"
MOST_BYTES = 64 * 1024 * 1024
"""Of a document that is taken for a manifest: some 300,000 files."""


class Entry(NamedTuple):
    """One file of a manifest."""

    url: str
    """`s3://bucket/key`; of a file on a disk its path, from the manifest's folder on."""
    size: int | None = None
    """In bytes, as it is stored; None where the manifest does not say."""
    is_mandatory: bool = True
    """Whether the others are not to be loaded without it."""


def is_manifest(path: str) -> bool:
    """Whether a path is a manifest's, by its name."""
    return path.endswith(SUFFIX)


def manifest_text(entries: Iterable[Entry]) -> str:
    """The document; in ASCII, one entry a line."""
    lines = ",\n".join(json.dumps(_as_json(entry)) for entry in entries)
    return f'{{"entries": [\n{lines}\n]}}\n'


def _as_json(entry: Entry) -> dict[str, Any]:
    meta = {} if entry.size is None else {"meta": {"content_length": entry.size}}
    return {"url": entry.url, "mandatory": entry.is_mandatory, **meta}


def read_manifest(content: bytes, shown: str) -> list[Entry]:
    """The files of a document, in its order; `shown` is its name for messages.

    Where an entry does not say whether it is mandatory, as those of UNLOAD do not, it is: Redshift's COPY takes it for
    one that may be missing. BadDataError for a document that is no manifest, or names no file, or one twice.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadDataError(f"{shown}: is no manifest: it is not JSON ({shortened(str(error))})") from error
    found = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise BadDataError(f'{shown}: is no manifest: it has no list of "entries", each with the "url" of a file')
    entries = [_entry(one, number, shown) for number, one in enumerate(found, start=1)]
    if not entries:
        raise BadDataError(f"{shown}: the manifest names no file. Whoever writes it names one at least, empty or not.")
    seen: set[str] = set()
    for entry in entries:
        if entry.url in seen:
            raise BadDataError(f"{shown}: names {shortened(entry.url, 200)} twice: its rows would be loaded twice")
        seen.add(entry.url)
    return entries


def _entry(one: Any, number: int, shown: str) -> Entry:
    url = one.get("url") if isinstance(one, dict) else None
    if not isinstance(url, str) or not url:
        raise BadDataError(f'{shown}: entry {number} of the manifest has no "url"')
    meta = one.get("meta")
    size = meta.get("content_length") if isinstance(meta, dict) else None
    is_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    if size is not None and not is_size:
        raise BadDataError(f"{shown}: entry {number} of the manifest: content_length is a number of bytes")
    return Entry(url, size, one.get("mandatory", True) is not False)
