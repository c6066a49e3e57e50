"""What a person is told of an exception: its lines, its exit code, its place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from etlctl import IntParameter, Task
from etlctl.engine.failures import Failure, can_retry, exit_code_of, lines_of, place_of
from etlctl.errors import CheckFailedError, ExitCode, HeldError, SettingsError, TornLoadError
from etlctl.text import printable


class Load(Task):
    number = IntParameter(default=0)


def test_lines_of_an_error_are_printable_and_begin_with_the_reason() -> None:
    """The first line is the reason, with the kind's name for an error that is not ours; no escape, no empty line."""
    assert lines_of(ValueError("bad\n\n  \x1b[31mrow\r\nfield")) == ("ValueError: bad", r"  \x1b[31mrow", "field")
    assert lines_of(CheckFailedError("check unique(carrier): 2 duplicates")) == ("check unique(carrier): 2 duplicates",)
    assert lines_of(KeyboardInterrupt()) == ("interrupted by a signal, or by a KeyboardInterrupt that its code raised",)
    assert lines_of(CheckFailedError("")) == ("CheckFailedError",)


def test_lines_of_a_long_error_are_cut() -> None:
    """At most twenty lines of at most 500 characters, and how many more there were."""
    lines = lines_of(ValueError("\n".join(["x" * 1000] * 50)))
    assert len(lines) == 21
    assert lines[-1] == "… 30 more lines"
    assert all(len(line) <= 500 and line == printable(line) for line in lines)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError(), ExitCode.FAILED),
        (SystemExit(0), ExitCode.FAILED),
        (CheckFailedError(), ExitCode.FAILED),
        (SettingsError(), ExitCode.FAILED),
        (HeldError(), ExitCode.HELD),
        (TornLoadError(), ExitCode.TORN),
    ],
)
def test_exit_code_of_an_error_of_a_task(error: BaseException, code: ExitCode) -> None:
    """What would be a usage error up front is a failure of the one task; the other codes are kept."""
    assert exit_code_of(error) is code


def test_place_of_an_error_is_in_a_project_beside_ours(tmp_path: Path) -> None:
    """A project whose path begins like etlctl's own (`…/etlctl-pipelines`) is the user's code all the same."""
    import etlctl

    own = str(Path(etlctl.__file__).parent)
    code = compile("def run():\n    raise ValueError('x')\n", f"{own}-pipelines/flights.py", "exec")
    module: dict[str, Any] = {}
    exec(code, module)
    with pytest.raises(ValueError, match="x") as caught:
        module["run"]()

    assert place_of(caught.value, Load(), Path(f"{own}-pipelines")) == "flights.py:2"


def test_place_of_a_class_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of failed tasks of one class do not read its file thousands of times."""
    parsed: list[int] = []
    parse = ast.parse

    class Failing(Task):
        number = IntParameter()

    def counted(*arguments: Any, **options: Any) -> Any:
        parsed.append(1)
        return parse(*arguments, **options)

    monkeypatch.setattr(ast, "parse", counted)
    places = {place_of(ValueError("never raised"), Failing(number), Path("/")) for number in range(50)}

    assert len(places) == 1
    assert len(parsed) <= 1


def test_place_of_a_class_without_a_file_is_empty() -> None:
    """A class of a notebook has none."""
    made = type("Made", (Task,), {"__module__": "nowhere"})
    assert place_of(ValueError("never raised"), made(), Path("/")) == ""


@pytest.mark.parametrize("kinds", [5, (KeyError, "x"), None])
def test_failure_of_a_task_with_a_useless_retry_on_says_so(kinds: Any, tmp_path: Path) -> None:
    """The failure is told with what is wrong beneath it, and is not tried again; nothing else is touched."""
    task = Load()
    task.retry_on = kinds

    failure = Failure.of(ValueError("bad row"), task, tmp_path)

    assert failure.reason == "ValueError: bad row"
    assert not failure.can_retry
    assert failure.details[0].startswith("its retry_on is ")


def test_can_retry_takes_one_class_for_a_tuple_of_it() -> None:
    """`retry_on = KeyError`."""
    task = Load()
    task.retry_on = KeyError

    assert can_retry(task, KeyError("x"))
    assert not can_retry(task, ValueError("x"))
