"""What each mode leaves in a table that has rows, with and without --force."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from any_warehouse import AnyWarehouse
from etlctl.core.context import Attempt, attempting
from etlctl.core.parameters import DateParameter, IntParameter, StrParameter
from etlctl.errors import BadDataError, CheckFailedError, LoadError
from etlctl.loads.checks import unique
from etlctl.loads.modes import append, merge_on, replace, replace_where
from etlctl.loads.table import LoadTable
from warehouse import Warehouse

DAY, NEXT_DAY = dt.date(2013, 1, 1), dt.date(2013, 1, 2)


class Load(LoadTable):
    """Rows that a test gives; the number makes a further load of the same table."""

    number = IntParameter(default=1)
    table = "t"
    columns: Any = {"k": "integer", "v": "text"}
    given: ClassVar[list[Any]] = []

    def rows(self) -> Any:
        return self.given


class Daily(LoadTable):
    """A partition a day, by `values`."""

    date = DateParameter()
    table = "t"
    columns: Any = {"k": "integer", "v": "text", "date": "date"}
    values = {"date": "date"}
    given: ClassVar[list[Any]] = []

    def rows(self) -> Any:
        return self.given


def forced(task: LoadTable) -> None:
    with attempting(Attempt(forced=True)):
        task.run()


def with_rows(kind: type[Any], *rows: Any, **attributes: Any) -> type[Any]:
    """A class of the same name, so of the same task_id, that gives these rows."""
    return type(kind.__name__, (kind,), {"given": list(rows), **attributes})


def test_append_adds(anywhere: AnyWarehouse) -> None:
    """The default without `values`."""
    with_rows(Load, (1, "a"))().run()
    with_rows(Load, (1, "a"))(number=2).run()

    assert anywhere.ask("SELECT k, v FROM t") == [(1, "a"), (1, "a")]


def test_replace_takes_all_rows_away(anywhere: AnyWarehouse) -> None:
    """And nothing but the rows: the table and its indexes stay."""
    with_rows(Load, (1, "a"))().run()
    anywhere.write("CREATE INDEX mine ON t (k)")

    with_rows(Load, (2, "b"), mode=replace)(number=2).run()

    assert anywhere.ask("SELECT k, v FROM t") == [(2, "b")]
    assert "mine" in [index["name"] for index in sa.inspect(anywhere.database.engine).get_indexes("t")]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)  # on MySQL DDL would commit
def test_replace_recreate_makes_the_table_anew(anywhere: AnyWarehouse) -> None:
    """With the columns of the load, in the same transaction."""
    with_rows(Load, (1, "a"))().run()

    with_rows(Load, {"k": 2, "w": 3}, columns={"k": "integer", "w": "integer"}, mode=replace(recreate=True))(
        number=2
    ).run()

    assert anywhere.ask("SELECT * FROM t") == [(2, 3)]
    assert [column["name"] for column in sa.inspect(anywhere.database.engine).get_columns("t")] == ["k", "w"]


def test_replace_where_is_the_default_with_values(anywhere: AnyWarehouse) -> None:
    """The day's rows go, another day's stay, also when the new rows are none."""
    with_rows(Daily, (1, "a"), (2, "b"))(DAY).run()
    with_rows(Daily, (1, "c"))(NEXT_DAY).run()

    forced(with_rows(Daily)(DAY))

    assert [(k, v, str(date)) for k, v, date in anywhere.ask("SELECT k, v, date FROM t")] == [(1, "c", "2013-01-02")]


def test_replace_where_looks_at_no_row_for_what_values_give(warehouse: Warehouse) -> None:
    """It is the same in all of them, and the table is locked meanwhile."""
    statements: list[str] = []
    sa.event.listen(warehouse.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    with_rows(Daily, (1, "a"))(DAY).run()

    assert any(statement.startswith("DELETE") for statement in statements)
    assert not any("count(*)" in statement for statement in statements)


def test_replace_where_takes_a_parameter_of_that_name(anywhere: AnyWarehouse) -> None:
    """Without `values` the partition is the parameter's, so rows outside it are refused."""
    kind: dict[str, Any] = {"values": {}, "mode": replace_where("date")}
    with_rows(Daily, (1, "a", DAY), **kind)(DAY).run()
    forced(with_rows(Daily, (2, "b", DAY), **kind)(DAY))
    assert anywhere.ask("SELECT k FROM t") == [(2,)]

    with pytest.raises(LoadError, match="1 of 2 rows lie outside date = 2013-01-01"):
        forced(with_rows(Daily, (3, "c", DAY), (4, "d", NEXT_DAY), **kind)(DAY))
    with pytest.raises(LoadError, match="1 of 1 rows lie outside"):
        forced(with_rows(Daily, (4, "d", None), **kind)(DAY))

    assert anywhere.ask("SELECT k FROM t") == [(2,)]


def test_replace_where_without_a_known_value_goes_by_the_rows(anywhere: AnyWarehouse) -> None:
    """The partitions that the rows have are replaced, one column or several."""
    anywhere.write(
        "CREATE TABLE t (k INTEGER, v TEXT)",
        "INSERT INTO t VALUES (1, 'old'), (1, 'older'), (2, 'kept'), (3, NULL)",
    )

    with_rows(Load, (1, "new"), mode=replace_where("k"))().run()
    with_rows(Load, (1, "new"), (3, "x"), mode=replace_where("k", "v"))(number=2).run()

    assert anywhere.ask("SELECT k, v FROM t ORDER BY k, v IS NOT NULL") == [
        (1, "new"),
        (2, "kept"),
        (3, None),
        (3, "x"),
    ]


def test_replace_where_refuses_a_null_partition_of_the_rows(anywhere: AnyWarehouse) -> None:
    """Which rows a NULL would replace cannot be told."""
    with pytest.raises(BadDataError, match="column k decides which rows are replaced, and is NULL"):
        with_rows(Load, (None, "a"), mode=replace_where("k"))().run()

    assert anywhere.count("t") == 0


def test_replace_where_of_a_column_that_is_not_there(anywhere: AnyWarehouse) -> None:
    """Says which."""
    with pytest.raises(LoadError, match=r"replace_where\('day'\): the rows have no column day; they have: k, v"):
        with_rows(Load, (1, "a"), mode=replace_where("day"))().run()


def test_merge_on_updates_and_inserts(anywhere: AnyWarehouse) -> None:
    """The table it makes has the unique constraint; rows of other keys stay; the count is that of the input."""
    with_rows(Load, (1, "a"), (2, "b"), mode=merge_on("k"))().run()

    with_rows(Load, (2, "B"), (3, "c"), mode=merge_on("k"))(number=2).run()

    assert anywhere.ask("SELECT k, v FROM t ORDER BY k") == [(1, "a"), (2, "B"), (3, "c")]
    assert [row[3] for row in anywhere.markers()] == [2, 2]


def test_merge_on_all_columns_inserts_the_new(anywhere: AnyWarehouse) -> None:
    """Keys alone: there is nothing to update."""
    kind: dict[str, Any] = {"columns": {"k": "integer"}, "mode": merge_on("k")}
    with_rows(Load, (1,), (2,), **kind)().run()

    with_rows(Load, (2,), (3,), **kind)(number=2).run()

    assert anywhere.ask("SELECT k FROM t ORDER BY k") == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(1, "a"), (2, "b"), (1, "c")], r"rows with the same key k: \(1\) ×2"),
        ([(None, "a")], r"column k is a key of merge_on\(\), and is NULL"),
    ],
)
def test_merge_on_refuses_keys_that_are_not_keys(anywhere: AnyWarehouse, rows: list[Any], said: str) -> None:
    """Twice, or NULL: alike on every database."""
    with pytest.raises(BadDataError, match=said):
        with_rows(Load, *rows, mode=merge_on("k"))().run()

    assert anywhere.count("t") == 0 and anywhere.markers() == []


def test_merge_on_needs_a_unique_index(anywhere: AnyWarehouse) -> None:
    """A table without one is not merged into; an index made by hand will do."""
    anywhere.write("CREATE TABLE t (k INTEGER, v TEXT)", "CREATE INDEX plain ON t (k)")
    with pytest.raises(LoadError, match=r"needs a unique index.*CREATE UNIQUE INDEX"):
        with_rows(Load, (1, "a"), mode=merge_on("k"))().run()

    anywhere.write("CREATE UNIQUE INDEX mine ON t (K)")
    with_rows(Load, (1, "a"), mode=merge_on("k"))().run()

    assert anywhere.count("t") == 1


@pytest.mark.parametrize(
    ("mode", "columns"),
    [
        (merge_on("K"), {"k": "integer", "v": "text"}),
        (merge_on("k"), {"K": "integer", "V": "text"}),
        (replace_where("K"), {"k": "integer", "v": "text"}),
        (replace_where("k"), {"K": "integer", "V": "text"}),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_modes_columns_are_told_without_case(
    anywhere: AnyWarehouse, mode: Any, columns: dict[str, str], is_there: bool
) -> None:
    """As databases compare names: whether the table is there already or made from the columns."""
    if is_there:
        anywhere.write("CREATE TABLE t (k INTEGER UNIQUE, v TEXT)", "INSERT INTO t VALUES (1, 'old')")

    with_rows(Load, (1, "a"), (2, "b"), mode=mode, columns=columns)().run()
    with_rows(Load, (2, "B"), mode=mode, columns=columns)(number=2).run()

    names = ", ".join(anywhere.quoted(name) for name in (("k", "v") if is_there else columns))
    assert anywhere.ask(f"SELECT {names} FROM t ORDER BY 1") == [(1, "a"), (2, "B")]


@pytest.mark.parametrize("mode", [merge_on("vv"), merge_on("k", "vv"), replace_where("vv")])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_modes_column_that_the_rows_lack_is_refused_first(anywhere: AnyWarehouse, mode: Any, is_there: bool) -> None:
    """Before the table is made, with the names that there are."""
    if is_there:
        anywhere.write("CREATE TABLE t (k INTEGER UNIQUE, v TEXT)")

    with pytest.raises(LoadError) as caught:
        with_rows(Load, (1, "a"), mode=mode)().run()

    assert str(caught.value) == (
        f"t on warehouse: {mode!r}: the rows have no column vv; they have: k, v. Did you mean 'v'?"
    )
    there = sa.inspect(anywhere.database.engine).get_table_names()
    assert ("t" in there) == is_there
    assert "table_updates" not in there or anywhere.markers() == []


def test_force_replaces_what_replace_and_partitions_wrote(anywhere: AnyWarehouse) -> None:
    """One marker, the new rows."""
    with_rows(Load, (1, "a"), mode=replace)().run()
    forced(with_rows(Load, (2, "b"), mode=replace)())

    assert anywhere.ask("SELECT k FROM t") == [(2,)]
    assert [row[2:] for row in anywhere.markers()] == [("done", 1)]


def test_force_on_append_is_refused(anywhere: AnyWarehouse) -> None:
    """What ran twice must not be there twice; the sentence says what would help."""
    with_rows(Load, (1, "a"))().run()

    with pytest.raises(LoadError, match=r"append its rows a second time.*lineage = True"):
        forced(with_rows(Load, (1, "a"))())

    assert anywhere.count("t") == 1 and len(anywhere.markers()) == 1


def test_force_on_append_that_never_ran_loads(anywhere: AnyWarehouse) -> None:
    """There is nothing to be there twice."""
    forced(with_rows(Load, (1, "a"))())

    assert anywhere.count("t") == 1


def test_force_on_append_with_values_replaces_its_own(anywhere: AnyWarehouse) -> None:
    """The rows with the values are taken for the load's."""
    with_rows(Daily, (1, "a"), mode=append)(DAY).run()
    with_rows(Daily, (1, "b"), mode=append)(NEXT_DAY).run()

    forced(with_rows(Daily, (2, "c"), mode=append)(DAY))

    assert anywhere.ask("SELECT k, v FROM t ORDER BY 1") == [(1, "b"), (2, "c")]


def test_force_on_append_with_lineage_replaces_its_own(anywhere: AnyWarehouse) -> None:
    """The added column tells whose row it is."""
    with_rows(Load, (1, "a"), lineage=True)().run()
    with_rows(Load, (1, "b"), lineage=True)(number=2).run()

    forced(with_rows(Load, (3, "c"), lineage=True)())

    assert anywhere.ask("SELECT v, etlctl_update_id FROM t ORDER BY v") == [
        ("b", Load(number=2).task_id),
        ("c", Load().task_id),
    ]


def test_lineage_added_later_does_not_pass_for_old_rows(anywhere: AnyWarehouse) -> None:
    """Rows that were written before the column was there cannot be told, so --force is refused."""
    with_rows(Load, (1, "a"))().run()

    with pytest.raises(LoadError, match="finds none of the 1 rows"):
        forced(with_rows(Load, (1, "a"), lineage=True)())

    assert anywhere.ask("SELECT k, v FROM t") == [(1, "a")] and len(anywhere.markers()) == 1


@pytest.mark.parametrize("mode", [append, replace, replace_where("k"), merge_on("k")])
def test_a_failing_check_leaves_the_target_as_it_was(anywhere: AnyWarehouse, mode: Any) -> None:
    """Whatever the mode."""
    anywhere.write("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'old')")

    with pytest.raises(CheckFailedError, match="check unique"):
        with_rows(Load, (2, "x"), (3, "x"), mode=mode, checks=[unique("v")])().run()

    assert anywhere.ask("SELECT k, v FROM t") == [(1, "old")] and anywhere.markers() == []


def test_checks_look_at_the_rows_of_the_load(anywhere: AnyWarehouse) -> None:
    """A duplicate that was there before is not this load's; scope="table" sees it."""
    with_rows(Load, (1, "x"))().run()

    with_rows(Load, (2, "x"), checks=[unique("v")])(number=2).run()

    with pytest.raises(CheckFailedError):
        with_rows(Load, (3, "y"), checks=[unique("v", scope="table")])(number=3).run()
    assert anywhere.ask("SELECT k FROM t") == [(1,), (2,)]


def test_a_mode_that_is_a_text_says_what_to_write(anywhere: AnyWarehouse) -> None:
    """Modes are objects."""
    with pytest.raises(LoadError, match="modes are objects"):
        with_rows(Load, (1, "a"), mode="replace")().run()


@pytest.mark.parametrize("mode", [append, replace, replace_where("K"), merge_on("K")])
def test_columns_of_the_table_are_found_whatever_their_case(anywhere: AnyWarehouse, mode: Any) -> None:
    """PostgreSQL, too, which tells quoted names of two cases apart."""
    anywhere.write("CREATE TABLE t (v varchar(9), k integer UNIQUE)")

    with_rows(Load, {"K": 1, "V": "a"}, columns={"K": "integer", "V": "text"}, mode=mode)().run()

    assert anywhere.ask("SELECT k, v FROM t") == [(1, "a")]


class Regional(LoadTable):
    """Appends what `values` do not tell from the rows of other days."""

    date = DateParameter()
    region = StrParameter(default="EU")
    table = "t"
    mode: Any = append
    columns: Any = {"k": "integer", "region": "varchar(9)"}
    values: Any = {"region": "region"}

    def rows(self) -> Any:
        return [(1,), (2,)]


def test_forced_append_does_not_take_the_rows_of_other_loads(anywhere: AnyWarehouse) -> None:
    """More rows than its marker speaks of are not its own."""
    for date in (DAY, NEXT_DAY):
        Regional(date=date).run()

    with pytest.raises(LoadError, match=r"--force found 4 rows with this load's values, and its marker speaks of 2"):
        forced(Regional(date=DAY))

    assert anywhere.count("t") == 4


def test_forced_append_without_a_count_wants_values_that_tell_all(anywhere: AnyWarehouse) -> None:
    """As those of a marker that Luigi wrote."""
    told = type(
        "Told", (Regional,), {"columns": {**Regional.columns, "d": "date"}, "values": {"region": "region", "d": "date"}}
    )
    for task in (Regional(date=DAY), told(date=NEXT_DAY)):
        task.evolve = True
        task.run()
    anywhere.write("UPDATE table_updates SET row_count = NULL")

    with pytest.raises(LoadError, match="its marker has no count of them, and values does not name every parameter"):
        forced(Regional(date=DAY))
    forced(told(date=NEXT_DAY))

    assert anywhere.count("t") == 4
