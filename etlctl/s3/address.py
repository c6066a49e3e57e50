"""The address of an object or a prefix, `s3://bucket/key`, read letter by letter; nothing here opens a connection."""

from __future__ import annotations

import re
from typing import NamedTuple

from etlctl.errors import TaskError
from etlctl.text import printable, shortened

SCHEME = "s3://"
MOST_KEY_BYTES = 1024
"""S3's own limit, in UTF-8: "Naming Amazon S3 objects" in its user guide."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""Today's names (3 to 63 small letters, digits, dots, hyphens) and those that were allowed before March 2018."""
_OTHER_SCHEMES = ("s3a://", "s3n://")
_KEYS = re.compile(r"(s3[an]?://)[^/@]*:.*@", re.IGNORECASE | re.DOTALL)
"""Some programs take `s3://ID:SECRET@bucket/key`; no bucket's name holds a colon, and a secret may hold slashes."""


class S3Address(NamedTuple):
    """A bucket and a key, or a prefix of keys; an empty key means the bucket as a whole.

    `str()` is what `parse` reads; it may hold control characters, so messages show `shown`.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def shown(self) -> str:
        """The address on one line, as a message may show it."""
        return printable(str(self))

    def joined(self, name: str) -> S3Address:
        """The address of `name` in this folder: exactly one `/` is between them, and `name` may hold more.

        TaskError for a name that is empty, begins with a `/`, is an address itself, or goes up by `..`.
        """
        if not name or name.startswith("/") or name.lower().startswith((SCHEME, *_OTHER_SCHEMES)):
            raise TaskError(
                f"{shortened(name) or 'an empty name'} must stay inside {self.shown}: give a key relative to it"
            )
        folder = self.key if not self.key or self.key.endswith("/") else f"{self.key}/"
        return _checked(self.bucket, folder + name)


def parse(url: str, *, needs_key: bool = True) -> S3Address:
    """The address that `url` is: the bucket ends at the first `/`, and the key is all the rest, as it stands.

    `%`, `#`, `?`, quotes, spaces, `//` and letters of any language are parts of the key: nothing is decoded, and none
    means anything. TaskError for what no object can be called: no bucket, a bucket name that S3 does not take, an
    empty key (unless `needs_key` is False), a NUL, more than 1,024 bytes of UTF-8, and a part of the key that is
    `.` or `..`, which S3 takes literally and refuses by turns, and other programs read as a way up.
    """
    text = str(url)
    form = "s3://BUCKET/KEY" if needs_key else "s3://BUCKET or s3://BUCKET/PREFIX"
    if (shown := without_keys(text)) != text:
        raise TaskError(
            f"{shortened(shown)} holds keys, which have no place in an address: put them into [s3] of the settings, or "
            f"ETLCTL_S3_ACCESS_KEY_ID and ETLCTL_S3_SECRET_ACCESS_KEY, and write {form}"
        )
    if not text.startswith(SCHEME):
        raise TaskError(f"{shortened(text) or 'an empty path'} is no address in S3: write {form}")
    bucket, _, key = text[len(SCHEME) :].partition("/")
    if not _BUCKET.fullmatch(bucket):
        named = f"the bucket {shortened(bucket)!r}" if bucket else "no bucket"
        raise TaskError(
            f"{shortened(text)} names {named}: write {form}; a bucket has 3 to 63 small letters, digits, "
            "dots and hyphens"
        )
    if needs_key and not key:
        raise TaskError(f"{shortened(text)} names a bucket and no object in it: write s3://{bucket}/KEY")
    return _checked(bucket, key)


def without_keys(text: str) -> str:
    """`text`, for a message, without the keys that some programs take in an address."""
    return _KEYS.sub(r"\1***@", text)


def _checked(bucket: str, key: str) -> S3Address:
    address = S3Address(bucket, key)
    try:
        length = len(key.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise TaskError(f"{shortened(str(address))} holds half a character (a lone surrogate): mend the key") from error
    if length > MOST_KEY_BYTES:
        raise TaskError(
            f"{shortened(str(address))}: the key has {length:,} bytes in UTF-8, and S3 takes {MOST_KEY_BYTES:,}"
        )
    if "\x00" in key:
        raise TaskError(f"{shortened(str(address))} holds a NUL character, which no key may")
    if not {".", ".."}.isdisjoint(key.split("/")):
        raise TaskError(
            f"{shortened(str(address))} has a part that is '.' or '..', which means nothing in S3 and a folder "
            "elsewhere: write the key without it"
        )
    return address
