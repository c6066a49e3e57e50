"""The boto3 client for the settings in force: one for each process and `[s3]` of settings; it sends nothing itself.

boto3's clients are safe to share between threads. A forked child gets its own: two processes must not talk over one
connection. What `[s3]` leaves open is boto3's own chain: environment, ~/.aws, the role of the machine.
"""

from __future__ import annotations

import os
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any

from etlctl.core import context
from etlctl.s3.errors import assuming, translating
from etlctl.s3.keys import role_words, tell_whose
from etlctl.settings import S3Settings

CONNECTIONS = 32
"""Of a client: more than any of our pools of threads uses at once."""
_CHECKSUMS = "AWS_REQUEST_CHECKSUM_CALCULATION"
_RARELY = "when_required"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


class _Clients:
    """The clients of this process, by settings."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: dict[tuple[int, S3Settings], Any] = {}
        self.buckets: dict[S3Settings, set[str]] = defaultdict(set)
        weakref.finalize(self, _close_all, self._made)  # at exit finalizers run youngest first: after every upload's

    def get(self, settings: S3Settings) -> Any:
        key = (os.getpid(), settings)
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = self._made[key] = _make(settings)
        return found

    def close(self) -> None:
        self.buckets.clear()
        _close_all(self._made)


def _close_all(made: dict[tuple[int, S3Settings], Any]) -> None:
    for key in list(made):
        found = made.pop(key)
        if key[0] == os.getpid():  # those that a fork brought along are the parent's to close
            found.close()


_clients = _Clients()
os.register_at_fork(after_in_child=lambda: setattr(_clients, "_lock", Lock()))  # a thread of the parent may hold it


def client() -> Any:
    """The client for the settings in force, made at the first call; UnavailableError where boto3 cannot make one.

    It is boto3's own, for whatever is not offered here; its errors come out as botocore's.
    """
    return _clients.get(settings())


def known_buckets() -> set[str]:
    """The buckets that the client for the settings in force has met so far; whoever meets one adds it."""
    return _clients.buckets[settings()]


def settings() -> S3Settings:
    """`[s3]` of the settings in force; boto3's own chain where none are."""
    given = context.current().settings
    found: S3Settings = S3Settings() if given is None else given.s3
    return found


def credentials() -> Any:
    """The client's keys as they are now (`access_key`, `secret_key`, `token`), or None: for a program that must be told
    them. Never to be shown."""
    found = client()._request_signer._credentials  # botocore has no public way to them
    with translating("fetching the credentials of S3"):
        return None if found is None else found.get_frozen_credentials()


def close() -> None:
    """Closes every client of this process; the next call makes a new one."""
    _clients.close()


def _origins() -> Mapping[str, str]:
    given = context.current().settings
    found: Mapping[str, str] = {} if given is None else given.origins
    return found


def _is_amazon(endpoint_url: str) -> bool:
    """Whether it is Amazon's own S3, which knows all of its protocol."""
    host = endpoint_url.split("://")[-1].split("/")[0].split(":")[0]
    return host.endswith(_AMAZON)


def session_of(given: S3Settings, origins: Mapping[str, str]) -> Any:
    """A session of boto3 with the credentials that the settings name; errors come out as botocore's.

    `origins` are the settings' own, for what a refusal says of the credentials.
    """
    import boto3  # heavy: `list` and `show` need no client

    session = boto3.session.Session(
        profile_name=given.profile,
        region_name=given.region,
        aws_access_key_id=given.access_key_id.reveal() if given.access_key_id else None,
        aws_secret_access_key=given.secret_access_key.reveal() if given.secret_access_key else None,
        aws_session_token=given.session_token.reveal() if given.session_token else None,
    )
    tell_whose(session._session, given, origins)  # boto3 has no public way to events of each request
    if given.role_arn:
        _assume(session, given, origins)
    return session


def _make(given: S3Settings) -> Any:
    from botocore.config import Config

    with translating("opening S3"):
        session = session_of(given, _origins())
        config = Config(
            retries={"mode": "standard", "total_max_attempts": given.max_attempts},
            connect_timeout=given.connect_timeout_s,
            read_timeout=given.read_timeout_s,
            max_pool_connections=CONNECTIONS,
            tcp_keepalive=True,
            s3={"addressing_style": given.addressing_style},
            user_agent_extra="etlctl",
        )
        made = _opened(partial(session.client, "s3", endpoint_url=given.endpoint_url), config, given.endpoint_url)
        made.meta.events.register_first("needs-retry.s3.HeadBucket", _end_redirects)
        return made


def _opened(open_client: Callable[..., Any], config: Any, endpoint_url: str | None) -> Any:
    """The client, with boto3's checksums where it talks to Amazon, and those of old elsewhere."""
    if os.environ.get(_CHECKSUMS):
        return open_client(config=config)
    plain = config.merge(type(config)(request_checksum_calculation=_RARELY, response_checksum_validation=_RARELY))
    is_elsewhere = endpoint_url is not None and not _is_amazon(endpoint_url)
    made = open_client(config=plain if is_elsewhere else config)
    if not is_elsewhere and not _is_amazon(made.meta.endpoint_url):  # as AWS's own variables and files may say
        made.close()
        made = open_client(config=plain)
    if not _is_amazon(made.meta.endpoint_url):
        made.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
    return made


def _end_redirects(request_dict: dict[str, Any], response: Any, **_: Any) -> None:
    """Ends botocore's search for a bucket's region at an answer that does not tell it.

    It asks for the bucket to learn where that is, and does so again, without end, when the answer is a bare 301.
    """
    told = {} if response is None else response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "x-amz-bucket-region" not in told:
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Other stores want the Content-MD5 that DeleteObjects had before boto3 1.36 sent a CRC32 in its place."""
    import base64
    import hashlib

    body = params["body"] if isinstance(params["body"], bytes) else str(params["body"]).encode()
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    params["headers"].setdefault("Content-MD5", base64.b64encode(digest).decode())


def _assume(session: Any, given: S3Settings, origins: Mapping[str, str]) -> None:
    """Lets the session act in the role, with credentials that are fetched when needed and renewed before they expire.

    boto3 does so for a role in a profile; a role in the settings goes the same way (botocore.credentials).
    """
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.exceptions import NoCredentialsError

    core = session._session  # boto3 has no public way to give a session a role
    source = core.get_credentials()
    if source is None:
        raise NoCredentialsError
    extra = {"RoleSessionName": given.role_session_name}
    if given.external_id:
        extra["ExternalId"] = given.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(core.create_client, region_name=session.region_name),
        source_credentials=source,
        role_arn=given.role_arn,
        extra_args=extra,
    )
    role = role_words(given, origins)

    def fetch() -> Any:
        with assuming(role):
            return fetcher.fetch_credentials()

    core._credentials = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetch)
