"""Database URLs as text: what is wrong with one, how to show one, where the file of a SQLite one lies.

SQLAlchemy is what reads them in the end, so the pattern below is the one of its `make_url` (sqlalchemy/engine/url.py,
`_parse_url`): what it takes for the password is the password. It is not imported, since settings are read by commands
that must not wait for it. No sentence made here holds a URL, or a part of one, that could be a secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, unquote_plus

_URL = r"""
    (?P<scheme>[A-Za-z][\w+]*)://
    (?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?
    (?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?
    (?::(?P<port>[^/?]*))?
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?
    """
_CONTROL = r"[\x00-\x1f\x7f]"
_HIDDEN_OPTION = "(?i)pass|pwd|secret|token|key|credential|auth|sig"
_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRES = "postgres(?=://|[+])"
_DRIVERS = {
    "postgresql": "psycopg2",
    "postgres": "psycopg2",
    "redshift": "psycopg2",
    "mysql": "pymysql",
    "mariadb": "pymysql",
}
"""The one driver that loads into each: how rows are streamed and commits refused is the driver's, not SQLAlchemy's."""
_OPTIONS = ("timeout", "uri")
_FILE_OPTIONS = ("cache", "immutable", "mode", "nolock", "psow", "vfs")
"""What SQLite takes with uri=true, https://sqlite.org/uri.html. The driver's other options would undo what loads need
(isolation_level, cached_statements) or change values (detect_types)."""
_LEAST_HIDDEN = 8
"""What is shorter in an address lets nobody in, and stands in other texts by chance: `/hook`, `/42`."""
_ENCODE = "Characters such as @ : / ? # % in a user or password are percent-encoded (@ is %40), or given as ${VAR}."


def complaint(url: str) -> str | None:
    """What is wrong with `url`, as the end of a sentence that begins with its key; None when it can be read.

    Of a SQLite one driver, options and path are looked at too, of a PostgreSQL or MySQL one the driver. Whether there
    is a dialect for another database is asked when it is opened.
    """
    wrong = _form_complaint(url)
    match = _parts(url)
    if wrong is not None or match is None:
        return wrong
    scheme = match["scheme"]
    if scheme.lower().startswith("sqlite") and scheme not in _SQLITE:
        return f"begins with {scheme}; SQLite is written sqlite:///PATH."
    return _sqlite_complaint(match) if is_sqlite(url) else _server_complaint(match)


def masked_url(url: str) -> str:
    """`url` fit to be shown: no password, no secret option; of one that cannot be read, the scheme at most."""
    match = re.match(_URL, url, re.VERBOSE)
    if match is None:
        return "***"
    if _form_complaint(url) is not None:
        return f"{match['scheme']}://***"
    shown = url
    if match["query"]:
        options = "&".join(_masked_option(option) for option in match["query"].split("&"))
        shown = url[: match.start("query")] + options
    if match["password"] is not None:
        shown = shown[: match.start("password")] + "***" + shown[match.end("password") :]
    return shown


def hidden_in_url(url: str) -> list[str]:
    """What `masked_url` hides of a database's URL, as it stands there and decoded."""
    match = re.match(_URL, url, re.VERBOSE)
    if match is None or _form_complaint(url) is not None:
        return [url]
    options = [option.partition("=") for option in (match["query"] or "").split("&")]
    hidden = [match["password"] or "", *(value for name, _, value in options if is_hidden(name))]
    return [form for text in hidden for form in (text, unquote(text), unquote_plus(text)) if form]


_LEAST_TOKEN = 16
"""Letters of a part of a path that may let its holder in all by itself; a shorter one is a word."""


def hidden_in_address(url: str) -> list[str]:
    """What of an address of the web lets its holder in: all of it, user, password, and what follows the host."""
    match = re.fullmatch(r"[^/?#]*//(?:(?P<user>[^/?#@:]*)(?::(?P<password>[^/?#@]*))?@)?[^/?#]*(?P<path>.*)", url)
    hidden = [url, *(match.groups(default="") if match is not None else ())]
    hidden += [part for part in re.split("[/?&=#]", hidden[-1]) if len(part) >= _LEAST_TOKEN]
    return [form for text in hidden if len(text) >= _LEAST_HIDDEN or text == url for form in (text, unquote(text))]


def is_hidden(name: str) -> bool:
    """Whether an option of this name holds a secret, as far as its name tells."""
    return re.search(_HIDDEN_OPTION, name) is not None


def is_sqlite(url: str) -> bool:
    """Whether the URL's dialect is SQLite, with whatever driver."""
    return re.match(r"sqlite(\+\w+)?://", url) is not None


def is_elsewhere(url: str) -> bool:
    """Whether the URL leads to a server of another machine, as far as its host's name tells; nothing is looked up."""
    match = _parts(url)
    if match is None or is_sqlite(url):
        return False
    host = match["host"] or match["ipv6"] or ""
    return not (host in ("", "localhost", "::1") or host.startswith("127."))


def is_in_memory(url: str) -> bool:
    """Whether the URL is that of a SQLite database without a file."""
    return is_sqlite(url) and sqlite_file(url) is None


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL, as it is written there; None for one in memory, and for other databases."""
    match = _parts(url)
    if match is None or not is_sqlite(url):
        return None
    database = unquote(match["database"] or "").removeprefix("file:")
    if database in ("", ":memory:") or "mode=memory" in (match["query"] or ""):
        return None
    return Path(database)


def anchored(url: str, project: Path) -> str:
    """`url` as it is used: the file of a SQLite one that is relative lies under `project`, an absolute folder.

    And `postgres://`, as some platforms hand it out, is `postgresql://`, which alone SQLAlchemy knows.
    """
    url = re.sub(f"^{_POSTGRES}", "postgresql", url)
    file = sqlite_file(url)
    match = _parts(url)
    if file is None or file.is_absolute() or match is None:
        return url
    start = match.start("database")
    prefix = "file:" if url.startswith("file:", start) else ""
    # what follows the project folder is URL text already; the folder's own name is not
    folder = str(project).replace("%", "%25").replace("?", "%3F").rstrip("/")
    return f"{url[:start]}{prefix}{folder}/{url[start + len(prefix) :]}"


def _parts(url: str) -> re.Match[str] | None:
    match = re.match(_URL, url, re.VERBOSE)  # not fullmatch, which would try other parts than SQLAlchemy takes
    return match if match is not None and match.end() == len(url) else None


def _form_complaint(url: str) -> str | None:
    """What leaves in doubt which part of the URL is which, so that a secret in it cannot be told either."""
    if url != url.strip() or re.search(_CONTROL, url):
        return "holds blanks at an end, or a line break. Write the URL alone."
    match = _parts(url)
    if match is None:
        return "is not a URL such as sqlite:///.etlctl/warehouse.db (scheme://…)."
    if is_sqlite(url):
        if any(match[part] is not None for part in ("user", "host", "ipv6", "port")):
            return "needs three slashes before the path of the file, four before an absolute one: sqlite:///PATH."
        return None
    if "@" in (match["host"] or "") + (match["database"] or ""):
        return f"has more than one @ before its options, so its host cannot be told. {_ENCODE}"
    if match["port"] is not None and not _is_port(match["port"]):
        return f"has a port that is not a number from 1 to 65535. {_ENCODE}"
    return None


def _sqlite_complaint(match: re.Match[str]) -> str | None:
    path = unquote(match["database"] or "")
    given = parse_qsl(match["query"] or "", keep_blank_values=True)
    options = dict(given)
    if re.match("~[^/]*/", path):
        return "has a path that begins with ~, which a shell alone knows. Write sqlite:///${HOME}/… instead."
    if len(options) < len(given):
        names = [name for name, _ in given]
        return f"gives {next(name for name in names if names.count(name) > 1)} twice. Keep one of them."
    if not re.fullmatch(r"\d{1,6}(\.\d*)?", options.get("timeout", "0")):
        return "has a timeout that is no number of seconds, as in ?timeout=60."
    if options.get("uri", "true") not in ("true", "false"):
        return "has uri=…, which is true or false."
    is_uri = path.startswith("file:")
    if is_uri and options.get("uri") != "true":
        return "has a path that begins with file:, which needs ?uri=true."
    known = (*_OPTIONS, *(_FILE_OPTIONS if is_uri else ()))
    unknown = next((name for name in options if name not in known), None)
    if unknown is None:
        return None
    also = " SQLite's own options need sqlite:///file:PATH?uri=true&…" if unknown in _FILE_OPTIONS else ""
    return f"has the option {unknown!r}, which is not known here: {', '.join(known)}.{also}"


def _server_complaint(match: re.Match[str]) -> str | None:
    word, _, driver = match["scheme"].partition("+")
    known = _DRIVERS.get(word)
    if known is not None and driver not in ("", known):
        return f"begins with {match['scheme']}; etlctl uses {known} for it: write {word}://…"
    if known == "pymysql" and not match["database"] and not match["query"]:
        return f"names no database. Write {word}://USER@HOST/DATABASE."
    lower = match["scheme"].lower()
    if known is None and lower.partition("+")[0] in _DRIVERS:
        return f"begins with {match['scheme']}; write {lower}://…"
    return None


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 0 < int(text) < 65536


def _masked_option(option: str) -> str:
    name, equals, _ = option.partition("=")
    return f"{name}=***" if equals and is_hidden(name) else option
