"""Settings that are only looked at: every mistake is kept, each once, and what can be read is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlctl import settings
from etlctl.errors import SettingsError
from etlctl.settings.mistakes import Mistakes

FILE = """\
default_connection = "nobody"
wrong_key = 1
state.url = "env:UNSET_STATE"
logs.store = "ftp://host/x"
logs.max_bytes = "many"
build.executor = "locla"
pools."no name" = 1
pipelines.modules = ["a.b", "no module"]
s3.region = "??"
s3.access_key_id = "env:UNSET_KEY"

[connections.warehouse]
url = "sqlite:///w.db"
marker_table = "${UNSET_TABLE}"
lock_timeout = "long"

[connections.far]
url = "env:UNSET_URL"
iam_role = "nobody"
marker_table = "kept"

[connections.empty]

[connections.5x]
url = "sqlite:///x.db"

[schedules.night]
tasks = ["A", " "]
cron = "0 6 * * *"
window = "1h"
date = "yesterday"
timezone = "${UNSET_ZONE}"

[schedules.none]
window = "7d"

[schedules.unset]
tasks = ["A"]
cron = "env:${UNSET_CRON}"

[notify.desk]
kind = "slack"
url = "file:nowhere"
timeout = 0

[notify.kindless]
url = "https://example.com"

[params.A]
x = "${UNSET_PARAM}"
y = 2

[profiles]
p = {inherits = "q"}
r = {inherits = 5}
s = 7
"""
EXPECTED = [
    ":2: unknown key 'wrong_key'",
    ":5: 'logs.max_bytes' must be",
    ":15: 'connections.warehouse.lock_timeout' must be",
    ":24: 'connections.5x': a connection's name",
    ":54: 'profiles.p.inherits' names no profile",
    ":55: 'profiles.r.inherits' must be the name of a profile",
    ":56: 'profiles.s' must be a table",
    "environment variable ETLCTL_BUILD_JOBS: 'build.jobs' must be",
    "environment variable ETLCTL_CONNECTIONS_NOBODY_URL overrides nothing",
    ":10: 's3.access_key_id' needs the environment variable UNSET_KEY",
    ":10: 's3.access_key_id' needs 's3.secret_access_key' beside it",
    ":9: 's3.region' must be",
    ":14: 'connections.warehouse.marker_table' needs the environment variable UNSET_TABLE",
    ":18: 'connections.far.url' needs the environment variable UNSET_URL",
    ":19: 'connections.far.iam_role' must be",
    ":22: 'connections.empty' has no url",
    ":1: 'default_connection' names no connection: 'nobody'",
    ":3: 'state.url' needs the environment variable UNSET_STATE",
    ":4: 'logs.store' must be a folder",
    ":6: 'build.executor' must be",
    ":7: 'pools.\"no name\"'",
    ":28: 'schedules.night.tasks' holds an empty text",
    ":30: 'schedules.night.window' must be whole days",
    ":32: 'schedules.night.timezone' needs the environment variable UNSET_ZONE",
    ":34: 'schedules.none' names no tasks",
    ":34: 'schedules.none' has neither every nor cron",
    ":34: 'schedules.none' has a window without a date",
    ":39: 'schedules.unset.cron' needs the environment variable UNSET_CRON",
    ":43: 'notify.desk.url': the file",
    ":44: 'notify.desk.timeout' must be 1 second at least",
    ":46: 'notify.kindless' has no kind",
    ":50: 'params.A.x' needs the environment variable UNSET_PARAM",
    ":8: 'pipelines.modules': 'no module'",
]
ENVIRON = {"ETLCTL_BUILD_JOBS": "x", "ETLCTL_CONNECTIONS_NOBODY_URL": "x"}


def kept(folder: Path, text: str, environ: dict[str, str]) -> tuple[settings.Settings, list[str]]:
    """The settings of this file, and what is wrong with them."""
    (folder / "etlctl.toml").write_text(text)
    mistakes = Mistakes(are_kept=True)
    found = settings.load(folder / "etlctl.toml", environ=environ, cwd=folder, mistakes=mistakes)
    return found, [str(one) for one in mistakes.found]


def test_every_mistake_is_kept_once(tmp_path: Path) -> None:
    """Of names, kinds, variables, references, and of what does not go together; with file and line."""
    _, told = kept(tmp_path, FILE, ENVIRON)

    left = list(told)
    for expected in EXPECTED:
        (one,) = [text for text in told if text.removeprefix("etlctl.toml").startswith(expected)] or ["-"]
        assert one in left, (expected, told)
        left.remove(one)
    assert left == []


def test_what_can_be_read_is_read(tmp_path: Path) -> None:
    """With the default for what was refused, which has no origin; a URL that was refused raises when it is revealed."""
    found, _ = kept(tmp_path, FILE, ENVIRON)

    assert list(found.connections) == ["warehouse", "far", "empty"]
    assert found.connections["warehouse"].marker_table == "table_updates"
    assert found.connections["far"].marker_table == "kept"
    assert "connections.warehouse.marker_table" not in found.origins
    assert (found.build.jobs, found.build.executor, found.pipelines_modules) == (1, "local", ("a.b",))
    assert list(found.schedules) == ["night"] and found.schedules["night"].timezone == "UTC"
    assert found.params["A"]["y"] == 2
    for url in (found.state_url, found.connections["far"].url, found.connections["empty"].url):
        assert not url.is_known
        with pytest.raises(SettingsError, match=r"UNSET_STATE|UNSET_URL|has no url"):
            url.reveal()


@pytest.mark.parametrize("line", [one for one in FILE.splitlines()[1:10] if one])
def test_the_first_one_is_raised_where_they_are_not_kept(tmp_path: Path, line: str) -> None:
    """As for every command but the doctor."""
    (tmp_path / "etlctl.toml").write_text(line)

    with pytest.raises(SettingsError):
        settings.load(tmp_path / "etlctl.toml", environ={}, cwd=tmp_path)


def test_good_settings_are_the_same(tmp_path: Path) -> None:
    """Looking at them changes nothing."""
    text = "[schedules.a]\ntasks = ['A']\nevery = '1h'\n[notify.b]\nkind = 'slack'\nurl = 'https://h.example.com/x'\n"

    found, told = kept(tmp_path, text, {})

    assert told == [] and found == settings.load(tmp_path / "etlctl.toml", environ={}, cwd=tmp_path)
