"""What a text of the settings stands for: `${VAR}` within it, and the secret references `env:`, `file:`, `aws-sm:`.

Sentences name variables and files and never show what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from etlctl.errors import SettingsError
from etlctl.text import printable

_MARK = r"\$\$\{|\$\{(?P<name>[^}]*)\}|\$\{"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
ReadFile: TypeAlias = Callable[[Path, str], str]
_REFERENCES = ("env", "file", "aws-sm")
_AWS = "aws-sm:"
_AWS_NAME = r"[A-Za-z0-9/_+=.@!:-]{1,2048}(?:#[^#\x00-\x1f\x7f]{1,200})?"
"""A secret's name or ARN (Secrets Manager, CreateSecret), and a key of the JSON it holds."""
_USER_PART = r"(?P<scheme>[A-Za-z][\w+]*://)(?P<user>[^:/@]*(?P<password>:[^@]*)?)@"


def expanded(text: str, *, at: str, environ: Mapping[str, str], encode: Callable[[str], str] = str) -> str:
    """`text` with the value of the variable for each `${VAR}`, and `${` for `$${`.

    A value is put in as it is, after `encode`, and not looked into again. SettingsError, beginning with `at`, when a
    variable is not set or empty.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name = match["name"]
        if name is None or not re.fullmatch(_VARIABLE, name):
            raise SettingsError(
                f"{at} holds a ${{ that is not of the form ${{VARIABLE}}. There are no defaults within it; "
                "$${ stands for a ${ that is meant as it is."
            )
        return encode(variable(name, at=at, environ=environ))

    return re.sub(_MARK, value, text) if "${" in text else text


def expanded_url(text: str, *, at: str, environ: Mapping[str, str]) -> str:
    """As `expanded`; a variable in the user or password of a URL is percent-encoded, so that any password survives."""
    part = re.match(_USER_PART, text) if "${" in text else None
    if part is None:
        return expanded(text, at=at, environ=environ)
    encode = _encoded if part["password"] is not None else _encoded_pair
    user = expanded(part["user"], at=at, environ=environ, encode=encode)
    return f"{part['scheme']}{user}{expanded(text[part.end('user') :], at=at, environ=environ)}"


def referred(text: str, *, at: str, environ: Mapping[str, str], project: Path, read: ReadFile) -> str | None:
    """What `env:NAME` or `file:PATH` refers to, exactly; None when `text` is neither. `read` is `file_text`, but where
    what files hold is of no use."""
    kind, _, rest = text.partition(":")
    if kind not in ("env", "file"):
        return None
    if kind == "file":
        path = expanded(rest, at=at, environ=environ).removeprefix("//")
        return read(project / path, at)
    if not re.fullmatch(_VARIABLE, rest):
        raise SettingsError(f"{at}: env: is followed by the name of an environment variable, as in env:WAREHOUSE_URL.")
    return variable(rest, at=at, environ=environ)


def kept_at_aws(text: str, *, at: str, environ: Mapping[str, str]) -> str | None:
    """`NAME` or `NAME#KEY` of `aws-sm:NAME#KEY`, variables filled in; None when `text` is no such reference."""
    if not text.startswith(_AWS):
        return None
    name = expanded(text.removeprefix(_AWS), at=at, environ=environ)
    if not re.fullmatch(_AWS_NAME, name):
        raise SettingsError(
            f"{at}: aws-sm: is followed by the name or ARN of a secret, and where it holds JSON by # and a key, as in "
            "aws-sm:prod/warehouse#url."
        )
    return name


def variable(name: str, *, at: str, environ: Mapping[str, str]) -> str:
    """The value of an environment variable; SettingsError when it is not set or empty."""
    value = environ.get(name)
    if value:
        return value
    state = "set, but empty" if value == "" else "not set"
    raise SettingsError(f"{at} needs the environment variable {name}, which is {state}. Set it.")


def sources(text: str) -> str:
    """Which variables or file a text takes its value from, for its origin: ` from ${VAR}`; empty for a plain text."""
    if text.startswith(tuple(f"{kind}:" for kind in _REFERENCES)):
        return f" from {printable(text)}"
    names = [f"${{{match['name']}}}" for match in re.finditer(_MARK, text) if match["name"]] if "${" in text else []
    return f" from {', '.join(dict.fromkeys(names))}" if names else ""


def file_text(file: Path, at: str) -> str:
    """What the file holds, without line breaks at its end; SettingsError, beginning with `at`, for nothing."""
    shown = printable(str(file))
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{at}: the file {shown} that it refers to is not UTF-8 text.") from None
    except OSError as error:
        raise SettingsError(
            f"{at}: the file {shown} that it refers to cannot be read: {error.strerror}. Put it there, or name another."
        ) from None
    value = text.rstrip("\r\n")
    if not value:
        raise SettingsError(f"{at}: the file {shown} that it refers to is empty.")
    return value


def _encoded(value: str) -> str:
    return quote(value, safe="")


def _encoded_pair(value: str) -> str:
    """For a variable that holds user and password in one: the first colon divides them."""
    return ":".join(quote(part, safe="") for part in value.split(":", 1))
