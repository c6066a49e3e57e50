"""Suggestions for mistyped names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from etlctl.suggest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "candidates", "expected"),
    [
        ("LoadFlight", ["LoadFlights", "LoadWeather"], "LoadFlights"),
        ("loadflights", ["LoadFlight", "LoadFlights"], "LoadFlights"),
        ("default_conection", ["pipelines", "default_connection"], "default_connection"),
        ("ur", ["url", "marker_table"], "url"),
        ("st", ["url", "state"], "state"),
        ("d", ["date", "delay"], None),
        ("zzz", ["date", "delay"], None),
        ("", ["date"], None),
        ("date", [], None),
        ("date", ["date"], None),
    ],
)
def test_nearest_names_the_likeliest_candidate_or_none(word: str, candidates: list[str], expected: str | None) -> None:
    """The likeliest candidate whatever its case; None rather than a wild guess."""
    assert nearest(word, candidates) == expected


def test_nearest_takes_any_iterable() -> None:
    """A generator and the keys of a mapping do as well as a list."""
    assert nearest("dat", (name for name in ("date", "carrier"))) == "date"
    assert nearest("dat", {"date": 1, "carrier": 2}) == "date"


def test_did_you_mean_is_ready_to_follow_a_sentence() -> None:
    """A leading space when there is a suggestion, nothing at all when there is none."""
    assert did_you_mean("dat", ["date"]) == " Did you mean 'date'?"
    assert did_you_mean("zzz", ["date"]) == ""


def test_suggest_does_not_import_difflib_until_asked() -> None:
    """Start-up pays nothing for suggestions."""
    code = "import sys, etlctl.suggest; print('difflib' in sys.modules)"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "False"
