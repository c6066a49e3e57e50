"""Results: lines, totals, exit codes, and the command that shows more; safe against whatever a name holds."""

from __future__ import annotations

import itertools
import shlex
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl import IntParameter, Parameter, ParameterVisibility, RunSummary, Status, Task, TaskResult
from etlctl.core.results import command_words, failure_lines, result_line, seconds, total_line
from etlctl.errors import ExitCode
from etlctl.text import printable

NOW = datetime(2013, 1, 2, tzinfo=UTC)


class Load(Task):
    day = Parameter()
    batch_size = IntParameter(default=5)
    secret = Parameter(default="", visibility=ParameterVisibility.PRIVATE)


def result(status: Status, **more: Any) -> TaskResult:
    return TaskResult(Load("2013-01-02"), status, **more)


def summary(*results: TaskResult, **more: Any) -> RunSummary:
    return RunSummary("r1", results, NOW, 1.2, **more)


# -- exit codes

CODES = {
    ExitCode.TORN: result(Status.FAIL, exit_code=ExitCode.TORN),
    ExitCode.UNAVAILABLE: result(Status.FAIL, exit_code=ExitCode.UNAVAILABLE),
    ExitCode.FAILED: result(Status.FAIL, exit_code=ExitCode.FAILED),
    ExitCode.HELD: result(Status.HELD, exit_code=ExitCode.HELD),
    ExitCode.BLOCKED: result(Status.BLOCKED, exit_code=ExitCode.BLOCKED),
}


@pytest.mark.parametrize("size", range(6))
def test_summary_exit_code_is_the_first_of_6_4_1_5_3(size: int) -> None:
    """Whatever else happened, and in whatever order; none is 0."""
    for chosen in itertools.permutations(CODES, size):
        code = summary(result(Status.OK), *(CODES[one] for one in chosen)).exit_code
        assert code == next((int(one) for one in CODES if one in chosen), 0)
        assert [int(one) for one in CODES] == [6, 4, 1, 5, 3]


@pytest.mark.parametrize("signal", [ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HANGUP])
def test_summary_of_an_interrupted_run_has_the_signals_code(signal: ExitCode) -> None:
    """130, 143 and 129 stand before what the tasks came to."""
    assert summary(*CODES.values(), interrupted=signal).exit_code is signal


def test_summary_is_true_when_all_is_done() -> None:
    """OK and up to date are true; anything else is false."""
    assert summary()
    assert summary(result(Status.OK), result(Status.UPTODATE))
    for bad in CODES.values():
        assert not summary(result(Status.OK), bad)


# -- lines


def test_result_line_has_number_status_label_rows_and_time() -> None:
    """As the screens of the design have it."""
    assert (
        result_line(result(Status.OK, rows=943, duration_s=0.8), 1, 4, width=30)
        == " 1/4  OK       Load(2013-01-02)                     943 rows     0.8 s"
    )
    assert "1 row " in result_line(result(Status.OK, rows=1, duration_s=0.8), 1, 4)
    assert "1,200,000 rows" in result_line(result(Status.OK, rows=1_200_000), 10, 12)
    assert result_line(result(Status.OK), 3, 12).startswith("  3/12  OK  ")


def test_result_line_of_a_failure_has_its_reason_and_notes_stand_last() -> None:
    """The reason takes the place of the rows."""
    line = result_line(result(Status.FAIL, reason="2 duplicates", rows=7, duration_s=0.1, notes=("a note",)), 3, 4)
    assert "2 duplicates" in line
    assert "rows" not in line
    assert line.endswith("a note")


def test_failure_lines_repeat_each_failure_with_the_command_that_shows_more() -> None:
    """Label, place, reason, details, and `etlctl build … --debug`; skips are not repeated."""
    failed = result(Status.FAIL, reason="2 duplicates", where="pipelines/flights.py:41", details=("UA ×2",))

    lines = failure_lines(summary(result(Status.OK), failed, result(Status.SKIP, reason="x failed")))

    assert lines == [
        "",
        "FAIL  Load(2013-01-02)   pipelines/flights.py:41",
        "  2 duplicates",
        "  UA ×2",
        "  more  etlctl build Load --day 2013-01-02 --debug",
        "",
    ]
    assert failure_lines(summary(result(Status.OK))) == [""]


def test_failure_lines_lead_to_the_log_where_one_was_kept() -> None:
    """It holds what was printed and the traceback: nothing need be run again to see them."""
    lines = failure_lines(
        summary(result(Status.FAIL, reason="no", log="/p/.etlctl/logs/r1/Load.1.log")), " --profile x"
    )

    assert lines[-2] == "  more  etlctl logs r1 Load --day 2013-01-02 --profile x"


def test_failure_lines_repeat_the_force_without_which_nothing_would_run() -> None:
    """The task may be complete: pasted without --force, the command would find nothing to do."""
    lines = failure_lines(summary(result(Status.FAIL, reason="no", forced=True)), " --profile prod")

    assert lines[-2] == "  more  etlctl build Load --day 2013-01-02 --force --profile prod --debug"


def test_failure_lines_tell_once_what_many_tasks_failed_with() -> None:
    """One database that cannot be used is one sentence and the tasks it hit; a place is told where it is the same."""
    said = "warehouse: w.db is not a SQLite database"
    hit = [
        TaskResult(Load(f"day {n}"), Status.FAIL, said, where=f"a.py:{n}", details=(f"day {n}", "all"), exit_code=code)
        for n, code in enumerate([ExitCode.UNAVAILABLE] * 7)
    ]
    alone = TaskResult(Load("x"), Status.FAIL, said, where="b.py:3")

    assert failure_lines(summary(*hit, alone)) == [
        "",
        "FAIL  Load(day 0), Load(day 1), Load(day 2), Load(day 3), Load(day 4) and 2 more",
        f"  {said}",
        "  all",
        "  more  etlctl build Load --day 'day 0' --debug",
        "",
        "FAIL  Load(x)   b.py:3",
        f"  {said}",
        "  more  etlctl build Load --day x --debug",
        "",
    ]


def test_total_line_counts_every_status_and_says_the_exit_code() -> None:
    """All six counts, the total, the time, the exit code; "nothing to do" when nothing was."""
    both = summary(result(Status.OK), result(Status.FAIL, exit_code=ExitCode.FAILED), result(Status.SKIP))
    assert total_line(both) == "OK=1 FAIL=1 SKIP=1 BLOCKED=0 HELD=0 UPTODATE=0 TOTAL=3     1.2 s     exit 1"
    assert total_line(summary(result(Status.UPTODATE))).endswith("UPTODATE=1 TOTAL=1     1.2 s     nothing to do")
    assert total_line(summary(result(Status.OK))).endswith("exit 0")


def test_summary_text_is_lines_failures_and_total() -> None:
    """What a pipe gets: up-to-date tasks are counted and not listed; tasks are in the order of results."""
    made = summary(result(Status.UPTODATE), result(Status.OK, rows=3), CODES[ExitCode.FAILED])

    lines = made.text.splitlines()

    assert lines[0].startswith(" 1/2  OK")
    assert lines[1].startswith(" 2/2  FAIL")
    assert lines[-1] == made.one_line_summary == total_line(made)
    assert made.tasks == (Load("2013-01-02"),) * 3
    assert made.counts[Status.UPTODATE] == 1
    assert set(made.counts) == set(Status)


def test_summary_text_has_its_columns_below_each_other() -> None:
    """Short and long labels: rows stand at one place."""
    made = summary(*(TaskResult(Load(day), Status.OK, rows=3, duration_s=0.1) for day in ("1", "2013-01-02")))

    assert len({line.index("3 rows") for line in made.text.splitlines()[:2]}) == 1


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [
        (0, "0.0 s"),
        (0.84, "0.8 s"),
        (31.44, "31.4 s"),
        (59.96, "1:00"),
        (60, "1:00"),
        (134.4, "2:14"),
        (3599.9, "1:00:00"),
        (3734, "1:02:14"),
    ],
)
def test_seconds_are_short(duration_s: float, shown: str) -> None:
    """Tenths below a minute, then minutes and seconds, then hours."""
    assert seconds(duration_s) == shown


# -- the command that shows more


def test_command_words_name_what_is_not_the_default() -> None:
    """Underscores become dashes, defaults and private values are left out."""
    assert command_words(Load("2013-01-02")) == "Load --day 2013-01-02"
    assert command_words(Load("x y", 7, "hunter2")) == "Load --day 'x y' --batch-size 7"


def test_command_words_survive_a_default_that_raises() -> None:
    """A default that cannot be had (any more) does not end the summary: the value is named."""

    def gone() -> str:
        raise OSError("no network")

    class Remote(Task):
        host = Parameter(default=gone)

    assert command_words(Remote("wh-1")) == "Remote --host wh-1"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_command_words_are_one_word_to_a_shell(text: str) -> None:
    """Whatever the value, a shell reads it back as it was (a value that begins with a dash too)."""
    shown = printable(text)
    words = shlex.split(command_words(Load(text)))
    assert words[0] == "Load"
    assert words[1:] in (["--day", shown], [f"--day={shown}"])


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_summary_text_lets_no_control_character_through(day: str, error: str) -> None:
    """A value of any characters ends in lines that a terminal cannot be told anything by."""
    failed = TaskResult(
        Load(day), Status.FAIL, printable(error), where=error, details=(printable(error),), exit_code=ExitCode.FAILED
    )
    text = summary(failed).text
    assert all(line == printable(line) for line in text.split("\n"))
    assert len(text.split("\n")) == 8


def test_command_words_are_read_back_by_a_shell() -> None:
    """Quotes, blanks, backslashes, line ends and escapes: what is pasted means the value, and holds no control byte."""
    values = ["it's", "a b", "back\\slash", "line\nend", "\x1b[31mred", "tab\t'and\\'", "$HOME `x` *", "é😀", "-3d"]

    class Named(Task):
        name = Parameter()

    words = [command_words(Named(value)).removeprefix("Named --name ") for value in values]
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {' '.join(words)}"], capture_output=True, check=True).stdout

    assert read.decode().split("\0")[:-1] == values
    assert all(printable(word) == word for word in words)
