"""A test's settings are the project's, and nothing outside can be reached by them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from etlctl.errors import SettingsError, UnavailableError
from etlctl.testing.surroundings import NO_S3, Setup, settings_of_test, without_secrets

FILE = """
default_connection = "my-lake_2"
[connections.warehouse]
url = "aws-sm:prod/warehouse"
s3_staging = "s3://bucket/rows/"
marker_table = "marks"
[connections.my-lake_2]
url = "postgresql://${USER_OF_LAKE}:${PASSWORD_OF_LAKE}@lake/d"
[state]
url = "file:/run/secrets/not-there"
[build]
jobs = 4
[s3]
access_key_id = "env:KEY_THAT_IS_NOT_SET"
secret_access_key = "file:not-there-for-tests"
role_arn = "arn:aws:iam::123456789012:role/etl"
[notify.slack]
kind = "slack"
url = "env:SLACK_THAT_IS_NOT_SET"
[notify.mail]
kind = "email"
host = "localhost"
from = "a@example.com"
to = ["b@example.com"]
user = "etl"
password = "file:/run/secrets/not-there-for-tests"
[metrics]
textfile = "/var/lib/metrics/etl.prom"
[params.LoadSales]
batch = 500
[profiles.production]
connections.other.url = "file:/run/secrets/not-there-either"
[profiles.eu]
inherits = "production"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose settings name nothing but what a test must not reach."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "etlctl.toml").write_text(FILE)
    return tmp_path / "shop"


def test_settings_of_test_lead_nowhere_outside(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases, logs and state are the test's, S3 nowhere, nobody is told; what says how to load stays."""
    monkeypatch.setenv("ETLCTL_CONNECTIONS_WAREHOUSE_URL", "postgresql://prod/warehouse")
    monkeypatch.setenv("ETLCTL_STATE_URL", "postgresql://prod/state")
    monkeypatch.setenv("ETLCTL_PROFILE", "production")
    here = tmp_path / "test"

    with settings_of_test(project, here, Setup()) as found:
        urls = {name: one.url.reveal() for name, one in found.connections.items()}
        assert urls == {name: f"sqlite:///{here}/.etlctl/{name}.db" for name in ("warehouse", "my-lake_2")}
        assert found.state_url.reveal() == f"sqlite:///{here}/.etlctl/state.db"
        assert (found.project, found.logs.store) == (here, f"{here}/.etlctl/logs")
        assert (found.s3.endpoint_url, found.s3.role_arn) == (NO_S3, None)
        assert found.s3.access_key_id is not None and found.s3.access_key_id.reveal() == "testing"
        assert not found.notify and found.metrics.textfile is None
        assert found.connections["warehouse"].s3_staging is None
        assert found.connections["warehouse"].marker_table == "marks"
        assert found.default_connection == "my-lake_2"
        assert found.params == {"LoadSales": {"batch": 500}}
        assert found.pipelines_path == project / "pipelines"


def test_settings_of_test_take_a_profile_and_what_it_inherits(project: Path, tmp_path: Path) -> None:
    """The connection of the profile behind it is there, and its secret is not looked for."""
    with settings_of_test(project, tmp_path / "test", Setup(profile="eu")) as found:
        assert list(found.connections) == ["warehouse", "my-lake_2", "other"]


def test_settings_of_test_without_a_driver_say_what_to_install(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL's is an extra."""
    monkeypatch.setitem(sys.modules, "pymysql", None)
    setup = Setup(connections={"warehouse": "mysql://user@127.0.0.1/test"})

    with (
        pytest.raises(SettingsError, match=r'pymysql is not installed: pip install "etlctl\[mysql\]"'),
        settings_of_test(project, tmp_path / "test", setup),
    ):
        pass


def test_settings_of_test_without_a_server_say_where_they_looked(project: Path, tmp_path: Path) -> None:
    """Nobody listens on port 9; the password is in no sentence."""
    setup = Setup(connections={"warehouse": "postgresql://user:hunter2@127.0.0.1:9/test"})

    with (
        pytest.raises(UnavailableError, match="connection warehouse: no schema of the test's own") as caught,
        settings_of_test(project, tmp_path / "test", setup),
    ):
        pass

    assert "127.0.0.1" in str(caught.value) and "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "profiles = 5",
        "connections = 5",
        "[profiles]\neu = 5",
        "[profiles.eu]\nconnections = 5",
        "[profiles.eu]\ninherits = ['a']",
        "[profiles.eu]\ninherits = 'eu'",
        "= nonsense",
        "unknown = 1",
    ],
)
def test_settings_that_cannot_be_used_are_told(project: Path, text: str) -> None:
    """By the sentence that a build would say too."""
    (project / "etlctl.toml").write_text(text)

    with pytest.raises(SettingsError, match=r"etlctl\.toml"):
        without_secrets(project, Setup(profile="eu"))
