"""docs/reference/settings.md and the code know the same keys, defaults and variables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from etlctl.settings import load
from etlctl.settings.keys import CONFIG_VARIABLE, PROFILE_VARIABLE, all_keys

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, without the header."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    """Name, default and variable of each key, in both directions."""
    documented = {(row[0], row[2], row[3]) for row in _rows("Keys")}

    assert documented == {(".".join(key.path), key.default or "", key.variable or "") for key in all_keys()}


def test_every_key_says_what_it_means() -> None:
    """No empty cell where a reader looks."""
    assert all(row[1] and row[4] for row in _rows("Keys"))


def test_the_variables_beside_the_keys_are_documented() -> None:
    """ETLCTL_CONFIG and ETLCTL_PROFILE, and no other, belong to no key."""
    assert {row[0] for row in _rows("Environment variables")} == {CONFIG_VARIABLE, PROFILE_VARIABLE}


def test_the_example_of_the_page_loads(tmp_path: Path) -> None:
    """What a reader copies works, in its profile too."""
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None and tomllib.loads(example[1])
    file = tmp_path / "etlctl.toml"
    file.write_text(example[1], encoding="utf-8")
    environ = {"ETL_STATE_URL": "postgresql://ctl/etl", "WAREHOUSE_URL": "postgresql://wh-1/dw"}

    assert load(file, environ={}, cwd=tmp_path).params == {"LoadFlights": {"batch": 500}}
    production = load(file, environ=environ, cwd=tmp_path, profile="production")
    assert production.params == {"LoadFlights": {"batch": 5000}}
    assert production.state_url.reveal() == "postgresql://ctl/etl"
