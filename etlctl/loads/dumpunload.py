"""A dump in parts that the database itself writes into S3 (Redshift's UNLOAD); the manifest is written here, last.

unloaded()
  UNLOAD                       into FOLDER/flights.csv.gz.parts/TOKEN/, by dialects that are `Unloads`
  transaction ended
  manifest published           or, after an error, the objects are removed; those of a killed process stay, unnamed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.errors import EtlctlError
from etlctl.loads.dumpfiles import DumpFile
from etlctl.loads.dumpparts import parts_folder, publish_manifest, suffix_of, written_in_parts
from etlctl.loads.filenames import PACKINGS
from etlctl.loads.manifest import SUFFIX, Entry
from etlctl.text import shortened

if TYPE_CHECKING:
    from etlctl.db.dialects.objects import Unloaded

Unload = Callable[..., "list[Unloaded]"]
"""`Unloads.unload` of one query."""
_IN_S3 = "s3://"
_MIB = 2**20
_LEAST_MIB, _MOST_MIB = 5, 6200
"""What Redshift takes for MAXFILESIZE."""


def can_be_unloaded(file: DumpFile, null: str) -> bool:
    """Whether UNLOAD can write such a file: delimited, in parts, into S3, with nothing that only our writers do."""
    if file.part_bytes is None or file.form not in ("csv", "tsv") or null:
        return False
    return str(file.target.path).startswith(_IN_S3) and not getattr(file.target, "options", None)


@contextmanager
def unloaded(file: DumpFile, unload: Unload, head: str, *, is_ordered: bool) -> Iterator[int]:
    """Unloads; how many rows. The manifest is published when the block ends well.

    `head` is the header, if there is one. Rows in order are written by one slice after the other.
    """
    target, folder = file.target, parts_folder(file.target)
    prefix = f"{target.beside(folder).path}/"
    shown = shortened(prefix, 200)

    def discard() -> None:
        from etlctl.s3 import objects  # heavy, and a pipeline that is merely listed unloads nothing
        from etlctl.s3.address import parse

        try:
            objects.remove_prefix(parse(prefix))
        except EtlctlError:  # the error that led here matters more
            context.attempt().notes.append(
                f"parts of this attempt could not be removed; no manifest names them: {shown}"
            )

    try:
        parts = unload(prefix, options=_options(file, is_header=bool(head), is_ordered=is_ordered))
        yield sum(part.rows or 0 for part in parts)
    except BaseException:
        discard()
        raise
    if parts:
        publish_manifest(target, [Entry(part.location, part.size) for part in parts], shown, discard)
        return
    with written_in_parts(target, part_bytes=_MIB, head=head.encode(), quotes=True):
        pass  # no rows are no object: the header alone is one


def _options(file: DumpFile, *, is_header: bool, is_ordered: bool) -> dict[str, Any]:
    size_mib = (file.part_bytes or 0) // _MIB
    suffix = suffix_of(str(file.target.path).removesuffix(SUFFIX))
    packing = next((word for ending, word in PACKINGS.items() if suffix.lower().endswith(ending)), None)
    return {
        "header": is_header,
        "delimiter": "\t" if file.form == "tsv" else None,
        "compression": packing,
        "parallel": not is_ordered,
        "maxfilesize": min(max(size_mib, _LEAST_MIB), _MOST_MIB),
    }
