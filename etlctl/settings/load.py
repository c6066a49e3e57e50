"""From where a user stands to Settings: finds the file, and makes one checked value of file, profile and environment.

load
├── document.read            TOML, and the line of each key
├── entries.*                names and types; environment over profile over what it inherits over file
└── resolve.resolved         what texts stand for, defaults, absolute paths
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from etlctl.errors import SettingsError
from etlctl.settings.document import Document, owner_warning, read
from etlctl.settings.entries import Layer, environment_entries, file_layer, layered, profile_layers, variable_warnings
from etlctl.settings.keys import CONFIG_VARIABLE, PIPELINES_PATH, PROFILE_VARIABLE
from etlctl.settings.mistakes import Mistakes
from etlctl.settings.model import Settings
from etlctl.settings.profiles import check, lineage
from etlctl.settings.resolve import DEFAULT_NAME, Place, resolved
from etlctl.settings.resolver import Fetch, Resolver, fetch_nothing
from etlctl.settings.texts import ReadFile, file_text
from etlctl.suggest import did_you_mean
from etlctl.text import printable

_SEARCHED = (Path("config", "etlctl.toml"), Path("etlctl.toml"))


def find(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The settings file, an absolute path: `explicit`, ETLCTL_CONFIG, config/etlctl.toml, etlctl.toml; or None.

    A file that is named, and one that is there and cannot be looked at, is a SettingsError rather than passed over.
    """
    if explicit is not None:
        return _named(explicit, cwd, "--config")
    if CONFIG_VARIABLE in environ:
        return _named(environ[CONFIG_VARIABLE], cwd, f"environment variable {CONFIG_VARIABLE}")
    for candidate in searched(cwd):
        try:
            candidate.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            shown = _shown(candidate, cwd)
            raise SettingsError(f"{shown}: the settings file cannot be read: {error.strerror}.") from None
        return candidate
    return None


def searched(folder: Path) -> list[Path]:
    """Where the settings file of a folder may lie, as absolute paths; the first one that is there is taken."""
    return [_absolute(folder / candidate) for candidate in _SEARCHED]


def find_project(folder: Path) -> Path | None:
    """The settings file or, without one, the pipelines folder that makes `folder` a project; None when it is none."""
    places = [*searched(folder), _absolute(folder / (PIPELINES_PATH.default or ""))]
    return next((place for place in places if os.access(place, os.R_OK)), None)


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    cwd: Path,
    profile: str | None = None,
    fetch: Fetch = fetch_nothing,
    read_file: ReadFile = file_text,
    mistakes: Mistakes | None = None,
) -> Settings:
    """The Settings of the file that `find` found, or of none; `profile` goes before ETLCTL_PROFILE.

    `fetch` is called for an `aws-sm:` reference, not now but when the secret is first needed; `read_file` now, with
    path and place, for a `file:` reference.

    SettingsError for whatever cannot be used, with the place of it; where `mistakes` keeps them, only for a file that
    cannot be read and a profile that is not there.
    """
    mistakes = mistakes or Mistakes()
    file = _absolute(cwd / path) if path is not None else None
    document = read(file, shown=_shown(file, cwd)) if file is not None else Document()
    profiles = profile_layers(document, mistakes)
    layers = [file_layer(document, mistakes)]
    chosen, chosen_by = _profile(profile, environ)
    check(profiles, mistakes)
    if chosen is not None:
        _check_chosen(profiles, chosen, chosen_by, document)
        layers.extend(lineage(profiles, chosen))

    connections = {name: at for layer in layers for name, at in layer.connections.items()} or {DEFAULT_NAME: "default"}
    entries = layered(layers) | environment_entries(environ, connections, mistakes)

    warning = owner_warning(file, shown=document.shown, user=os.getuid()) if file is not None else None
    warnings = ((warning,) if warning else ()) + variable_warnings(environ, connections)
    place = Place(project=_project(file, cwd), file=file, profile=chosen, profile_origin=chosen_by)
    resolver = Resolver(entries, environ, place.project, fetch=fetch, read_file=read_file, mistakes=mistakes)
    return resolved(resolver, place, connections, warnings=warnings)


def _named(text: str, cwd: Path, origin: str) -> Path:
    if not text:
        raise SettingsError(f"{origin} is empty. Name a settings file, or leave it out.")
    file = _absolute(cwd / Path(text).expanduser())
    shown = printable(text)
    try:
        is_folder = file.is_dir()
        file.stat()
    except FileNotFoundError:
        raise SettingsError(f"{origin}: there is no settings file {shown}. Check the path.") from None
    except OSError as error:
        raise SettingsError(f"{origin}: the settings file {shown} cannot be read: {error.strerror}.") from None
    if is_folder:
        raise SettingsError(f"{origin}: {shown} is a folder, not a settings file.")
    return file


def _profile(profile: str | None, environ: Mapping[str, str]) -> tuple[str | None, str]:
    if profile is not None:
        return profile, "--profile"
    if PROFILE_VARIABLE not in environ:
        return None, ""
    origin = f"environment variable {PROFILE_VARIABLE}"
    if not environ[PROFILE_VARIABLE]:
        raise SettingsError(f"{origin} is set, but empty. Unset it, or name a profile.")
    return environ[PROFILE_VARIABLE], origin


def _check_chosen(profiles: Mapping[str, Layer], chosen: str, chosen_by: str, document: Document) -> None:
    if chosen in profiles:
        return
    sentence = f"{chosen_by}: there is no profile '{printable(chosen)}'."
    if not document.shown:
        raise SettingsError(f"{sentence} There is no settings file here; [profiles.NAME] of one holds a profile.")
    if not profiles:
        raise SettingsError(f"{sentence} {document.shown} has no [profiles.NAME].")
    names = ", ".join(printable(name) for name in sorted(profiles))
    raise SettingsError(f"{sentence}{did_you_mean(chosen, profiles)} {document.shown} has: {names}.")


def _project(file: Path | None, cwd: Path) -> Path:
    if file is None:
        return _absolute(cwd)
    return file.parent.parent if file.parent.name == "config" else file.parent


def _absolute(path: Path) -> Path:
    return Path(
        os.path.abspath(path)
    )  # a link stays: mounted configuration is one, and its folder is not the project's


def _shown(file: Path, cwd: Path) -> str:
    base = _absolute(cwd)
    return printable(str(file.relative_to(base) if file.is_relative_to(base) else file))
