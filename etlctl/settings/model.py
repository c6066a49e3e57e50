"""The values that settings are once read; frozen, and made by `load` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from etlctl.settings.keys import STATE_URL, dotted
from etlctl.settings.secret import Secret
from etlctl.settings.urls import masked_url

_STATE = dotted(STATE_URL.path)
_STATE_LOCK_TIMEOUT_S = 30
"""Its transactions are short, but where tables are made by many processes at once."""


class S3Settings(NamedTuple):
    """The table `[s3]`. What is None is left to boto3: its own variables, files and the machine's role."""

    region: str | None = None
    endpoint_url: str | None = None
    """Of a service that is not Amazon's; without a slash at its end."""
    addressing_style: str = "auto"
    """`auto`, `path` or `virtual`."""
    profile: str | None = None
    """Of AWS's own files; None where keys are given."""
    access_key_id: Secret | None = None
    """None, or together with `secret_access_key`."""
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    role_arn: str | None = None
    """A role to assume with the credentials above."""
    role_session_name: str = "etlctl"
    external_id: str | None = None
    max_attempts: int = 5
    """Of one request, the first included."""
    connect_timeout_s: float = 10
    read_timeout_s: float = 60
    existence: str = "auto"
    """`auto`: a listing where it needs fewer requests; `head`: each key by itself, for stores whose listings lag."""
    gc: tuple[str, ...] = ()
    """Where `etlctl gc --s3` looks: `s3://bucket` or `s3://bucket/prefix`."""


class LogSettings(NamedTuple):
    """The table `[logs]`: what tasks print."""

    store: str
    """An absolute folder, or `s3://bucket/prefix`."""
    keep_s: float
    max_bytes: int
    """Of one attempt."""


class BuildSettings(NamedTuple):
    """The table `[build]`, and the table of its executor: what a command's options leave open."""

    jobs: int = 1
    wait_held_s: float = 600
    """How long a build waits for what another process holds."""
    executor: str = "local"
    """`local` or `dask`."""
    dask_address: str | None = None
    """Of a scheduler; None for a cluster of one's own."""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One `[connections.NAME]`."""

    name: str
    url: Secret
    """A URL in SQLAlchemy's form; the file of a SQLite one is absolute."""
    marker_table: str = "table_updates"
    marker_schema: str | None = None
    """The schema of the marker table (on MySQL: the database); None leaves it to the connection. None on SQLite."""
    connect_timeout_s: float = 10
    statement_timeout_s: float | None = None
    """None leaves it to the server."""
    lock_timeout_s: float = 60
    audit: bool = False
    """Whether every load is written down in `etlctl_audit`, beside the marker table."""
    s3_staging: str | None = None
    """Of Redshift: where rows lie on their way, `s3://bucket/prefix/`, with the slash."""
    iam_role: str | None = None
    """Of Redshift: `default`, or the role's ARN; several, divided by commas, are a chain."""
    static_keys: bool = False
    """Of Redshift: whether COPY and UNLOAD may be given the access keys of `[s3]` where there is no role."""
    place: str = field(default="", compare=False)
    """Where its URL stands, to begin a sentence about it: `config/etlctl.toml:7: 'connections.NAME.url'`."""

    @property
    def shown_url(self) -> str:
        """The URL with its password masked, for people."""
        return masked_url(self.url.reveal())


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a settings file, a profile and the environment say, checked, with every path and URL absolute."""

    project: Path
    """Relative paths start here: the folder that holds config/, or the settings file, or the current folder."""
    file: Path | None
    """The settings file; None when there is none and the defaults hold."""
    profile: str | None
    state_url: Secret
    s3: S3Settings
    connections: Mapping[str, ConnectionSettings]
    """By name, in the order of the file; never empty."""
    default_connection: str
    """A key of `connections`."""
    params: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """`[params.Family]` by task family: TOML values, not yet parsed by a parameter. May hold secrets: never printed."""
    pipelines_path: Path | None
    """The folder of pipelines, which need not exist; None when there are only modules."""
    pipelines_modules: tuple[str, ...]
    origins: Mapping[str, str] = field(repr=False)
    """Where each value comes from, by dotted key: `config/etlctl.toml:7`, `environment variable X`, `default`."""
    logs: LogSettings
    build: BuildSettings
    pools: Mapping[str, int]
    """`[pools]`: how much of each there is; of a pool that is not named here, 1."""
    lease_ttl_s: float
    """How long a task stays held by a process that says nothing any more."""
    is_history_kept: bool
    history_keep_s: float
    warnings: tuple[str, ...] = ()
    """Sentences for the user about settings that work and look wrong."""

    @property
    def state(self) -> ConnectionSettings:
        """The state database as a connection."""
        place = f"{self.origins[_STATE]}: '{_STATE}'"
        return ConnectionSettings(
            "state", self.state_url, connect_timeout_s=10, lock_timeout_s=_STATE_LOCK_TIMEOUT_S, place=place
        )

    @property
    def is_state_chosen(self) -> bool:
        """Whether somebody has named the state database, rather than left it to the default."""
        return self.origins[_STATE] != "default"

    def place_of_param(self, family: str, name: str | None = None) -> str:
        """Where `[params.FAMILY]`, or a value in it, stands: `config/etlctl.toml:7`."""
        section = ("params", family)
        path = section if name is None else (*section, name)
        return self.origins.get(dotted(path)) or self.origins.get(dotted(section)) or f"[{dotted(section)}]"
