r"""The text of Redshift's COPY and UNLOAD, which take no bound values; pure: opens nothing and runs nothing.

Everything that comes from outside goes through `literal()`, every option through an allow-list. Credentials are never
options: they are the connection's, and redaction.py takes them out of whatever is shown.

Source: the pages "COPY", "UNLOAD" and "Authorization parameters" of Amazon Redshift's Database Developer Guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etlctl.errors import LoadError, SettingsError
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

_ROLE = re.compile(r"arn:aws(?:-cn|-us-gov)?:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d", re.ASCII)


def literal(text: str) -> str:
    r"""A string constant. Redshift takes a backslash in one for an escape, so that it is doubled, like the quote.

    LoadError for what no constant holds: NUL, or half a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LoadError(f"{text!r} is no valid Unicode text, so no statement can hold it.") from error
    if "\0" in text:
        raise LoadError(f"{shortened(repr(text))} holds a NUL character, which no statement can hold.")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name in quotes, for a statement that no driver looks for `%` in."""
    return '"' + name.replace('"', '""') + '"'


# -- who may read and write in S3


@dataclass(frozen=True)
class Access:
    """How Redshift gets at S3: by a role, or by keys, which stand in the statement then and are never shown."""

    role: str | None = None
    """`default`, the ARN of a role, or several ARNs with commas between them: roles that are assumed in turn."""
    key_id: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def words(self) -> str:
        """As they stand in a statement."""
        if self.role is not None:
            return "IAM_ROLE default" if checked_role(self.role) == "default" else f"IAM_ROLE {literal(self.role)}"
        if self.key_id is None or self.secret is None:
            raise SettingsError("neither a role nor keys are given, by which Redshift could get at S3.")
        words = f"ACCESS_KEY_ID {literal(self.key_id)} SECRET_ACCESS_KEY {literal(self.secret)}"
        return words if self.token is None else f"{words} SESSION_TOKEN {literal(self.token)}"


def checked_role(role: str) -> str:
    """`role` itself; SettingsError for one that has not the form of `default`, an ARN, or ARNs in a chain."""
    if role == "default" or all(_ROLE.fullmatch(one) for one in re.split(",(?=arn:)", role)):
        return role
    raise SettingsError(
        f"the IAM role {shortened(repr(role))} has not the form arn:aws:iam::123456789012:role/NAME (several with "
        "commas between them are assumed in turn), nor is it default. Mend iam_role of the connection."
    )


# -- options

Words = Callable[[str, Any], str | None]
"""An option's name and value as words of the statement, None for none; LoadError for a value that it does not take."""


def _refused(name: str, value: Any, wanted: str) -> LoadError:
    return LoadError(f"the option {name} is {shortened(repr(value))}; {wanted}.")


def _flag(name: str, value: Any) -> str | None:
    if not isinstance(value, bool):
        raise _refused(name, value, "it is True or False")
    return name.upper() if value else None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, value, "it is a text")
    return f"{name.upper()} {literal(value)}"


def _null(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, value, "it is a text")
    return f"NULL AS {literal(value)}"


def _character(name: str, value: Any) -> str:
    if not (isinstance(value, str) and len(value) == 1 and value.isascii() and value not in "\0\r\n"):
        raise _refused(name, value, "it is one ASCII character")
    return f"{name.upper()} {literal(value)}"


def _count(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise _refused(name, value, "it is a whole number")
    return f"{name.upper()} {value}"


def _switch(name: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise _refused(name, value, "it is True or False")
    return f"{name.upper()} {'ON' if value else 'OFF'}"


def _one_of(*words: str) -> Words:
    return lambda name, value: _word(name, value, words)


def _word(name: str, value: Any, words: Sequence[str]) -> str:
    if not isinstance(value, str) or value.lower() not in words:
        near = did_you_mean(value.lower(), words) if isinstance(value, str) else ""
        raise LoadError(f"the option {name} is {shortened(repr(value))}; there are {', '.join(words)}.{near}")
    return value.upper()


def _named(words_of: Words) -> Words:
    return lambda name, value: f"{name.upper()} {words_of(name, value)}"


def _region(name: str, value: Any) -> str:
    if not isinstance(value, str) or _REGION.fullmatch(value) is None:
        raise _refused(name, value, "write a region such as eu-central-1")
    return f"REGION {literal(value)}"


def _manifest(name: str, value: Any) -> str | None:
    return "MANIFEST VERBOSE" if value == "verbose" else _flag(name, value)


def _size(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 5 <= value <= 6200:
        raise _refused(name, value, "it is a number of megabytes from 5 to 6200")
    return f"MAXFILESIZE {value} MB"


_COMPRESSIONS = ("gzip", "lzop", "zstd", "bzip2")
_COPY: Mapping[str, Words] = {
    "manifest": _flag,
    "compression": _one_of(*_COMPRESSIONS),
    "region": _region,
    "delimiter": _character,
    "quote": _character,
    "ignoreheader": _count,
    "null_as": _null,
    "emptyasnull": _flag,
    "blanksasnull": _flag,
    "dateformat": _text,
    "timeformat": _text,
    "encoding": _named(_one_of("utf8", "utf16", "utf16le", "utf16be")),
    "acceptinvchars": _character,
    "acceptanydate": _flag,
    "ignoreblanklines": _flag,
    "fillrecord": _flag,
    "trimblanks": _flag,
    "truncatecolumns": _flag,
    "roundec": _flag,
    "explicit_ids": _flag,
    "compupdate": _switch,
    "statupdate": _switch,
}
"""By name, in the order in which they are written. Not among them: MAXERROR, under which rows are left out."""
_UNLOAD: Mapping[str, Words] = {
    "manifest": _manifest,
    "header": _flag,
    "compression": _one_of("gzip", "zstd", "bzip2"),
    "region": _region,
    "delimiter": _character,
    "null_as": _null,
    "parallel": _switch,
    "maxfilesize": _size,
    "allowoverwrite": _flag,
}
_OF_TEXT = frozenset(("delimiter", "quote", "ignoreheader", "null_as", "fillrecord", "ignoreblanklines"))
"""Options of delimited files, which a COPY of JSON does not take."""
_NOT_OF_AVRO = _OF_TEXT | {"emptyasnull", "blanksasnull", "trimblanks", "encoding"}
_OF_PARQUET = frozenset(("manifest", "acceptinvchars", "fillrecord", "explicit_ids", "statupdate"))
"""The only ones there ("COPY from columnar data formats"); not even `region`: its bucket is in the database's own."""
_SELF_PACKED = frozenset(("parquet",))
_FORMATS = ("csv", "json", "parquet", "avro")
_OF_CONNECTION = frozenset(
    (
        "iam_role", "role", "credentials", "access_key_id", "secret_access_key", "session_token", "token",
        "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "master_symmetric_key",
    )
)  # fmt: skip
_INSTEAD = {
    "maxerror": "rows would be left out in silence",
    "noload": "nothing would be loaded",
    "escape": "CSV quotes what needs it",
    "removequotes": "CSV takes quotes for what they are",
    "ssh": "files are read from S3",
    "readratio": "files are read from S3",
}


@dataclass(frozen=True)
class Form:
    """What the files of a COPY or UNLOAD look like."""

    format: str = "csv"
    """csv, json, parquet or avro."""
    paths: str = "auto"
    """JSON and Avro: `auto`, `auto ignorecase`, or where the file of JSONPaths is, `s3://…`; JSON also `noshred`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """By their names in Redshift, small; a flag is True. `compression` is one of gzip, lzop, zstd and bzip2, and
    `null_as` a text."""


def copy_statement(table: str, columns: Sequence[str], source: str, access: Access, form: Form) -> str:
    """COPY of the objects at `source` (`s3://…`: a prefix, or a manifest). `table` and `columns` are quoted already.

    LoadError for an option or format that there is not.
    """
    into = f"{table} ({', '.join(columns)})" if columns else table
    options = checked_options("COPY", _COPY, form.options)
    _refuse_packing(form)
    _refuse_of_others(form)
    return " ".join([f"COPY {into} FROM {_place(source)} {access.words()}", f"FORMAT {_format(form)}", *options])


def unload_statement(query: str, to: str, access: Access, form: Form) -> str:
    """UNLOAD of a query, which has no placeholders left, into objects whose names begin with `to` (`s3://…`).

    LoadError for an option or format that there is not.
    """
    if form.format == "avro":
        raise LoadError("UNLOAD writes csv, json and parquet; it writes no avro.")
    _refuse_packing(form)
    options = checked_options("UNLOAD", _UNLOAD, form.options)
    words = _word("format", form.format, ("csv", "json", "parquet"))
    return " ".join([f"UNLOAD ({literal(query)}) TO {_place(to)} {access.words()}", f"FORMAT {words}", *options])


def checked_options(statement: str, known: Mapping[str, Words], given: Mapping[str, Any]) -> list[str]:
    """The words of the options, in the order of `known`. LoadError, with what was meant, for one that is not in it."""
    for name in given:
        folded = str(name).lower()
        if folded in _OF_CONNECTION:
            raise LoadError(
                f"{statement} takes no option {folded}: who may read and write in S3 is the connection's matter. Set "
                "iam_role in its settings."
            )
        if folded in _INSTEAD:
            raise LoadError(f"{statement} takes no option {folded} here: {_INSTEAD[folded]}.")
        if name not in known:
            raise LoadError(
                f"{statement} has no option {shortened(repr(name))}; there are {', '.join(known)}."
                f"{did_you_mean(folded, known)}"
            )
    return [
        words
        for name, words_of in known.items()
        if name in given and given[name] is not None and (words := words_of(name, given[name])) is not None
    ]


def _refuse_packing(form: Form) -> None:
    if form.format in _SELF_PACKED and form.options.get("compression") is not None:
        raise LoadError("Parquet is packed inside; it takes no compression around it.")


def _refuse_of_others(form: Form) -> None:
    """LoadError for an option of COPY that the format does not take."""
    for name in form.options:
        if form.format == "parquet" and name not in _OF_PARQUET:
            raise LoadError(f"COPY of parquet takes no option {name}; it takes {', '.join(sorted(_OF_PARQUET))}.")
        if name in {"json": _OF_TEXT, "avro": _NOT_OF_AVRO}.get(form.format, ()):
            raise LoadError(f"the option {name} is of csv; {form.format} takes none such.")


def _format(form: Form) -> str:
    words = _word("format", form.format, _FORMATS)
    if form.format in ("csv", "parquet"):
        return words
    keywords = ("auto", "auto ignorecase", "noshred") if form.format == "json" else ("auto", "auto ignorecase")
    if form.paths not in keywords and not form.paths.startswith("s3://"):
        raise LoadError(
            f"{form.format} is read by {', '.join(keywords)}, or by a file of paths, s3://BUCKET/KEY; it got "
            f"{shortened(repr(form.paths))}.{did_you_mean(form.paths, keywords)}"
        )
    return f"{words} {literal(form.paths)}"


def _place(url: str) -> str:
    if not url.startswith("s3://") or not url.removeprefix("s3://").partition("/")[2]:
        raise LoadError(f"{shortened(repr(url))} is no place in S3; write s3://BUCKET/KEY.")
    return literal(url)
