"""What the settings say about running: leases, history, logs, pools, executors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etlctl.errors import SettingsError
from etlctl.settings import Settings, ages, keys

Loader = Callable[..., Settings]
F = "config/etlctl.toml"


def test_defaults_hold_without_a_file(load_text: Loader, tmp_path: Path) -> None:
    found = load_text()

    assert found.lease_ttl_s == 60
    assert found.is_history_kept and found.history_keep_s == 90 * 86_400
    assert tuple(found.logs) == (str(tmp_path / ".etlctl" / "logs"), 30 * 86_400, 10 * 2**20, "text")
    assert tuple(found.build) == (1, 600, "local", None)
    assert found.pools == {}
    assert found.state.url == found.state_url and not found.is_state_chosen


def test_each_key_is_read_from_the_file(load_text: Loader) -> None:
    found = load_text(
        '[state]\nurl = "postgresql://ctl/etl"\nlease_ttl = 7.5\n'
        '[history]\nenabled = false\nkeep = "12h"\n'
        '[logs]\nstore = "s3://bucket/logs"\nkeep = "2w"\nmax_bytes = 4096\n'
        '[build]\njobs = 4\nwait_held = 0\nexecutor = "dask"\n'
        '[executors.dask]\naddress = "tcp://10.0.0.5:8786"\n'
        '[pools]\nredshift = 2\n"api.example" = 1\n'
    )

    assert found.lease_ttl_s == 7.5
    assert not found.is_history_kept and found.history_keep_s == 43_200
    assert tuple(found.logs) == ("s3://bucket/logs", 14 * 86_400, 4096, "text")
    assert tuple(found.build) == (4, 0, "dask", "tcp://10.0.0.5:8786")
    assert found.pools == {"redshift": 2, "api.example": 1}
    assert found.is_state_chosen and found.state.place == f"{F}:2: 'state.url'"


def test_each_key_but_a_pool_has_a_variable(load_text: Loader) -> None:
    environ = {
        "ETLCTL_STATE_LEASE_TTL": "5",
        "ETLCTL_HISTORY_ENABLED": "false",
        "ETLCTL_HISTORY_KEEP": "30m",
        "ETLCTL_LOGS_MAX_BYTES": "1099511627776",
        "ETLCTL_BUILD_JOBS": "8",
        "ETLCTL_BUILD_WAIT_HELD": "1.5",
        "ETLCTL_BUILD_EXECUTOR": "dask",
    }

    found = load_text(None, environ)

    assert (found.lease_ttl_s, found.is_history_kept, found.history_keep_s) == (5, False, 1800)
    assert found.logs.max_bytes == 2**40
    assert tuple(found.build) == (8, 1.5, "dask", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[state]\nlease_ttl = 1", f"{F}:2: 'state.lease_ttl' must be a number of seconds from 2 to 2000000."),
        ("[state]\nlease_tll = 9", f"{F}:2: unknown key 'state.lease_tll'. Did you mean 'lease_ttl'?"),
        ('[history]\nkeep = "a year"', f"{F}:2: 'history.keep' must be a text such as 90d, 12h or 30m, not 'a year'."),
        ("[history]\nkeep = 90", f"{F}:2: 'history.keep' must be a text such as 90d, 12h or 30m, not a whole number."),
        ("[logs]\nmax_bytes = 0", f"{F}:2: 'logs.max_bytes' must be a whole number from 1 to 1099511627776."),
        ('[logs]\nstore = "gs://b/logs"', f"{F}:2: 'logs.store' must be a folder or s3://BUCKET/PREFIX, not 'gs://…'."),
        (
            '[logs]\nstore = "s3:/b/logs"',
            f"{F}:2: 'logs.store' must be a folder or s3://BUCKET/PREFIX, not 's3:/…'. A folder of this name is .",
        ),
        ("[build]\nwait_held = -1", f"{F}:2: 'build.wait_held' must be a number of seconds or a text such as 30s, 10m"),
        ('[build]\nwait_held = "soon"', f"{F}:2: 'build.wait_held' must be a number of seconds or a text such as 30s"),
        ("[build]\nwait_held = nan", f"{F}:2: 'build.wait_held' must be a number of seconds or a text such as 30s"),
        ("[build]\nwait_held = true", f"{F}:2: 'build.wait_held' must be a number of seconds or a text such as 30s"),
        ("[pools]\nredshift = 0", f"{F}:2: 'pools.redshift' must be a whole number from 1 to 1000000."),
        (
            '[pools]\n"a b" = 1',
            f"{F}:2: 'pools.\"a b\"': a pool's name is letters, digits, _, - and dots, 100 at most.",
        ),
        ("[build]\njobs = 1001", f"{F}:2: 'build.jobs' must be a whole number from 1 to 1000."),
        (
            '[build]\nexecutor = "dusk"',
            f"{F}:2: 'build.executor' must be local or dask, not 'dusk'. Did you mean 'dask'?",
        ),
        ("[executors.celery]\na = 1", f"{F}:1: unknown key 'executors.celery'."),
    ],
)
def test_what_cannot_be_is_told_with_its_line(load_text: Loader, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_text(text)

    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("ETLCTL_HISTORY_KEEP", "90", "must be a text such as 90d, 12h or 30m, not '90'."),
        ("ETLCTL_BUILD_WAIT_HELD", "10x", "must be a number of seconds or a text such as 30s, 10m or 2h, not '10x'."),
        ("ETLCTL_LOGS_STORE", "gs:/b", "must be a folder or s3://BUCKET/PREFIX, not 'gs:/…'."),
        ("ETLCTL_BUILD_JOBS", "many", "must be a whole number from 1 to 1000, not 'many'."),
        ("ETLCTL_BUILD_EXECUTOR", "celery", "must be local or dask, not 'celery'."),
    ],
)
def test_a_variable_that_cannot_be_is_told_by_its_name(load_text: Loader, variable: str, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_text(None, {variable: text})

    assert str(raised.value).startswith(f"environment variable {variable}: ") and told in str(raised.value)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("600", 600), ('"600"', 600), ("1.5", 1.5), ('"1.5"', 1.5), ('"10m"', 600), ('"2h"', 7200), ("0", 0), ('"0"', 0)],
)
def test_a_wait_is_told_in_seconds_or_with_a_unit(load_text: Loader, told: str, seconds: float) -> None:
    """In the file as in the variable, and as `--wait-held` takes it."""
    assert load_text(f"[build]\nwait_held = {told}\n").build.wait_held_s == seconds
    assert load_text(None, {"ETLCTL_BUILD_WAIT_HELD": told.strip('"')}).build.wait_held_s == seconds


def test_a_folder_may_be_called_like_an_address(load_text: Loader, tmp_path: Path) -> None:
    assert load_text('[logs]\nstore = "./s3:/b"\n').logs.store == str(tmp_path / "s3:" / "b")


def test_each_default_can_be_read() -> None:
    """What entries.py looks at only where it is given."""
    given = [one for one in keys.all_keys() if one.default is not None]
    waits = [one for one in given if one.kind is keys.Kind.WAIT]
    kept = [one for one in given if one.kind is keys.Kind.AGE]

    assert len(waits) == 5 and len(kept) == 3
    assert all(ages.wait_s(one.default) is not None for one in waits)
    assert all(ages.age_s(str(one.default)) is not None for one in kept)
