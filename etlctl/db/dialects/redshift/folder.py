"""The folder of one attempt under a connection's `s3_staging`: what is put there for a COPY, and its end."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etlctl.core import context
from etlctl.db.dialects.redshift.access import staging_of
from etlctl.errors import EtlctlError

if TYPE_CHECKING:
    from etlctl.s3.address import S3Address


_MANIFEST = "manifest"
OURS = re.compile(r"[0-9a-f]{32}/(manifest|part-[0-9]{6,}\.csv\.gz)")
"""What is put under `s3_staging`, by its key behind that: the names that this file gives."""


class AttemptFolder:
    """A folder with a random name; nothing is in it yet."""

    def __init__(self, folder: S3Address) -> None:
        self.folder = folder
        self.manifest = folder.joined(_MANIFEST)

    def part(self, number: int) -> S3Address:
        """Where the rows are; each part is packed CSV."""
        return self.folder.joined(f"part-{number:06}.csv.gz")

    def put_manifest(self, addresses: Sequence[str], sizes: Sequence[int] = ()) -> None:
        """What a COPY is to read: exactly these objects, all of which must be there.

        `sizes` are their bytes, which COPY of Parquet asks for.
        """
        from etlctl.s3.writer import ObjectWriter

        entries: list[dict[str, Any]] = [{"url": one, "mandatory": True} for one in addresses]
        if sizes:
            for entry, size in zip(entries, sizes, strict=True):
                entry["meta"] = {"content_length": size}
        with ObjectWriter(self.manifest) as out:
            out.write(json.dumps({"entries": entries}).encode())

    def remove(self) -> None:
        """Takes the objects away. What cannot be removed is worth a note, and no failure."""
        from etlctl.s3.objects import remove_prefix

        try:
            remove_prefix(self.folder)
        except EtlctlError as error:
            context.attempt().notes.append(f"rows on their way were left in {self.folder.shown}: {error}")


def new_folder(connection: sa.Connection) -> S3Address:
    """Where an attempt may put something. SettingsError where the connection has no `s3_staging`."""
    return staging_of(connection).joined(f"{secrets.token_hex(16)}/")
