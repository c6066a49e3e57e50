"""Where the settings file is looked for, and where the project folder is."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from etlctl.errors import SettingsError
from etlctl.settings import find, load
from etlctl.settings.document import owner_warning
from warehouse import ended, forked


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    return path


def test_find_takes_the_first_of_option_variable_config_folder_and_folder(tmp_path: Path) -> None:
    """--config, ETLCTL_CONFIG, config/etlctl.toml, etlctl.toml, nothing: each hides those behind it."""
    option, variable = _file(tmp_path / "a.toml"), _file(tmp_path / "b.toml")
    in_config, in_folder = _file(tmp_path / "config" / "etlctl.toml"), _file(tmp_path / "etlctl.toml")
    environ = {"ETLCTL_CONFIG": "b.toml"}

    assert find("a.toml", environ, tmp_path) == option
    assert find(None, environ, tmp_path) == variable
    assert find(None, {}, tmp_path) == in_config
    in_config.unlink()
    assert find(None, {}, tmp_path) == in_folder
    in_folder.unlink()
    assert find(None, {}, tmp_path) is None


@pytest.mark.parametrize(
    ("explicit", "environ", "sentence"),
    [
        ("no.toml", {}, "--config: there is no settings file no.toml. Check the path."),
        (None, {"ETLCTL_CONFIG": "no.toml"}, "environment variable ETLCTL_CONFIG: there is no settings file no.toml."),
        (None, {"ETLCTL_CONFIG": ""}, "environment variable ETLCTL_CONFIG is empty."),
        ("folder", {}, "--config: folder is a folder, not a settings file."),
        ("folder/x\x1b[31m", {}, r"--config: there is no settings file folder/x\x1b[31m."),
        ("x" * 300, {}, "cannot be read: File name too long."),
    ],
)
def test_find_refuses_a_named_file_that_cannot_be_one(
    tmp_path: Path, explicit: str | None, environ: dict[str, str], sentence: str
) -> None:
    """A file that is named is used or complained about; the next in the row is not tried."""
    (tmp_path / "folder").mkdir()
    _file(tmp_path / "etlctl.toml")

    with pytest.raises(SettingsError) as caught:
        find(explicit, environ, tmp_path)

    assert sentence in str(caught.value)


def test_find_does_not_pass_over_a_link_to_nowhere(tmp_path: Path) -> None:
    """A dangling config/etlctl.toml is an error, not a reason to run with the defaults."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "etlctl.toml").symlink_to(tmp_path / "gone.toml")

    found = find(None, {}, tmp_path)

    with pytest.raises(SettingsError, match=r"config/etlctl.toml: the settings file cannot be read: No such file"):
        load(found, environ={}, cwd=tmp_path)


def test_find_does_not_pass_over_a_folder_it_may_not_look_into(tmp_path: Path) -> None:
    """A config/ that cannot be looked at (here: a link in a circle) is an error as well."""
    (tmp_path / "config").symlink_to("config")

    with pytest.raises(SettingsError, match=r"config/etlctl.toml: the settings file cannot be read: Too many levels"):
        find(None, {}, tmp_path)


def test_load_refuses_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    """config/etlctl.toml being a folder is said so."""
    (tmp_path / "config" / "etlctl.toml").mkdir(parents=True)

    with pytest.raises(SettingsError, match=r"^config/etlctl.toml is a folder, not a settings file\.$"):
        load(find(None, {}, tmp_path), environ={}, cwd=tmp_path)


NOBODY = 65534
CANNOT_BE_READ = r"etlctl.toml: the settings file cannot be read: Permission denied"


def test_load_names_a_file_it_may_not_read() -> None:
    """An unreadable file is a sentence with the reason; root may read every file, so it looks as nobody."""
    with TemporaryDirectory() as name:  # others may not enter pytest's own folder
        folder = Path(name)
        folder.chmod(0o755)
        _file(folder / "etlctl.toml").chmod(0)

        def look() -> None:
            if os.getuid() == 0:
                os.setuid(NOBODY)
            with pytest.raises(SettingsError, match=CANNOT_BE_READ):
                load(find(None, {}, folder), environ={}, cwd=folder)

        assert ended(forked(look)) == 0


@pytest.mark.parametrize(
    ("file", "project"), [("p/config/etlctl.toml", "p"), ("p/etlctl.toml", "p"), ("p/conf/x.toml", "p/conf")]
)
def test_project_is_the_folder_of_the_file_or_the_one_that_holds_config(
    tmp_path: Path, file: str, project: str
) -> None:
    """The parent of config/, else the file's folder, wherever one stands."""
    _file(tmp_path / file)
    (tmp_path / "elsewhere").mkdir()

    settings = load(find(f"../{file}", {}, tmp_path / "elsewhere"), environ={}, cwd=tmp_path / "elsewhere")

    assert settings.project == tmp_path / project
    assert settings.file == tmp_path / file
    assert settings.pipelines_path == tmp_path / project / "pipelines"


def test_project_is_where_the_link_lies_not_where_it_leads(tmp_path: Path) -> None:
    """A settings file that is a link into a mounted volume belongs to the folder it is seen in."""
    _file(tmp_path / "volume" / "x.toml")
    (tmp_path / "p" / "config").mkdir(parents=True)
    (tmp_path / "p" / "config" / "etlctl.toml").symlink_to(tmp_path / "volume" / "x.toml")

    settings = load(find(None, {}, tmp_path / "p"), environ={}, cwd=tmp_path / "p")

    assert settings.project == tmp_path / "p"


def test_owner_warning_names_a_stranger_and_no_one_else(tmp_path: Path) -> None:
    """A settings file of another user is warned about; one of one's own or of root is not."""
    file = _file(tmp_path / "etlctl.toml")
    if os.getuid() == 0:
        os.chown(file, 4242, -1)
    owner = file.stat().st_uid

    assert owner_warning(file, shown="etlctl.toml", user=owner) is None
    assert f"etlctl.toml belongs to another user (uid {owner})" in (
        owner_warning(file, shown="etlctl.toml", user=owner + 1) or ""
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_load_hands_the_owner_warning_on(tmp_path: Path) -> None:
    """The warning is in Settings, for the command line to show."""
    os.chown(_file(tmp_path / "etlctl.toml"), 4242, -1)

    settings = load(tmp_path / "etlctl.toml", environ={}, cwd=tmp_path)

    assert len(settings.warnings) == 1
