"""Whose keys requests are signed with, in words: where to look when the store refuses them. Holds and shows no key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from etlctl.settings import S3Settings
from etlctl.text import shortened

_FIELD = "etlctl-signed-with"
_REFUSED = (400, 401, 403)
_OF_THE_MACHINE = {"iam-role": "this machine's role", "container-role": "this container's role"}
"""By botocore's name for the way it has found them (botocore/credentials.py, METHOD)."""


def tell_whose(session: Any, given: S3Settings, origins: Mapping[str, str]) -> None:
    """Lets each refusal to a client of the botocore session, which is yet to be made, say whose keys it was sent with.

    `origins` are the settings' own: where each key of `[s3]` stands.
    """
    found = session.get_credentials()
    if found is not None:  # without any nothing is sent
        source = _source(given, origins, found.method, session.profile or "default")
        words = f"{role_words(given, origins)}, assumed with {source}" if given.role_arn else source
        session.register("after-call", partial(_note, words))
        session.register(
            "after-call.sts", partial(_note, source)
        )  # is asked first; whoever assumes a role has none yet


def role_words(given: S3Settings, origins: Mapping[str, str]) -> str:
    """The role of the settings, and where it stands."""
    return f"the role {shortened(given.role_arn or '', 200)}" + _at(origins, "role_arn", " ({})")


def whose(answer: Mapping[str, Any]) -> str:
    """What a refusal says of it; empty where nothing is known."""
    found = answer.get("ResponseMetadata", {}).get(_FIELD, "")
    return str(found)


def _note(words: str, http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    if http_response.status_code in _REFUSED:
        parsed.setdefault("ResponseMetadata", {}).setdefault(_FIELD, words)


def _source(given: S3Settings, origins: Mapping[str, str], method: str, profile: str) -> str:
    if given.access_key_id:
        return "the access key" + _at(origins, "access_key_id", " of {}")
    if given.profile:
        return f"the profile '{shortened(given.profile)}'" + _at(origins, "profile", " ({})")
    if method == "env":
        return "the access key of AWS_ACCESS_KEY_ID"
    return _OF_THE_MACHINE.get(method) or f"the profile '{shortened(profile)}' of AWS's files ({method})"


def _at(origins: Mapping[str, str], name: str, form: str) -> str:
    """Where a key of `[s3]` stands; nothing for settings that were made by a program."""
    origin = origins.get(f"s3.{name}")
    return form.format(origin) if origin else ""
