"""A text that must not be shown; no printing of it, in a traceback, a log or a repr, gives it away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from urllib.parse import quote, quote_plus

_LEAST_WITHIN = 4
"""A shorter secret is masked only where it stands as a word: in `db`, it would be found everywhere."""


class Secret:
    """Holds a text that only `reveal()` hands out; equal to another Secret of the same text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, exactly as it was given; for the driver, never for a message."""
        return self._text

    @property
    def is_known(self) -> bool:
        """Whether `reveal()` answers at once, and asks nobody."""
        return True

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))


class FetchedSecret(Secret):
    """A Secret that is kept elsewhere, and fetched at the first `reveal()`, which raises what fetching does.

    Equal to another one of the same reference: comparing, and showing, asks nobody.
    """

    __slots__ = ("_fetch", "reference")

    def __init__(self, reference: str, fetch: Callable[[], str]) -> None:
        super().__init__("")
        self.reference = reference
        """Where it is kept, as the settings say it: `aws-sm:prod/warehouse#url`."""
        self._fetch = fetch

    @property
    def is_known(self) -> bool:
        return bool(self._text)

    def reveal(self) -> str:
        if not self._text:
            self._text = self._fetch()
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return isinstance(other, FetchedSecret) and self.reference == other.reference

    def __hash__(self) -> int:
        return hash((FetchedSecret, self.reference))


class RefusedSecret(FetchedSecret):
    """Stands for one that cannot be used, in settings that are only looked at: `reveal()` raises what is wrong."""

    __slots__ = ()

    def __init__(self, error: Exception) -> None:
        super().__init__("(cannot be used)", partial(_raised, error))


def _raised(error: Exception) -> str:
    raise error


def masked(text: str, secrets: Iterable[Secret]) -> str:
    """`text` with `***` for each of the secrets in it, as it stands, quoted for a URL, and as Python or JSON writes it.

    What is written in no such form, or is cut, is not found: a secret is to be kept out of texts, and this is the
    second line.
    """
    found = _any_of(tuple(secret.reveal() for secret in secrets if secret.is_known))
    return text if found is None else found.sub("***", text)


@lru_cache(maxsize=16)  # ten thousand tasks that fail quote no secret, and are asked about the same ones
def _any_of(texts: tuple[str, ...]) -> re.Pattern[str] | None:
    forms = {form for text in texts for form in _forms(text)}
    if not forms:
        return None
    return re.compile("|".join(_pattern(form) for form in sorted(forms, key=len, reverse=True)))


def _forms(text: str) -> set[str]:
    import json  # for those alone who mask

    plain = {text, text.strip(), quote(text), quote(text, safe=""), quote_plus(text)}
    once = plain | {form for one in (text, text.strip()) for form in _escaped(one, json.dumps)}
    twice = {form for one in once for form in _escaped(one, json.dumps)}  # an error that quotes the repr of another
    return (once | twice) - {""}


def _escaped(text: str, dumps: Callable[..., str]) -> set[str]:
    """As Python and JSON write it; also as a part of a text with both kinds of quotes, of which repr escapes one."""
    shown = repr(text)[1:-1]
    both = repr(f"{text}'\"")[1:-1].removesuffix("\\'\"")
    return {shown, both, dumps(text)[1:-1], dumps(text, ensure_ascii=False)[1:-1]}


def _pattern(form: str) -> str:
    return re.escape(form) if len(form) >= _LEAST_WITHIN else rf"(?<!\w){re.escape(form)}(?!\w)"
