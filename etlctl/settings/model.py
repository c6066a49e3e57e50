"""The values that settings are once read; frozen, and made by `load` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from etlctl.settings.keys import STATE_URL, dotted
from etlctl.settings.secret import FetchedSecret, Secret
from etlctl.settings.urls import hidden_in_address, hidden_in_url, is_hidden, masked_url

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
    format: str = "text"
    """Of the lines that tell a run's story: `text` for people, `json` for what collects logs."""


class BuildSettings(NamedTuple):
    """The table `[build]`, and the table of its executor: what a command's options leave open."""

    jobs: int = 1
    wait_held_s: float = 600
    """How long a build waits for what another process holds."""
    executor: str = "local"
    """`local` or `dask`."""
    dask_address: str | None = None
    """Of a scheduler; None for a cluster of one's own."""


class ScheduleSettings(NamedTuple):
    """One `[schedules.NAME]`; the cron line, the zone, date and deadline are read where it is opened, not here."""

    name: str
    tasks: tuple[str, ...]
    """One at least."""
    every_s: float | None
    """None, or else `cron` is: a schedule has one of the two."""
    cron: str | None
    timezone: str
    date: str | None
    window_s: float | None
    """Whole days; given together with a date alone."""
    params: Mapping[str, Any]
    jitter_s: float
    overlap: str
    """`skip` or `queue`."""
    deadline: str | None
    place: str
    """Where it begins, to begin a sentence about it: `config/etlctl.toml:7: 'schedules.NAME'`."""


class LoopSettings(NamedTuple):
    """The table `[loop]`."""

    grace_s: float = 30
    """How long running tasks may go on after the first signal."""
    backoff_max_s: float = 300
    health_port: int | None = None
    health_host: str = "127.0.0.1"
    health_file: Path | None = None
    """Absolute."""
    local_state_ok: bool = False


class NotifySettings(NamedTuple):
    """One `[notify.NAME]`; what its kind asks of it is looked at where it is opened, not here."""

    name: str
    kind: str
    on: tuple[str, ...]
    tasks: tuple[str, ...]
    """Patterns of names; empty for every task, as for `tags`."""
    tags: tuple[str, ...]
    url: Secret | None
    timeout_s: float
    retries: int
    repeat_s: float
    """How soon the same is told again."""
    options: Mapping[str, Any]
    """`[notify.NAME.options]`, and the keys that only some kinds take; `password`, `dsn` and each of `headers` is a
    Secret."""
    place: str
    """As of a schedule."""

    def __repr__(self) -> str:  # a user's own option may be a secret too
        return f"NotifySettings(name={self.name!r}, kind={self.kind!r}, …)"


class MetricsSettings(NamedTuple):
    """The table `[metrics]`."""

    textfile: Path | None = None
    """Absolute."""


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
        if isinstance(self.url, FetchedSecret):
            return self.url.reference
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
    schedules: Mapping[str, ScheduleSettings]
    """By name, in the order of the file."""
    loop: LoopSettings
    notify: Mapping[str, NotifySettings]
    """By name, in the order of the file."""
    metrics: MetricsSettings
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

    def secrets(self) -> tuple[Secret, ...]:
        """Every text that no message may hold, as `masked` takes them; PRIVATE parameters are the tasks' to tell."""
        urls = [self.state_url, *(connection.url for connection in self.connections.values())]
        found = [text for url in urls if url.is_known for text in hidden_in_url(url.reveal())]
        for notifier in self.notify.values():
            dsn = notifier.options.get("dsn")
            addresses = [one for one in (notifier.url, dsn) if isinstance(one, Secret) and one.is_known]
            found += [text for address in addresses for text in hidden_in_address(address.reveal())]
            found += _hidden_in(notifier.options)
        keys = (self.s3.access_key_id, self.s3.secret_access_key, self.s3.session_token)
        found += [key.reveal() for key in keys if key is not None and key.is_known]
        return tuple(Secret(text) for text in sorted({*found} - {""}, key=lambda text: (-len(text), text)))

    @property
    def given(self) -> tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...]:
        """What `[schedules.NAME.params]` give to which families; as `params`, never printed."""
        return tuple((one.tasks, one.params) for one in self.schedules.values() if one.params)

    def place_of_param(self, family: str, name: str | None = None) -> str:
        """Where `[params.FAMILY]`, or a value in it, stands: `config/etlctl.toml:7`."""
        section = ("params", family)
        path = section if name is None else (*section, name)
        return self.origins.get(dotted(path)) or self.origins.get(dotted(section)) or f"[{dotted(section)}]"


def _hidden_in(options: Mapping[str, Any], *, is_hidden_here: bool = False) -> list[str]:
    """The texts under names that speak of secrets, at any depth."""
    found: list[str] = []
    for name, value in options.items():
        hidden = is_hidden_here or is_hidden(name)
        if isinstance(value, Secret):
            found += [value.reveal()] if value.is_known else []
        elif isinstance(value, Mapping):
            found += _hidden_in(value, is_hidden_here=hidden)
        elif hidden:
            found += [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    return found
