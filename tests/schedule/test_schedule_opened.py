"""Schedules made of settings: every text read, or refused with its line (F76, F80)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from etlctl.errors import SettingsError
from etlctl.schedule import Schedule, check, opened
from etlctl.settings import load
from etlctl.settings.mistakes import Mistakes

F = "etlctl.toml"
NIGHTLY = """\
[schedules.nightly]
tasks = ["DailyReport"]
cron = "0 6 * * *"
timezone = "Europe/Berlin"
date = "yesterday"
window = "3d"
deadline = "07:00"

[schedules.feeds]
tasks = ["Feeds"]
every = "30m"
"""


def schedules(folder: Path, text: str) -> list[Schedule]:
    """Those of a settings file of this text."""
    file = folder / F
    file.write_text(text, encoding="utf-8")
    return opened(load(file, environ={}, cwd=folder))


def at(text: str) -> dt.datetime:
    """The instant of an ISO text in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_a_schedule_answers_when_and_for_which_dates(tmp_path: Path) -> None:
    nightly, feeds = schedules(tmp_path, NIGHTLY)

    due = nightly.times.after(at("2026-11-22 12:00"))
    assert due == at("2026-11-23 05:00") and nightly.deadline == "07:00"
    assert nightly.dates(due) == [dt.date(2026, 11, day) for day in (20, 21, 22)]
    assert (feeds.name, feeds.times.text, feeds.window_days, feeds.overlap) == ("feeds", "every 30m", 1, "skip")
    assert feeds.dates(due) == [] and feeds.deadline is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"0 6 * * *"', '"0 25 * * *"', f"{F}:3: 'schedules.nightly.cron': '0 25 * * *' is a cron line whose hour"),
        ("Europe/Berlin", "Berlin", f"{F}:4: 'schedules.nightly.timezone': 'Berlin' is no time zone"),
        (
            "yesterday",
            "yesterdy",
            (
                f"{F}:5: 'schedules.nightly.date': 'yesterdy' is no date for a turn: it is not written as year-month-"
                "day (did you mean 'yesterday'?). Write"
            ),
        ),
        ("yesterday", "2023-02-29", f"{F}:5: 'schedules.nightly.date': '2023-02-29' is no date for a turn: "),
        (
            "yesterday",
            "-3d..today",
            f"{F}:5: 'schedules.nightly.date': '-3d..today' is no date for a turn: it is a range",
        ),
        (
            "yesterday",
            "0001-01-03",
            f"{F}:5: 'schedules.nightly.date': '0001-01-03' is no date for a turn: 3 days before it",
        ),
        ("07:00", "7 am", f"{F}:7: 'schedules.nightly.deadline': '7 am' is no time of day"),
    ],
)
def test_a_text_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        schedules(tmp_path, NIGHTLY.replace(old, new))

    assert str(raised.value).startswith(told)


def test_a_jitter_that_reaches_the_next_turn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"etlctl.toml:4: 'schedules.a.jitter' would move a turn beyond"):
        schedules(tmp_path, "[schedules.a]\ntasks = ['A']\nevery = '1h'\njitter = '1h'\n")

    (kept,) = schedules(tmp_path, "[schedules.a]\ntasks = ['A']\nevery = '1h'\njitter = '59m'\n")
    assert kept.jitter_s == 59 * 60


def test_all_that_is_wrong_with_a_schedule_can_be_told(tmp_path: Path) -> None:
    """Zone, cron line, date and deadline, each by itself."""
    text = NIGHTLY.replace("Europe/Berlin", "Berlin").replace("0 6", "0 99").replace("yesterday", "x")
    (tmp_path / F).write_text(text.replace("07:00", "7 am"))
    told = load(tmp_path / F, environ={}, cwd=tmp_path).schedules["nightly"]
    mistakes = Mistakes(are_kept=True)

    check(told, lambda key: f"--{key}", mistakes)

    assert [str(one).partition(":")[0] for one in mistakes.found] == ["--timezone", "--cron", "--date", "--deadline"]
