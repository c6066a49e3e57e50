"""The sentence for each thing that can be wrong with settings: what, where (file:line), and how to mend it (F76)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etlctl.errors import SettingsError
from etlctl.settings import Settings, load

Loader = Callable[..., Settings]
F = "config/etlctl.toml"


def _sentence(load_text: Loader, *args: object, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_text(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a = 1\nb = \n", f"{F}:2:5: not TOML: Invalid value."),
        ("[state\n", f"{F}:1:7: not TOML: "),
        ("a = [1,\n2\n", f"{F}:2: not TOML: "),
        ("", None),
        (
            "[state]\nurl = 'sqlite:///a'\n# no\nurl = 'b'\n",
            f"{F}:4:10: 'state.url' is given twice: it stands in line 2",
        ),
        ("[state]\n[pipelines]\n[state]\n", f"{F}:3:7: 'state' is given twice: it stands in line 1 already."),
        ("state = {url = 'a', url = 'b'}", "'state.url' is given twice: it stands already. Keep one of them."),
        (b"a = 1\nb = '\xff'\n", f"{F}:2: this line is not UTF-8 text. Save the file as UTF-8."),
        ("a = 1\n".encode("utf-16"), f"{F} is UTF-16 text. TOML is UTF-8: save the file as UTF-8."),
        ("a = \x00", f"{F}:1:5: not TOML: "),
        ("a = '\x1b[31m'", r"'\x1b'"),
        ("a = " + "[" * 5000, f"{F}: values are nested too deeply to be read."),
        ("a = " + "9" * 5000, f"{F}: not TOML: Exceeds the limit"),
    ],
)
def test_bad_toml_is_told_with_file_line_and_column(
    load_text: Loader, content: str | bytes, sentence: str | None
) -> None:
    """What tomllib refuses is a sentence with the place, never a traceback; an empty file is fine."""
    if sentence is None:
        assert load_text(content).default_connection == "warehouse"
        return

    shown = _sentence(load_text, content)

    assert sentence in shown
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\ndefault_conection = 'a'", f"{F}:2: unknown key 'default_conection'. Did you mean 'default_connection'?"),
        ("[profile.production]", f"{F}:1: unknown key 'profile'. Did you mean 'profiles'?"),
        ("[state]\nulr = 'a'", f"{F}:2: unknown key 'state.ulr'. Did you mean 'url'? Known here: lease_ttl, url."),
        (
            "[connections.warehouse]\nurl = 'sqlite:///a'\nmarker_tabel = 'm'",
            (
                f"{F}:3: unknown key 'connections.warehouse.marker_tabel'. Did you mean 'marker_table'? "
                "Known here: audit, connect_timeout, iam_role, lock_timeout, marker_schema, marker_table, s3_staging, "
                "statement_timeout, static_keys, url."
            ),
        ),
        (
            "[profiles.dev]\n[profiles.dev.state]\nurk = 'x'",
            f"{F}:3: unknown key 'profiles.dev.state.urk'. Did you mean 'url'?",
        ),
        ("inherits = 'base'", f"{F}:1: unknown key 'inherits'."),
        ("[profiles.dev.state]\ninherits = 'base'", f"{F}:2: unknown key 'profiles.dev.state.inherits'."),
        ("[profiles.dev.profiles.x]", f"{F}:1: unknown key 'profiles.dev.profiles'."),
        ("[pool]\nredshift = 1", f"{F}:1: unknown key 'pool'. Did you mean 'pools'?"),
        (
            "[pipelines]\npath = 'p'\ndefault_connection = 'a'",
            (
                f"{F}:3: unknown key 'pipelines.default_connection'. default_connection belongs at the top, "
                "before the first [table]."
            ),
        ),
        ('"\\u001b[31m" = 1', f"{F}:1: unknown key '\"\\x1b[31m\"'."),
    ],
)
def test_unknown_key_is_told_at_any_level_with_line_and_suggestion(load_text: Loader, text: str, sentence: str) -> None:
    """A typo never passes silently, not even in a profile that nobody asked for."""
    assert sentence in _sentence(load_text, text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("default_connection = 5", f"{F}:1: 'default_connection' must be a text in quotes, not a whole number."),
        ("state.url = true", f"{F}:1: 'state.url' must be a text in quotes, a database URL, not true or false."),
        ("state = 'x'", f"{F}:1: 'state' must be a table of keys, not a text."),
        ("connections.a = 'sqlite:///x'", f"{F}:1: 'connections.a' must be a table of keys, not a text."),
        ("[[connections]]", f"{F}:1: 'connections' must be a table of keys, not a list."),
        ("connections = 1.5", f"{F}:1: 'connections' must be a table of keys, not a number."),
        ("[profiles]\na = 2013-01-02", f"{F}:2: 'profiles.a' must be a table of keys, not a date or time."),
        ("profiles = 1", f"{F}:1: 'profiles' must be a table of keys, not a whole number."),
        ("[params]\nbatch = 5", f"{F}:2: 'params.batch' must be a table of keys, not a whole number."),
        ("pipelines.modules = 'acme'", f"{F}:1: 'pipelines.modules' must be a list of texts in quotes, not a text."),
        ("pipelines.modules = ['a', {}]", f"{F}:1: 'pipelines.modules' must be a list of texts in quotes; a table is"),
        ("pipelines.modules = ['a-b']", f"{F}:1: 'pipelines.modules': 'a-b' is not the dotted name of a Python module"),
        ("pipelines.path = ''", f"{F}:1: 'pipelines.path' is empty."),
        ("state.url = ''", f"{F}:1: 'state.url' is empty."),
        ("pipelines.path = {a = 1}", f"{F}:1: 'pipelines.path' must be a text in quotes, not a table."),
        ("[connections.'a b']\nurl = 'sqlite:///x'", f"{F}:1: 'connections.\"a b\"': a connection's name is letters"),
        ("connections.a.audit = 'true'", f"{F}:1: 'connections.a.audit' must be true or false, not a text."),
        ("connections.a.audit = 1", f"{F}:1: 'connections.a.audit' must be true or false, not a whole number."),
        (
            "connections.a.lock_timeout = '60'",
            f"{F}:1: 'connections.a.lock_timeout' must be a number of seconds, not a text.",
        ),
        (
            "connections.a.connect_timeout = true",
            f"{F}:1: 'connections.a.connect_timeout' must be a number of seconds, not true or false.",
        ),
        ("connections.a.marker_schema = 5", f"{F}:1: 'connections.a.marker_schema' must be a text in quotes, not a"),
        ("[profiles.x]\nstate.url = 3", f"{F}:2: 'profiles.x.state.url' must be a text in quotes, a database URL"),
    ],
)
def test_wrong_type_is_told_with_what_is_expected(load_text: Loader, text: str, sentence: str) -> None:
    """Key, line, what it must be and what it is."""
    assert sentence in _sentence(load_text, text)


@pytest.mark.parametrize(
    ("key", "value", "least"),
    [
        ("connect_timeout", "0", "1"),
        ("connect_timeout", "-1", "1"),
        ("connect_timeout", "nan", "1"),
        ("lock_timeout", "0", "0.001"),
        ("lock_timeout", "inf", "0.001"),
        ("statement_timeout", "-0.5", "0"),
        ("statement_timeout", "0.0009", "0"),
        ("statement_timeout", "2000001", "0"),
        ("statement_timeout", "0x" + 5000 * "f", "0"),
    ],
)
def test_seconds_that_mean_nothing_are_refused(load_text: Loader, key: str, value: str, least: str) -> None:
    """A lock_timeout of 0 would wait for ever on one database and not at all on another."""
    shown = _sentence(load_text, f'[connections.a]\nurl = "sqlite:///x"\n{key} = {value}')

    assert shown == f"{F}:3: 'connections.a.{key}' must be a number of seconds from {least} to 2000000."


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("LOCK_TIMEOUT", "1m", "must be a number of seconds from 0.001 to 2000000, as in 30, not '1m'."),
        ("LOCK_TIMEOUT", "0", "must be a number of seconds from 0.001 to 2000000."),
        ("CONNECT_TIMEOUT", "1e3", "must be a number of seconds from 1 to 2000000, as in 30, not '1e3'."),
        ("STATEMENT_TIMEOUT", "\x1b", "as in 30, not '\\x1b'."),
        ("AUDIT", "yes", "must be true or false, not 'yes'."),
        ("AUDIT", "", "is set, but empty."),
    ],
)
def test_variable_of_a_wrong_kind_is_told(load_text: Loader, key: str, text: str, sentence: str) -> None:
    """What a variable says for a number or a switch is checked as what the file says."""
    shown = _sentence(load_text, None, {f"ETLCTL_CONNECTIONS_WAREHOUSE_{key}": text})

    assert shown.startswith(f"environment variable ETLCTL_CONNECTIONS_WAREHOUSE_{key}")
    assert sentence in shown


def test_unknown_profile_lists_those_there_are(load_text: Loader) -> None:
    """The nearest is suggested, all are named, and it is told where the wrong name came from."""
    text = "[profiles.production]\n[profiles.staging]\n"

    assert _sentence(load_text, text, profile="prodution") == (
        "--profile: there is no profile 'prodution'. Did you mean 'production'? "
        "config/etlctl.toml has: production, staging."
    )
    assert "environment variable ETLCTL_PROFILE: there is no profile 'x'" in _sentence(
        load_text, text, {"ETLCTL_PROFILE": "x"}
    )
    assert _sentence(load_text, "", profile="x").endswith("config/etlctl.toml has no [profiles.NAME].")


def test_profile_without_a_settings_file_says_that_there_is_none(load_text: Loader) -> None:
    """A profile named in the wrong folder is not ignored."""
    assert "There is no settings file here" in _sentence(load_text, None, profile="production")


@pytest.mark.parametrize(
    ("text", "environ", "sentence"),
    [
        (
            "default_connection = 'warehuose'\n[connections.warehouse]\n[connections.b]\nurl='sqlite:///b'",
            {},
            (
                f"{F}:1: 'default_connection' names no connection: 'warehuose'. Did you mean 'warehouse'? "
                "Connections: warehouse, b."
            ),
        ),
        (
            "",
            {"ETLCTL_DEFAULT_CONNECTION": "b"},
            (
                "environment variable ETLCTL_DEFAULT_CONNECTION: 'default_connection' names no connection: 'b'. "
                "Connections: warehouse."
            ),
        ),
        (
            "connections.a.url = 'sqlite:///a'\nconnections.b.url = 'sqlite:///b'",
            {},
            "default_connection is not set, and no connection is named warehouse. Set it: a, b.",
        ),
        ("[connections.dw]\nmarker_table = 'm'", {}, f"{F}:1: 'connections.dw' has no url. Give it one: url = "),
        ("[connections.dw]", {}, f"{F}:1: 'connections.dw' has no url."),
        ("[profiles.p.connections.dw]", {"ETLCTL_PROFILE": "p"}, f"{F}:1 (profile p): 'connections.dw' has no url."),
    ],
)
def test_connection_that_is_not_there_is_named(
    load_text: Loader, text: str, environ: dict[str, str], sentence: str
) -> None:
    """A default that names nothing, and a connection without a URL, are found before anything runs."""
    assert sentence in _sentence(load_text, text, environ)


@pytest.mark.parametrize("state", ["sqlite:///w.db", "sqlite:///./x/../w.db", "sqlite:///link.db?timeout=5"])
def test_state_and_warehouse_in_one_sqlite_file_are_refused(load_text: Loader, tmp_path: Path, state: str) -> None:
    """However the file is spelled."""
    (tmp_path / "x").mkdir()
    (tmp_path / "link.db").symlink_to("w.db")

    shown = _sentence(load_text, f"state.url = '{state}'\nconnections.warehouse.url = 'sqlite:///w.db'")

    assert f"{F}:2: 'connections.warehouse.url' and 'state.url' ({F}:1) are the same SQLite file" in shown


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ETLCTL_STATE_URL", "", "environment variable ETLCTL_STATE_URL is set, but empty."),
        ("ETLCTL_PROFILE", "", "environment variable ETLCTL_PROFILE is set, but empty."),
        (
            "ETLCTL_CONNECTIONS_WAREHUOSE_URL",
            "sqlite:///x",
            (
                "environment variable ETLCTL_CONNECTIONS_WAREHUOSE_URL overrides nothing: no connection is named so, "
                "or has such a key. Did you mean 'ETLCTL_CONNECTIONS_WAREHOUSE_URL'?"
            ),
        ),
        (
            "ETLCTL_PARAMS_LOADFLIGHTS_BATCH",
            "5",
            "parameters are not set this way, since their names are case sensitive",
        ),
        ("ETLCTL_PIPELINES_MODULES", "a,,b", "'' is not the dotted name of a Python module"),
    ],
)
def test_environment_variable_that_cannot_be_used_is_named(
    load_text: Loader, name: str, value: str, sentence: str
) -> None:
    """An override that would be lost, or would empty a value, is an error."""
    assert sentence in _sentence(load_text, None, {name: value})


@pytest.mark.parametrize("key", ["marker_table", "marker_schema"])
@pytest.mark.parametrize("name", [r"a\u0000b", r"a\nb", r"\u001b[31m", ""])
def test_marker_table_that_is_no_name_is_refused(load_text: Loader, key: str, name: str) -> None:
    """No database can hold it; found before anything runs, with its place."""
    shown = _sentence(load_text, f'[connections.warehouse]\n{key} = "{name}"\nurl = "postgresql://wh-1/dw"')

    assert shown.startswith(f"{F}:2: 'connections.warehouse.{key}' ")
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ETLCTL_CONNECTION_WAREHOUSE_URL", "ETLCTL_CONNECTIONS_WAREHOUSE_URL"),
        ("ETLCTL_CONNECTION_WH_URL", None),
        ("ETLCTL_PIPELINE_PATH", "ETLCTL_PIPELINES_PATH"),
        ("ETLCTL_STATE_ULR", "ETLCTL_STATE_URL"),
        ("ETLCTL_PROFIL", "ETLCTL_PROFILE"),
        ("ETLCTL_CONFIGURATION", "ETLCTL_CONFIG"),
    ],
)
def test_environment_variable_that_is_nearly_ours_draws_a_warning(
    load_text: Loader, name: str, meant: str | None
) -> None:
    """A misspelled override would be lost without a word; its value is not shown."""
    (warning,) = load_text(None, {name: "S3cr3t", "HOME": "/"}).warnings

    hint = f" Did you mean '{meant}'?" if meant else ""
    assert warning.startswith(f"environment variable {name} sets nothing.{hint}")
    assert "S3cr3t" not in warning


@pytest.mark.parametrize(
    "name",
    [
        "ETLCTL_SERVICE_HOST",
        "ETLCTL_STATE_SERVICE_PORT_HTTP",
        "ETLCTL_PIPELINES_PORT_80_TCP_ADDR",
        "ETLCTL_STATE_PORT",
        "ETLCTL_IMAGE",
        "_ETLCTL_COMPLETE",
    ],
)
def test_environment_variable_that_others_set_draws_no_warning(load_text: Loader, name: str) -> None:
    """Kubernetes names variables after a service, https://kubernetes.io/docs/concepts/services-networking/service/."""
    assert load_text(None, {name: "10.0.0.1"}).warnings == ()


def test_environment_variable_that_fits_two_connections_is_refused(load_text: Loader) -> None:
    """wh-1 and wh_1 share a variable; using it would be a guess."""
    text = "default_connection='wh-1'\nconnections.wh-1.url='sqlite:///a'\nconnections.wh_1.url='sqlite:///b'"

    shown = _sentence(load_text, text, {"ETLCTL_CONNECTIONS_WH_1_URL": "sqlite:///c"})

    assert "stands for connections.wh-1.url and connections.wh_1.url" in shown


def test_file_outside_the_current_folder_is_named_in_full(tmp_path: Path) -> None:
    """A message about --config /elsewhere/x.toml can be followed."""
    file = tmp_path / "x.toml"
    file.write_text("x = 1", encoding="utf-8")
    (tmp_path / "here").mkdir()

    with pytest.raises(SettingsError) as caught:
        load(file, environ={}, cwd=tmp_path / "here")

    assert str(caught.value).startswith(f"{file}:1: unknown key 'x'.")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "sqlite+aiosqlite:///w.db",
            "(sqlite+aiosqlite:///w.db) begins with sqlite+aiosqlite; SQLite is written sqlite:",
        ),
        ("sqlite3:///w.db", "(sqlite3:///w.db) begins with sqlite3; SQLite is written sqlite:///PATH."),
        ("SQLITE:///w.db", "(SQLITE:///w.db) begins with SQLITE; SQLite is written sqlite:///PATH."),
        ("sqlite:///w.db?timeout=abc", "(sqlite:///w.db?timeout=abc) has a timeout that is no number of seconds"),
        ("sqlite:///w.db?timeout=nan", "has a timeout that is no number of seconds, as in ?timeout=60."),
        ("sqlite:///w.db?timeout=-1", "has a timeout that is no number of seconds"),
        ("sqlite:///w.db?timeout=", "has a timeout that is no number of seconds"),
        ("sqlite:///w.db?timeout=1&timeout=2", "gives timeout twice"),
        ("sqlite:///w.db?foo=1", "(sqlite:///w.db?foo=1) has the option 'foo', which is not known here: timeout, uri."),
        ("sqlite:///w.db?timout=1", "has the option 'timout', which is not known here: timeout, uri."),
        (
            "sqlite:///w.db?isolation_level=X",
            "has the option 'isolation_level', which is not known here: timeout, uri.",
        ),
        (
            "sqlite:///w.db?mode=ro",
            "has the option 'mode', which is not known here: timeout, uri. SQLite's own options",
        ),
        ("sqlite:///w.db?uri=maybe", "has uri=…, which is true or false."),
        ("sqlite:///file:w.db", "has a path that begins with file:, which needs ?uri=true."),
        ("sqlite:///~/w.db", "(sqlite:///~/w.db) has a path that begins with ~, which a shell alone knows. Write "),
        ("sqlite:///~me/w.db", "has a path that begins with ~"),
    ],
)
def test_sqlite_url_that_cannot_be_opened_is_told_with_its_place(load_text: Loader, url: str, said: str) -> None:
    """Driver, options and path are looked at before anything runs, and shown: there is no secret in them."""
    shown = _sentence(load_text, f"[connections.warehouse]\nurl = '{url}'")

    assert shown.startswith(f"{F}:2: 'connections.warehouse.url' ")
    assert said in shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///w.db?timeout=5",
        "sqlite+pysqlite:///w.db?timeout=0.5",
        "sqlite:///w.db?uri=false",
        "sqlite:///file:w.db?uri=true&mode=ro&cache=private&immutable=0&nolock=0&psow=1&vfs=unix",
        "sqlite:///x~/~w.db",
        "sqlite:///~w.db",
    ],
)
def test_sqlite_url_with_what_sqlite_takes_is_accepted(load_text: Loader, url: str) -> None:
    """SQLAlchemy opens what the settings let through."""
    from sqlalchemy import create_engine

    made = load_text(f"[connections.warehouse]\nurl = '{url}'").connections["warehouse"].url.reveal()

    create_engine(made).dialect.create_connect_args(create_engine(made).url)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
@pytest.mark.parametrize("key", ["connections.warehouse.url", "state.url"])
def test_database_in_memory_is_refused_in_settings(load_text: Loader, key: str, url: str) -> None:
    """It would be gone with the command, and the next one would load again."""
    shown = _sentence(load_text, f"{key} = '{url}'")

    assert shown.startswith(
        f"{F}:1: '{key}' ({url}) is a database in memory, which ends with the command. Give it a file"
    )


def test_text_that_is_no_url_has_no_stars(load_text: Loader) -> None:
    """`***` stands where something is hidden out of what is shown, not for the whole."""
    assert _sentence(load_text, "state.url = 'w.db'") == (
        f"{F}:1: 'state.url' is not a URL such as sqlite:///.etlctl/warehouse.db (scheme://…)."
    )


@pytest.mark.parametrize("key", ["connections.warehouse", "state"])
def test_default_is_no_place(load_text: Loader, key: str) -> None:
    """Of two keys that name one file, the place is that of the one which stands in the file."""
    other, file = ("state", "state.db") if key == "connections.warehouse" else ("connections.warehouse", "warehouse.db")

    shown = _sentence(load_text, f"{key}.url = 'sqlite:///.etlctl/{file}'")

    assert shown.startswith(f"{F}:1: '{key}.url' and '{other}.url' (its default) are the same SQLite file, ")
