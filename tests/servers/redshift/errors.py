"""What Redshift says when it refuses: errors with its SQLSTATEs and texts, and how the server's become them.

Texts that were seen in reports of users are marked so; the others follow AWS's pages in sense, not by the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SYNTAX = "42601"
UNSUPPORTED = "0A000"
INTERNAL = "XX000"
UNDEFINED_TABLE = "42P01"
UNDEFINED_SETTING = "42704"
UNDEFINED_FUNCTION = "42883"
IN_TRANSACTION = "25001"
SERIALIZATION = "40001"
CANCELED = "57014"
TOO_LONG = "22001"
CHECK_VIOLATED = "23514"
BYTES_CHECK = "standin_bytes_"
"""What the names of the constraints begin with that count a VARCHAR's bytes."""


@dataclass
class Refusal(Exception):
    """An error for the client: the transaction is broken by it."""

    message: str
    code: str = UNSUPPORTED
    detail: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


def syntax(near: str) -> Refusal:
    if not near:
        return Refusal("syntax error at end of input", SYNTAX)
    return Refusal(f'syntax error at or near "{near}"', SYNTAX)


def unsupported(what: str) -> Refusal:
    return Refusal(f"{what} is not supported", UNSUPPORTED)


def no_function(name: str) -> Refusal:
    hint = "No function matches the given name and argument types. You may need to add explicit type casts."
    return Refusal(f"function {name}() does not exist", UNDEFINED_FUNCTION, fields={"H": hint})


def no_setting(name: str) -> Refusal:
    """As reported by users of `SHOW server_version_num`."""
    return Refusal(f'unrecognized configuration parameter "{name}"', UNDEFINED_SETTING)


def internal(message: str, *, code: int = 8001, context: str = "", query: int = 0, pid: int = 0) -> Refusal:
    """An error of the compute nodes with their block of details (3scale/apisonator#196 shows one)."""
    line = "-" * 47
    detail = (
        f"\n  {line}\n  error:  {message}\n  code:      {code}\n  context:   {context}\n  query:     {query}\n"
        f"  location:  standin.py:1\n  process:   padbmaster [pid={pid}]\n  {line}\n"
    )
    return Refusal(message, INTERNAL, detail)


def serialization(table: int, transactions: tuple[int, int], pid: int) -> Refusal:
    """As in aws/aws-sdk-pandas#665."""
    first, second = transactions
    detail = (
        f"Serializable isolation violation on table - {table}, transactions forming the cycle are: "
        f"{first}, {second} (pid:{pid})"
    )
    return Refusal("1023", INTERNAL, detail)


def too_long(said: Mapping[str, str], pid: int) -> Refusal:
    """As in transferwise/pipelinewise-target-redshift#59."""
    text = "Value too long for character type"
    kind = said.get("M", "").removeprefix("value too long for type ")
    context = f"Value too long for type {kind}" if said.get("C") == TOO_LONG else "Value too long for its bytes"
    return internal(text, context=context, pid=pid)


def translated(said: Mapping[str, str], *, table: int, pid: int, is_snapshot: bool) -> Refusal:
    """The server's error as Redshift puts it; the others keep their text and SQLSTATE."""
    code = said.get("C", INTERNAL)
    if code == SERIALIZATION and is_snapshot:  # aws/amazon-redshift-jdbc-driver#147
        return Refusal("could not complete because of conflict with concurrent transaction", INTERNAL)
    if code == SERIALIZATION:
        return serialization(table, (pid, pid + 1), pid)
    if code == CANCELED:  # a cancel and statement_timeout alike: awslabs/amazon-redshift-utils#174
        return Refusal(f"Query ({pid}) cancelled on user's request", CANCELED)
    if code == TOO_LONG or (code == CHECK_VIOLATED and said.get("n", "").startswith(BYTES_CHECK)):
        return too_long(said, pid)
    kept = {key: said[key] for key in "HWP" if key in said}
    return Refusal(said.get("M", "?"), code, said.get("D", ""), kept)
