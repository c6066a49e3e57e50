"""What Redshift's errors mean where they are not PostgreSQL's, as sentences with the exit code they deserve.

Redshift gives most of its own errors the code XX000, so that its words decide. Sources: "Troubleshooting serializable
isolation errors" (1023) and "Concurrent operations under snapshot isolation" of its Database Developer Guide; the
texts as drivers' users report them (aws-sdk-pandas #665, amazon-redshift-jdbc-driver #147).
"""

from __future__ import annotations

import re

import psycopg2
from sqlalchemy import exc

from etlctl.db.dialects.postgresql import errors as postgresql_errors
from etlctl.db.dialects.redshift.redaction import redacted
from etlctl.errors import BadDataError, EtlctlError, LoadError, TransientError, UnavailableError
from etlctl.text import shortened

_INTERNAL, _CANCELLED = "XX000", "57014"
_ADMISSION = "the cluster's own users (SELECT usename FROM pg_user)"
"""Redshift has no pg_hba.conf that anybody could look at."""
_SHOWN = 300

_Meaning = tuple[str, type[EtlctlError], str]
_MEANINGS: tuple[_Meaning, ...] = (
    (
        r"serializable isolation violation|^1023\b",
        TransientError,
        "another transaction changed what this one had read ({said}); it can be tried again.",
    ),
    (
        r"conflict with concurrent transaction|concurrent (?:update|delete|transaction)|deadlock detected",
        TransientError,
        "{said}; the transaction can be tried again.",
    ),
    (
        r"could not open relation|^1018\b|relation .* was (?:dropped|changed)",
        TransientError,
        "a table was made anew meanwhile ({said}); the transaction can be tried again.",
    ),
    (
        r"value too long for",
        BadDataError,
        "the database refused a text: {said}. A VARCHAR of Redshift counts bytes, not characters.",
    ),
    (
        r"invalid digit|data overflow|out of range|divide by zero|invalid (?:date|timestamp|value)|cannot be cast",
        BadDataError,
        "the database refused a value: {said}.",
    ),
    (
        r"specified s3 prefix .* does not exist|the specified (?:key|bucket) does not exist|manifest file .* not",
        LoadError,
        "{said}. Look at the address in S3, and at the region of its bucket.",
    ),
    (
        r"not authorized to (?:get credentials of|assume) (?:iam )?role|error .*iam role|iam_role",
        UnavailableError,
        (
            "Redshift cannot act in the IAM role ({said}). Attach the role of the setting iam_role to the cluster or "
            "workgroup, and let it trust redshift.amazonaws.com."
        ),
    ),
    (
        r"access ?denied|status 403|forbidden",
        UnavailableError,
        (
            "S3 lets Redshift not in ({said}). Its role needs s3:GetObject and s3:ListBucket there; to UNLOAD, "
            "s3:PutObject too."
        ),
    ),
    (
        r"permanentredirect|status 301|must be addressed using the specified endpoint",
        LoadError,
        "the bucket is in another region ({said}): give COPY the option region.",
    ),
    (
        r"unload destination on s3 is not empty",
        LoadError,
        "{said}. Unload under another prefix, or with allowoverwrite.",
    ),
    (r"disk full", UnavailableError, "the disks of {url} are full ({said}); nothing was kept."),
    (r"s3serviceexception|slowdown|status 50\d", TransientError, "S3 failed Redshift ({said}); it can be tried again."),
)


def translated(error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
    """See `Dialect.translated`."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, psycopg2.Error) and cause.pgcode == _CANCELLED:
        return LoadError(
            f"{doing}: the server ended the statement ({said_by(cause)}): it took longer than statement_timeout, or "
            "somebody cancelled it."
        )
    if isinstance(cause, psycopg2.Error) and cause.pgcode == _INTERNAL:
        said = said_by(cause)
        for pattern, kind, sentence in _MEANINGS:
            if re.search(pattern, said, re.IGNORECASE):
                return kind(f"{doing}: {sentence.format(said=said, url=shown_url)}")
    found = postgresql_errors.translated(error, doing=doing, shown_url=shown_url)
    if found is not None and found is not cause:
        found.args = tuple(map(_in_words_of_redshift, found.args))
    return found


def _in_words_of_redshift(argument: object) -> object:
    """An argument of an error in PostgreSQL's words."""
    if not isinstance(argument, str):
        return argument
    return redacted(argument).replace(postgresql_errors.ADMISSION, _ADMISSION)


def said_by(error: psycopg2.Error) -> str:
    """The server's sentence; its detail, too, where the sentence is a number. Else that tells of its insides."""
    said = (error.diag.message_primary or str(error)).strip()
    detail = error.diag.message_detail
    text = f"{said}: {detail}" if detail and said.isdigit() else said
    return shortened(redacted(" ".join(text.split())), _SHOWN).rstrip(".")
