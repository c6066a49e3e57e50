"""What went wrong at the store, in our words: one table of its codes; nothing here sends a request.

    credentials, rights, region, no bucket, the address of the store   UnavailableError   exit 4
    unreachable, SlowDown and 5xx after all tries, a lost connection   TransientError     exit 4, tried again by loads
    a request that this object can never carry out                     TaskError          exit 1

botocore's own texts are not shown: they hold URLs, and sometimes keys. The store's code is, and its sentence where
none of ours fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from etlctl.errors import EtlctlError, TaskError, TransientError, UnavailableError
from etlctl.s3.keys import whose
from etlctl.text import shortened

_EXPIRED = "the session's credentials have expired: get new ones (`aws sso login`, a new token), and run again"
_NO_KEYS = (
    "there are no credentials: set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile` in [s3] of "
    "the settings, or give the machine a role"
)
_WRONG_KEYS = "the store does not know these credentials: look at the profile or the keys, and whose store this is"
_OR_WRONG_KEYS = ", or the access key is wrong or has expired: the store's bare answer does not tell"
_REGION = (
    "the bucket is in another region: set `region` in [s3] of the settings (ETLCTL_S3_REGION), or AWS_DEFAULT_REGION, "
    "to the bucket's own{found}"
)
_NO_BUCKET = "there is no such bucket: look at its name, or make it first (`aws s3 mb`); etlctl makes none"
_CLOCK = "this machine's clock is wrong by more than the store allows: set it right"
_TOO_BUSY = "the store is too busy, or has an error of its own, through every try: run again later"
_UNREACHABLE = "the store cannot be reached{at}: look at the network, and at `endpoint_url` and `region` in [s3]"
_NO_ROLES = (
    "the service that gives out a role's credentials cannot be reached{at}: look at the network, and at "
    "AWS_ENDPOINT_URL_STS, which leads to it where it is not Amazon's"
)
_NO_CLASS = (
    "the store does not have this StorageClass; S3 has STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, "
    "GLACIER_IR, GLACIER, DEEP_ARCHIVE"
)
_GONE_UPLOAD = "the upload was ended by somebody else, such as a lifecycle rule or `etlctl gc --s3`: run again"
_IN_THE_WAY = "another process was writing the same key at the same moment: run again"
_CHANGED = "the object was changed while it was being read: run again, which reads the new one from its beginning"

_SAID: dict[str, tuple[type[EtlctlError], str]] = {
    **dict.fromkeys(
        ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"],
        (UnavailableError, _EXPIRED),
    ),
    **dict.fromkeys(
        ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "AuthFailure"],
        (UnavailableError, _WRONG_KEYS),
    ),
    **dict.fromkeys(
        ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"],
        (UnavailableError, _REGION),
    ),
    **dict.fromkeys(
        ["SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "OperationAborted"],
        (TransientError, _TOO_BUSY),
    ),
    "NoSuchBucket": (UnavailableError, _NO_BUCKET),
    "RequestTimeTooSkewed": (UnavailableError, _CLOCK),
    "NoSuchUpload": (TransientError, _GONE_UPLOAD),
    "ConditionalRequestConflict": (TransientError, _IN_THE_WAY),
    "PreconditionFailed": (TransientError, _CHANGED),
    "412": (TransientError, _CHANGED),
    "BadDigest": (TransientError, "the bytes were damaged on their way to the store: run again"),
    "XAmzContentSHA256Mismatch": (TransientError, "the bytes were damaged on their way to the store: run again"),
    "InvalidObjectState": (TaskError, "the object is archived: restore it first (`aws s3api restore-object`)"),
    "EntityTooLarge": (TaskError, "the object is larger than the store takes: split it"),
    "InvalidStorageClass": (TaskError, _NO_CLASS),
    "InvalidEncryptionAlgorithmError": (TaskError, "the store does not have this ServerSideEncryption"),
    "KMS.NotFoundException": (UnavailableError, "there is no such KMS key in the bucket's region: look at SSEKMSKeyId"),
    "KMS.DisabledException": (UnavailableError, "the KMS key is disabled"),
    "NotImplemented": (TaskError, "the store does not do what was asked for (if_absent, an option)"),
    "QuotaExceeded": (UnavailableError, "the bucket's quota is used up"),
}
_RIGHTS = {
    "HeadObject": "s3:GetObject, and s3:ListBucket so that an absent object is told from one that may not be seen",
    "GetObject": "s3:GetObject, and s3:ListBucket so that an absent object is told from one that may not be seen",
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CopyObject": "s3:PutObject, and s3:GetObject on the source",
    "UploadPartCopy": "s3:PutObject, and s3:GetObject on the source",
    "AssumeRole": "sts:AssumeRole, and name this user in the role's trust policy",
}
_WRITING = "s3:PutObject (and kms:GenerateDataKey where the bucket is encrypted with a KMS key)"

_LOST = (
    "ConnectionClosedError",
    "ConnectionError",
    "ConnectTimeoutError",
    "EndpointConnectionError",
    "HTTPClientError",
    "IncompleteReadError",
    "ProxyConnectionError",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "TimeoutError",
)
_NOT_READY: tuple[tuple[tuple[str, ...], str], ...] = (
    (("NoCredentialsError", "PartialCredentialsError"), _NO_KEYS),
    (
        ("NoRegionError",),
        "no region is set: set `region` in [s3] of the settings (ETLCTL_S3_REGION), or AWS_DEFAULT_REGION",
    ),
    (
        ("ProfileNotFound",),
        "this user's AWS configuration has no profile {profile}: look at AWS_PROFILE and at `profile` in [s3]",
    ),
    (("SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOError"), _EXPIRED),
    (
        ("CredentialRetrievalError", "MetadataRetrievalError", "RefreshWithMFAUnsupportedError"),
        "the credentials could not be fetched: look at the profile, its role or its program",
    ),
    (
        ("SSLError",),
        "the store's certificate is not trusted, or TLS failed: look at `endpoint_url` and AWS_CA_BUNDLE",
    ),
    (
        (
            "InvalidEndpointConfigurationError",
            "UnsupportedS3ConfigurationError",
            "ConfigParseError",
            "InvalidConfigError",
        ),
        "the configuration cannot be used: look at ~/.aws/config and at [s3] of the settings",
    ),
)


@contextmanager
def translating(doing: str, *, unreachable: str = _UNREACHABLE) -> Iterator[None]:
    """Turns the store's and boto3's errors of the block into ours; `doing` begins their sentences, with the address.

    `doing` is shown as it is: give it `address.shown`.
    """
    try:
        yield
    except Exception as error:
        ours = translated(error, doing, unreachable=unreachable)
        if ours is None:
            raise
        raise ours from error


@contextmanager
def assuming(role: str) -> Iterator[None]:
    """The same for a block that asks for the credentials of `role`, which another service than the store gives out."""
    with translating(f"assuming {role}", unreachable=_NO_ROLES):
        yield


def translated(error: BaseException, doing: str, *, unreachable: str = _UNREACHABLE) -> EtlctlError | None:
    """Our error for one of botocore's, or of the connection below it; None for any other, and for one of ours."""
    if isinstance(error, EtlctlError):
        return None
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

    if isinstance(error, ClientError):
        return _of_store(error, doing)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for names, said in _NOT_READY:
        if not kinds.isdisjoint(names):
            profile = shortened(repr(getattr(error, "kwargs", {}).get("profile")))
            return UnavailableError(f"{doing}: {said.replace('{profile}', profile)} ({type(error).__name__}).")
    if isinstance(error, HTTPClientError) or not kinds.isdisjoint(_LOST):
        return TransientError(f"{doing}: {unreachable.format(at=_at_host(error))} ({type(error).__name__}).")
    if isinstance(error, ParamValidationError):
        return TaskError(f"{doing}: boto3 does not take these values: {shortened(str(error), 300)}")
    if isinstance(error, BotoCoreError):
        return UnavailableError(f"{doing}: boto3 gave up ({type(error).__name__}).")
    return _of_transfer(error, doing)


def code_of(error: BaseException) -> str:
    """The store's own code of an error, such as `NoSuchKey` (of a HEAD, which has no body: `404`); else empty."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def status_of(error: BaseException) -> int:
    """The HTTP status of the store's answer; 0 for an error that is none."""
    return int(_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_lost(error: BaseException) -> bool:
    """Whether the connection broke while an answer's body was being read: the rest may be asked for again."""
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    return isinstance(error, OSError | HTTPError | IncompleteReadError | ReadTimeoutError | ResponseStreamingError)


def _answer(error: BaseException) -> dict[str, Any]:
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) else {}


def _of_store(error: Any, doing: str) -> EtlctlError:
    code, status = code_of(error), status_of(error)
    if code in _SAID:
        kind, said = _SAID[code]
        words = said.format(found=_region_of(error)) if said is _REGION else said
        return kind(f"{doing}: {words} ({code}).{_signed(error) if said in (_EXPIRED, _WRONG_KEYS) else ''}")
    if status == 403:
        needed = _RIGHTS.get(error.operation_name, _WRITING)
        doubt = _OR_WRONG_KEYS if code == str(status) else ""  # botocore's word for an answer without a body
        return UnavailableError(
            f"{doing}: this user may not do that{doubt} ({code}, {error.operation_name}).{_signed(error)} Grant "
            f"{needed}."
        )
    if status in (301, 307):
        return UnavailableError(f"{doing}: {_REGION.format(found=_region_of(error))} ({code}).")
    if status >= 500 or status == 429:
        return TransientError(f"{doing}: {_TOO_BUSY} ({code}).")
    if status == 400 and error.operation_name.startswith("Head"):  # a HEAD's answer has no body, so no reason either
        return UnavailableError(
            f"{doing}: the store refuses, as it does with expired credentials or a wrong region.{_signed(error)}"
        )
    told = shortened(str(_answer(error).get("Error", {}).get("Message") or "no reason given"), 200)
    return TaskError(f"{doing}: the store refuses {error.operation_name}: {told} ({code}).")


def _signed(error: Any) -> str:
    found = whose(_answer(error))
    return f" Signed with {found}." if found else ""


def _at_host(error: BaseException) -> str:
    """Where a request went that no answer came to; empty where botocore does not tell."""
    host = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", ""))).netloc.rpartition("@")[2]
    return f" at {shortened(host, 200)}" if host else ""


def _region_of(error: Any) -> str:
    headers = _answer(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or _answer(error).get("Error", {}).get("Region")
    return f", which is {shortened(str(region))}" if region else ""


def _of_transfer(error: BaseException, doing: str) -> EtlctlError | None:
    """Of boto3's managed transfers, which wrap some errors in their own."""
    wrapped = error.__cause__ or error.__context__
    if type(error).__module__ in ("boto3.exceptions", "s3transfer.exceptions"):
        inner = translated(wrapped, doing) if wrapped is not None else None
        return inner or TransientError(f"{doing}: the transfer failed ({type(error).__name__}): run again.")
    return None
