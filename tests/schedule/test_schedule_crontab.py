"""A schedule as a line of crontab: what cron would run is run by sh, and does what the command says."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.errors import UsageError
from etlctl.schedule import Cron, Every, Times
from etlctl.schedule.crontab import command_of, crontab, fields_of
from etlctl.schedule.jobs import Job, job_name

BERLIN = "Europe/Berlin"
TELLING = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get('TZ')]))"
WORDS = st.text(st.characters(exclude_characters="\\", exclude_categories=["C", "Z"]) | st.just(" "), max_size=40)


def job(*words: str, folder: str = "/srv/etl", times: Times | None = None, zone: str | None = None) -> Job:
    """A job that starts these words."""
    return Job("nightly", "DailyReport", words or ("/bin/true",), folder, times or Cron("0 6 * * *", BERLIN), zone)


def as_cron_does(command: str) -> str:
    """What cron hands to sh: up to the first `%` that is not escaped, the others without their backslash."""
    return re.split(r"(?<!\\)%", command)[0].replace(r"\%", "%")


def run_by_sh(command: str) -> list[object]:
    """What the program told of itself that TELLING is, started with cron's poor environment."""
    ran = subprocess.run(
        ["/bin/sh", "-c", as_cron_does(command)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/sh", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    told: list[object] = json.loads(ran.stdout)
    return told


@pytest.mark.parametrize(
    "word", ["it's", "50%", "%%d", "a b", '"', "$HOME", "`id`", "; rm x", "*", "~", "#", "!x", "ü", "&& x", ""]
)
def test_a_word_arrives_as_it_is_through_cron_and_sh(word: str, tmp_path: Path) -> None:
    folder = tmp_path / "an etl's 100% $x"
    folder.mkdir()

    command = command_of(job(sys.executable, "-c", TELLING, word, folder=str(folder), zone=BERLIN))

    assert "\n" not in command
    assert run_by_sh(command) == [[word], str(folder), BERLIN]


@given(st.lists(WORDS, max_size=4))
def test_no_word_is_cut_off_or_read_as_another(words: list[str]) -> None:
    """By shlex, which reads as sh does; sh itself reads those of the test above."""
    command = command_of(job("/bin/etlctl", *words))

    assert shlex.split(as_cron_does(command)) == ["cd", "/srv/etl", "&&", "/bin/etlctl", *words]


def test_the_line_stands_below_its_zone_and_what_cron_does_not_know() -> None:
    asked = job("/bin/etlctl", "build", "DailyReport", zone=BERLIN)._replace(
        jitter_s=30, variables=("PW",), left_out=("deadline",)
    )

    assert crontab(asked).splitlines() == [
        "# nightly: DailyReport, cron 0 6 * * * (Europe/Berlin)",
        "# The settings ask for these variables, which nobody sets here: PW.",
        "# Left out, since only `etlctl loop` can do it: deadline.",
        "# Jitter is left out: crontab has no such thing.",
        "# CRON_TZ is cronie's; a cron that does not know it, as Debian's, goes by the machine's zone.",
        "CRON_TZ=Europe/Berlin",
        "0 6 * * * cd /srv/etl && TZ=Europe/Berlin /bin/etlctl build DailyReport",
    ]


@pytest.mark.parametrize(
    ("times", "fields"),
    [
        (Cron("@daily"), "0 0 * * *"),
        (Cron("5/15 1-3/2 */2 jul MON,fri"), "5-59/15 1-3/2 */2 jul MON,fri"),
        (Every(60), "* * * * *"),
        (Every(1800), "*/30 * * * *"),
        (Every(3600), "0 * * * *"),
        (Every(6 * 3600), "0 */6 * * *"),
        (Every(86_400), "0 0 * * *"),
    ],
)
def test_times_are_fields_that_every_cron_reads(times: Times, fields: str) -> None:
    assert fields_of(times)[0] == fields


@given(
    st.sampled_from([60, 300, 1800, 3600, 4 * 3600, 86_400]),
    st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),
)
def test_the_fields_of_every_are_due_when_it_is(seconds: int, instant: dt.datetime) -> None:
    fields, zone = fields_of(Every(seconds))

    assert Cron(fields, zone).after(instant) == Every(seconds).after(instant)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (Every(90), "crontab cannot say 'every 90s'"),
        (Every(45 * 60), "crontab cannot say 'every 45m'"),
        (Every(7 * 86_400), "crontab cannot say 'every 7d'"),
        (Cron("0 6 * * MON#1"), "'0 6 * * MON#1' has a day of week (MON#1) that cron does not know"),
        (Cron("0 6 L * *"), "'0 6 L * *' has a day of month (L) that cron does not know"),
        (Cron("0 6 LW JUL *"), "'0 6 LW JUL *' has a day of month (LW) that cron does not know"),
    ],
)
def test_what_cron_cannot_say_is_refused_with_what_can(times: Times, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        crontab(job(times=times))

    assert str(raised.value).startswith(told) and "etlctl loop" in str(raised.value)


@pytest.mark.parametrize("word", ["a\nb", "a\\b", "\x1b[2J"])
def test_what_would_end_a_line_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="a line cannot hold"):
        command_of(job("/bin/etlctl", word))


def test_a_line_that_cron_would_cut_is_refused() -> None:
    with pytest.raises(UsageError, match="a line of crontab holds 998 bytes"):
        command_of(job("/bin/etlctl", "é" * 600))


def test_a_name_is_fit_for_a_file() -> None:
    assert [job_name(text) for text in ("nightly", "sales.Load-Feeds x/y", "..", "ü" * 99)] == [
        "nightly",
        "sales.Load-Feeds-x-y",
        "job",
        "job",
    ]
