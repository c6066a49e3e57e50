"""What may be said of an object that is written, by boto3's own names; nothing else is passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etlctl.errors import TaskError
from etlctl.suggest import nearest
from etlctl.text import shortened

_KINDS: dict[str, type[Any]] = {
    "ACL": str,
    "BucketKeyEnabled": bool,
    "CacheControl": str,
    "ContentDisposition": str,
    "ContentEncoding": str,
    "ContentLanguage": str,
    "ContentType": str,
    "Metadata": dict,
    "SSEKMSEncryptionContext": str,
    "SSEKMSKeyId": str,
    "ServerSideEncryption": str,
    "StorageClass": str,
    "Tagging": str,
}
ALLOWED = tuple(_KINDS)
"""Those of PutObject that CreateMultipartUpload takes too and that change neither whose the object is nor its bytes.

Left out on purpose: keys of the customer (SSE-C), which reading and copying would need as well and which are secrets.
"""
HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
)
"""Those that are kept with the content and come back with it."""
TOKEN = "etlctl-write"  # noqa: S105  the name of a field
"""The metadata by which a writer knows its own object again, after an answer that was lost."""


def checked(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options that are given (None: not given); TaskError, beginning with `where`, for one that is not allowed."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise TaskError(f"{where}: {shortened(name)!r} is no option of an object.{_meant(name)}")
        if not isinstance(value, kind):
            raise TaskError(f"{where}: {name} is a {kind.__name__}, not {type(value).__name__}")
    _check_metadata(given.get("Metadata", {}), where)
    if "SSEKMSKeyId" in given and not str(given.get("ServerSideEncryption", "")).startswith("aws:kms"):
        raise TaskError(f"{where}: SSEKMSKeyId names a key of KMS: add ServerSideEncryption='aws:kms'")
    return given


def _check_metadata(metadata: Mapping[Any, Any], where: str) -> None:
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str) or not (name + value).isascii():
            raise TaskError(f"{where}: Metadata holds names and values in ASCII, since they travel as HTTP headers")
        if name.lower() == TOKEN:
            raise TaskError(f"{where}: the metadata '{TOKEN}' is etlctl's own")


def _meant(name: str) -> str:
    """The allowed name nearest to `name`, also where that is written in words (`storage_class`)."""
    plain = name.replace("_", "").replace("-", "")
    near = nearest(plain, ALLOWED) or next((one for one in ALLOWED if one == plain), None)
    return f" Did you mean {near!r}?" if near else f" There are {', '.join(ALLOWED)}."
