"""`etlctl list` and `etlctl show`: what tasks there are, and everything about one."""

from __future__ import annotations

import pytest

from cli.documents import check
from cli.project import Project
from etlctl.cli.schemas import SCHEMAS


def test_list_names_tasks_by_module_with_parameters_and_purpose(project: Project) -> None:
    """Name, parameters (those with defaults in brackets), first line of the docstring, tags."""
    ran = project.run("list")

    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert ran.code == 0
    assert lines[0] == f"{project.package}.flows"
    assert "Delays date Delays by the weather." in lines
    assert "Flights date [batch] [dry_run] [kind] […  One day of flights. #daily #gate".replace("  ", " ") in lines
    assert "Seats A small table without a date." in lines


def test_list_is_narrowed_down_by_words(project: Project) -> None:
    """Words are looked for in name, module, tags and docstring, whatever their case."""
    assert [line.split()[0] for line in project.run("list", "GATE").out.splitlines()[1:]] == ["Flights"]
    nothing = project.run("list", "zeppelin")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no task has zeppelin" in nothing.err


def test_list_reports_broken_modules_last_and_exits_0(project: Project) -> None:
    """The others are listed; the broken one is on stderr with file and line."""
    project.pipeline("import not_there_at_all\n", "broken")

    ran = project.run("list")

    assert ran.code == 0
    assert "Flights" in ran.out
    assert f"broken: {project.package}/broken.py:1: ModuleNotFoundError" in ran.err


def test_list_of_an_empty_project_says_what_to_write(empty_project: Project) -> None:
    """No tasks: no error, and what comes next."""
    ran = empty_project.run("list")

    assert (ran.code, ran.out) == (0, "")
    assert "write a class derived from etlctl.Task" in ran.err


def test_show_tells_everything_about_a_task(project: Project) -> None:
    """Place, docstring, parameters, what it requires and makes once its parameters are given."""
    unknown = project.run("show", "Delays")
    known = project.run("show", "Delays", "--date", "2013-01-02")
    flights = project.run("show", "Flights")

    assert known.code == 0
    assert known.out.splitlines()[0].startswith(f"Delays   {project.package}/flows.py:")
    assert known.out.splitlines()[1] == "  Delays by the weather."
    assert "  requires  Flights, WeatherFile" in known.out
    assert "  makes     out/delays/2013-01-02.txt" in known.out
    assert "  requires  told when its parameters are given" in unknown.out
    assert "They are counted at the gate." in flights.out
    assert "hunter2" not in flights.out


def test_show_survives_requires_that_raises(empty_project: Project) -> None:
    """What cannot be told says why."""
    empty_project.pipeline("""
        from etlctl import Task

        class Sick(Task):
            def requires(self):
                raise RuntimeError("not today")
    """)

    ran = empty_project.run("show", "Sick")

    assert ran.code == 0
    assert "requires  cannot be told: RuntimeError: not today" in ran.out


LOADS = """
    from etlctl import DateParameter, LoadTable, Task, replace_where


    class LoadFlights(LoadTable):
        date = DateParameter()
        table = "flights"
        columns = {"date": "date", "carrier": "varchar(2)"}
        values = {"date": "date"}


    class Airlines(LoadTable):
        columns = {"carrier": "varchar(2)"}


    class Delays(Task):
        query = '''
            SELECT carrier, count(*)
            FROM flights JOIN airlines USING (carrier)
            GROUP BY carrier
        '''


    class Filed(Task):
        query = None
"""


def test_show_tells_what_a_load_declares(empty_project: Project) -> None:
    """Table and connection, mode (the one in force), columns, query with its place, tables it reads."""
    empty_project.pipeline(LOADS)
    empty_project.write(f"{empty_project.package}/filed.sql", "SELECT 1 FROM elsewhere\n")

    load = empty_project.run("show", "LoadFlights", "--json").json["task"]
    query = empty_project.run("show", "Delays", "--json").json["task"]
    filed = empty_project.run("show", "Filed").out

    assert (load["table"], load["connection"], load["mode"]) == ("flights", "warehouse", "replace_where('date')")
    assert load["columns"] == {"date": "date", "carrier": "varchar(2)"}
    assert load["bases"] == ["LoadTable", "Task"]
    assert query["reads"] == ["flights", "airlines"]
    assert query["query_place"].endswith("flows.py, Delays.query")
    assert f"query   {empty_project.package}/filed.sql\n    SELECT 1 FROM elsewhere" in filed


def test_show_table_names_writers_and_readers(empty_project: Project) -> None:
    """Who writes a table and whose query reads it; a table nobody knows suggests the nearest."""
    empty_project.pipeline(LOADS)

    shown = empty_project.run("show", "--table", "flights").out
    document = empty_project.run("show", "--table", "airlines", "--json").json
    unknown = empty_project.run("show", "--table", "flihgts")

    assert [" ".join(line.split()[:3]) for line in shown.splitlines()] == [
        "flights",
        "written by LoadFlights",
        "read by Delays",
    ]
    assert "replace_where('date')" in shown.splitlines()[1]
    assert "replace_where" not in shown.splitlines()[2]
    assert (document["writers"], document["readers"]) == (["Airlines"], ["Delays"])
    assert unknown.code == 2
    assert "Did you mean 'flights'?" in unknown.err
    check(document, SCHEMAS["etlctl/table"])


GOTCHAS = """
    from etlctl import (
        CopyTable, DateParameter, Incremental, IntParameter, LoadTable, OptionalDateParameter, Parameter,
        ParameterVisibility, QueryTable, RunSQL, replace_where,
    )


    class Fixed(LoadTable):
        date = DateParameter()
        update_id = "fixed"
        columns = {"a": "integer"}


    class OnceForAll(LoadTable):
        update_id = "fixed"
        columns = {"a": "integer"}


    class Silent(QueryTable):
        date = DateParameter(significant=False)
        query = "SELECT :date AS date"


    class Hidden(RunSQL):
        tenant = Parameter(visibility=ParameterVisibility.PRIVATE)
        query = "DELETE FROM a WHERE tenant = :tenant"


    class Valued(LoadTable):
        day = DateParameter(significant=False)
        columns = {"a": "integer", "day": "date"}
        values = {"day": "day"}


    class FixedAndSilent(QueryTable):
        date = DateParameter(significant=False)
        update_id = "fixed"
        query = "SELECT :date AS date"


    class ByRows(LoadTable):
        day = OptionalDateParameter(significant=False)
        batch = IntParameter(default=5, significant=False)
        columns = {"a": "integer"}

        def rows(self):
            return ((self.day.day, self.batch) for _ in range(1))


    class Built(RunSQL):
        table_of_day = Parameter(significant=False)

        @property
        def query(self):
            return f"DELETE FROM {self.table_of_day}"


    class Partition(LoadTable):
        day = DateParameter(significant=False)
        columns = {"a": "integer", "day": "date"}
        mode = replace_where("day")


    class Copied(CopyTable):
        tenant = Parameter(visibility=ParameterVisibility.PRIVATE)
        query = "SELECT * FROM a WHERE tenant = :tenant"


    class Endless(Incremental):
        source_table = "a"
        cursor = "at"


    class Daily(Incremental):
        date = DateParameter()
        source_table = "a"
        cursor = "at"


    class Batched(LoadTable):
        date = DateParameter()
        batch = IntParameter(default=5, significant=False)
        columns = {"a": "integer"}

        def rows(self):
            yield from range(self.batch)


    class Fine(QueryTable):
        date = DateParameter()
        batch = IntParameter(default=5, significant=False)
        query = "SELECT :date AS date -- not :batch"


    class Own(QueryTable):
        date = DateParameter(significant=False)
        query = "SELECT :date AS date"

        @property
        def update_id(self):
            return f"own {self.date}"
"""


def test_list_names_loads_whose_update_id_cannot_tell_two_tasks_apart(empty_project: Project) -> None:
    """A constant id beside a significant parameter, rows made of one that is not in the id: each with its mend."""
    empty_project.pipeline(GOTCHAS)

    listed = empty_project.run("list")
    document = empty_project.run("list", "--json").json

    warned = {line.split(":")[1].strip(): line for line in listed.err.splitlines()}
    assert set(warned) == {
        "Fixed", "Silent", "Hidden", "Valued", "FixedAndSilent", "ByRows", "Built", "Partition", "Copied", "Endless"
    }  # fmt: skip
    assert warned["Fixed"] == (
        "warning: Fixed: update_id is 'fixed' whatever date is, so only the first of its tasks loads. Leave update_id "
        "out, or make it a property with self.date in it."
    )
    assert "depends on date, which is not in its update_id" in warned["Silent"]
    assert "Make date significant and public" in warned["Silent"]
    assert "update_id is 'fixed' whatever date is" in warned["FixedAndSilent"]
    assert "what it loads depends on day, which" in warned["ByRows"]
    assert "Endless is an Incremental without a date parameter, so it would run once" in warned["Endless"]
    assert listed.code == 0
    assert {one["family"] for one in document["tasks"] if one["pitfall"]} == set(warned)
    assert "careful" in empty_project.run("show", "Fixed").out
    assert "careful" not in empty_project.run("show", "Fine").out


def test_list_marks_two_tasks_of_one_name(project: Project) -> None:
    """Neither can be built: the list says so, with both places."""
    project.pipeline("from etlctl import Task\n\n\nclass Seats(Task):\n    pass\n", "again")

    ran = project.run("list")

    assert f"warning: Two tasks are named Seats: {project.package}/again.py:4 and {project.package}/flows.py" in ran.err
    assert ran.err.endswith("Until then neither can be built.\n")
    assert project.run("build", "Seats").code == 2


def test_show_tells_values_null_words_and_checks(empty_project: Project) -> None:
    """What becomes of the rows on their way: each where it is not what every load has."""
    empty_project.pipeline("""
        from etlctl import DateParameter, LoadTable, not_null, unique

        class Checked(LoadTable):
            date = DateParameter()
            columns = {"date": "date", "carrier": "varchar(2)", "source": "text"}
            values = {"date": "date", "source": 7}
            null_values = ("", "NA")
            checks = [not_null("carrier"), unique("carrier", severity="warn", scope="table")]

        class Plain(LoadTable):
            columns = {"carrier": "varchar(2)"}
    """)

    shown = " ".join(empty_project.run("show", "Checked").out.split())
    document = empty_project.run("show", "Checked", "--json").json["task"]
    plain = empty_project.run("show", "Plain").out

    assert "values date = date, source = 7 NULL is '', 'NA' checks not_null(carrier), unique(carrier)" in shown
    assert "unique(carrier) (warn, table)" in shown
    assert document["values"] == {"date": "date", "source": "7"}
    assert document["null_values"] == ["", "NA"]
    assert document["checks"] == ["not_null(carrier)", "unique(carrier) (warn, table)"]
    assert not {"values", "NULL", "checks", "careful"} & set(plain.split())


def test_show_tells_by_when_a_task_must_be_done(empty_project: Project) -> None:
    """As its class says."""
    empty_project.pipeline("""
        from etlctl import Task

        class Early(Task):
            deadline = "07:00"
    """)

    assert "deadline 07:00" in " ".join(empty_project.run("show", "Early").out.split())
    assert empty_project.run("show", "Early", "--json").json["task"]["deadline"] == "07:00"


def test_a_deadline_that_is_no_time_of_day_is_refused(empty_project: Project) -> None:
    """Exit 2 before anything runs, with the class and the mend."""
    empty_project.pipeline("""
        from etlctl import Task

        class Early(Task):
            deadline = "7 o'clock"
    """)

    refused = empty_project.run("build", "Early")

    assert refused.code == 2
    assert 'Early: its deadline is "7 o\'clock"' in refused.err
    assert 'as in deadline = "07:00"' in refused.err


def test_show_tells_how_redshift_keeps_the_table(empty_project: Project) -> None:
    """What the class says of it, and no more."""
    empty_project.pipeline("""
        from etlctl import LoadTable, Redshift

        class Kept(LoadTable):
            columns = {"carrier": "varchar(2)", "day": "date"}
            redshift = Redshift(distkey="carrier", sortkey=("day", "carrier"), analyze=True)

        class Plain(LoadTable):
            columns = {"carrier": "varchar(2)"}
    """)

    shown = " ".join(empty_project.run("show", "Kept").out.split())
    document = empty_project.run("show", "Kept", "--json").json["task"]
    plain = empty_project.run("show", "Plain", "--json").json["task"]

    assert document["redshift"] == "distkey='carrier', sortkey=('day', 'carrier'), analyze=True"
    assert f"redshift {document['redshift']}" in shown
    assert plain["redshift"] is None


def test_show_tells_what_a_copy_reads(empty_project: Project) -> None:
    """And the mode of an Incremental that has none."""
    empty_project.pipeline("""
        from etlctl import DateParameter, Incremental

        class Orders(Incremental):
            date = DateParameter()
            source = "shop"
            source_table = "sales"
            cursor = "updated_at"
    """)

    document = empty_project.run("show", "Orders", "--json").json["task"]
    readers = empty_project.run("show", "--table", "sales")

    assert document["reads"] == ["sales"]
    assert document["mode"] == "the window of updated_at is replaced"
    assert "Orders" in readers.out


def test_show_table_keeps_to_the_width(empty_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long docstring is cut, a line a task; a pipe gets it whole."""
    empty_project.pipeline(
        LOADS.replace(
            "class Airlines(LoadTable):",
            f'''class Airlines(LoadTable):
        """{"Names of carriers. " * 12}"""''',
        )
    )

    piped = empty_project.run("show", "--table", "airlines").out
    monkeypatch.setattr("etlctl.cli.show.width_of", lambda streams: 90)
    narrow = empty_project.run("show", "--table", "airlines").out

    assert "Names of carriers. " * 11 in piped
    assert len(narrow.splitlines()) == len(piped.splitlines())
    assert max(len(one) for one in narrow.splitlines()) <= 90
