"""`etlctl status` and `etlctl graph`: what is done, over days and as a drawing."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator

import pytest

from cli.project import Project
from etlctl.cli import drawing
from etlctl.cli.layout import text_of
from etlctl.cli.states import SIGNS
from etlctl.cli.status import _day_ruler, _month_ruler
from etlctl.core.parameters import IntParameter
from etlctl.core.plan import Decision, Plan, PlannedTask
from etlctl.core.task import Task


def test_status_of_a_range_is_a_grid(project: Project) -> None:
    """A row a family, a column a day, a sign a state; then the counts and where to ask why."""
    project.weather("2013-01-01", "2013-01-03", "2013-01-05")
    project.run("build", "Report", "--date", "2013-01-01..03")

    ran = project.run("status", "Report", "--date", "2013-01-01..05")

    today = r"   \d\d:\d\d:\d\d"
    usual = r"    \d\.\d s"
    patterns = [
        r"STATUS  Report  2013-01-01\.\.05 .*",
        r" +01  05  last done   usually",
        r" Flights      ███··" + today + usual,
        r" WeatherFile  █!█!█" + today + "    -",
        r" Delays       █!█!·" + today + usual,
        r" Report       █!█!·" + today + usual,
        r"█ 10 done   · 4 missing   ! 6 blocked",
        r"why: etlctl plan Report --date 2013-01-01\.\.05",
    ]
    assert ran.code == 0
    for line, pattern in zip(ran.out.splitlines(), patterns, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_status_folds_the_days_to_a_narrow_terminal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line fits; every day is there once."""
    monkeypatch.setattr("etlctl.cli.status.width_of", lambda streams: 60)

    ran = project.run("status", "WeatherFile", "--date", "2013-01-01..2013-02-28")

    rows = [line for line in ran.out.splitlines() if line.startswith(" WeatherFile")]
    assert max(len(line) for line in ran.out.splitlines()[1:-2]) <= 60
    assert sum(row.count("!") for row in rows) == 59
    assert "2013-02" in ran.out


def test_status_of_one_day_is_a_list_with_reasons(project: Project) -> None:
    """A single day: a line a task, when it was done or why not."""
    project.run("build", "Flights", "--date", "2013-01-02")

    ran = project.run("status", "Report", "--date", "2013-01-02")

    assert re.search(r"^ █  Flights\(2013-01-02\) +\d\d:\d\d:\d\d, took [\d.]+ s$", ran.out, re.MULTILINE)
    assert re.search(r"^ !  WeatherFile\(2013-01-02\) +data/2013-01-02.csv is missing$", ran.out, re.MULTILINE)


def test_status_without_a_task_tells_of_those_that_need_no_words(project: Project) -> None:
    """Tasks whose parameters all have defaults are asked; the others are named with what they need."""
    ran = project.run("status")

    assert re.search(r"^ ·  Seats\(\) +output is missing$", ran.out, re.MULTILINE)
    assert re.search(r"^ Report +--date$", ran.out, re.MULTILINE)
    assert ran.code == 0
    assert project.run("status", "--exit-code").code == 10


def test_status_of_a_project_without_tasks_says_how_to_begin(empty_project: Project) -> None:
    told = empty_project.run("status")

    assert told.code == 0
    assert f"no tasks in {empty_project.package}: write a class derived from etlctl.Task" in told.out
    assert "done" not in told.out


def test_status_months_cover_their_days(empty_project: Project) -> None:
    """A monthly task is one state over all days of its month."""
    empty_project.pipeline("""
        import datetime as dt

        from etlctl import DateParameter, LocalTarget, MonthParameter, Task

        class Daily(Task):
            date = DateParameter()

            def requires(self):
                return Monthly(self.date)

            def output(self):
                return LocalTarget(f"out/{self.date}.txt")

        class Monthly(Task):
            month = MonthParameter()

            def output(self):
                return LocalTarget(f"out/{self.month:%Y-%m}.txt")
    """)
    empty_project.write("out/2013-02.txt")

    ran = empty_project.run("status", "Daily", "--date", "2013-01-30..2013-02-02")

    assert re.search(r"^ Monthly  ··██ ", ran.out, re.MULTILINE)


def test_status_writes_nothing(project: Project) -> None:
    """Neither a database nor a folder appears."""
    project.run("status", "Report", "--date", "2013-01-01..05")
    project.run("plan", "Report", "--date", "2013-01-01..05")

    assert {place.name for place in project.folder.iterdir()} <= {"config", project.package, "data"}


def test_rulers_name_days_and_months() -> None:
    """Labels stand over their column and do not run into each other."""
    days = [dt.date(2013, 1, 28) + dt.timedelta(days=n) for n in range(40)]

    assert _day_ruler(days) == "28  01  05   10   15   20   25  01  05"
    assert _month_ruler(days) == "    2013-02                     2013-03"


def test_graph_draws_a_tree_and_a_shared_part_once(project: Project) -> None:
    """Requirements below what requires them; the second time a task is named and not drawn again."""
    project.pipeline(
        f"""
        import datetime as dt

        from etlctl import WrapperTask
        from {project.package}.flows import Delays, Report

        class Both(WrapperTask):
            def requires(self):
                return [Delays(dt.date(2013, 1, 2)), Report(dt.date(2013, 1, 2))]
    """,
        "both",
    )

    ran = project.run("graph", "Both")

    assert ran.out.splitlines() == [
        "! Both()",
        "├─ ! Delays(2013-01-02)",
        "│  ├─ · Flights(2013-01-02)",
        "│  └─ ! WeatherFile(2013-01-02)",
        "└─ ! Report(2013-01-02)",
        "   └─ ! Delays(2013-01-02)  (as above)",
    ]


def test_graph_formats(project: Project) -> None:
    """Mermaid and DOT draw from what is required to what requires it; json is the document."""
    words = ("graph", "Delays", "--date", "2013-01-02")

    mermaid = project.run(*words, "--format", "mermaid").out.splitlines()
    dot = project.run(*words, "--format", "dot").out.splitlines()

    assert mermaid[0] == "flowchart LR"
    assert '    t0["Flights(2013-01-02)"]:::missing' in mermaid
    assert "    t0 --> t2" in mermaid
    assert dot[0] == "digraph etlctl {"
    assert dot[-1] == "}"
    assert "    t1 -> t2;" in dot
    assert project.run(*words, "--format", "json").json == project.run(*words, "--json").json


class Link(Task):
    number = IntParameter()


def chain(length: int) -> Plan:
    """A chain, planned: link 0 is required by 1, and so on."""
    tasks = [Link(number) for number in range(length)]
    planned = [PlannedTask(one, Decision.RUN, "", (tasks[n - 1],) if n else ()) for n, one in enumerate(tasks)]
    return Plan((tasks[-1],), tuple(planned))


def test_tree_of_a_deep_chain_stays_small() -> None:
    """10,000 levels: no recursion, and no line grows with the depth."""
    lines = [text_of(one) for one in drawing.tree(chain(10_000), SIGNS, drawing.DEEPEST)]

    assert len(lines) == drawing.DEEPEST + 1
    assert lines[-1].endswith("requires 1 more: --depth shows them")


def test_tree_of_stacked_diamonds_is_linear() -> None:
    """Forty diamonds on each other have 2^40 paths and 120 tasks: each is drawn once."""
    planned: list[PlannedTask] = []
    below: tuple[Task, ...] = ()
    for level in range(40):
        sides = (Link(3 * level), Link(3 * level + 1))
        planned += [PlannedTask(side, Decision.RUN, "", below) for side in sides]
        top = Link(3 * level + 2)
        planned.append(PlannedTask(top, Decision.RUN, "", sides))
        below = (top,)
    plan = Plan(below, tuple(planned))

    assert len(list(drawing.tree(plan, SIGNS, 1_000))) <= 4 * len(planned)


@pytest.mark.parametrize("draw", [drawing.mermaid, drawing.dot])
def test_diagram_has_a_line_a_task_and_an_edge(draw: Callable[[Plan], Iterator[str]]) -> None:
    """20,000 tasks in a chain: nothing is repeated."""
    count = sum(1 for _ in draw(chain(20_000)))

    assert 39_999 <= count <= 40_010


def test_status_without_a_task_keeps_the_others_when_two_require_each_other(project: Project) -> None:
    """A cycle is told at the tasks that are in it; the overview of the rest is not lost."""
    project.pipeline(
        """
        from etlctl import LocalTarget, Task

        class Egg(Task):
            def requires(self):
                return Hen()

        class Hen(Task):
            def requires(self):
                return Egg()

        class Alone(Task):
            def output(self):
                return LocalTarget("alone.txt")
        """,
        "ring",
    )

    told = project.run("status")

    assert told.code == 0
    assert "?  Egg()" in told.out
    assert "Egg() -> Hen() -> Egg()" in told.out
    assert "·  Alone()" in told.out


def test_status_of_very_many_tasks_says_that_it_takes_a_while(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the wait, on stderr; for the usual number of tasks not a word."""
    monkeypatch.setattr("etlctl.cli.tasks.MANY_TASKS", 30)

    many = project.run("status", "WeatherFile", "--date", "2013-01-01..31")
    few = project.run("status", "WeatherFile", "--date", "2013-01-01..30")

    assert many.err == "etlctl: looking at 31 tasks and all that they require; this takes a while …\n"
    assert (many.code, few.err) == (0, "")


def test_headings_name_the_connections_of_the_tasks(empty_project: Project) -> None:
    """In the order of the graph, and a URL without its password; the default one where no task names any."""
    empty_project.write(
        "config/etlctl.toml",
        f"""
        default_connection = "main"
        [pipelines]
        path = "{empty_project.package}"
        [connections]
        main.url = "sqlite:///.etlctl/main.db"
        other.url = "sqlite:///.etlctl/other.db"
        """,
    )
    empty_project.pipeline("""
        from etlctl import LoadTable, LocalTarget, Task

        class Far(LoadTable):
            columns = {"k": "integer"}
            connection = "other"

            def rows(self):
                return [(1,)]

        class Near(Far):
            connection = None

            def requires(self):
                return Far()

        class File(Task):
            connection = "no connection of ours"

            def output(self):
                return LocalTarget("x")

        class Elsewhere(Far):
            connection = "postgresql://u:S3cr3t@127.0.0.1:1/d"
    """)

    def heading(command: str, family: str) -> str:
        return re.split(r" {6}", empty_project.run(command, family).out.splitlines()[0])[1]

    assert heading("plan", "Far") == heading("status", "Far") == "other sqlite:///.etlctl/other.db"
    assert heading("plan", "Near") == "other sqlite:///.etlctl/other.db   main sqlite:///.etlctl/main.db"
    assert heading("plan", "File") == "main sqlite:///.etlctl/main.db"
    assert heading("plan", "Elsewhere") == "postgresql://u:***@127.0.0.1:1/d"
