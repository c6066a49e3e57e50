"""What PostgreSQL's and libpq's errors mean, as sentences with the exit code they deserve. Knows codes, runs nothing.

Source of the codes: the manual's appendix "PostgreSQL Error Codes". What fails before there is a session has no code,
only libpq's words. No sentence here holds the text of a statement: psycopg2 writes values into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg2
import psycopg2.errors
from sqlalchemy import exc

from etlctl.errors import (
    BadDataError,
    CommitInsideError,
    EtlctlError,
    LoadError,
    LockTimeoutError,
    QueryError,
    SettingsError,
    TransientError,
    UnavailableError,
)
from etlctl.text import shortened

LOADING_KEY = "etlctl_loading"
"""Name of the marker table's foreign key that a COMMIT in the middle of a load runs into."""

ADMISSION = "the server's pg_hba.conf"
"""Where a server says who may come in, as the sentences here have it."""

_SHOWN = 300  # characters of what the server said


class ConnectError(psycopg2.OperationalError):
    """A session could not be begun; the text is libpq's."""


def translated(error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
    """See `Dialect.translated`."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, EtlctlError):
        return cause
    if isinstance(cause, ConnectError):
        return _unreachable(cause, doing, shown_url)
    if isinstance(cause, psycopg2.Error):
        return _of_server(cause, doing, shown_url) if cause.pgcode else _of_driver(cause, doing, shown_url)
    if isinstance(cause, ValueError) and "NUL (0x00)" in str(cause):
        return BadDataError(f"{doing}: a text holds a NUL character, which PostgreSQL cannot keep.")
    if isinstance(error, exc.SQLAlchemyError):
        return QueryError(f"{doing}: {_first_line(error)}.")
    return None


# -- errors of a session, by SQLSTATE

_Kind = tuple[type[EtlctlError], str]
_LOST = "the connection was lost"

_BY_STATE: Mapping[str, _Kind] = {
    "0A000": (QueryError, "{said}"),
    "25006": (
        UnavailableError,
        (
            "{url} is read-only ({said}): it may be a standby, or have failed over. Name the primary in the URL "
            "(several hosts and target_session_attrs=read-write find it)."
        ),
    ),
    "25P02": (
        LoadError,
        (
            "an earlier statement of the transaction failed and its error was passed over, so nothing can be kept. Let "
            "it pass up, or put a part that may fail into connection.begin_nested()."
        ),
    ),
    "25P03": (
        UnavailableError,
        (
            "{url} ended the session, which had its transaction open and was silent for longer than "
            "idle_in_transaction_session_timeout allows."
        ),
    ),
    "25P04": (
        UnavailableError,
        "{url} ended the session: its transaction took longer than transaction_timeout.",
    ),
    "28000": (UnavailableError, f"{{url}} refused the user: {{said}}. Look at {ADMISSION}."),
    "28P01": (UnavailableError, "{url} refused the password: {said}."),
    "2D000": (
        CommitInsideError,
        "a COMMIT or ROLLBACK was tried inside the load's transaction, by a procedure or a DO block. Take it out.",
    ),
    "3D000": (UnavailableError, "{url}: {said}. Create the database, or mend the URL."),
    "3F000": (LoadError, "{said}. Create the schema, or mend the table's name."),
    "40001": (TransientError, "{said}; the transaction can be tried again."),
    "40P01": (TransientError, "two transactions waited for each other, and this one was ended ({said})."),
    "42501": (LoadError, "{said}. GRANT {right} to the user of {url}, or name another user there."),
    "53100": (UnavailableError, "the database disk is full ({said}); nothing was kept. Make room on {url}."),
    "53300": (TransientError, "{url} has no connection free: {said}."),
    "55P03": (
        LockTimeoutError,
        "another transaction held a lock for longer than lock_timeout ({said}). pg_stat_activity on {url} tells which.",
    ),
    "57014": (LoadError, "the server ended the statement: {said}.{cancelled}"),
    "57P04": (UnavailableError, "{url}: {said}."),
    "57P05": (TransientError, f"{_LOST}: {{said}}."),
}
_BY_CLASS: Mapping[str, _Kind] = {
    "08": (TransientError, f"{_LOST}: {{said}}."),
    "22": (BadDataError, "the database refused a value: {said}.{column}"),
    "23": (BadDataError, "the database refused a row: {said}.{detail}"),
    "25": (QueryError, "{said}."),
    "28": (UnavailableError, "{url}: {said}."),
    "40": (TransientError, "{said}."),
    "53": (UnavailableError, "{url} has no resources left: {said}.{hint}"),
    "54": (LoadError, "a limit of the database: {said}.{hint}"),
    "57": (TransientError, f"{_LOST}: {{said}}."),
    "58": (UnavailableError, "{url} reports an error of its system: {said}."),
    "XX": (UnavailableError, "{url} reports an internal error: {said}."),
}
_OTHERS: _Kind = (QueryError, "{said}{near}.{hint}")
_NO_POSTGRESQL = re.compile(r'parameter "(?:standard_conforming_strings|intervalstyle|bytea_output)"', re.IGNORECASE)
"""Settings of each session that every PostgreSQL has."""
_REDSHIFT: _Kind = (
    UnavailableError,
    (
        "{url} is no PostgreSQL ({said}). A Redshift is written redshift://USER:PASSWORD@HOST:5439/DATABASE, and wants "
        'pip install "etlctl[redshift]".'
    ),
)
_TELLING_KEYS = ("23503", "23505", "23P01")
_CANCELLED = {
    "statement timeout": " It took longer than statement_timeout allows; give the connection more in the settings.",
    "user request": " Somebody cancelled it (pg_cancel_backend).",
}


def _of_server(error: psycopg2.Error, doing: str, shown_url: str) -> EtlctlError:
    code = error.pgcode or ""
    diagnosis = error.diag
    if code == "23503" and diagnosis.constraint_name == LOADING_KEY:
        return CommitInsideError(
            f"{doing}: a COMMIT was tried inside the load's transaction, which commits by itself, rows and marker "
            "together; the server refused it and nothing was kept. Take it out."
        )
    kind, pattern = _BY_STATE.get(code) or _BY_CLASS.get(code[:2]) or _OTHERS
    said = _said(error)
    if code == "42704" and _NO_POSTGRESQL.search(said):
        kind, pattern = _REDSHIFT
    return kind(
        f"{doing}: "
        + pattern.format(
            said=said,
            url=shown_url,
            # of a constraint on one row the detail is the whole row
            detail=_part(diagnosis.message_detail) if code in _TELLING_KEYS else "",
            hint=_part(diagnosis.message_hint),
            column=f" Column {shortened(diagnosis.column_name)}." if diagnosis.column_name else "",
            near=_near(error, said),
            right=_right(error, said),
            cancelled=next((text for word, text in _CANCELLED.items() if word in said), ""),
        )
    )


def _said(error: psycopg2.Error) -> str:
    """The server's sentence, which our cursor has cleared of bound values; behind it may stand the statement."""
    text = (str(error) or error.diag.message_primary or "").strip()
    return shortened(text.splitlines()[0] if text else type(error).__name__, _SHOWN).rstrip(".")


def _part(text: str | None) -> str:
    return f" {shortened(' '.join(text.split()), _SHOWN).rstrip('.')}." if text else ""


_RIGHTS = {"WITH": "SELECT", "COPY": "INSERT", "VALUES": "SELECT"}


def _right(error: psycopg2.Error, said: str) -> str:
    """What was wanted: the statement's first word, which is a keyword and no value."""
    if "owner" in said:
        return "the role that owns it"
    if "for schema" in said:
        return "USAGE (CREATE, to make a table there)"
    match = _WORD.search(_sent(error))
    word = match[0].upper() if match else ""
    right = _RIGHTS.get(word, word)
    return right if right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE") else "the right"


def _sent(error: psycopg2.Error) -> str:
    """The statement as it was sent, values in it: never to be shown."""
    cursor = error.cursor
    sent = cursor.query if cursor is not None else None
    return sent.decode(errors="replace") if isinstance(sent, bytes) else sent or ""


_WORD = re.compile(r"[A-Za-z_]\w*")


def _near(error: psycopg2.Error, said: str) -> str:
    """` near "word"`, the word of the statement that the server points at: a query's file is searched for it.

    Only a bare word is told, since anything else could be a value.
    """
    position, text = error.diag.statement_position, _sent(error)
    if position is None or not text or "does not exist" in said or 'near "' in said:
        return ""
    match = _WORD.match(text, int(position) - 1)
    return f' near "{match[0]}"' if match and not text[: int(position) - 1].count("'") % 2 else ""


# -- errors of the driver and of libpq, which have no code


def _of_driver(error: psycopg2.Error, doing: str, shown_url: str) -> EtlctlError:
    said = _first_line(error)
    if isinstance(error, psycopg2.errors.InFailedSqlTransaction):
        kind, pattern = _BY_STATE["25P02"]
        return kind(f"{doing}: {pattern}")
    if isinstance(error, psycopg2.InterfaceError) and "busy" in said:
        return LoadError(
            f"{doing}: {said}: rows are being copied over it. Use another connection for other statements."
        )
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) or "server closed" in said:
        return TransientError(f"{doing}: the connection to {shown_url} was lost ({said}).")
    if isinstance(error, psycopg2.DatabaseError) and _is_lost(said):
        return TransientError(f"{doing}: the connection to {shown_url} was lost ({said}).")
    return QueryError(f"{doing}: {said}.")


def _is_lost(said: str) -> bool:
    """libpq's words, some of which psycopg2 hands on as a bare DatabaseError."""
    return any(words in said for words in ("connection", "SSL", "server", "EOF", "no results to fetch: lost"))


# -- no session at all: the first pattern that is found in libpq's words

_NO_SESSION: tuple[tuple[str, type[EtlctlError], str], ...] = (
    (
        r"too many clients|remaining connection slots|too many connections",
        TransientError,
        "{url} has no connection free: {said}.",
    ),
    (
        r"is starting up|is shutting down|in recovery mode|not yet accepting connections",
        TransientError,
        "{url} is not ready: {said}.",
    ),
    (
        r"password authentication failed|no password supplied|authentication failed|pg_hba|role \".*\" does not exist",
        UnavailableError,
        (
            "{url} refused the user: {said}. Look at user and password of the URL (characters such as @ : / in them "
            f"are percent-encoded), and at {ADMISSION}."
        ),
    ),
    (
        r"database \".*\" does not exist",
        UnavailableError,
        "{url}: {said}. Create it (CREATE DATABASE), or mend the URL.",
    ),
    (r"permission denied", UnavailableError, "{url}: {said}."),
    (
        r"could not translate host name|Name or service not known|nodename nor servname|Temporary failure in name",
        UnavailableError,
        (
            "{url} cannot be reached: its host name is unknown ({said}). Mend the host in the URL, or look at the name "
            "service."
        ),
    ),
    (
        r"Connection refused|No such file or directory",
        UnavailableError,
        "{url} cannot be reached: nothing listens there ({said}). Is the server running, and are host and port right?",
    ),
    (
        r"timeout expired|timed out|No route to host|Network is unreachable",
        UnavailableError,
        (
            "{url} cannot be reached: no answer came ({said}). Look at host and port, at firewalls, and whether the "
            "server is up; connect_timeout in the settings says how long it is waited for."
        ),
    ),
    (
        r"received invalid response|expected authentication request|unsupported frontend protocol",
        UnavailableError,
        "{url} does not answer as PostgreSQL does: {said}. Is the port right?",
    ),
    (
        r"server closed the connection|Connection reset|unexpectedly|EOF detected",
        TransientError,
        "{url} closed the connection while a session was begun ({said}).",
    ),
    (
        r"SSL|certificate|GSSAPI",
        UnavailableError,
        "{url} cannot be reached safely: {said}. See sslmode in the URL.",
    ),
    (
        r"invalid connection option|invalid .* value|invalid dsn|invalid port",
        SettingsError,
        "{url} cannot be used: {said}. Mend the URL.",
    ),
)


def _unreachable(error: psycopg2.OperationalError, doing: str, shown_url: str) -> EtlctlError:
    whole = str(error)
    for pattern, kind, sentence in _NO_SESSION:
        if re.search(pattern, whole):
            return kind(f"{doing}: {sentence.format(url=shown_url, said=_telling_line(whole, pattern))}")
    return UnavailableError(f"{doing}: {shown_url} cannot be reached: {_first_line(error)}.")


def _telling_line(whole: str, pattern: str) -> str:
    """Of several hosts libpq tells one after the other; the line that was recognised is shown."""
    lines = [line.strip() for line in whole.strip().splitlines()]
    found = next((line for line in lines if re.search(pattern, line)), lines[0] if lines else whole)
    return shortened(found, _SHOWN).rstrip(".")


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip() or type(cause).__name__
    return shortened(text.splitlines()[0], _SHOWN).rstrip(".")
