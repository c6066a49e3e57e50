"""A schedule as units of systemd, looked at by systemd itself where it is installed."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from etlctl.errors import UsageError
from etlctl.schedule import Cron, Every, Times
from etlctl.schedule.calendar import calendar_events
from etlctl.schedule.jobs import Job
from etlctl.schedule.units import units

BERLIN = "Europe/Berlin"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")


def job(*words: str, folder: str = "/", times: Times | None = None) -> Job:
    """A job that starts these words."""
    return Job("nightly", "DailyReport", words or ("/bin/true",), folder, times or Cron("0 6 * * *", BERLIN), BERLIN)


def analyzed(*words: str) -> str:
    """What systemd-analyze says."""
    assert ANALYZE is not None
    ran = subprocess.run(
        [ANALYZE, *words], capture_output=True, encoding="utf-8", env={"TZ": "UTC", "LC_ALL": "C.UTF-8"}
    )
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr, ran.stderr
    return ran.stdout


def test_units_hold_command_folder_zone_and_when() -> None:
    asked = job(
        "/opt/etl/bin/etlctl", "build", "DailyReport", "--date=-7d..yesterday", "--blocked-ok", folder="/srv/etl"
    )

    service, timer = units(asked._replace(jitter_s=30, variables=("PW",), left_out=("deadline",)))

    assert (service.file, timer.file) == ("etlctl-nightly.service", "etlctl-nightly.timer")
    assert service.text == (
        "# The settings ask for these variables, which nobody sets here: PW.\n"
        "# Left out, since only `etlctl loop` can do it: deadline.\n"
        "[Unit]\nDescription=etlctl: DailyReport\nWants=network-online.target\nAfter=network-online.target\n\n"
        "[Service]\nType=oneshot\nWorkingDirectory=/srv/etl\nEnvironment=TZ=Europe/Berlin\n"
        "EnvironmentFile=/etc/etlctl/nightly.env\n"
        "ExecStart=/opt/etl/bin/etlctl build DailyReport --date=-7d..yesterday --blocked-ok\n"
        "# Asked to end, the build lets its workers come to an end by itself.\nKillMode=mixed\n"
    )
    assert timer.text == (
        "[Unit]\nDescription=etlctl: DailyReport, cron 0 6 * * * (Europe/Berlin)\n\n"
        "[Timer]\nOnCalendar=*-*-* 06:00:00 Europe/Berlin\nPersistent=true\nRandomizedDelaySec=30s\nAccuracySec=1s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


@needs_systemd
@pytest.mark.parametrize("times", [Cron("0 6 * * *", BERLIN), Cron("0 6 L * MON#1"), Every(2700)])
def test_systemd_finds_nothing_wrong_with_units(times: Times, tmp_path: Path) -> None:
    folder = tmp_path / "an etl's 100% $x"
    folder.mkdir()
    words = ("build", "it's", "50%", 'say "x"', "$HOME", "a b", "ü", ";")
    files = []
    for unit in units(job(sys.executable, *words, folder=str(folder), times=times)):
        files.append(tmp_path / unit.file)
        files[-1].write_text(unit.text, encoding="utf-8")

    assert analyzed("verify", "--man=no", *(str(file) for file in files)) == ""


@needs_systemd
@pytest.mark.parametrize(
    ("line", "zone"),
    [
        ("0 6 * * *", BERLIN),
        ("*/15 9-17 * * MON-FRI", BERLIN),
        ("30 2 1,15 * *", "UTC"),
        ("0 0 1 * 5", "America/New_York"),
        ("0 12 */10 * *", "UTC"),
        ("5 4 L * *", "UTC"),
        ("5 4 L,3 2-4 *", "UTC"),
        ("0 9 * * MON#1", BERLIN),
        ("0 9 * * 7", "UTC"),
        ("0 9 * * 5L", "UTC"),
        ("0 9 * * 3,FRI#5", "UTC"),
        ("0 9 13 * SUN#2", "UTC"),
        ("@yearly", "UTC"),
    ],
)
def test_a_calendar_event_is_due_when_the_line_is(line: str, zone: str) -> None:
    """The next eight by systemd, after an instant, are those of the line."""
    times, start = Cron(line, zone), dt.datetime(2026, 1, 20, 3, tzinfo=dt.UTC)
    expected, instant = [], start
    for _ in range(8):
        instant = times.after(instant)
        expected.append(instant)

    found = set()
    for event in calendar_events(times):
        said = analyzed("calendar", "--iterations=8", f"--base-time={start:%Y-%m-%d %H:%M:%S UTC}", event)
        told = re.findall(r" [A-Z][a-z]{2} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", said, re.MULTILINE)
        found |= {dt.datetime.fromisoformat(one).replace(tzinfo=dt.UTC) for one in told}

    assert sorted(found)[:8] == expected


@pytest.mark.parametrize("line", ["0 6 LW * *", "0 6 */2 * MON#1"])
def test_what_systemd_cannot_say_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match=r"systemd cannot say .* etlctl loop\."):
        units(job(times=Cron(line)))


def test_every_is_counted_from_the_end_of_the_start() -> None:
    timer = units(job(times=Every(2700)))[1].text

    assert "OnActiveSec=0\nOnUnitActiveSec=2700s\n" in timer
