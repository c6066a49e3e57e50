"""Whether objects are there, many at once, in as few requests as the keys allow; a listing decides by exact key only.

    a group of keys with a common prefix    one listing of it, page by page
      the listing ends                      every key of the group is decided
      it is longer than it is worth         the keys that were not seen yet are split by their next letter
    few keys, or no right to list           a HEAD for each, several at a time

A listing's "there" is always believed, its "not there" only for keys that every store writes alike in its XML.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from etlctl.errors import EtlctlError, UnavailableError
from etlctl.s3.address import S3Address
from etlctl.s3.client import client, known_buckets, settings
from etlctl.s3.errors import status_of
from etlctl.s3.objects import asked_for, pages, require_bucket

_AT_ONCE = 16
_LISTING_PAYS_FROM = 10
"""Fewer keys than this are asked one by one."""
_KEYS_PER_PAGE = 500
"""A listing goes on for a page for each so many keys asked about (a page holds 1,000), and one more."""
_WASTE = 10
"""Listings that came to no end may cost, together, a tenth of the HEADs that they were to save."""
_DOUBTFUL = re.compile(r"[+%\x00-\x1f\x7f]")
"""Letters that stores encode in listings by different rules."""


def exist(addresses: Sequence[S3Address]) -> list[bool | Exception]:
    """For each address whether an object is there; an error is an answer, for those keys alone that it concerns.

    `existence = "head"` in `[s3]` asks for each key by itself, for stores whose listings lag behind.
    """
    by_bucket: dict[str, set[str]] = defaultdict(set)
    for address in addresses:
        by_bucket[address.bucket].add(address.key)
    answers = {
        S3Address(bucket, key): answer
        for bucket, keys in by_bucket.items()
        for key, answer in _Bucket(bucket).asked(keys).items()
    }
    return [answers[address] for address in addresses]


class _Bucket:
    """The keys of one bucket that are asked about, and what is known so far."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._answers: dict[str, bool | Exception] = {}
        self._pages_left = 0

    def asked(self, keys: set[str]) -> dict[str, bool | Exception]:
        """The answers, by key."""
        self._pages_left = len(keys) // _WASTE
        is_listed = settings().existence == "auto"
        groups = [sorted(keys)]
        by_head: list[str] = []
        while groups:
            group = groups.pop()
            if not is_listed or len(group) < _LISTING_PAYS_FROM:
                by_head.extend(group)
                continue
            left = self._listed(group)
            is_listed = self._pages_left > 0
            groups.extend(_split(left))
        by_head.extend(key for key, answer in self._answers.items() if answer is False and _DOUBTFUL.search(key))
        self._ask_by_head(by_head)
        return self._answers

    def _listed(self, group: list[str]) -> list[str]:
        """Decides what one listing can decide; the keys that are left, none where it came to its end."""
        wanted = set(group)
        most = 1 + len(group) // _KEYS_PER_PAGE
        try:
            for number, page in enumerate(pages(S3Address(self._bucket, _common(group))), start=1):
                known_buckets().add(self._bucket)
                seen = wanted.intersection(entry["Key"] for entry in page.entries)
                self._answers.update(dict.fromkeys(seen, True))
                wanted -= seen
                if not wanted:
                    return []
                if number == most and not page.is_last:
                    self._pages_left -= number
                    return sorted(wanted)
        except EtlctlError as error:
            if isinstance(error, UnavailableError) and _status(error) != 403:
                self._answers.update(dict.fromkeys(wanted, error))
                return []
            self._pages_left = 0  # no right to list, or a store that cannot
            return sorted(wanted)
        self._answers.update(dict.fromkeys(wanted, False))
        return []

    def _ask_by_head(self, keys: list[str]) -> None:
        if not keys:
            return
        from concurrent.futures import ThreadPoolExecutor  # heavy: `list` and `show` ask nobody

        asking = _Asking(client(), self._bucket)
        with ThreadPoolExecutor(min(_AT_ONCE, len(keys)), thread_name_prefix="etlctl-s3-head") as pool:
            self._answers.update(zip(keys, pool.map(asking.answer, keys), strict=True))
        if any(self._answers[key] is False for key in keys):
            try:
                require_bucket(self._bucket)
            except EtlctlError as error:
                self._answers.update((key, error) for key in keys if self._answers[key] is False)


class _Asking:
    """HEADs of keys, for several threads; once the store is away, the rest is answered without asking it."""

    def __init__(self, found: Any, bucket: str) -> None:
        self._client = found
        self._bucket = bucket
        self._away: EtlctlError | None = None

    def answer(self, key: str) -> bool | Exception:
        """Whether the key is there, or why that cannot be told."""
        if self._away is not None:
            return self._away
        try:
            return asked_for(self._client, S3Address(self._bucket, key)) is not None
        except EtlctlError as error:
            if isinstance(error, UnavailableError) and _status(error) != 403:
                self._away = error
            return error


def _status(error: EtlctlError) -> int:
    """The HTTP status that led to one of our errors."""
    return 0 if error.__cause__ is None else status_of(error.__cause__)


def _split(left: list[str]) -> list[list[str]]:
    """Keys in order, in groups of one more common letter than all of them have."""
    length = len(_common(left)) + 1
    return [list(group) for _, group in groupby(left, key=lambda key: key[:length])]


def _common(group: list[str]) -> str:
    """What all of some keys in order begin with, letter by letter: what the first and the last do."""
    if not group:
        return ""
    first, last = group[0], group[-1]
    differs = (place for place, letter in enumerate(first) if not last.startswith(letter, place))
    return first[: next(differs, len(first))]
