"""The places in S3 that the settings name: can they be listed, and written? Writes only where it is told to."""

from __future__ import annotations

import secrets
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from etlctl.doctor.findings import Finding, failed, ok
from etlctl.errors import EtlctlError
from etlctl.settings import Settings

if TYPE_CHECKING:
    from etlctl.s3.address import S3Address

_PROBE = ".etlctl-doctor-"


class _Place(NamedTuple):
    url: str
    named_by: tuple[str, ...]


def store_findings(settings: Settings, *, write: bool) -> list[Finding]:
    """One or two lines for each place; `write` puts a small object into it and removes it again."""
    return [finding for place in _places(settings) for finding in _looked_at(place, write=write)]


def _places(settings: Settings) -> list[_Place]:
    named: dict[str, list[str]] = {}
    for url in settings.s3.gc:
        named.setdefault(url, []).append("s3.gc")
    for connection in settings.connections.values():
        if connection.s3_staging is not None:
            named.setdefault(connection.s3_staging, []).append(f"connections.{connection.name}.s3_staging")
    if settings.logs.store.startswith("s3://"):
        named.setdefault(settings.logs.store, []).append("logs.store")
    return [_Place(url, tuple(by)) for url, by in named.items()]


def _looked_at(place: _Place, *, write: bool) -> list[Finding]:
    from etlctl.s3 import address, objects

    area = f"s3 {place.url}"
    by = ", ".join(place.named_by)
    try:
        found = address.parse(place.url, needs_key=False)
        objects.require_bucket(found.bucket)
        for _ in islice(objects.pages(found), 1):
            break
    except EtlctlError as error:
        return [failed(area, f"{error} ({by})", "mend the bucket's name, the credentials or their rights.")]
    can_list = ok(area, f"can be listed ({by})")
    if not write:
        return [can_list, ok(area, "whether it can be written was not tried: --write puts a small object there")]
    return [can_list, _tried(area, found)]


def _tried(area: str, place: S3Address) -> Finding:
    from etlctl.s3 import objects
    from etlctl.s3.writer import ObjectWriter

    probe = place.joined(f"{_PROBE}{secrets.token_hex(8)}")
    try:
        with ObjectWriter(probe) as writer:
            writer.write(b"etlctl doctor --write\n")
    except EtlctlError as error:
        return failed(area, f"cannot be written: {error}", "give these credentials s3:PutObject there.")
    try:
        objects.remove(probe)
    except EtlctlError as error:
        mend = f"give these credentials s3:DeleteObject there, and remove {probe}."
        return failed(area, f"nothing can be removed from it: {error}", mend)
    return ok(area, "can be written, and what is written removed")
