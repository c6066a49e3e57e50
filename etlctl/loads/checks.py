"""Checks on the rows of a load, run inside its transaction; what does not hold leaves the target as it was.

    run_checks(connection, checks, …)
      check.failure(rows)      None, or what is wrong with a sample of it
      CheckFailedError         all that failed, with their Findings; a check of severity warn becomes a note

A check of one's own is a subclass of Check with `failure()`, which may return a text instead of a Finding. SQLAlchemy
is imported inside functions only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from etlctl.core import context
from etlctl.errors import CheckFailedError, LoadError
from etlctl.loads.findings import SHOWN, Finding, of_rows, of_values, plural
from etlctl.suggest import did_you_mean
from etlctl.text import printable, shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.dialects.base import TableName

Severity = Literal["error", "warn"]
Scope = Literal["load", "table"]


@dataclass(frozen=True)
class CheckedRows:
    """What a check looks at."""

    connection: sa.Connection
    """Inside the load's transaction, after its rows are in the table."""
    table: str
    rows: sa.FromClause
    """The rows of this load, or all of the table, by the check's scope; columns under the table's names."""
    params: Mapping[str, Any]
    adapt: Callable[[Any], Any]
    """A Python value in the form in which the database compares it."""
    place: Callable[[str], TableName]
    """Where a table is, by its name in a task."""

    def column(self, name: str) -> sa.ColumnElement[Any]:
        """The rows' column, by its name without case; LoadError when there is none."""
        by_name = {str(column.name).lower(): column for column in self.rows.c}  # a quoted_name keeps its case
        found = by_name.get(name.lower())
        if found is None:
            names = [column.name for column in self.rows.c]
            raise LoadError(
                f"the rows have no column {shortened(name)}; they have: {shortened(', '.join(names), 300)}."
                f"{did_you_mean(name, names)}"
            )
        return found


@dataclass(frozen=True)
class Check(ABC):
    """Something that must hold for a load's rows."""

    severity: Severity = field(default="error", kw_only=True)
    """`warn` tells it and goes on."""
    scope: Scope = field(default="load", kw_only=True)
    """`load`: the rows of this load; `table`: all rows there are after it."""

    def __post_init__(self) -> None:
        if self.severity not in ("error", "warn"):
            raise LoadError(f'check {self}: severity is "error" or "warn", not {shortened(repr(self.severity))}.')
        if self.scope not in ("load", "table"):
            raise LoadError(f'check {self}: scope is "load" or "table", not {shortened(repr(self.scope))}.')

    @abstractmethod
    def failure(self, checked: CheckedRows) -> Finding | str | None:
        """None when it holds, else what is wrong, with a few examples."""


@dataclass(frozen=True)
class NotNull(Check):
    """These columns have a value in every row."""

    columns: tuple[str, ...]

    def __str__(self) -> str:
        return _called("not_null", self.columns)

    def failure(self, checked: CheckedRows) -> Finding | None:
        import sqlalchemy as sa

        columns = [checked.column(name) for name in self.columns]
        counts = [sa.func.count() - sa.func.count(column) for column in columns]
        missing = checked.connection.execute(sa.select(*counts).select_from(checked.rows)).one()
        if not any(missing):
            return None
        told = [
            f"{plural(count, 'row')} without {name}" for name, count in zip(self.columns, missing, strict=True) if count
        ]
        sample = sa.select(checked.rows).where(sa.or_(*(column.is_(None) for column in columns))).limit(SHOWN)
        rows = checked.connection.execute(sample).all()
        return of_rows(", ".join(told), rows)


@dataclass(frozen=True)
class Unique(Check):
    """No two rows agree in all these columns; a NULL agrees with nothing, as in SQL."""

    columns: tuple[str, ...]

    def __str__(self) -> str:
        return _called("unique", self.columns)

    def failure(self, checked: CheckedRows) -> Finding | None:
        import sqlalchemy as sa

        columns = [checked.column(name) for name in self.columns]
        count = sa.func.count()
        keys = sa.select(*columns, count).where(*(column.is_not(None) for column in columns)).group_by(*columns)
        doubled = keys.having(count > 1)
        found = checked.connection.execute(doubled.order_by(count.desc(), *columns).limit(SHOWN)).all()
        if not found:
            return None
        total = checked.connection.execute(sa.select(sa.func.count()).select_from(doubled.subquery())).scalar_one()
        return of_values(plural(total, "duplicate key"), self.columns, found, total)


@dataclass(frozen=True)
class RowCount(Check):
    """As many rows as expected, at least and at most."""

    min: int | None
    max: int | None

    def __str__(self) -> str:
        bounds = [f"{name}={bound}" for name, bound in (("min", self.min), ("max", self.max)) if bound is not None]
        return f"row_count({', '.join(bounds)})"

    def failure(self, checked: CheckedRows) -> Finding | None:
        import sqlalchemy as sa

        count = checked.connection.execute(sa.select(sa.func.count()).select_from(checked.rows)).scalar_one()
        if (self.min is None or count >= self.min) and (self.max is None or count <= self.max):
            return None
        return Finding(plural(count, "row"), ("count",), ((count,),))


@dataclass(frozen=True)
class AcceptedValues(Check):
    """A column has no other values than these, or NULL."""

    column: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"accepted_values({self.column}, {shortened(', '.join(map(str, self.values)))})"

    def failure(self, checked: CheckedRows) -> Finding | None:
        import sqlalchemy as sa

        from etlctl.db.words import same_text

        column = checked.column(self.column)
        # NULL is let pass anyway; among the values it would make NOT IN hold for none
        values = [checked.adapt(value) for value in self.values if value is not None]
        texts = [same_text(column, sa.literal(value)) for value in values if isinstance(value, str)]
        others = sa.and_(
            column.not_in([value for value in values if not isinstance(value, str)]), *(sa.not_(one) for one in texts)
        )
        return _values_that(checked, column, others, "other value")


@dataclass(frozen=True)
class Relationship(Check):
    """Each value of a column is there in a column of another table; NULL need not be."""

    column: str
    to: str

    def __str__(self) -> str:
        return f"relationship({self.column}, to={self.to})"

    def failure(self, checked: CheckedRows) -> Finding | None:
        import sqlalchemy as sa

        from etlctl.db.words import exact_text, named_table

        table, _, other = self.to.rpartition(".")
        parent = named_table(checked.place(table), [other]).alias("etlctl_parent")
        column, key = checked.column(self.column), parent.c[other]
        is_text = all(isinstance(_any_value(checked, one), str) for one in (column, key))
        mine, theirs = (exact_text(column), exact_text(key)) if is_text else (column, key)
        # and not a correlated EXISTS: without an index on the parent that reads all of it for each row
        keys = sa.select(theirs).where(key.is_not(None))
        return _values_that(checked, column, mine.not_in(keys), "missing value")


@dataclass(frozen=True)
class NoRows(Check):
    """A query returns nothing; it sees the table with the new rows in it."""

    query: str

    def __str__(self) -> str:
        return f"no_rows({shortened(' '.join(self.query.split()))})"

    def failure(self, checked: CheckedRows) -> Finding | None:
        from etlctl.db.sqltext import bind, flavour_of

        flavour = flavour_of(checked.connection.dialect.name)
        bound = bind(self.query, checked.params, flavour=flavour, place="no_rows", adapt=checked.adapt)
        result = checked.connection.exec_driver_sql(bound.statement, dict(bound.values))
        if not result.returns_rows:
            raise LoadError("the query returns no rows at all; write a SELECT")
        rows = result.fetchmany(SHOWN + 1)
        result.close()
        if not rows:
            return None
        count = f"more than {SHOWN} rows" if len(rows) > SHOWN else plural(len(rows), "row")
        return of_rows(count, rows[:SHOWN])


# --- what a task writes -----------------------------------------------------------------------------------------


def not_null(*columns: str, severity: Severity = "error", scope: Scope = "load") -> Check:
    """Every row has a value in each of these columns."""
    return NotNull(_columns("not_null", columns), severity=severity, scope=scope)


def unique(*columns: str, severity: Severity = "error", scope: Scope = "load") -> Check:
    """No two rows have the same values in these columns together; a row with a NULL among them does not count."""
    return Unique(_columns("unique", columns), severity=severity, scope=scope)


def row_count(
    *, min: int | None = None, max: int | None = None, severity: Severity = "error", scope: Scope = "load"
) -> Check:
    """At least `min` rows and at most `max`."""
    if (min is None and max is None) or (min is not None and max is not None and min > max):
        raise LoadError("row_count takes min=, max= or both, and min is not above max.")
    return RowCount(min, max, severity=severity, scope=scope)


def accepted_values(
    column: str, values: Iterable[Any], *, severity: Severity = "error", scope: Scope = "load"
) -> Check:
    """The column has no values but these; NULL is let pass."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise LoadError('accepted_values takes a list of values: accepted_values("origin", ["EWR", "JFK"]).')
    return AcceptedValues(_columns("accepted_values", (column,))[0], tuple(values), severity=severity, scope=scope)


def relationship(column: str, *, to: str, severity: Severity = "error", scope: Scope = "load") -> Check:
    """Every value of the column is in `to` (`"table.column"`); NULL is let pass."""
    table, _, other = to.rpartition(".") if isinstance(to, str) else ("", "", "")
    if not table or not other:
        raise LoadError('relationship takes to="table.column": relationship("carrier", to="airlines.carrier").')
    return Relationship(_columns("relationship", (column,))[0], to, severity=severity, scope=scope)


def no_rows(query: str, *, severity: Severity = "error") -> Check:
    """The query, which may use the task's parameters as `:name`, returns no rows."""
    if not isinstance(query, str) or not query.strip():
        raise LoadError('no_rows takes a query: no_rows("SELECT * FROM flights WHERE distance < 0").')
    return NoRows(query, severity=severity, scope="table")


def run_checks(
    connection: sa.Connection,
    checks: Iterable[Any],
    *,
    table: str,
    load_rows: sa.FromClause,
    params: Mapping[str, Any],
    label: str,
    adapt: Callable[[Any], Any] = lambda value: value,
    place: Callable[[str], TableName],
) -> None:
    """Runs every check on its rows; CheckFailedError tells all that do not hold, a warning goes to the attempt's notes.

    `load_rows` are the rows of this load, with the table's column names; `label` says whose checks they are;
    `place` and `adapt` are the dialect's `table_name` and `bound`. Runs inside the caller's transaction and changes
    nothing.
    """
    from etlctl.db.words import named_table

    whole = named_table(place(table), (column.name for column in load_rows.c))
    failed = []
    for check in checks:
        if not isinstance(check, Check):
            raise LoadError(
                f"{label}: checks has {shortened(repr(check))}, which is no check; write for example "
                'checks = [not_null("carrier"), row_count(min=1)].'
            )
        rows = load_rows if check.scope == "load" else whole
        try:
            failure = check.failure(CheckedRows(connection, table, rows, params, adapt, place))
        except LoadError as error:
            raise LoadError(f"{label}: check {printable(str(check))}: {error}") from error
        if failure is None:
            continue
        finding = replace(failure if isinstance(failure, Finding) else Finding(failure), check=printable(str(check)))
        if check.severity == "warn":
            context.attempt().notes.append(f"warning: {finding.told}")
        else:
            failed.append(finding)
    if failed:
        raise CheckFailedError("\n".join(finding.told for finding in failed), failed)


# --- asked by several checks --------------------------------------------------------------------------------------


def _any_value(checked: CheckedRows, column: sa.ColumnElement[Any]) -> Any:
    import sqlalchemy as sa

    return checked.connection.execute(sa.select(column).where(column.is_not(None)).limit(1)).scalar()


def _values_that(
    checked: CheckedRows, column: sa.ColumnElement[Any], condition: sa.ColumnElement[bool], what: str
) -> Finding | None:
    """The values of the rows for which `condition` holds, with their counts."""
    import sqlalchemy as sa

    count = sa.func.count().label("etlctl_count")
    bad = sa.select(column, count).select_from(checked.rows).where(column.is_not(None), condition).group_by(column)
    found = checked.connection.execute(bad.order_by(count.desc(), column).limit(SHOWN)).all()
    if not found:
        return None
    values = bad.subquery()
    total, rows = checked.connection.execute(
        sa.select(sa.func.count(), sa.func.sum(values.c.etlctl_count)).select_from(values)
    ).one()
    return of_values(f"{plural(total, what)} in {plural(rows, 'row')}", (str(column.name),), found, total)


def _called(name: str, columns: Sequence[str]) -> str:
    return f"{name}({', '.join(columns)})"


def _columns(name: str, columns: Sequence[Any]) -> tuple[str, ...]:
    if not columns or not all(isinstance(column, str) and column for column in columns):
        raise LoadError(f'{name} takes names of columns, one text for each: {name}("carrier", …).')
    return tuple(columns)
