"""`aws-sm:` references: fetched from Secrets Manager (moto's, over HTTP) when needed, and never shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.project import Project
from etlctl import app
from etlctl.cli.options import Common
from etlctl.cli.session import Session
from etlctl.cli.streams import of_process
from etlctl.errors import SettingsError, TransientError, UnavailableError
from etlctl.s3 import secrets
from etlctl.settings import Settings, masked
from servers.s3 import S3Service
from servers.s3_fixtures import lead

F = "config/etlctl.toml"
ENDPOINT = "AWS_ENDPOINT_URL_SECRETS_MANAGER"


@dataclass
class Vault:
    """moto's Secrets Manager, and what its tests put there."""

    client: Any
    asked: list[str]

    def put(self, text: str) -> str:
        """The name of a new secret."""
        name = f"tests/{uuid.uuid4().hex}"
        self.client.create_secret(Name=name, SecretString=text)
        return name

    def arn(self, name: str) -> str:
        return str(self.client.describe_secret(SecretId=name)["ARN"])


@pytest.fixture
def vault(s3_server: S3Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """boto3's own variables lead there; each look that etlctl takes is noted."""
    if s3_server.url is None:
        pytest.skip("Secrets Manager is moto's alone")
    lead(monkeypatch, s3_server)
    for name in ("ETLCTL_S3_ENDPOINT_URL", "ETLCTL_S3_ACCESS_KEY_ID", "ETLCTL_S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv(ENDPOINT, s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    client = boto3.client("secretsmanager")
    asked: list[str] = []
    real = secrets._asked

    def noting(name: str, *more: Any) -> str:
        asked.append(name)
        return real(name, *more)

    monkeypatch.setattr(secrets, "_asked", noting)
    secrets.forget()
    yield Vault(client, asked)
    secrets.forget()
    client.close()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """Settings of a text, loaded as commands load them."""

    def loaded(text: str) -> Settings:
        file = tmp_path / "config" / "etlctl.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

        return app.load_settings(file, environ=os.environ, cwd=tmp_path)

    return loaded


Load = Callable[[str], Settings]
URL = "postgresql://etl:S3cr3t%40@wh-1/dw"


def _warehouse(reference: str) -> str:
    return f'[connections.warehouse]\nurl = "aws-sm:{reference}"\n'


@pytest.mark.parametrize("by_arn", [False, True])
def test_a_reference_is_the_text_of_a_secret(vault: Vault, load: Load, by_arn: bool) -> None:
    """By name, and by ARN."""
    name = vault.put(URL)

    found = load(_warehouse(vault.arn(name) if by_arn else name))

    assert found.connections["warehouse"].url.reveal() == URL


def test_a_key_is_taken_out_of_json(vault: Vault, load: Load) -> None:
    """A text, or a number, as it is."""
    name = vault.put(json.dumps({"url": URL, "port": 5432}))

    assert load(_warehouse(f"{name}#url")).connections["warehouse"].url.reveal() == URL
    text = f'[notify.mail]\nkind = "email"\npassword = "aws-sm:{name}#port"\n'
    assert load(text).notify["mail"].options["password"].reveal() == "5432"


def test_a_secret_is_fetched_when_it_is_needed_and_once(vault: Vault, load: Load) -> None:
    """Neither loading settings nor showing nor comparing nor masking asks anybody; many references ask once."""
    name = vault.put(json.dumps({"url": URL, "other": URL}))
    text = _warehouse(f"{name}#url") + f'[connections.other]\nurl = "aws-sm:{name}#other"\n'
    found, again = load(text), load(text)

    assert found == again and masked("x", found.secrets()) == "x"
    assert found.connections["warehouse"].shown_url == f"aws-sm:{name}#url"
    assert repr(found.connections["warehouse"].url) == "Secret('***')"
    assert vault.asked == []
    assert [one.url.reveal() for one in (*found.connections.values(), *again.connections.values())] == [URL] * 4
    assert vault.asked == [name]
    assert masked("S3cr3t@", found.secrets()) == "***"


def test_variables_are_filled_in(vault: Vault, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """`aws-sm:${STAGE}/…`."""
    name = vault.put(URL)
    monkeypatch.setenv("STAGE", name.partition("/")[0])

    found = load(_warehouse(f"${{STAGE}}/{name.partition('/')[2]}"))

    assert found.connections["warehouse"].url.reveal() == URL


@pytest.mark.parametrize(
    ("text", "key", "sentence"),
    [
        (json.dumps({"user": "S3cr3t", "url": "x"}), "#ulr", "has no key 'ulr'. Its keys: url, user."),
        (json.dumps({"url": ["S3cr3t"]}), "#url", "the key 'url' of the secret"),
        ("S3cr3t", "#url", "is no JSON object, so it has no key 'url'."),
        ("S3cr3t", "", "is not a URL such as"),
        ("sqlite:///S3cr3t.db", "", "the secret is the URL of a SQLite file"),
        ("postgresql://u:S3cr3t@h:port/d", "", "(postgresql://***) has a port that is not a number"),
    ],
)
def test_a_secret_that_is_of_no_use_is_told_with_its_place(
    vault: Vault, load: Load, text: str, key: str, sentence: str
) -> None:
    """File, line and key of the settings; never what it holds."""
    found = load(_warehouse(vault.put(text) + key))

    with pytest.raises(SettingsError) as caught:
        found.connections["warehouse"].url.reveal()

    shown = str(caught.value)
    assert shown.startswith(f"{F}:2: 'connections.warehouse.url'") and sentence in shown
    assert "S3cr3t" not in shown


def test_a_secret_that_is_not_there_is_told(vault: Vault, load: Load) -> None:
    """Its name, and where to look; exit 2."""
    with pytest.raises(SettingsError, match=r"2: 'connections.warehouse.url': there is no secret 'tests/nothing'"):
        load(_warehouse("tests/nothing")).connections["warehouse"].url.reveal()


def test_a_secret_that_is_being_deleted_is_told(vault: Vault, load: Load) -> None:
    """As Secrets Manager keeps them for days."""
    name = vault.put(URL)
    vault.client.delete_secret(SecretId=name)

    with pytest.raises(SettingsError, match="is marked for deletion, or holds no value: restore it"):
        load(_warehouse(name)).connections["warehouse"].url.reveal()


def test_missing_credentials_are_told(vault: Vault, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 4, with what to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(UnavailableError, match=r"2: 'connections.warehouse.url': fetching .* there are no credentials"):
        load(_warehouse("tests/any")).connections["warehouse"].url.reveal()


def test_a_service_that_does_not_answer_is_told(vault: Vault, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 4, with the address; the next look may go well."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    name = vault.put(URL)
    found = load("[s3]\nmax_attempts = 1\n" + _warehouse(name)).connections["warehouse"].url

    with pytest.raises(TransientError, match=r"Secrets Manager cannot be reached at 127.0.0.1:1"):
        found.reveal()


def test_commands_use_it_and_do_not_fetch_it_to_list(vault: Vault, tmp_path: Path, postgres_url: str) -> None:
    """`build` loads by it; `list` asks nobody, though nobody would answer."""
    name = vault.put(json.dumps({"url": postgres_url}))
    project = Project(tmp_path, f"flows_{uuid.uuid4().hex[:12]}")
    project.pipeline(
        """
        from etlctl import LoadTable

        class One(LoadTable):
            columns = {"n": "integer"}

            def rows(self):
                return [(1,)]
        """
    )
    project.write(F, f"[pipelines]\npath = '{project.package}'\n{_warehouse(f'{name}#url')}")

    listed = project.run("list")
    assert (listed.code, vault.asked) == (0, [])
    built = project.run("build", "One")

    assert built.code == 0, built.out + built.err
    assert (vault.asked, built.err) == ([name], "")


def test_a_rotated_secret_is_seen_when_settings_are_loaded_anew(vault: Vault, tmp_path: Path) -> None:
    """As a loop does at SIGHUP; until then the old one holds."""
    name = vault.put(URL)
    (tmp_path / "etlctl.toml").write_text(_warehouse(name))
    session = Session(Common(config=str(tmp_path / "etlctl.toml")), of_process(), ExitStack())
    before = session.load_settings().connections["warehouse"].url
    assert before.reveal() == URL
    vault.client.put_secret_value(SecretId=name, SecretString=URL.replace("S3cr3t", "r0tated"))

    after = session.load_settings().connections["warehouse"].url

    assert before.reveal() == URL
    assert after.reveal() == URL.replace("S3cr3t", "r0tated")


def test_settings_that_nobody_can_fetch_for_say_so(tmp_path: Path) -> None:
    """Of a program that loads settings by itself."""
    from etlctl.settings import load as load_alone

    (tmp_path / "etlctl.toml").write_text(_warehouse("a#b"))
    found = load_alone(tmp_path / "etlctl.toml", environ={}, cwd=tmp_path)

    with pytest.raises(SettingsError, match=r"aws-sm:a#b is fetched where settings are loaded by etlctl.app"):
        found.connections["warehouse"].url.reveal()


def test_boto3_is_not_imported_before_a_secret_is_asked_for(tmp_path: Path) -> None:
    """`list` and `show` start as quickly as without a reference."""
    (tmp_path / "etlctl.toml").write_text(_warehouse("a"))
    (tmp_path / "pipelines").mkdir()
    code = "import sys; from etlctl.cli.main import main; main(['list']); print('boto3' in sys.modules)"

    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.splitlines()[-1] == "False", ran.stdout + ran.stderr
