"""The app and `etlctl.build`: one project opened, planned and built, with settings and without."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import etlctl
from etlctl import DateParameter, IntParameter, LocalTarget, MockTarget, Parameter, Task
from etlctl.app import App
from etlctl.core import context
from etlctl.core.plan import Decision
from etlctl.errors import CycleError, ExitCode, ParameterError, PipelineImportError, SettingsError, UsageError
from etlctl.settings import Settings, load


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is an empty project; nothing of the environment reaches the settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ETLCTL_CONFIG", raising=False)
    MockTarget.clear_all()
    return tmp_path


def settings_of(text: str = "") -> Settings:
    Path("etlctl.toml").write_text(text, encoding="utf-8")
    return load(Path("etlctl.toml"), environ={}, cwd=Path.cwd())


class Copied(Task):
    name = Parameter(default="a")
    batch = IntParameter(default=1, significant=False)

    def output(self) -> Any:
        return LocalTarget(f"data/{self.name}.txt")

    def run(self) -> Any:
        with self.output().open("w") as file:
            file.write(str(self.batch))


class Ring(Task):
    def requires(self) -> Any:
        return Ring()


def test_build_works_in_an_empty_folder_without_settings(project: Path) -> None:
    """No settings, no pipelines folder: tasks made in Python are built, files stand below the current folder."""
    summary = etlctl.build([Copied()], local_scheduler=True)

    assert summary
    assert summary.exit_code == 0
    assert (project / "data" / "a.txt").read_text() == "1"
    assert etlctl.build([Copied()]).counts[etlctl.Status.UPTODATE] == 1


def test_build_takes_one_task_a_list_or_a_generator() -> None:
    """`build(task)`, `build([task])`, `build(task for …)`."""
    assert etlctl.build(Copied("a"))
    assert etlctl.build(Copied(name) for name in "bc")
    assert [Copied(name).complete() for name in "abc"] == [True, True, True]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [([Copied], "the class Copied is none"), (["Copied"], "'Copied' is none"), ([None], "None is none")],
)
def test_build_of_what_is_no_task_is_a_sentence(wanted: Any, said: str) -> None:
    """A class, a name: UsageError, before anything runs; the same for a plan."""
    with pytest.raises(UsageError, match=f"Tasks are built, and {said}: give tasks such as"):
        etlctl.build([Copied("a"), *wanted])
    with App.open(settings_of()) as app, pytest.raises(UsageError, match=said):
        app.plan(wanted)
    assert not Copied("a").complete()


def test_build_raises_for_what_is_found_before_anything_runs() -> None:
    """A cycle, settings that cannot be read, a scheduler elsewhere: raised; what a task does ends in the summary."""
    with pytest.raises(CycleError, match=r"Ring\(\) -> Ring\(\)"):
        etlctl.build([Copied("a"), Ring()])
    with pytest.raises(UsageError, match="local_scheduler=True"):
        etlctl.build([Copied("a")], local_scheduler=False)
    Path("etlctl.toml").write_text("oops = 1\n")
    with pytest.raises(SettingsError, match="oops"):
        etlctl.build([Copied("a")])
    assert not Path("data").exists()


def test_build_uses_the_settings_of_the_folder_or_those_given(project: Path) -> None:
    """`[params.Copied]` gives defaults to tasks made inside an app; a given Settings stands for the folder's."""

    class Outer(Task):
        def requires(self) -> Any:
            return Copied("inner")

        def output(self) -> Any:
            return MockTarget("outer")

        def run(self) -> Any:
            self.output().open("w").close()

    settings = settings_of("[params.Copied]\nbatch = 7\n")
    assert etlctl.build([Outer()])
    assert (project / "data" / "inner.txt").read_text() == "7"

    (project / "data" / "inner.txt").unlink()
    MockTarget.clear_all()
    Path("etlctl.toml").unlink()
    assert etlctl.build([Outer()], settings=settings)
    assert (project / "data" / "inner.txt").read_text() == "7"


def test_build_nested_in_a_run_is_a_build_of_its_own() -> None:
    """run() may call build(): its tasks run, and the outer run goes on in its own context."""
    seen: list[Any] = []

    class Nesting(Task):
        def output(self) -> Any:
            return MockTarget("nesting")

        def run(self) -> Any:
            context.attempt().rows = 3
            seen.append(bool(etlctl.build([Copied("nested")])))
            seen.append(context.attempt().rows)
            self.output().open("w").close()

    assert etlctl.build([Nesting()])
    assert seen == [True, 3]
    assert Copied("nested").complete()


def test_app_plan_writes_nothing(project: Path) -> None:
    """No file, no folder, no database, however often it is asked."""
    settings = settings_of()
    before = sorted(project.rglob("*"))

    with App.open(settings) as app:
        planned = app.plan([Copied("a"), Copied("b")], force=[Copied("b")])

    assert [one.decision for one in planned.tasks] == [Decision.RUN, Decision.RUN]
    assert sorted(project.rglob("*")) == before


def test_app_puts_its_context_in_place_and_takes_it_back(project: Path) -> None:
    """Within `with` tasks and targets find the app's project; after it what was there before."""
    settings = settings_of("[params.Copied]\nbatch = 9\n")
    with context.use(context.Context(project=Path("/nowhere"))):
        with App.open(settings) as app:
            assert context.current() is app.context
            assert Copied().batch == 9
            assert context.current().project == project
        assert context.current().project == Path("/nowhere")


def test_app_build_passes_deep_force_observers_and_stop_on() -> None:
    """Each option reaches the run."""

    class Behind(Copied):
        def requires(self) -> Any:
            return Copied("below")

    class Watcher:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments: self.calls.append(name)

    watcher: Any = Watcher()
    with App.open(settings_of()) as app:
        Copied("root").run()
        root = Behind("root")
        assert app.build([root]).counts[etlctl.Status.OK] == 0
        assert app.build([root], deep=True).counts[etlctl.Status.OK] == 1
        assert app.build([root], force=[root], observers=[watcher]).counts[etlctl.Status.OK] == 1
        stopped = app.build([Copied("never")], stop=lambda: ExitCode.TERMINATED)

    assert watcher.calls == ["run_started", "task_started", "task_finished", "run_finished"]
    assert stopped.exit_code == ExitCode.TERMINATED


def test_app_registry_imports_pipelines_at_the_first_look_only(project: Path) -> None:
    """Opening an app imports no pipeline; the registry does, in a process of its own here."""
    (project / "pipelines").mkdir()
    (project / "pipelines" / "flights.py").write_text(
        "import etlctl\nprint('imported')\nclass LoadFlights(etlctl.Task):\n    pass\n"
    )
    code = (
        "from etlctl.app import App\n"
        "from etlctl.outside import _settings_here\n"
        "with App.open(_settings_here()) as app:\n"
        "    print('open')\n"
        "    print([cls.task_family for cls in app.registry.classes()], app.registry is app.registry)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project)
    assert done.stdout.splitlines() == ["open", "imported", "['LoadFlights'] True"]


def test_default_context_is_the_folders_and_follows_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside any app a target belongs to the current folder's project; another folder is another project."""
    other = project / "other"
    other.mkdir()
    assert context.current().project == project
    monkeypatch.chdir(other)
    assert context.current().project == other
    Copied("x").run()
    assert (other / "data" / "x.txt").exists()


def test_default_context_follows_the_settings_as_build_does(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit, a variable, another file: `exists()` never asks the database that was meant before."""
    seen = []

    def look() -> None:
        seen.append(Path(context.current().database(None).url).name)

    look()
    monkeypatch.setenv("ETLCTL_CONNECTIONS_WAREHOUSE_URL", "sqlite:///variable.db")
    look()
    monkeypatch.delenv("ETLCTL_CONNECTIONS_WAREHOUSE_URL")
    file = project / "etlctl.toml"
    file.write_text("connections.warehouse.url = 'sqlite:///first.db'")
    look()
    file.write_text("connections.warehouse.url = 'sqlite:///${NAME}.db'")
    monkeypatch.setenv("NAME", "second")
    look()
    monkeypatch.setenv("NAME", "third")
    look()
    (project / "config").mkdir()
    (project / "config" / "etlctl.toml").write_text("connections.warehouse.url = 'sqlite:///stronger.db'")
    look()
    (project / "x.toml").write_text("connections.warehouse.url = 'sqlite:///named.db'")
    monkeypatch.setenv("ETLCTL_CONFIG", "x.toml")
    look()

    names = ["warehouse", "variable", "first", "second", "third", "stronger", "named"]
    assert seen == [f"{name}.db" for name in names]


def test_default_context_is_kept_while_its_settings_are(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases stay open from look to look, also where a variable changes that is none of the settings'."""
    found = context.current()
    assert context.current() is found

    monkeypatch.setenv("UNRELATED", "1")

    assert context.current() is found


def test_default_context_that_cannot_be_read_is_told_at_each_look(project: Path) -> None:
    """Until it is mended; the settings of before do not stand in for it."""
    assert context.current().project == project
    (project / "etlctl.toml").write_text("oops = 1")
    for _ in range(2):
        with pytest.raises(SettingsError, match="oops"):
            context.current()
    settings_of()
    assert context.current().project == project


def test_build_inside_a_run_has_the_settings_around_it(project: Path) -> None:
    """`--profile production` holds for a build() in a task's run() too, not the default profile of the folder."""
    settings_of(
        "connections.warehouse.url = 'sqlite:///dev.db'\n"
        "[profiles.production]\nconnections.warehouse.url = 'sqlite:///prod.db'\n"
    )

    class Row(etlctl.LoadTable):
        columns = {"a": "integer"}

        def rows(self) -> Any:
            return [(1,)]

    class Around(Task):
        def output(self) -> Any:
            return MockTarget("around")

        def run(self) -> Any:
            assert etlctl.build([Row()])
            self.output().open("w").close()

    production = load(Path("etlctl.toml"), environ={}, cwd=project, profile="production")
    with App.open(production) as app:
        assert app.build([Around()])

    assert (project / "prod.db").exists()
    assert not (project / "dev.db").exists()


@pytest.mark.parametrize("made", ["config/etlctl.toml", "etlctl.toml", "pipelines/__init__.py"])
def test_app_in_a_subfolder_names_the_project_above(project: Path, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    """Started in data/ of a project: where it is, and how to get there."""
    file = project / made
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    (project / "data" / "raw").mkdir(parents=True)
    monkeypatch.chdir(project / "data" / "raw")
    settings = load(None, environ={}, cwd=Path.cwd())

    with App.open(settings) as app, pytest.raises(PipelineImportError) as caught:
        _ = app.registry

    named = file if file.suffix == ".toml" else file.parent
    way = f"cd {project}" + (f", or give --config {file}" if file.suffix == ".toml" else "")
    assert str(caught.value) == (f"There is no pipelines folder {project}/data/raw/pipelines. {named} exists: {way}.")


def test_a_task_may_be_run_by_hand(project: Path) -> None:
    """`task.run()` works without an app: outputs, and an attempt that nobody reads."""
    Copied("by hand", 4).run()
    assert (project / "data" / "by hand.txt").read_text() == "4"


SCRIPT = """\
import datetime
import etlctl


class Words(etlctl.Task):
    date = etlctl.DateParameter()

    def output(self):
        return etlctl.LocalTarget(f"words_{self.date}.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("apple")


if __name__ == "__main__":
    summary = etlctl.build([Words(datetime.date(2013, 1, 2))], local_scheduler=True)
    print(bool(summary), int(summary.exit_code), [task.task_label for task in summary.tasks])
    print(summary.text)
"""


def test_build_from_a_script(project: Path) -> None:
    """Tasks that live in `__main__` run in this process; the summary is a value to print."""
    (project / "script.py").write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, check=True, cwd=project, timeout=60
    )

    lines = done.stdout.splitlines()
    assert lines[0] == "True 0 ['Words(2013-01-02)']"
    assert lines[1].startswith(" 1/1  OK       Words(2013-01-02)")
    assert lines[-1].startswith("OK=1 FAIL=0 SKIP=0 BLOCKED=0 HELD=0 UPTODATE=0 TOTAL=1")
    assert (project / "words_2013-01-02.txt").read_text() == "apple"
    assert done.stderr == ""


def test_settings_params_reach_dates() -> None:
    """A TOML text, or a TOML date, is the value of a date parameter."""

    class Dated(Task):
        first = DateParameter()
        second = DateParameter()

    with App.open(settings_of('[params.Dated]\nfirst = "2013-01-02"\nsecond = 2013-01-03\n')):
        assert [str(Dated().first), str(Dated().second)] == ["2013-01-02", "2013-01-03"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[params.Dated2]\nday = "no"\n', "Dated2.day: cannot take 'no' (from etlctl.toml:2): "),
        ('[params."sales.Dated2"]\nday = "no"\n', "sales.Dated2.day: cannot take 'no' (from etlctl.toml:2): "),
        ("[params.Dated2]\n\ndy = 1\n", "Dated2 has no parameter 'dy', named in etlctl.toml:3."),
    ],
)
def test_settings_params_that_are_refused_name_their_line(text: str, said: str) -> None:
    """File and line, not the section alone, which may stand in a profile too."""

    class Dated2(Task):
        task_namespace = "sales" if "sales" in text else None
        day = DateParameter()

    with App.open(settings_of(text)), pytest.raises(ParameterError, match=re.escape(said)):
        Dated2()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\n[params."sales.Dated3"]\n', None),
        ('\n[params."sales.Dated3"]\ndy = 1\n', "etlctl.toml:3: sales.Dated3 has no parameter 'dy'."),
        ('\n[params."sales.Dated"]\ndy = 1\n', "etlctl.toml:2: no task or Config is named 'sales.Dated'."),
    ],
)
def test_registry_names_the_line_of_params_of_nothing(text: str, said: str | None) -> None:
    """Also where the family has a namespace, and is quoted in the file."""

    class Dated3(Task):
        task_namespace = "sales"
        day = DateParameter()

    with App.open(settings_of('pipelines.modules = ["json"]' + text)) as app:
        if said is None:
            assert app.registry.broken == ()
        else:
            with pytest.raises(SettingsError, match=re.escape(said)):
                _ = app.registry


class Stranded(etlctl.LoadTable):
    connection = "warehose"
    columns = {"a": "integer"}

    def rows(self) -> Any:
        return [(1,)]


class Dumped(etlctl.DumpTable):
    connection = "warehose"
    query = "SELECT 1 AS one"

    def output(self) -> Any:
        return LocalTarget("one.csv")


class ByHand(Task):
    def output(self) -> Any:
        return etlctl.TableTarget("t", "once", connection="warehose")


class Elsewhere(etlctl.LoadTable):
    connection = "nosuch://me:secret@far/db"
    columns = {"a": "integer"}


@pytest.mark.parametrize("task", [Stranded, Dumped, ByHand, Elsewhere])
def test_build_finds_a_connection_that_is_not_there_before_anything_runs(project: Path, task: type[Task]) -> None:
    """Also where nothing would ask it before the task's turn: no sibling has run, nothing is written."""
    for call in (etlctl.build, lambda tasks: App.open(settings_of()).plan(tasks)):
        with pytest.raises(SettingsError, match=rf"{task.__name__}\(\): .*(warehose|nosuch://me:\*\*\*@far)"):
            call([Copied(), task()])

    assert not (project / "data").exists()
    assert not (project / ".etlctl").exists()


class Yonder(Elsewhere):
    connection = "far"


def test_build_names_the_line_of_a_connection_that_nobody_speaks_to(project: Path) -> None:
    """Before anything runs; who loads elsewhere is not disturbed by it."""
    settings = settings_of('[connections.warehouse]\n[connections.far]\nurl = "nosuch://me:secret@far/db"\n')

    with App.open(settings) as app:
        with pytest.raises(SettingsError) as caught:
            app.build([Copied(), Yonder()])
        assert not (project / "data").exists()
        assert app.build([Copied()])

    assert str(caught.value).startswith("Yonder(): etlctl.toml:3: 'connections.far.url' (nosuch://me:***@far/db): ")
    assert "secret" not in str(caught.value)


def test_build_does_not_ask_complete_tasks_for_their_connection(project: Path) -> None:
    """What is done needs nothing: a settings file may have moved on."""
    (project / "one.csv").write_text("one\n1\n")

    assert etlctl.build([Dumped()])


class Collecting(Task):
    """Notes how often cycles are sought while it is asked and while it runs."""

    noted: list[int] = []

    def requires(self) -> Any:
        self.noted.append(gc.get_threshold()[0])
        return []

    def run(self) -> Any:
        self.noted.append(gc.get_threshold()[0])


def test_build_collects_cycles_in_run_as_before() -> None:
    """While the graph is made Python seeks cycles rarely; what run() makes is sought as often as ever."""
    before = gc.get_threshold()[0]
    Collecting.noted.clear()

    etlctl.build([Collecting()])

    asked, *_, ran = Collecting.noted
    assert asked > before
    assert ran == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"jobs": 0}, "build() takes whole numbers from 1 to 1000 for jobs, and not 0."),
        ({"jobs": True}, "build() takes whole numbers from 1 to 1000 for jobs, and not True."),
        ({"jobs": "x"}, "build() takes whole numbers from 1 to 1000 for jobs, and not 'x'."),
        ({"workers": 2.5}, "build() takes whole numbers from 1 to 1000 for workers, and not 2.5."),
        ({"jobs": 1001}, "build() takes whole numbers from 1 to 1000 for jobs, and not 1001."),
        ({"jobs": 1, "workers": 2}, "build() was told jobs=1 and workers=2, which mean the same: give one of them."),
        ({"executor": "dusk"}, 'build() takes "local" or "dask" for executor, and not \'dusk\'.'),
        ({"wait_held": -1}, 'build() takes seconds or a text such as "10m" for wait_held, and not -1.'),
        ({"wait_held": float("nan")}, 'build() takes seconds or a text such as "10m" for wait_held, and not nan.'),
        ({"wait_held": "soon"}, "build() takes seconds or a text such as \"10m\" for wait_held, and not 'soon'."),
    ],
)
def test_build_refuses_what_it_cannot_run_with(given: dict[str, Any], said: str) -> None:
    """Before anything runs, with what it takes."""
    with pytest.raises(UsageError) as raised:
        etlctl.build(Copied(), **given)

    assert str(raised.value) == said
    assert not Path("data").exists()


def test_build_takes_a_wait_in_seconds_or_with_a_unit() -> None:
    assert etlctl.build(Copied(), wait_held="10m", jobs=1, workers=1)
    assert etlctl.build(Copied(name="b"), wait_held=0)
