"""Secrets kept in AWS Secrets Manager, for references `aws-sm:NAME#KEY` of the settings. Asked once for each process.

It is here because this is the one room that knows boto3. Credentials and region are those of `[s3]`; where that leads
to a service that is not Amazon's (`endpoint_url`), those of boto3's own chain.
"""

from __future__ import annotations

import json
from threading import Lock
from typing import Any

from etlctl.errors import SettingsError, UnavailableError
from etlctl.s3.client import session_of
from etlctl.s3.errors import code_of, translating
from etlctl.settings import S3Settings
from etlctl.text import shortened

_UNREACHABLE = (
    "Secrets Manager cannot be reached{at}: look at the network, at the region (`region` in [s3], AWS_REGION), and at "
    "AWS_ENDPOINT_URL_SECRETS_MANAGER"
)
_GONE = "{at}: there is no secret {name!r} in Secrets Manager: look at its name, and at the region and account."
_DELETED = "{at}: the secret {name!r} is marked for deletion, or holds no value: restore it, or name another."
_NO_RIGHT = "{at}: these credentials may not read the secret {name!r}: grant secretsmanager:GetSecretValue."
_NO_KMS = "{at}: the secret {name!r} cannot be decrypted: grant kms:Decrypt on its key."
_REFUSED: dict[str, tuple[type[SettingsError | UnavailableError], str]] = {
    "ResourceNotFoundException": (SettingsError, _GONE),
    "InvalidRequestException": (SettingsError, _DELETED),
    "AccessDeniedException": (UnavailableError, _NO_RIGHT),
    "DecryptionFailure": (UnavailableError, _NO_KMS),
}


class _Texts:
    """What has been fetched; a forked child has it too."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.found: dict[tuple[str, S3Settings], str] = {}


_texts = _Texts()


def fetched(reference: str, given: S3Settings, at: str) -> str:
    """The text of a secret, `NAME`, or that of a key of the JSON it holds, `NAME#KEY`; errors begin with `at`.

    SettingsError where there is no such secret or key, UnavailableError where it may not be read or nobody answers.
    """
    name, _, key = reference.partition("#")
    with _texts.lock:  # ten connections that name one secret ask once
        text = _texts.found.get((name, given))
        if text is None:
            text = _texts.found[name, given] = _asked(name, given, at)
    return _of_key(text, name, key, at) if key else text


def forget() -> None:
    """The next reference is fetched anew: a secret may have been rotated."""
    with _texts.lock:
        _texts.found.clear()


def _asked(name: str, given: S3Settings, at: str) -> str:
    doing = f"{at}: fetching the secret {shortened(name)}"
    own = S3Settings(region=given.region) if given.endpoint_url is not None else given
    with translating(doing, unreachable=_UNREACHABLE):
        client = _client(own, name)
        try:
            answer = client.get_secret_value(SecretId=name)
        except client.exceptions.ClientError as error:
            kind, said = _REFUSED.get(code_of(error), (None, ""))
            if kind is None:
                raise
            raise kind(said.format(at=at, name=shortened(name))) from None  # botocore's error holds the request
        finally:
            client.close()
    text = answer.get("SecretString")
    if not isinstance(text, str):
        raise SettingsError(f"{at}: the secret {shortened(name)!r} is binary: keep it as text.")
    return text


def _client(given: S3Settings, name: str) -> Any:
    from botocore.config import Config

    is_arn = name.startswith("arn:") and name.count(":") >= 6
    config = Config(
        retries={"mode": "standard", "total_max_attempts": given.max_attempts},
        connect_timeout=given.connect_timeout_s,
        read_timeout=given.read_timeout_s,
        user_agent_extra="etlctl",
    )
    region = name.split(":")[3] if is_arn else given.region
    return session_of(given, {}).client("secretsmanager", region_name=region, config=config)


def _of_key(text: str, name: str, key: str, at: str) -> str:
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise SettingsError(f"{at}: the secret {shortened(name)!r} is no JSON object, so it has no key {key!r}.")
    if key not in held:
        names = ", ".join(sorted(map(shortened, held))) or "none"
        raise SettingsError(f"{at}: the secret {shortened(name)!r} has no key {shortened(key)!r}. Its keys: {names}.")
    value = held[key]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise SettingsError(f"{at}: the key {shortened(key)!r} of the secret {shortened(name)!r} holds no text.")
    return str(value)
