"""One HTTP request that carries a message; standard library only. Its errors never hold the address.

The address of a webhook is a secret: who knows it can post. So redirects are not followed, which would hand it, or the
headers, to whatever host the answer names.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import ssl
import urllib.request
from collections.abc import Mapping
from urllib.error import URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from etlctl import __version__
from etlctl.notify.message import NotSent
from etlctl.text import shortened

_RETRIED = {408, 425, 429}
_MOST_ANSWER = 2_000
_MOST_RETRY_AFTER_S = 60.0
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Endpoint:
    """Where requests go, with the headers that every one of them has. The user and password of an address become Basic
    authentication."""

    def __init__(self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> None:
        """`url` is one that `complaint` finds nothing wrong with."""
        split = urlsplit(url)
        self.host = split.hostname or ""
        self._timeout_s = timeout_s
        place = split.netloc.rpartition("@")[2]
        self._url = urlunsplit((split.scheme, place, split.path or "/", split.query, ""))
        self._headers = {"User-Agent": f"etlctl/{__version__}", **(headers or {})}
        if split.username is not None:
            pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()):
            self._opener.add_handler(handler)  # and none that follows redirects, or opens files

    def post(self, body: bytes, content_type: str) -> None:
        """Sends it; done when the answer is a 2xx. Raises NotSent; `timeout_s` bounds each step of it."""
        headers = {**self._headers, "Content-Type": content_type}
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310  checked
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                self._check(answer)
        except NotSent:
            raise
        except TimeoutError as error:
            raise NotSent(f"{self.host} does not answer within {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _not_sent(error, self.host, self._timeout_s) from error

    def _check(self, answer: http.client.HTTPResponse) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise NotSent(
                f"{self.host} answered {status}, a redirect, which is not followed: it would hand the secret on. Set "
                "the url to where it leads",
                can_retry=False,
            )
        said = shortened(answer.read(_MOST_ANSWER).decode("utf-8", "replace").strip(), 200)
        raise NotSent(
            f"{self.host} answered {status} {shortened(answer.reason or '', 60)}".rstrip()
            + (f": {said}" if said else ""),
            can_retry=status in _RETRIED or status >= 500,
            retry_after_s=_retry_after_s(answer.headers.get("Retry-After")),
        )


def complaint(url: str) -> str | None:
    """What is wrong with the address of a webhook, as the end of a sentence that begins with its key; without it."""
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError:
        return "cannot be read as a URL: see its host and port."
    if split.scheme not in ("http", "https"):
        return "must begin with https:// or http://."
    if not split.hostname:
        return "names no host."
    if re.search(r"[\x00-\x20\x7f]", url):
        return "holds a blank or a control character: percent-encode it."
    return None


def header_complaint(name: str, value: str) -> str | None:
    """What is wrong with a header, as `complaint` tells it."""
    if not _NAME.fullmatch(name):
        return "is no name of an HTTP header."
    if not value.isprintable() or not value.isascii():
        return "must be printable ASCII text."
    return None


def _not_sent(error: Exception, host: str, timeout_s: float) -> NotSent:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return NotSent(f"{host} does not answer within {timeout_s:g} s")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NotSent(f"{host} has a certificate that cannot be verified ({cause.verify_message})", can_retry=False)
    if isinstance(cause, OSError) and cause.errno is not None:
        return NotSent(f"{host} cannot be reached: {os.strerror(cause.errno) if cause.errno > 0 else cause.strerror}")
    return NotSent(f"{host} cannot be reached: {type(cause).__name__}")  # its text may hold the address


def _retry_after_s(text: str | None) -> float:
    return min(float(text), _MOST_RETRY_AFTER_S) if text and text.isascii() and text.isdecimal() else 0.0
