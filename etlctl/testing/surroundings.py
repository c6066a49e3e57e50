"""What a test works in: the project's settings with every database, file and service replaced by one of the test.

Nothing outside can be reached by way of the settings: connections become SQLite files, or a schema of their own on a
server that the test names; S3 is an address where nobody listens; nobody is notified.
"""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from etlctl import settings as settings_module
from etlctl.errors import SettingsError, UnavailableError
from etlctl.settings import ConnectionSettings, MetricsSettings, Secret, Settings
from etlctl.suggest import did_you_mean

NO_S3 = "http://127.0.0.1:9"
"""Port 9 is `discard` (RFC 863), which no machine serves any more: S3 of a test that names none."""
_UNSET = "unset-in-tests"
"""Stands for a secret that a settings file asks for."""
_SERVERS = {"postgresql": "schema", "postgres": "schema", "mysql": "database", "mariadb": "database"}


@dataclass(frozen=True)
class Setup:
    """What a project's tests have otherwise than by default; returned by its fixture `etl_setup`."""

    profile: str | None = None
    """Of the settings."""
    connections: Mapping[str, str] = field(default_factory=dict)
    """Connection -> URL of a PostgreSQL or MySQL server on which each test gets a schema (MySQL: a database) of its
    own, dropped afterwards. The others are SQLite files."""
    s3_endpoint: str | None = None
    """Where S3 is for the tests, such as a local server; its keys are `testing`. None: nowhere."""


@contextmanager
def settings_of_test(project: Path, folder: Path, setup: Setup) -> Iterator[Settings]:
    """The settings of `project` as a test in `folder` has them; temporary schemas are dropped at the end.

    SettingsError for what cannot be read, or for a connection of `setup` that there is none of.
    """
    found = without_secrets(project, setup)
    unknown = next((name for name in setup.connections if name not in found.connections), None)
    if unknown is not None:
        known = ", ".join(found.connections)
        raise SettingsError(
            f"etl_setup names the connection {unknown!r}.{did_you_mean(unknown, found.connections)} "
            f"The settings have: {known}."
        )
    with ExitStack() as stack:
        connections = {
            name: _own(stack, one, folder, setup.connections.get(name)) for name, one in found.connections.items()
        }
        here = folder / ".etlctl"
        yield replace(
            found,
            project=folder,
            state_url=Secret(f"sqlite:///{here / 'state.db'}"),
            connections=connections,
            s3=found.s3._replace(
                region=found.s3.region or "us-east-1",
                endpoint_url=setup.s3_endpoint or NO_S3,
                addressing_style="path",  # a local server has no name for each bucket
                profile=None,
                role_arn=None,
                access_key_id=Secret("testing"),
                secret_access_key=Secret("testing"),
                session_token=None,
                max_attempts=found.s3.max_attempts if setup.s3_endpoint else 1,
            ),
            logs=found.logs._replace(store=os.fspath(here / "logs")),
            notify={},
            metrics=MetricsSettings(),
        )


def without_secrets(project: Path, setup: Setup) -> Settings:
    """What the project's file says, with words that mean nothing for the URLs and for secrets that are not there.

    No file behind a reference is looked for. Without the environment's overrides too: those are of the machine, not of
    the test. SettingsError for all else.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ETLCTL_")}
    if "ETLCTL_CONFIG" in os.environ:
        kept["ETLCTL_CONFIG"] = os.environ["ETLCTL_CONFIG"]
    file = settings_module.find(None, kept, project)
    overrides = {name: f"sqlite:///{name}.db" for name in _variables(file, setup.profile)}
    environ = _Forgiving(kept | overrides)
    return settings_module.load(
        file, environ=environ, cwd=project, profile=setup.profile, read_file=lambda _path, _at: _UNSET
    )


class _Forgiving(dict[str, str]):
    """An environment in which every secret that a settings file asks for is there: a test has no use for it."""

    def get(self, name: str, default: Any = None) -> Any:
        """The variable; of one that is not set, a word that means nothing."""
        return super().get(name, default if name.startswith("ETLCTL_") else _UNSET)


def _variables(file: Path | None, profile: str | None) -> list[str]:
    """Those that stand over the URLs of the file, so that no secret behind one is looked for."""
    try:
        top = tomllib.loads(file.read_text(encoding="utf-8")) if file is not None else {}
    except (OSError, ValueError):
        top = {}  # whoever loads it says what is wrong
    tables: list[Mapping[str, Any]] = [top]
    profiles = _table(top, "profiles")
    for _ in profiles:  # one after the other inherits; a circle is told by whoever loads it
        tables.append(_table(profiles, profile))
        profile = tables[-1].get("inherits")
    names = dict.fromkeys(name for table in tables for name in _table(table, "connections"))
    return [
        "ETLCTL_STATE_URL",
        *(f"ETLCTL_CONNECTIONS_{re.sub('[^A-Za-z0-9]', '_', name).upper()}_URL" for name in names),
    ]


def _own(stack: ExitStack, one: ConnectionSettings, folder: Path, server: str | None) -> ConnectionSettings:
    """The connection with a database that nobody else has."""
    if server is None:
        url = f"sqlite:///{folder / '.etlctl' / f'{one.name}.db'}"
    else:
        url = stack.enter_context(_temporary(one.name, server))
    return replace(one, url=Secret(url), marker_schema=None, s3_staging=None, place=f"etl_setup: connection {one.name}")


def _table(within: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    """The table of that name; an empty one for whatever else is there."""
    found = within.get(name) if isinstance(name, str) else None
    return found if isinstance(found, dict) else {}


@contextmanager
def _temporary(name: str, url: str) -> Iterator[str]:
    """The URL of a new schema or database on the server; it is dropped with all that is in it."""
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    at = f"etl_setup: connection {name}"
    try:
        parsed = sa.make_url(url)
        kind = _SERVERS.get(parsed.get_backend_name())
    except SQLAlchemyError:
        raise SettingsError(f"{at}: its URL cannot be read. Write it as postgresql://user:password@host/db.") from None
    if kind is None:
        raise SettingsError(
            f"{at}: tests get a place of their own on PostgreSQL and MySQL, not on {parsed.get_backend_name()}. "
            "Leave the connection out: it is then a SQLite file."
        )
    own = f"etl_test_{secrets.token_hex(6)}"
    if kind == "schema":
        parsed = parsed.set(drivername="postgresql+psycopg2")
        there = parsed.update_query_dict({"options": f"-csearch_path={own}"})
        drop = f"DROP SCHEMA {own} CASCADE"
    else:
        parsed = parsed.set(drivername="mysql+pymysql")
        there = parsed.set(database=own)
        drop = f"DROP DATABASE {own}"
    try:
        engine = sa.create_engine(parsed, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    except ImportError as error:
        raise SettingsError(f'{at}: {error.name} is not installed: pip install "etlctl[mysql]".') from None
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE {kind.upper()} {own}"))
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().split("\n")[0]
        raise UnavailableError(f"{at}: no {kind} of the test's own can be made on its server: {said}") from None
    try:
        yield there.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(drop))
