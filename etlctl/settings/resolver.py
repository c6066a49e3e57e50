"""Hands out the value of a key: variables and references looked up, the file of a URL absolute, its origin noted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from etlctl.errors import SettingsError
from etlctl.settings.entries import Entries, Entry
from etlctl.settings.keys import NAME, Key, KeyPath, dotted
from etlctl.settings.mistakes import Mistakes
from etlctl.settings.model import S3Settings
from etlctl.settings.secret import FetchedSecret, RefusedSecret, Secret
from etlctl.settings.texts import ReadFile, expanded, expanded_url, kept_at_aws, referred, sources
from etlctl.settings.urls import anchored, complaint, is_in_memory, is_sqlite, masked_url
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

DEFAULT = "default"
"""The origin of a value that nobody has given."""

Fetch: TypeAlias = Callable[[str, S3Settings, str], str]
"""Fetches `NAME` or `NAME#KEY` from Secrets Manager, with the credentials of `[s3]`; the last is what its errors begin
with. boto3 is not known here: whoever loads settings hands it in."""


def fetch_nothing(reference: str, s3: S3Settings, at: str) -> str:  # noqa: ARG001  a Fetch
    """For those who load settings and cannot fetch."""
    raise SettingsError(f"{at}: aws-sm:{reference} is fetched where settings are loaded by etlctl.app.load_settings.")


class Resolver:
    """The values of one settings file, profile and environment."""

    def __init__(
        self,
        entries: Entries,
        environ: Mapping[str, str],
        project: Path,
        *,
        fetch: Fetch,
        read_file: ReadFile,
        mistakes: Mistakes,
    ) -> None:
        self.entries = entries
        self.environ = environ
        self.project = project
        self.fetch = fetch
        self.read_file = read_file
        self.mistakes = mistakes
        self.s3 = S3Settings()
        """Known once `[s3]` is resolved; secrets are fetched later."""
        self.origins: dict[str, str] = {}

    def text(self, path: KeyPath, default: str) -> str:
        """The text at `path`, which is never empty."""
        entry = self.entry(path, default)
        try:
            return filled(self._expanded(entry, entry.value, path), place_of(entry, path))
        except SettingsError as error:
            self._keep(path, error)
            return default

    def url(self, path: KeyPath, default: str | None) -> Secret:
        """The URL at `path`, its file absolute; without a default the entry must be there.

        Where mistakes are kept, revealing one that was refused raises the mistake.
        """
        try:
            return self._url(path, default)
        except SettingsError as error:
            return self.refused(error)

    def refused(self, error: SettingsError) -> Secret:
        """Raises the mistake about a secret, or keeps it and gives what raises it when it is revealed."""
        self.mistakes.tell(error)
        return RefusedSecret(error)

    def _url(self, path: KeyPath, default: str | None) -> Secret:
        entry = self.entry(path, default)
        at = place_of(entry, path)
        kept = self._kept(entry, at, partial(_checked_far_url, project=self.project))
        if kept is not None:
            return kept
        url = self._referred(entry, at)
        if url is None:
            url = entry.value if entry.is_literal else expanded_url(entry.value, at=at, environ=self.environ)
        return Secret(_checked_url(url, at, self.project))

    def refuse(self, path: KeyPath, sentence: str) -> None:
        """Raises the mistake about `path`, or keeps it: what is taken instead has no origin then."""
        self._keep(path, SettingsError(sentence))

    def _keep(self, path: KeyPath, error: SettingsError) -> None:
        self.mistakes.tell(error)
        self.origins.pop(dotted(path), None)

    def optional(self, path: KeyPath) -> str | None:
        """The text at `path`, or None when nobody has given one; no origin is noted then."""
        return (self.text(path, "") or None) if path in self.entries else None  # "" stands for one that was refused

    def secret(self, path: KeyPath, *, is_key: bool = True) -> Secret | None:
        """The text at `path`, from a reference too, or None when nobody has given one.

        A key is printable ASCII without blanks; what is none, such as a password, is taken as it is.
        """
        try:
            return self._secret(path, is_key=is_key) if path in self.entries else None
        except SettingsError as error:
            return self.refused(error)

    def _secret(self, path: KeyPath, *, is_key: bool) -> Secret:
        entry = self.entry(path, None)
        at = place_of(entry, path)
        check = partial(_checked_key, is_key=is_key)
        kept = self._kept(entry, at, check)
        if kept is not None:
            return kept
        text = self._referred(entry, at)
        text = filled(self._expanded(entry, entry.value, path) if text is None else text, at)
        return Secret(check(text, at))

    def _referred(self, entry: Entry, at: str) -> str | None:
        return referred(entry.value, at=at, environ=self.environ, project=self.project, read=self.read_file)

    def _kept(self, entry: Entry, at: str, check: Callable[[str, str], str]) -> Secret | None:
        """The secret that an `aws-sm:` reference names, which is fetched and checked when it is first asked for."""
        name = kept_at_aws(entry.value, at=at, environ=self.environ)
        if name is None:
            return None
        return FetchedSecret(f"aws-sm:{name}", lambda: check(filled(self.fetch(name, self.s3, at), at), at))

    def entry(self, path: KeyPath, default: Any) -> Entry:
        """The raw value at `path`, or the default; its origin is noted."""
        entry = self.entries.get(path) or Entry(default, DEFAULT, is_literal=True)
        known = sources(entry.value) if isinstance(entry.value, str) and not entry.is_literal else ""
        self.origins[dotted(path)] = entry.origin + known
        return entry

    def expand(self, entry: Entry, value: Any, path: KeyPath) -> Any:
        """`value`, with `${VAR}` looked up in every text within it; as it stands where a mistake in it is kept."""
        try:
            return self._expanded(entry, value, path)
        except SettingsError as error:
            self._keep(path, error)
            return value

    def _expanded(self, entry: Entry, value: Any, path: KeyPath) -> Any:
        if entry.is_literal:
            return value
        if isinstance(value, str):
            return expanded(value, at=place_of(entry, path), environ=self.environ)
        if isinstance(value, list):
            return [self._expanded(entry, item, path) for item in value]
        if isinstance(value, dict):
            return {name: self._expanded(entry, item, (*path, name)) for name, item in value.items()}
        return value


def _checked_url(url: str, at: str, project: Path) -> str:
    wrong = complaint(filled(url, at))
    if wrong is None and is_in_memory(url):
        wrong = "is a database in memory, which ends with the command. Give it a file: sqlite:///PATH."
    if wrong is not None:
        shown = masked_url(url)
        raise SettingsError(f"{at}{'' if shown == '***' else f' ({shown})'} {wrong}")
    return anchored(url, project)


def _checked_far_url(url: str, at: str, *, project: Path) -> str:
    if is_sqlite(url):  # what is looked at in a SQLite URL before anything runs could not be
        raise SettingsError(f"{at}: the secret is the URL of a SQLite file, which holds no password: write it here.")
    return _checked_url(url, at, project)


def _checked_key(text: str, at: str, *, is_key: bool) -> str:
    if is_key and not re.fullmatch("[!-~]+", text):
        raise SettingsError(f"{at} holds a blank, a line break or a letter that no key has. Write the key alone.")
    return text


def path_of(key: Key, name: str) -> KeyPath:
    """The path of a key in a table that the user names, for the one of this name."""
    return tuple(name if part == NAME else part for part in key.path)


def filled(text: str, at: str) -> str:
    """`text`, or a SettingsError that begins with `at` when it is empty."""
    if text:
        return text
    raise SettingsError(f"{at} is empty. Give it a value, or take it out.")


def place_of(entry: Entry, path: KeyPath) -> str:
    """Where a value stands, to begin a sentence about it: `config/etlctl.toml:7: 'state.url'`."""
    return f"{entry.origin}: '{dotted(path)}'"


def one_of(resolver: Resolver, key: Key, words: tuple[str, ...], *, name: str = "") -> str:
    """The text at `key`, or its default, which must be one of `words`; `name` as in `path_of`."""
    path = path_of(key, name)
    given = resolver.optional(path)
    if given is None:
        return str(key.default)
    if given not in words:
        known = f"{', '.join(words[:-1])} or {words[-1]}"
        resolver.refuse(
            path,
            f"{place_of(resolver.entry(path, None), path)} must be {known}, "
            f"not '{printable(shortened(given, 40))}'.{did_you_mean(given, words)}",
        )
        return str(key.default)
    return given
