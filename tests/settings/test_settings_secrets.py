"""Variables, references and URLs (F77, F78): any password arrives whole at the driver, and none is ever shown (F79)."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from etlctl.errors import SettingsError
from etlctl.settings import Secret, Settings, load, masked_url, sqlite_file

Loader = Callable[..., Settings]
F = "config/etlctl.toml"
PASSWORD = "S3cr3t-@:/#%?[] '\"é\U0001f600$" + "{x}\\"


def _sentence(load_text: Loader, *args: object, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_text(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        ("postgresql://etl:${PW}@wh-1:5432/dw", {"PW": PASSWORD}),
        ("postgresql://${USER}:${PW}@${HOST}/dw", {"PW": PASSWORD, "USER": "etl", "HOST": "wh-1:5432"}),
        ("postgresql://${BOTH}@wh-1:5432/dw", {"BOTH": f"etl:{PASSWORD}"}),
        ("${URL}", {"URL": f"postgresql://etl:{quote(PASSWORD, safe='')}@wh-1:5432/dw"}),
        ("env:URL", {"URL": f"postgresql://etl:{quote(PASSWORD, safe='')}@wh-1:5432/dw"}),
        (f"postgresql://etl:{quote(PASSWORD, safe='')}@wh-1:5432/dw", {}),
        ("file:run/secret", {}),
        ("file:${DIR}/secret", {"DIR": "run"}),
    ],
)
def test_any_password_arrives_whole_by_every_road(
    load_text: Loader, tmp_path: Path, url: str, environ: dict[str, str]
) -> None:
    """Variable, whole URL, reference or file: SQLAlchemy reads the password that was meant."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "secret").write_text(f"postgresql://etl:{quote(PASSWORD, safe='')}@wh-1:5432/dw\n", "utf-8")

    settings = load_text(f"connections.warehouse.url = '{url}'", environ)

    made = make_url(settings.connections["warehouse"].url.reveal())
    assert (made.username, made.password, made.host, made.port, made.database) == ("etl", PASSWORD, "wh-1", 5432, "dw")
    assert settings.connections["warehouse"].shown_url == "postgresql://etl:***@wh-1:5432/dw"
    assert "S3cr3t" not in repr(settings)


@given(st.text(min_size=1).filter(lambda text: text.isprintable()), st.sampled_from(["e", "${U}"]))
def test_a_password_variable_survives_whatever_it_holds(password: str, user: str) -> None:
    """`${PW}` in the password's place is encoded so that make_url gives it back."""
    from etlctl.settings.texts import expanded_url

    environ = {"PW": password, "U": "e"}
    url = expanded_url(f"postgresql://{user}:${{PW}}@h/d", at="x", environ=environ)

    assert (make_url(url).username, make_url(url).password, make_url(url).host) == ("e", password, "h")
    assert masked_url(url) == "postgresql://e:***@h/d"


@pytest.mark.parametrize(
    ("text", "environ", "sentence"),
    [
        ("\nstate.url = '${X}'", {}, f"{F}:2: 'state.url' needs the environment variable X, which is not set. Set it."),
        ("state.url = 'a${X}'", {"X": ""}, f"{F}:1: 'state.url' needs the environment variable X, which is set, but"),
        ("state.url = 'env:X'", {}, f"{F}:1: 'state.url' needs the environment variable X, which is not set."),
        ("state.url = 'env:a b'", {}, "env: is followed by the name of an environment variable"),
        ("params.T.x = [{y = '${X}'}]", {}, f"{F}:1: 'params.T.x.y' needs the environment variable X"),
        ("pipelines.modules = ['${X}']", {}, f"{F}:1: 'pipelines.modules' needs the environment variable X"),
        (
            "params.T.x = '${X:-d}'",
            {"X": "1"},
            f"{F}:1: 'params.T.x' holds a ${{ that is not of the form ${{VARIABLE}}.",
        ),
        (
            "params.T.x = '${X'",
            {"X": "1"},
            "is not of the form ${VARIABLE}. There are no defaults within it; $${ stands",
        ),
        ("state.url = 'file:gone'", {}, "cannot be read: No such file or directory."),
        ("state.url = 'file:config'", {}, "cannot be read: Is a directory."),
        ("state.url = 'file:empty'", {}, "that it refers to is empty."),
        ("state.url = 'file:binary'", {}, "that it refers to is not UTF-8 text."),
        ("state.url = 'aws-sm:'", {}, f"{F}:1: 'state.url': aws-sm: is followed by the name or ARN of a secret"),
        ("state.url = 'aws-sm:a b'", {}, f"{F}:1: 'state.url': aws-sm: is followed by the name or ARN of a secret"),
        ("state.url = 'aws-sm:a#'", {}, f"{F}:1: 'state.url': aws-sm: is followed by the name or ARN of a secret"),
        ("state.url = 'aws-sm:${X}/dw'", {}, f"{F}:1: 'state.url' needs the environment variable X"),
        (
            "s3.access_key_id = 'a'\ns3.secret_access_key = 'aws-sm:keys#secret'",
            {},
            f"{F}:2: 's3.secret_access_key': the keys of [s3] cannot be kept in Secrets Manager, which is asked with",
        ),
    ],
)
def test_a_variable_or_reference_that_leads_nowhere_is_named(
    load_text: Loader, tmp_path: Path, text: str, environ: dict[str, str], sentence: str
) -> None:
    """File, line, key and variable are told, and no other variable's name or value."""
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "binary").write_bytes(b"\xff")

    shown = _sentence(load_text, text, {**environ, "XX": "S3cr3t"})

    assert sentence in shown
    assert "S3cr3t" not in shown and "XX" not in shown


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("warehouse-S3cr3t.db", "is not a URL such as sqlite:///"),
        ("host=h password=S3cr3t", "is not a URL"),
        (" sqlite:///a.db", "holds blanks at an end, or a line break"),
        ("postgresql://u:S3cr3t\n@h/d", "holds blanks at an end, or a line break"),
        ("sqlite://S3cr3t.db", "(sqlite://***) needs three slashes before the path"),
        ("postgresql://u:p@h:S3cr3t/d", "(postgresql://***) has a port that is not a number from 1 to 65535."),
        ("postgresql://u:S3cr3t", "has a port that is not a number"),
        ("postgresql://h:0/d", "has a port that is not a number"),
        ("postgresql://h:99999/d", "has a port that is not a number"),
        ("postgresql://h:/d", "has a port that is not a number"),
        ("postgresql://u:a@S3cr3t@h/d", "(postgresql://***) has more than one @ before its options"),
        ("postgresql://u:a@b/S3cr3t@h/d", "(postgresql://***) has more than one @ before its options"),
        ("postgresql://[::1]S3cr3t/d", "(postgresql://***) is not a URL"),
        ("mysql://u:p@h:S3cr3t/d", "(mysql://***) has a port that is not a number from 1 to 65535."),
        ("mariadb+pymysql://u:a@S3cr3t@h/d", "(mariadb+pymysql://***) has more than one @ before its options"),
        ("mysql://u:S3cr3t@h", "(mysql://u:***@h) names no database. Write mysql://USER@HOST/DATABASE."),
        ("mysql+mysqldb://u:S3cr3t@h/d", "etlctl uses pymysql for it: write mysql://…"),
        ("postgresql+asyncpg://u:S3cr3t@h/d", "(postgresql+asyncpg://u:***@h/d) begins with postgresql+asyncpg; "),
        ("postgres+psycopg://u:S3cr3t@h/d", "etlctl uses psycopg2 for it: write postgres://…"),
        ("PostgreSQL://u:S3cr3t@h/d", "(PostgreSQL://u:***@h/d) begins with PostgreSQL; write postgresql://…"),
        ("mssql+pyodbc://u:S3cr3t@h:port/d", "(mssql+pyodbc://***) has a port that is not a number"),
    ],
)
@pytest.mark.parametrize("by", ["file", "variable", "override", "reference"])
def test_a_bad_url_is_told_by_its_key_and_never_shown(load_text: Loader, url: str, sentence: str, by: str) -> None:
    """The setting is named, the URL masked, also in the traceback's chain; ValueErrors do not come through."""
    escaped = url.replace("\n", "\\n")
    texts = {"file": f'state.url = "{escaped}"', "variable": 'state.url = "${U}"', "reference": 'state.url = "env:U"'}
    environ = {"ETLCTL_STATE_URL": url} if by == "override" else {"U": url}

    with pytest.raises(SettingsError) as caught:
        load_text(texts.get(by), environ)

    assert sentence in str(caught.value) and "state.url" in str(caught.value)
    assert "S3cr3t" not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize("driver", ["", "+psycopg2"])
@pytest.mark.parametrize("password", [quote(PASSWORD, safe=""), "${PW}"])
def test_the_postgres_of_some_platforms_is_postgresql(load_text: Loader, driver: str, password: str) -> None:
    """Heroku and others hand out postgres://, which SQLAlchemy does not know; nothing else of the URL changes."""
    settings = load_text(f"connections.dw.url = 'postgres{driver}://etl:{password}@h/postgres'", {"PW": PASSWORD})

    made = make_url(settings.connections["dw"].url.reveal())
    assert (made.drivername, made.password, made.database) == (f"postgresql{driver}", PASSWORD, "postgres")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://etl@/dw?host=/var/run/postgresql",
        "postgresql+psycopg2://h/d?sslmode=verify-full&sslrootcert=root.crt",
        "mysql://h/d?charset=utf8mb4",
        "mariadb://h:3306/d",
        "mysql+pymysql://h/d",
        "mysql://h?read_default_file=/etc/my.cnf",
        "mssql+pyodbc://h/d?driver=ODBC+Driver+18+for+SQL+Server",
        "duckdb:///x.db",
        "cockroachdb://h:26257/d",
        "postgresqlx://h/d",
    ],
)
def test_url_of_another_database_stays_as_it_is(load_text: Loader, url: str) -> None:
    """Which dialects there are is not for the settings to know."""
    assert load_text(f"connections.dw.url = '{url}'").connections["dw"].url.reveal() == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://wh-1/dw", "postgresql://wh-1/dw"),
        ("postgresql+psycopg2://u@wh-1:5432/dw", "postgresql+psycopg2://u@wh-1:5432/dw"),
        ("postgresql://u:a:b/c?d#e%@[::1]:5432/dw", "postgresql://u:***@[::1]:5432/dw"),
        ("postgresql://u:@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?sslmode=require&password=x&PassFile=y", None),
        ("mysql://u:p@h/d?ssl_key=k&charset=utf8", "mysql://u:***@h/d?ssl_key=***&charset=utf8"),
        ("sqlite:////home/me@work/w.db", "sqlite:////home/me@work/w.db"),
        ("nonsense", "***"),
    ],
)
def test_masked_url_hides_password_and_secret_options(url: str, shown: str | None) -> None:
    """Host and database are for people to see; what could be a secret is not."""
    assert masked_url(url) == (shown or "postgresql://h/d?sslmode=require&password=***&PassFile=***")


def test_secret_shows_itself_to_reveal_alone() -> None:
    """repr, str, f-strings and % formatting are masked; equality is by text."""
    secret = Secret("S3cr3t")

    shown = f"{secret} {secret!r} {secret!s} {[secret]} {'%s' % secret} {dict(a=secret)}"  # noqa: UP031, C408  every way is meant

    assert "S3cr3t" not in shown
    assert secret.reveal() == "S3cr3t"
    assert secret == Secret("S3cr3t") and secret != Secret("x") and secret != "S3cr3t"
    assert len({secret, Secret("S3cr3t")}) == 1


def test_repr_of_settings_shows_no_params(load_text: Loader) -> None:
    """A parameter may be private; its class is not known here, so none is shown."""
    settings = load_text("params.T.token = '${T}'", {"T": "S3cr3t"})

    assert settings.params["T"]["token"] == "S3cr3t"
    assert "S3cr3t" not in repr(settings) + str(settings.origins)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///w.db", "{p}/w.db"),
        ("sqlite+pysqlite:///d/w.db?timeout=5", "{p}/d/w.db"),
        ("sqlite:////srv/w.db", "/srv/w.db"),
        ("sqlite:///file:w.db?mode=ro&uri=true", "{p}/w.db"),
        ("postgresql://h/w.db", None),
    ],
)
def test_sqlite_files_start_at_the_project_folder(tmp_path: Path, url: str, file: str | None) -> None:
    """Relative ones; absolute ones and other dialects stay as they are."""
    settings = load(None, environ={"ETLCTL_CONNECTIONS_WAREHOUSE_URL": url}, cwd=tmp_path)

    resolved = settings.connections["warehouse"].url.reveal()

    assert sqlite_file(resolved) == (Path(file.format(p=tmp_path)) if file is not None else None)
    if file is None or file.startswith("/"):
        assert resolved == url


def test_a_project_folder_of_any_name_can_hold_sqlite_files(tmp_path: Path) -> None:
    """`%`, `?`, `#` and blanks in the folder's name reach SQLite as they are."""
    project = tmp_path / "a%41 ?b#c@d"
    project.mkdir()

    url = load(None, environ={}, cwd=project).connections["warehouse"].url.reveal()

    assert make_url(url).database == str(project / ".etlctl" / "warehouse.db")
    assert sqlite_file(url) == project / ".etlctl" / "warehouse.db"
