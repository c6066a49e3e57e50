"""The doctor at files, versions and S3: who may change what runs, who may read a secret, what a bucket lets do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlctl.app import App
from etlctl.doctor import stores, surroundings
from etlctl.doctor.findings import Finding, Level
from etlctl.s3 import client
from etlctl.settings import Settings, load
from servers.s3 import S3Service
from servers.s3_proxy import S3Proxy

ME = os.getuid()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project of one pipelines module, whose settings hold a password in clear."""
    (tmp_path / "pipelines").mkdir(mode=0o755)
    (tmp_path / "pipelines" / "flows.py").write_text("")
    file = tmp_path / "etlctl.toml"
    file.write_text("connections.warehouse.url = 'postgresql://u:S3cr%40t@h/d'\n")
    for path in (tmp_path, tmp_path / "pipelines"):
        path.chmod(0o755)
    (tmp_path / "pipelines" / "flows.py").chmod(0o644)
    file.chmod(0o600)
    return load(file, environ={}, cwd=tmp_path)


def told(settings: Settings, user: int = ME) -> list[Finding]:
    return surroundings.file_findings(settings, user=user)


# -- files


def test_files_that_are_as_they_should_be_are_one_line(settings: Settings) -> None:
    """0600 for the settings, nothing for others to write."""
    assert [one.level for one in told(settings)] == [Level.OK]


@pytest.mark.parametrize("name", ["pipelines", "pipelines/flows.py", "etlctl.toml"])
def test_what_everybody_may_change_is_a_warning(settings: Settings, name: str) -> None:
    """S10: with the chmod that mends it."""
    path = settings.project / name
    path.chmod(path.stat().st_mode | 0o002)

    found = [one for one in told(settings) if "can be changed by everybody" in one.text]

    assert [(one.level, one.mend) for one in found] == [(Level.WARN, f"chmod o-w {path}")]


def test_a_sticky_folder_is_as_safe_as_tmp(settings: Settings) -> None:
    """Nobody can replace in it what is another's."""
    settings.project.chmod(0o1777)

    assert [one.level for one in told(settings)] == [Level.OK]


def test_what_belongs_to_another_user_is_a_warning(settings: Settings) -> None:
    """S10, S11: the settings and the pipelines of somebody else decide what runs; root's do so anyway."""
    if ME != 0:
        found = told(settings, user=ME + 1)
    else:
        for path in (settings.file, settings.pipelines_path):
            assert path is not None
            os.chown(path, 4321, -1)
        found = told(settings)

    assert {one.level for one in found} == {Level.WARN}
    assert sum("belongs to another user" in one.text for one in found) >= 2
    assert all(one.mend for one in found)


def test_a_settings_file_owned_by_another_is_warned_of_by_every_command(tmp_path: Path) -> None:
    """S11: not by the doctor alone."""
    from etlctl.settings.document import owner_warning

    file = tmp_path / "etlctl.toml"
    file.write_text("")

    assert owner_warning(file, shown="etlctl.toml", user=ME) is None
    assert (owner_warning(file, shown="etlctl.toml", user=ME + 1) is None) == (ME == 0)
    if ME == 0:
        os.chown(file, 4321, -1)
        sentence = owner_warning(file, shown="etlctl.toml", user=0)
        assert sentence is not None and "uid 4321" in sentence


@pytest.mark.parametrize(("mode", "who"), [(0o640, "its group"), (0o644, "everybody"), (0o604, "everybody")])
def test_a_secret_in_clear_that_others_may_read_is_a_warning(settings: Settings, mode: int, who: str) -> None:
    """F76: percent-encoded or not; what it is stays unsaid."""
    assert settings.file is not None
    settings.file.chmod(mode)

    (warning,) = told(settings)

    assert warning.level is Level.WARN and f"a secret in clear, and {who} may read it" in warning.text
    assert "S3cr" not in warning.text + warning.mend


def test_a_readable_file_without_secrets_is_fine(tmp_path: Path) -> None:
    """References and variables are no secrets."""
    file = tmp_path / "etlctl.toml"
    file.write_text("connections.warehouse.url = 'postgresql://u:${PW}@h/d'\n")
    file.chmod(0o644)

    found = told(load(file, environ={"PW": "S3cr3t"}, cwd=tmp_path))

    assert [one.level for one in found] == [Level.OK]


def test_many_files_are_a_few_lines(settings: Settings) -> None:
    """The first, and how many more."""
    assert settings.pipelines_path is not None
    for number in range(30):
        path = settings.pipelines_path / f"f{number}.py"
        path.write_text("")
        path.chmod(0o666)

    found = told(settings)

    assert len(found) == 6 and found[-1].text.startswith("25 more files or folders")


# -- versions


def test_a_missing_extra_fails_with_the_pip_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where a setting needs it."""
    monkeypatch.setattr(surroundings, "find_spec", lambda name: None if name == "pymysql" else object())
    assert not [one for one in surroundings.version_findings(settings) if one.level is not Level.OK]
    found = load(None, environ={"ETLCTL_STATE_URL": "mysql://u@h/d"}, cwd=settings.project)

    (failed,) = [one for one in surroundings.version_findings(found) if one.level is not Level.OK]

    assert (failed.level, failed.mend) == (Level.FAIL, 'pip install "etlctl[mysql]"')
    assert "[state]" in failed.text


# -- S3


def s3_told(folder: Path, text: str, *, write: bool) -> list[Finding]:
    file = folder / "etlctl.toml"
    file.write_text(text)
    with App.open(load(file, environ=os.environ, cwd=folder)) as app:
        found = stores.store_findings(app.settings, write=write)
    client.close()
    return found


def test_a_place_can_be_listed_and_is_written_to_only_when_told(
    s3_server: S3Service, bucket: str, tmp_path: Path
) -> None:
    """Each place once, however many settings name it; nothing stays."""
    text = f"logs.store = 's3://{bucket}/logs'\ns3.gc = ['s3://{bucket}/logs']\n"

    looked = s3_told(tmp_path, text, write=False)
    written = s3_told(tmp_path, text, write=True)

    assert [one.level for one in looked] == [Level.OK, Level.OK]
    assert looked[0].text == "can be listed (s3.gc, logs.store)" and "--write" in looked[1].text
    assert [one.text for one in written][1] == "can be written, and what is written removed"
    assert "Contents" not in s3_server.client.list_objects_v2(Bucket=bucket)


def test_a_bucket_that_is_not_there_fails(bucket: str, tmp_path: Path) -> None:
    """With the setting that names it."""
    (failed,) = s3_told(tmp_path, "s3.gc = ['s3://nowhere-at-all-4711']\n", write=True)

    assert failed.level is Level.FAIL and "(s3.gc)" in failed.text and failed.mend


@pytest.mark.parametrize(("operation", "right"), [("PutObject", "s3:PutObject"), ("DeleteObject", "s3:DeleteObject")])
def test_a_right_that_is_missing_is_named(
    s3_proxy: S3Proxy, bucket: str, tmp_path: Path, operation: str, right: str
) -> None:
    """With --write alone: nothing else can tell."""
    s3_proxy.answer(operation, 403, "AccessDenied", times=9)

    found = s3_told(tmp_path, f"s3.gc = ['s3://{bucket}/x']\n", write=True)

    assert found[1].level is Level.FAIL and right in found[1].mend
    assert all(one.level is Level.OK for one in s3_told(tmp_path, f"s3.gc = ['s3://{bucket}/x']\n", write=False))
