"""A project folder with a settings file, and `load` as a command would call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from etlctl.settings import Settings, find, load

Loader = Callable[..., Settings]


@pytest.fixture
def load_text(tmp_path: Path) -> Loader:
    """Writes config/etlctl.toml (bytes or text; None: no file) and loads what is then found in the project folder."""

    def loaded(
        text: str | bytes | None = None, environ: Mapping[str, str] | None = None, profile: str | None = None
    ) -> Settings:
        if text is not None:
            file = tmp_path / "config" / "etlctl.toml"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(text.encode() if isinstance(text, str) else text)
        given = environ or {}
        return load(find(None, given, tmp_path), profile=profile, environ=given, cwd=tmp_path)

    return loaded
