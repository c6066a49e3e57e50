"""What the settings say about AWS: the table `[s3]`, and a connection's keys for Redshift.

Forms are checked here, so that a wrong one is told with its line; nothing is asked of AWS, and boto3 is not known.
"""

from __future__ import annotations

import re

from etlctl.settings import keys
from etlctl.settings.keys import Key, KeyPath
from etlctl.settings.model import S3Settings
from etlctl.settings.resolver import Resolver, one_of, path_of, place_of
from etlctl.settings.secret import RefusedSecret, Secret
from etlctl.text import printable, shortened

_ROLE = r"arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+"
_REGION = r"(?![0-9]+$)[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
"""A label of a host name, as botocore asks for."""
_ENDPOINT = r"https?://[^\s/@?#:\[\]]+(:[0-9]{1,5})?(/[^\s@?#]*)?|https?://\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?/?"
_SESSION_NAME = r"[A-Za-z0-9_+=,.@-]{2,64}"
_EXTERNAL_ID = r"[A-Za-z0-9_+=,.@:/-]{2,1224}"
"""The last two: AssumeRole in the reference of STS."""
_BUCKET = r"s3://[A-Za-z0-9._-]{3,255}"
_DOTS = r"(?:.*/)?\.\.?(?:/|$)"
"""A part of a path that is `.` or `..`: no key has one (s3/address.py)."""
_STYLES = ("auto", "path", "virtual")
_EXISTENCE = ("auto", "head")


def s3_settings(resolver: Resolver) -> S3Settings:
    """The table `[s3]`; SettingsError with the place for what has not the form it must have."""
    key_id, secret, token = _keys(resolver)
    endpoint = _formed(resolver, keys.S3_ENDPOINT_URL.path, _ENDPOINT, "a URL such as https://s3.example.com:9000")
    profile = resolver.optional(keys.S3_PROFILE.path)
    return S3Settings(
        region=_formed(resolver, keys.S3_REGION.path, _REGION, "the name of a region, as in eu-central-1"),
        endpoint_url=endpoint.rstrip("/") if endpoint is not None else None,
        addressing_style=one_of(resolver, keys.S3_ADDRESSING_STYLE, _STYLES),
        profile=profile if key_id is None else None,
        access_key_id=key_id,
        secret_access_key=secret,
        session_token=token,
        role_arn=_role(resolver, keys.S3_ROLE_ARN.path),
        role_session_name=_formed(
            resolver, keys.S3_ROLE_SESSION_NAME.path, _SESSION_NAME, "2 to 64 letters, digits and _+=,.@-"
        )
        or str(keys.S3_ROLE_SESSION_NAME.default),
        external_id=_formed(
            resolver, keys.S3_EXTERNAL_ID.path, _EXTERNAL_ID, "2 to 1224 letters, digits and _+=,.@:/-"
        ),
        max_attempts=int(_number(resolver, keys.S3_MAX_ATTEMPTS)),
        connect_timeout_s=_number(resolver, keys.S3_CONNECT_TIMEOUT),
        read_timeout_s=_number(resolver, keys.S3_READ_TIMEOUT),
        existence=one_of(resolver, keys.S3_EXISTENCE, _EXISTENCE),
        gc=_places(resolver),
    )


def staging(resolver: Resolver, connection: str) -> str | None:
    """`s3_staging` of a connection, with a slash at its end; it never is a bucket's top."""
    path = path_of(keys.S3_STAGING, connection)
    given = _formed(resolver, path, rf"{_BUCKET}/(?!{_DOTS})[^/].*", "a folder in a bucket: s3://BUCKET/FOLDER/")
    return f"{given.rstrip('/')}/" if given is not None else None


def iam_role(resolver: Resolver, connection: str) -> str | None:
    """`iam_role` of a connection: `default`, or the ARN of a role; several, divided by commas, are a chain."""
    path = path_of(keys.IAM_ROLE, connection)
    given = resolver.optional(path)
    if given is None or given == "default":
        return given
    roles = [role.strip(" ") for role in re.split(r",(?=\s*arn:)", given)]  # a role's own name may hold a comma
    if not all(re.fullmatch(_ROLE, role) for role in roles):
        _refuse(resolver, path, "default, or the ARN of a role: arn:aws:iam::123456789012:role/NAME", given)
        return None
    return ",".join(roles)


def _keys(resolver: Resolver) -> tuple[Secret | None, Secret | None, Secret | None]:
    """The access key, whole or not at all."""
    asked = (keys.S3_ACCESS_KEY_ID, keys.S3_SECRET_ACCESS_KEY, keys.S3_SESSION_TOKEN)
    key_id, secret, token = (resolver.secret(key.path) for key in asked)
    fetched = next((key for key, one in zip(asked, (key_id, secret, token), strict=True) if not _is_at_hand(one)), None)
    if fetched is not None and keys.S3_ENDPOINT_URL.path not in resolver.entries:
        resolver.refuse(
            fetched.path,
            f"{place_of(resolver.entry(fetched.path, None), fetched.path)}: the keys of [s3] cannot be kept in Secrets "
            "Manager, which is asked with them. Use env:NAME, file:PATH, a profile or a role.",
        )
    if (key_id is None) != (secret is None) or (key_id is None and token is not None):
        given = next(key for key in asked if key.path in resolver.entries)
        missing = next(key for key in asked if key.path not in resolver.entries)
        resolver.refuse(
            given.path,
            f"{place_of(resolver.entry(given.path, None), given.path)} needs '{keys.dotted(missing.path)}' beside it. "
            "Give both, or neither: boto3 then looks for credentials by itself.",
        )
        return None, None, None
    return key_id, secret, token


def _is_at_hand(secret: Secret | None) -> bool:
    return secret is None or secret.is_known or isinstance(secret, RefusedSecret)


def _role(resolver: Resolver, path: KeyPath) -> str | None:
    return _formed(resolver, path, _ROLE, "the ARN of a role: arn:aws:iam::123456789012:role/NAME")


def _places(resolver: Resolver) -> tuple[str, ...]:
    path = keys.S3_GC.path
    if path not in resolver.entries:
        return ()
    entry = resolver.entry(path, [])
    places = tuple(resolver.expand(entry, entry.value, path))
    for place in places:
        if not re.fullmatch(rf"{_BUCKET}(/.*)?", place, re.DOTALL):
            _refuse(resolver, path, "a list of s3://BUCKET or s3://BUCKET/PREFIX", place)
            return ()
    return places


def _formed(resolver: Resolver, path: KeyPath, form: str, what: str) -> str | None:
    """The text at `path`, if it is given, in its form."""
    given = resolver.optional(path)
    if given is not None and not re.fullmatch(form, given):
        _refuse(resolver, path, what, given)
        return None
    return given


def _number(resolver: Resolver, key: Key) -> float:
    return float(resolver.entry(key.path, None).value if key.path in resolver.entries else str(key.default))


def _refuse(resolver: Resolver, path: KeyPath, what: str, given: str) -> None:
    at = place_of(resolver.entry(path, None), path)
    shown = "" if re.search("[@?]", given) else f", not '{printable(shortened(given, 80))}'"  # a password may be in it
    resolver.refuse(path, f"{at} must be {what}{shown}.")
