"""A warehouse on the stand-in for Redshift, and what the tests of Redshift look at besides."""

from __future__ import annotations

import traceback
from typing import Any
from urllib.parse import unquote

from any_warehouse import AnyWarehouse
from servers.s3 import S3Service, split_url


def keys_under(service: S3Service, folder: str) -> list[str]:
    """The keys of all objects below `s3://bucket/prefix/`."""
    bucket, prefix = split_url(folder)
    found = service.client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return sorted(unquote(str(entry["Key"])) for entry in found)


def put(service: S3Service, place: str, data: bytes) -> None:
    bucket, key = split_url(place)
    service.client.put_object(Bucket=bucket, Key=key, Body=data)


def whole_story(error: BaseException) -> str:
    """The error with its traceback and all its causes, as --debug shows it."""
    return "".join(traceback.format_exception(error))


def rows_of(house: AnyWarehouse, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return house.ask(f"SELECT {columns} FROM {table} ORDER BY 1, 2")
