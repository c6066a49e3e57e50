"""Hostile names on every screen: nothing crashes, nothing is swallowed, no escape reaches the terminal."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import time
import unicodedata
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.project import Project
from etlctl.cli import documents, drawing, render
from etlctl.cli.grouping import asked_for, groups_of
from etlctl.cli.layout import Line, fold, line, text_of
from etlctl.cli.progress import Progress, line_of, state_lines
from etlctl.cli.render import LiveScreen
from etlctl.cli.standing import split
from etlctl.cli.states import SIGNS, state_of
from etlctl.core.context import Attempt
from etlctl.core.parameters import DateParameter, Parameter
from etlctl.core.plan import Decision, Plan, PlannedTask
from etlctl.core.results import Status, TaskResult
from etlctl.core.task import Task
from etlctl.engine.failures import Failure

OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = "\x1b]0;owned\x07[/red][bold]\r\nFAKE 🛫 日本 e\u0301 \u202eevil \x9b31m :smile:"
NAMES = st.one_of(st.text(st.characters(), max_size=40), st.just(HOSTILE))


class Named(Task):
    name = Parameter()


class Dated(Task):
    name = Parameter()
    date = DateParameter()


def lines_of_all_views(name: str) -> list[Line]:
    """The same hostile name on every screen that shows a task."""
    task, child = Named(name), Dated(name, dt.date(2013, 1, 2))
    plan = Plan(
        (task,),
        (
            PlannedTask(child, Decision.BLOCKED, f"{child.task_label} is missing", ()),
            PlannedTask(task, Decision.BROKEN, "requires() failed", (child,)),
        ),
    )
    result = TaskResult(task, Status.OK, rows=3, duration_s=0.1)
    progress = Progress(lambda one: None)
    progress.task_started(task, Attempt(rows=5))
    grid, undated = split(plan.tasks, [child], lambda one: state_of(one.decision))
    return [
        line_of(result, 1, 2, 30),
        *state_lines(progress, asked_for([task, child]), is_stopping=True, now=progress.began + 2),
        *drawing.tree(plan, SIGNS, 5),
        *(line(group.name, group.values, group.reason) for group in groups_of(plan.tasks, plan.roots)),
        *(line(row.name) for row in grid.rows),
        *(line(one.task.task_label) for one in undated),
    ]


def is_clean(text: str) -> bool:
    """No control character besides line ends and our own colours."""
    rest = OUR_COLOURS.sub("", text).replace("\n", "")
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in rest)


@given(NAMES)
@settings(max_examples=60, deadline=None)
def test_no_name_reaches_the_terminal_as_an_escape(name: str) -> None:
    """Every view, in colour, at 60 columns: clean, and the printable part of the name is there."""
    lines = lines_of_all_views(name)
    stream = io.StringIO()

    render.write(stream, [piece for one in lines for piece in fold(one, 60)], 60)

    assert is_clean(stream.getvalue())
    shown = "".join(OUR_COLOURS.sub("", stream.getvalue()).split())
    assert "".join(text_of(lines[0]).split()) in shown


@given(NAMES)
@settings(max_examples=60, deadline=None)
def test_diagrams_quote_any_name(name: str) -> None:
    """Mermaid and DOT have one line a node; labels cannot end their quotes or their line."""
    plan = Plan((Named(name),), (PlannedTask(Named(name), Decision.RUN, "", ()),))

    nodes_of_mermaid = [one for one in drawing.mermaid(plan) if one.startswith("    t0")]
    nodes_of_dot = [one for one in drawing.dot(plan) if one.startswith("    t0")]

    assert len(nodes_of_mermaid) == len(nodes_of_dot) == 1
    assert re.fullmatch(r'    t0\["[\w .,:=()/+@#;-]*"\]:::missing', nodes_of_mermaid[0])
    assert re.fullmatch(r'    t0 \[label="(?:[^"\\]|\\.)*", fillcolor="#ffffff"\];', nodes_of_dot[0])
    assert is_clean("\n".join([*drawing.mermaid(plan), *drawing.dot(plan)]))


@given(NAMES)
@settings(max_examples=40, deadline=None)
def test_documents_carry_any_name_as_ascii(name: str) -> None:
    """JSON gives a name back exactly, and holds no character that a terminal obeys."""
    text = documents.dump(documents.task_document(Named(name)))

    assert json.loads(text)["params"]["name"] == name
    assert is_clean(text)
    assert text.isascii()


def test_lines_of_a_run_have_their_columns_below_each_other() -> None:
    """The width of labels is known before the first line: a longer one further down moves nothing."""
    said: list[Line] = []
    progress = Progress(said.append)
    tasks = [Named("x"), Named("a name of thirty letters"), Named("y" * 200)]

    progress.run_started("r1", tasks[-1:], tasks)
    for number, task in enumerate(tasks[:2], 1):
        progress.task_finished(TaskResult(task, Status.OK, rows=5, duration_s=0.1), number, 3)

    assert len({text_of(one).index("5 rows") for one in said}) == 1
    assert text_of(said[0]).index("5 rows") < 80


def test_live_part_says_what_a_task_waits_for() -> None:
    """A load that waits for a lock is told as that, not as one that runs."""
    progress = Progress(lambda one: None, clock=lambda: 0.0)
    progress.task_started(Named("x"), Attempt(rows=5, waiting="the lock of the database"))

    lines = state_lines(progress, "x", is_stopping=False, now=progress.began + 2)

    assert text_of(lines[1]) == " WAIT  Named(x)   for the lock of the database   2.0 s"


@pytest.mark.parametrize(
    ("attempt", "shown"),
    [
        (Attempt(rows=1234), " RUN   Named(x)   1,234 rows   617/s   2.0 s"),
        (Attempt(progress=(3, 12)), " RUN   Named(x)   3/12   2.0 s"),
        (Attempt(progress=(0.5, 1), status="asking\x1b[2J"), " RUN   Named(x)   0.5/1   asking\\x1b[2J   2.0 s"),
    ],
)
def test_a_running_task_is_shown_with_what_it_tells(attempt: Attempt, shown: str) -> None:
    """Rows and their rate, its own progress, its own words made printable."""
    progress = Progress(lambda one: None, clock=lambda: 0.0)
    progress.task_started(Named("x"), attempt)

    lines = state_lines(progress, "x", is_stopping=False, now=progress.began + 2)

    assert text_of(lines[1]) == shown


def test_what_an_interrupt_left_behind_is_not_drawn_as_done() -> None:
    """Three of four were never begun: the bar stays where it was."""
    progress = Progress(lambda one: None)
    tasks = [Named(name) for name in "abcd"]
    progress.run_started("r1", tasks, tasks)
    progress.task_finished(TaskResult(tasks[0], Status.OK), 1, 4)
    for number, task in enumerate(tasks[1:], 2):
        progress.task_finished(TaskResult(task, Status.SKIP, "not started: the run was interrupted"), number, 4)

    lines = state_lines(progress, "x", is_stopping=True, now=progress.began)

    assert text_of(lines[0]).startswith("BUILD  x   [####------------] 1/4 ")
    assert text_of(lines[0]).endswith("   stopping when what runs has ended; once more stops it now")


def test_of_many_running_tasks_the_rest_is_counted() -> None:
    """The display stays small enough to leave room for what is said."""
    progress = Progress(lambda one: None)
    for number in range(40):
        progress.task_started(Named(str(number)), Attempt())

    lines = state_lines(progress, "x", is_stopping=False, now=progress.began)

    assert len(lines) == 14 and text_of(lines[-1]).strip() == "and 28 more"


def test_a_further_attempt_is_said_with_its_reason_and_its_delay() -> None:
    """One line, and the task runs no more until then."""
    said: list[Line] = []
    progress = Progress(said.append)
    progress.task_started(Named("x"), Attempt())

    progress.task_retried(Named("x"), Failure("no answer"), Attempt(number=2), 31.4)

    assert " ".join(text_of(said[0]).split()) == "RETRY Named(x) attempt 2 failed, the next in 31.4 s: no answer"
    assert not progress.running


def test_live_screen_shows_lines_of_the_run_and_of_print() -> None:
    """What is said and what a task prints scrolls by; the state is drawn; nothing is obeyed."""
    stream = io.StringIO()
    progress = Progress(lambda one: None)
    progress.run_started("r1", [], [Named(str(number)) for number in range(3)])

    def state() -> Iterable[Line]:
        return state_lines(progress, "Report", is_stopping=False, now=progress.began)

    with LiveScreen(stream, state, colours=True) as screen:  # type: ignore[arg-type]  # a list is an Iterable here
        screen.say(line_of(TaskResult(Named("x"), Status.OK), 1, 3))
        print(HOSTILE)
        print("no line end", end="")
        until(lambda: "BUILD" in stream.getvalue())

    text = OUR_COLOURS.sub("", stream.getvalue())
    assert "OK       Named(x)" in text
    assert "[/red][bold]" in text
    assert "no line end" in text
    assert "\x1b]0;owned" not in text


def until(true: Callable[[], bool]) -> None:
    """Waits for the drawing thread."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("the live part was not drawn")


def test_commands_show_hostile_values_as_text(empty_project: Project) -> None:
    """plan, build, graph and status with an escape sequence in a parameter, and one in an error."""
    empty_project.pipeline("""
        from etlctl import Parameter, Task

        class Odd(Task):
            name = Parameter()

            def run(self):
                raise ValueError(self.name)
    """)

    for command in ("plan", "build", "graph", "status"):
        ran = empty_project.run(command, "Odd", "--name", HOSTILE)

        assert is_clean(ran.out + ran.err), command
        assert "[/red][bold]" in ran.out
    failed = empty_project.run("build", HOSTILE)
    assert failed.code == 2
    assert is_clean(failed.err)
