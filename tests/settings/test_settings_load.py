"""What comes of a settings file, a profile and the environment."""

from __future__ import annotations

import dataclasses
import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlctl.errors import ExitCode, SettingsError
from etlctl.settings import Settings, find, load

Loader = Callable[..., Settings]

DESIGN_EXAMPLE = """
default_connection = "warehouse"
[pipelines]
path = "pipelines"
[state]
url = "sqlite:///.etlctl/state.db"
[connections.warehouse]
url = "sqlite:///.etlctl/warehouse.db"
marker_table = "table_updates"
[params.LoadFlights]
batch = 500
[profiles.production]
state.url = "${ETL_STATE_URL}"
connections.warehouse.url = "env:WAREHOUSE_URL"
"""


def _url(settings: Settings, name: str = "warehouse") -> str:
    return settings.connections[name].url.reveal()


def test_load_without_a_file_gives_defaults_that_work_in_the_folder(load_text: Loader, tmp_path: Path) -> None:
    """No settings: one SQLite warehouse and a state beside it, tasks in pipelines/."""
    settings = load_text()

    assert (settings.project, settings.file, settings.profile) == (tmp_path, None, None)
    assert settings.default_connection == "warehouse" and list(settings.connections) == ["warehouse"]
    assert _url(settings) == f"sqlite:///{tmp_path}/.etlctl/warehouse.db"
    assert settings.connections["warehouse"].marker_table == "table_updates"
    assert settings.state_url.reveal() == f"sqlite:///{tmp_path}/.etlctl/state.db"
    assert (settings.pipelines_path, settings.pipelines_modules) == (tmp_path / "pipelines", ())
    assert set(settings.origins.values()) == {"default"}


def test_load_reads_the_example_of_the_design_with_an_origin_for_each_value(load_text: Loader) -> None:
    """Every value tells the file and line, the variable or the default that it comes from."""
    settings = load_text(DESIGN_EXAMPLE)

    assert settings.params == {"LoadFlights": {"batch": 500}}
    assert settings.origins == {
        "default_connection": "config/etlctl.toml:2",
        "pipelines.path": "config/etlctl.toml:4",
        "state.url": "config/etlctl.toml:6",
        "state.lease_ttl": "default",
        "history.enabled": "default",
        "history.keep": "default",
        "logs.store": "default",
        "logs.keep": "default",
        "logs.max_bytes": "default",
        "build.jobs": "default",
        "build.wait_held": "default",
        "connections.warehouse.url": "config/etlctl.toml:8",
        "connections.warehouse.marker_table": "config/etlctl.toml:9",
        "connections.warehouse.connect_timeout": "default",
        "connections.warehouse.statement_timeout": "default",
        "connections.warehouse.lock_timeout": "default",
        "connections.warehouse.audit": "default",
        "connections.warehouse.static_keys": "default",
        "loop.grace": "default",
        "loop.backoff_max": "default",
        "loop.health_host": "default",
        "loop.local_state_ok": "default",
        "params.LoadFlights": "config/etlctl.toml:10",
        "params.LoadFlights.batch": "config/etlctl.toml:11",
    }


def test_profile_overrides_what_it_names_and_nothing_else(load_text: Loader) -> None:
    """A profile's keys replace the file's; the others stay; origins name the profile and the variable."""
    environ = {"ETL_STATE_URL": "postgresql://ctl/etl", "WAREHOUSE_URL": "postgresql://wh-1/dw"}

    settings = load_text(DESIGN_EXAMPLE, environ, profile="production")

    assert settings.profile == "production"
    assert settings.state_url.reveal() == "postgresql://ctl/etl"
    assert _url(settings) == "postgresql://wh-1/dw"
    assert settings.params["LoadFlights"]["batch"] == 500
    assert settings.origins["profile"] == "--profile"
    assert settings.origins["state.url"] == "config/etlctl.toml:13 (profile production) from ${ETL_STATE_URL}"
    assert (
        settings.origins["connections.warehouse.url"]
        == "config/etlctl.toml:14 (profile production) from env:WAREHOUSE_URL"
    )


def test_profile_comes_from_the_environment_where_none_is_named(load_text: Loader) -> None:
    """ETLCTL_PROFILE chooses a profile; --profile goes before it."""
    text = '[profiles.a]\nparams.T.x = "a"\n[profiles.b.params.T]\nx = "b"\n'

    assert load_text(text, {"ETLCTL_PROFILE": "a"}).params == {"T": {"x": "a"}}
    assert load_text(text, {"ETLCTL_PROFILE": "a"}, profile="b").params == {"T": {"x": "b"}}
    assert load_text(text).params == {}


def test_profile_not_asked_for_needs_none_of_its_variables(load_text: Loader) -> None:
    """A laptop works without production's secrets."""
    assert _url(load_text(DESIGN_EXAMPLE)).startswith("sqlite:///")


def test_environment_goes_before_profile_and_file(load_text: Loader, tmp_path: Path) -> None:
    """Each documented variable replaces its key, in whatever layer that stood, and is its origin."""
    environ = {
        "ETLCTL_DEFAULT_CONNECTION": "wh-1",
        "ETLCTL_STATE_URL": "sqlite:///s.db",
        "ETLCTL_PIPELINES_PATH": "tasks",
        "ETLCTL_PIPELINES_MODULES": "acme.etl, acme.more",
        "ETLCTL_CONNECTIONS_WH_1_URL": "sqlite:////abs/${x}.db",
        "ETLCTL_CONNECTIONS_WH_1_MARKER_TABLE": "marks",
        "ETLCTL_SERVICE_HOST": "10.0.0.1",
    }
    text = (
        '[connections.wh-1]\nurl = "${NOT_SET}"\n[connections.b]\nurl = "sqlite:///b.db"\n[profiles.p]\nstate.url="x"'
    )

    settings = load_text(text, environ, profile="p")

    assert settings.default_connection == "wh-1"
    assert settings.state_url.reveal() == f"sqlite:///{tmp_path}/s.db"
    assert (settings.pipelines_path, settings.pipelines_modules) == (tmp_path / "tasks", ("acme.etl", "acme.more"))
    assert _url(settings, "wh-1") == "sqlite:////abs/${x}.db"
    assert settings.connections["wh-1"].marker_table == "marks"
    assert settings.origins["state.url"] == "environment variable ETLCTL_STATE_URL"


def test_environment_overrides_the_default_warehouse_without_a_file(load_text: Loader) -> None:
    """A container needs no settings file to be pointed at its database."""
    settings = load_text(None, {"ETLCTL_CONNECTIONS_WAREHOUSE_URL": "postgresql://wh-1/dw"})

    assert _url(settings) == "postgresql://wh-1/dw"


def _plain(settings: Settings, name: str = "warehouse") -> tuple[object, ...]:
    found = settings.connections[name]
    return (
        found.marker_schema,
        found.connect_timeout_s,
        found.statement_timeout_s,
        found.lock_timeout_s,
        found.audit,
    )


def test_a_connection_has_timeouts_and_neither_schema_nor_audit_unless_told(load_text: Loader) -> None:
    """What holds without a word, and that a statement_timeout of 0 is none at all."""
    text = '[connections.dw]\nurl = "postgresql://wh-1/dw"\nstatement_timeout = 0\n'

    assert _plain(load_text(text), "dw") == (None, 10, None, 60, False)


def test_a_connection_is_told_its_timeouts_schema_and_audit_by_file_profile_and_environment(load_text: Loader) -> None:
    """Each of the three replaces the one below it key by key, and is the origin of what it gave."""
    text = """
    [connections.dw]
    url = "postgresql://wh-1/dw"
    marker_schema = "etl"
    connect_timeout = 3
    statement_timeout = 1800.5
    lock_timeout = 0.5
    audit = true
    [profiles.p.connections.dw]
    marker_schema = "${SCHEMA}"
    lock_timeout = 7
    """
    environ = {
        "SCHEMA": "marks",
        "ETLCTL_CONNECTIONS_DW_CONNECT_TIMEOUT": "2.5",
        "ETLCTL_CONNECTIONS_DW_STATEMENT_TIMEOUT": "0",
        "ETLCTL_CONNECTIONS_DW_AUDIT": "false",
    }

    changed = load_text(text, environ, profile="p")

    assert _plain(load_text(text), "dw") == ("etl", 3, 1800.5, 0.5, True)
    assert _plain(changed, "dw") == ("marks", 2.5, None, 7, False)
    assert changed.origins["connections.dw.marker_schema"].endswith("(profile p) from ${SCHEMA}")
    assert changed.origins["connections.dw.lock_timeout"] == "config/etlctl.toml:11 (profile p)"
    assert changed.origins["connections.dw.audit"] == "environment variable ETLCTL_CONNECTIONS_DW_AUDIT"


def test_marker_schema_is_left_out_on_sqlite(load_text: Loader) -> None:
    """A laptop's profile changes the URL of production's connection and nothing else."""
    text = """
    connections.dw = {url = "postgresql://wh-1/dw", marker_schema = "etl"}
    profiles.laptop.connections.dw.url = "sqlite:///dw.db"
    """

    assert load_text(text).connections["dw"].marker_schema == "etl"
    assert load_text(text, profile="laptop").connections["dw"].marker_schema is None


def test_default_connection_is_the_only_one_where_nothing_is_said(load_text: Loader) -> None:
    """One connection needs no default_connection; `warehouse` is the default among several."""
    one = '[connections.dw]\nurl = "sqlite:///dw.db"\n'

    assert load_text(one).default_connection == "dw"
    assert load_text(one + "[connections.warehouse]\n").default_connection == "warehouse"


def test_pipelines_folder_is_not_assumed_beside_modules(load_text: Loader, tmp_path: Path) -> None:
    """Modules stand instead of the default folder, and besides one that is named."""
    assert load_text('pipelines.modules = ["acme.etl"]').pipelines_path is None
    assert load_text('pipelines = {modules = ["acme"], path = "p"}').pipelines_path == tmp_path / "p"
    assert load_text("pipelines.modules = []").pipelines_path == tmp_path / "pipelines"


def test_params_keep_the_values_of_toml_and_expand_their_texts(load_text: Loader) -> None:
    """Numbers, dates, lists and tables arrive as Python values; `${VAR}` works at any depth."""
    text = """
    [params."sales.Load"]
    n = 5
    day = 2013-01-02
    names = ["${A}", "$${A}", "b"]
    options = {deep = {x = "<${A}>"}}
    """

    settings = load_text(text, {"A": "${B}"})

    assert settings.params["sales.Load"] == {
        "n": 5,
        "day": datetime.date(2013, 1, 2),
        "names": ["${B}", "${A}", "b"],
        "options": {"deep": {"x": "<${B}>"}},
    }
    assert settings.origins['params."sales.Load".n'] == "config/etlctl.toml:3"
    assert settings.origins['params."sales.Load"'] == "config/etlctl.toml:2"


def test_settings_are_frozen_to_the_bottom(load_text: Loader) -> None:
    """Nobody changes settings after they are read."""
    settings: Any = load_text(DESIGN_EXAMPLE)

    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.profile = "x"
    for table in (settings.connections, settings.params, settings.params["LoadFlights"], settings.origins):
        with pytest.raises(TypeError):
            table["x"] = 1


def test_load_accepts_a_byte_order_mark(load_text: Loader) -> None:
    """What Windows editors put at the start of UTF-8 files does no harm, and lines still count from 1."""
    settings = load_text(b'\xef\xbb\xbfdefault_connection = "warehouse"\n')

    assert settings.origins["default_connection"] == "config/etlctl.toml:1"


def test_the_settings_of_this_repository_are_the_defaults_spelled_out() -> None:
    """config/etlctl.toml of the demo loads, and says what would hold without it."""
    root = Path(__file__).parents[2]

    settings = load(find(None, {}, root), environ={}, cwd=root)
    defaults = load(None, environ={}, cwd=root)

    assert settings.file == root / "config" / "etlctl.toml"
    for name in ("project", "connections", "default_connection", "state_url", "pipelines_path", "params"):
        assert getattr(settings, name) == getattr(defaults, name), name


def test_settings_load_without_any_heavy_import(tmp_path: Path) -> None:
    """Neither SQLAlchemy nor click comes with settings; tomllib only with a file; difflib only with an error."""
    code = (
        "import sys; from pathlib import Path; from etlctl.settings import load; "
        "load(None, environ={}, cwd=Path.cwd()); "
        "print([m for m in ('sqlalchemy', 'click', 'rich', 'boto3', 'tomllib', 'difflib') if m in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert shown.stdout.strip() == "[]"


def test_settings_error_exits_2(load_text: Loader) -> None:
    """Bad settings are found before anything ran."""
    with pytest.raises(SettingsError) as caught:
        load_text("x = 1")

    assert caught.value.exit_code is ExitCode.USAGE
