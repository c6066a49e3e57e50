from __future__ import annotations

from pathlib import Path

import pytest

from torture.places import Place, place_for


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """A database of each kind in turn, with what the torture's loads need, and a project on it."""
    found = place_for(database_url, tmp_path, more="lock_timeout = 90\nconnect_timeout = 20\n")
    found.prepare()
    return found
