"""The options of COPY and UNLOAD, word by word: what each takes, and which go together.

https://docs.aws.amazon.com/redshift/latest/dg/r_COPY.html and r_UNLOAD.html. A word that Redshift does not know is a
syntax error. What Redshift knows and the stand-in does not carry out is refused with "stand-in" in the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from servers.redshift.errors import Refusal, internal, syntax
from servers.redshift.words import Token

ROLE = re.compile(r"arn:aws(-cn|-us-gov)?:iam::\d{12}:role/[\w+=,.@/-]+")
_MIB = 1 << 20
SMALLEST_FILE = 5 * _MIB
LARGEST_FILE = int(6.2 * (1 << 30))


@dataclass
class Keys:
    """How the command identifies itself: a role, or static keys."""

    role: str = ""
    access_key: str = ""
    secret_key: str = ""
    token: str = ""


@dataclass
class Options:
    """Of both commands. `format` is text, csv, json, parquet or avro; `paths` the argument of JSON or AVRO."""

    format: str = "text"
    paths: str = "auto"
    quote: str = '"'
    delimiter: str = ""
    null: str | None = None
    compression: str = ""
    manifest: bool = False
    verbose: bool = False
    header: bool = False
    region: str = ""
    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)

    @property
    def separator(self) -> str:
        return self.delimiter or ("," if self.format == "csv" else "|")


class Reader:
    """Goes through the tokens."""

    def __init__(self, words: Sequence[Token]) -> None:
        self.words = words
        self.at = 0

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.words)

    @property
    def low(self) -> str:
        return "" if self.is_done else self.words[self.at].low

    def take(self) -> Token:
        if self.is_done:
            raise syntax("")
        self.at += 1
        return self.words[self.at - 1]

    def accept(self, *words: str) -> bool:
        if self.low not in words:
            return False
        self.at += 1
        return True

    def expect(self, word: str) -> None:
        token = self.take()
        if token.low != word:
            raise syntax(token.text)

    def string(self) -> str:
        """A literal, with or without AS before it."""
        self.accept("as")
        token = self.take()
        if token.kind != "string":
            raise syntax(token.text)
        return token.value

    def number(self) -> int:
        self.accept("as")
        token = self.take()
        if token.kind != "number":
            raise syntax(token.text)
        return int(token.text)


Take = Callable[[Reader, Keys, Options, str], None]


def _role(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    if reader.accept("default"):
        keys.role = "default"
        return
    keys.role = reader.string()


def _key(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    names = {"access_key_id": "access_key", "secret_access_key": "secret_key", "session_token": "token"}
    setattr(keys, names[word], reader.string())


def _credentials(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    reader.accept("with")
    pairs = dict(pair.partition("=")[::2] for pair in reader.string().split(";"))
    keys.role = pairs.get("aws_iam_role", "")
    keys.access_key = pairs.get("aws_access_key_id", "")
    keys.secret_key = pairs.get("aws_secret_access_key", "")
    keys.token = pairs.get("token", "")


def _with(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    if reader.low != "credentials":
        raise syntax(reader.low)


def _format(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    reader.accept("as")
    token = reader.take()
    if token.low not in ("csv", "json", "parquet", "avro", "delimiter"):
        raise syntax(token.text)
    if token.low == "delimiter":
        _delimiter(reader, keys, options, token.low)
        return
    _as_format(reader, keys, options, token.low)


def _as_format(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.format = word
    if word == "csv" and reader.accept("quote"):
        options.quote = reader.string()
    if word in ("json", "avro") and (reader.low == "as" or (not reader.is_done and reader.low.startswith("'"))):
        options.paths = reader.string()


def _unknown_format(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    raise Refusal(f"{word.upper()} is Redshift's, and unknown to the tests' stand-in")


def _quote(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.quote = reader.string()


def _delimiter(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.delimiter = reader.string()
    if len(options.delimiter.encode()) != 1:
        raise internal("COPY delimiter must be a single character", code=8001)


def _null(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.null = reader.string()


def _compression(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    if options.compression:
        raise syntax(word)
    options.compression = word


def _flag(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.flags.add(word)


def _header(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.header = True


def _manifest(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.manifest = True
    options.verbose = reader.accept("verbose")


def _region(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.region = reader.string()


def _string(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.values[word] = reader.string()


def _encoding(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    reader.accept("as")
    token = reader.take()
    options.values[word] = (token.value if token.kind == "string" else token.text).lower()


def _number(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.values[word] = str(reader.number())


def _on_off(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.values[word] = "on"
    if reader.low in ("on", "true", "off", "false", "preset"):
        options.values[word] = "off" if reader.take().low in ("off", "false") else "on"


def _accept_chars(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    options.values[word] = "?"
    if not reader.is_done and (reader.low == "as" or reader.words[reader.at].kind == "string"):
        options.values[word] = reader.string()
    if len(options.values[word].encode()) != 1:
        raise internal("ACCEPTINVCHARS replacement must be a single character")


def _size(reader: Reader, keys: Keys, options: Options, word: str) -> None:
    reader.accept("as")
    token = reader.take()
    if token.kind != "number":
        raise syntax(token.text)
    size = int(float(token.text) * (1 << 30 if reader.low == "gb" else _MIB))
    reader.accept("mb", "gb")
    if word == "maxfilesize" and not SMALLEST_FILE <= size <= LARGEST_FILE:
        raise Refusal("MAXFILESIZE must be between 5 MB and 6.2 GB", "22023")
    options.values[word] = str(size)


CREDENTIALS: dict[str, Take] = {
    "iam_role": _role,
    "credentials": _credentials,
    "with": _with,
    "access_key_id": _key,
    "secret_access_key": _key,
    "session_token": _key,
}
_BOTH: dict[str, Take] = {
    "format": _format,
    "csv": _as_format,
    "json": _as_format,
    "parquet": _as_format,
    "delimiter": _delimiter,
    "null": _null,
    "gzip": _compression,
    "bzip2": _compression,
    "zstd": _compression,
    "manifest": _manifest,
    "region": _region,
    "escape": _flag,
    "fixedwidth": _unknown_format,
    "encrypted": _unknown_format,
}
COPY: dict[str, Take] = _BOTH | {
    "avro": _as_format,
    "orc": _unknown_format,
    "shapefile": _unknown_format,
    "readratio": _unknown_format,
    "ssh": _unknown_format,
    "lzop": _compression,
    "quote": _quote,
    "ignoreheader": _number,
    "maxerror": _number,
    "comprows": _number,
    "dateformat": _string,
    "timeformat": _string,
    "encoding": _encoding,
    "acceptinvchars": _accept_chars,
    "acceptanydate": _flag,
    "emptyasnull": _flag,
    "blanksasnull": _flag,
    "explicit_ids": _flag,
    "fillrecord": _flag,
    "ignoreblanklines": _flag,
    "ignoreallerrors": _flag,
    "removequotes": _flag,
    "roundec": _flag,
    "trimblanks": _flag,
    "truncatecolumns": _flag,
    "noload": _flag,
    "serializetojson": _flag,
    "compupdate": _on_off,
    "statupdate": _on_off,
}
UNLOAD: dict[str, Take] = _BOTH | {
    "header": _header,
    "addquotes": _flag,
    "allowoverwrite": _flag,
    "cleanpath": _flag,
    "parallel": _on_off,
    "maxfilesize": _size,
    "rowgroupsize": _size,
    "extension": _string,
    "kms_key_id": _unknown_format,
    "partition": _unknown_format,
}


def check_keys(keys: Keys) -> None:
    if keys.role:
        if keys.role != "default" and not ROLE.fullmatch(keys.role.split(",")[0]):
            raise internal("Invalid IAM_ROLE: the role must be an ARN, arn:aws:iam::<account>:role/<name>")
        return
    if not (keys.access_key and keys.secret_key):
        raise Refusal("Authorization is missing: IAM_ROLE, CREDENTIALS or ACCESS_KEY_ID and SECRET_ACCESS_KEY", "42601")


_NOT_WITH_CSV = ("fixedwidth", "removequotes", "escape", "addquotes")
_NOT_WITH_COLUMNAR = ("escape", "addquotes", "removequotes", "fillrecord", "emptyasnull", "blanksasnull")


def check_format(options: Options) -> None:
    """Combinations that the pages name as not allowed."""
    if options.format == "csv":
        for flag in sorted(options.flags.intersection(_NOT_WITH_CSV)):
            raise Refusal(f"CSV is not supported with {flag.upper()}")
        if options.delimiter == options.quote:
            raise Refusal("CSV delimiter and quote must differ")
    if options.format in ("parquet", "avro"):
        refused = sorted(options.flags.intersection(_NOT_WITH_COLUMNAR))
        refused += ["delimiter"] * bool(options.delimiter) + ["null as"] * (options.null is not None)
        if options.format == "parquet":
            refused += ["ignoreheader"] * ("ignoreheader" in options.values) + [options.compression] * bool(
                options.compression
            )
        for word in refused:
            raise Refusal(f"{word.upper()} argument is not supported for {options.format.upper()} based COPY")
    if int(options.values.get("maxerror", 0)) or "ignoreallerrors" in options.flags:
        raise Refusal("MAXERROR above 0 is Redshift's, and unknown to the tests' stand-in")
