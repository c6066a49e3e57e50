"""Incremental: what is new in a source table, by a column that grows; window.py says from where to where.

    Incremental.run()
      the window        from the target's greatest value of the cursor less the look-back, to the end of the date
                        (a forced run: the window that its marker has kept)
      statement run     WHERE cursor >= … AND cursor < …, and the rows without a cursor, which are refused
      rows              the window in the target is replaced, or they are merged, or appended
      marker 'done'     its inputs keep the window

The greatest value is asked for with the table locked to other loads of it, so that two dates that run at once do not
take one window twice.
"""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etlctl.core import context
from etlctl.core.parameters import ParameterVisibility
from etlctl.db.columns import BadValueError, Column
from etlctl.errors import BadDataError, LoadError, TransientError
from etlctl.loads import modes
from etlctl.loads.copysource import Source, SourceRows
from etlctl.loads.copytable import CopyTable
from etlctl.loads.rowsload import Input
from etlctl.loads.window import Cursor, Window, cursor_of, end_of, recorded
from etlctl.text import shortened

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etlctl.db.dialects.base import Staged
    from etlctl.db.sessions import OpenLoad, Session
    from etlctl.db.sqltext import BoundSQL


@dataclass
class _Reading:
    """What one run reads; the window is known once the target may be asked."""

    source: Source
    wanted: Sequence[Column]
    """The columns to read, as the source has them."""
    cursor: Cursor
    place: int
    """Of the cursor among `wanted`."""
    there: Column
    """The cursor in the source."""
    here: Column
    """The cursor in the target."""
    part: Mapping[str, Any]
    """Values of the target's columns that tell the rows of this load's kind from others."""
    window: Window | None = None
    record: dict[str, Any] | None = None
    """What the marker keeps of the window, where a marker that was there has kept it."""

    @property
    def known(self) -> Window:
        """The window, which must be known by now."""
        if self.window is None:
            raise AssertionError("the window is asked for before the target was")
        return self.window

    def statement(self) -> BoundSQL:
        """Rows inside the window, and those that have no cursor where the source lets there be any."""
        source, window, values = self.source, self.known, dict[str, Any]()
        column = source.quoted(self.there.name)
        conditions = []
        for name, sign, bound in (("etlctl_from", ">=", window.low), ("etlctl_to", "<", window.high)):
            if bound is not None:
                conditions.append(f"{column} {sign} {source.placeholder(name)}")
                values[name] = source.database.dialect.bound(self.cursor.of_type(self.there.type, bound))
        condition = " AND ".join(conditions)
        if conditions and self.there.nullable:
            condition = f"{condition} OR {column} IS NULL"
        return source.selecting(self.wanted, condition, values)

    def seen(self, rows: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """The rows, looked at: each must have a cursor inside the window, as Python understands it too."""
        for number, row in enumerate(rows, start=1):
            value = row[self.place]
            if value is None:
                raise BadDataError(
                    f"{self._at(number)} is NULL, so the row belongs to no day and would never be loaded. Leave such "
                    f"rows out, or give them a value, in the query: coalesce({self.there.name}, …)."
                )
            if isinstance(value, str):
                self._check_text(value, number)
            yield row

    def _check_text(self, text: str, number: int) -> None:
        """A database that keeps instants as text compares it as text; another form of it would be lost or doubled."""
        try:
            moment = self.cursor.value(text)
        except BadValueError as error:
            raise BadDataError(f"{self._at(number)}: {error}") from error
        if not self.known.holds(moment):
            raise BadDataError(
                f"{self._at(number)} is {shortened(text)!r}, which the source takes to lie {self.known}, and it does "
                "not: it compares texts. Write the column as 2013-01-31 05:00:00 there, in UTC, or in the query."
            )

    def _at(self, number: int) -> str:
        return f"{self.source.name}: row {number}, column {shortened(self.there.name)}"


class Incremental(CopyTable):
    """Copies what is new in a source by the column `cursor`, once for each value of its date parameter.

    The window begins at the greatest value of the cursor in `table`, less `look_back`, and ends with the date
    parameter's day (month, hour …); an empty table is filled from the beginning. It is kept in the marker's inputs, and
    --force loads the same window again. Rows that change, and get a new cursor by that, want `mode = merge_on(key)`.
    Without a mode the rows of the window are replaced: right where a row keeps its cursor. `append` takes no look_back,
    and begins behind the greatest value. What comes later than the look-back allows for is not seen.

    A whole number for a cursor has no end: what is there when it runs is copied. Where `values` gives a column of the
    table from another parameter, or from an attribute of the class, all of this is about the rows with that value.
    """

    cursor: Any = None
    """The column that grows: a date, a timestamp or a whole number."""
    look_back: Any = None
    """How much of what was copied before is looked at again: a timedelta, or a number; None is nothing."""
    date_parameter: Any = None
    """The parameter whose day ends the window; None is the only one there is."""
    time_zone: Any = "UTC"
    """Where the day ends, for timestamps."""

    @property
    def load_mode(self) -> modes.Mode:
        """The mode in force: merge_on(…), append, or the window of the cursor is replaced."""
        where = type(self).__name__
        if self.mode is None:
            return modes.ReplaceWindow(self._cursor_name)
        mode = modes.as_mode(self.mode, where=where)
        if isinstance(mode, modes.Append) and self.look_back:
            raise LoadError(
                f"{where}: append would add what look_back looks at a second time. Leave look_back out, or the mode, "
                'or write mode = merge_on("key").'
            )
        if isinstance(mode, modes.MergeOn | modes.Append):
            return mode
        raise LoadError(
            f"{where}: mode = {shortened(repr(mode))} would take rows away that this load does not bring again. Leave "
            'mode out, and the window is replaced; or write mode = merge_on("key").'
        )

    def check_settings(self) -> None:
        """See CopyTable; also whether there is a date parameter, a cursor and a mode that fits."""
        super().check_settings()
        _ = self.load_mode, self._following

    def force_refusal(self) -> str | None:
        """Appended rows are found again by their lineage alone: other loads have other rows with the same values."""
        if not isinstance(self.load_mode, modes.Append) or self.lineage:
            return None
        return (
            f"{self.doing}: --force would append its rows a second time, since nothing in them tells which load wrote "
            "them. Give the class lineage = True or another mode; or delete the rows and their marker."
        )

    # -- the window

    def input_of(
        self,
        session: Session,
        source: Source,
        there: Sequence[Column],
        carried: Sequence[Column],
        constants: Mapping[Column, Any],
    ) -> Input:
        """The rows of the window; it is known here only where rows are staged outside the transaction."""
        reading = self._reading(source, there, carried, constants)
        if context.attempt().forced:
            self._take_recorded(session, reading)
        if self.database.dialect.stages_outside and reading.record is None:
            with session.asking() as connection:
                reading.window = self._window(connection, reading)
        rows = SourceRows(source, reading.statement, reading.seen)
        streamed = self.streamed(source, rows, carried, constants, lambda: self._described(session, reading))
        return replace(streamed, note=lambda count: self._note(reading, count), matter=reading)

    def load(self, load: OpenLoad) -> None:
        """Rows of the window into the table, which no other load of ours writes meanwhile."""
        reading: _Reading = load.prepared.source.matter
        connection, database = load.connection, load.database
        name = reading.here.name.lower()  # as declared; the table may have it in another case
        reading.here = next(column for column in load.prepared.columns if column.name.lower() == name)
        with database.translating(self.doing):
            database.dialect.lock_target(connection, self.table, None)
            if reading.record is None:
                window = self._window(connection, reading)
                if reading.window is not None and window != reading.window:
                    raise TransientError(
                        f"{self.doing}: another load moved the end of the table while the rows were read, from "
                        f"{reading.window.low} to {window.low}; run it again."
                    )
                reading.window = window
        super().load(load)

    def take_out(self, load: OpenLoad, staged: Staged | None, columns: Sequence[Column]) -> None:
        """The window of the cursor goes, where it is what the mode replaces."""
        if not isinstance(self.load_mode, modes.ReplaceWindow):
            super().take_out(load, staged, columns)
            return
        from etlctl.db import windows

        reading: _Reading = load.prepared.source.matter
        bounds = (self._kept(reading, reading.known.low), self._kept(reading, reading.known.high))
        windows.delete_between(load.connection, load.database, self.table, reading.here.name, bounds, reading.part)

    def _reading(
        self,
        source: Source,
        there: Sequence[Column],
        carried: Sequence[Column],
        constants: Mapping[Column, Any],
    ) -> _Reading:
        name = self._cursor_name.lower()
        wanted = self._wanted(source, there, carried)
        places = [index for index, column in enumerate(carried) if column.name.lower() == name]
        if not places:
            raise LoadError(
                f"{self.doing}: the cursor {shortened(self._cursor_name)} is not among the columns that are copied: "
                f"{shortened(', '.join(column.name for column in carried), 300)}."
            )
        in_source = next(column for column in there if column.name.lower() == name)
        here = carried[places[0]]
        cursor = cursor_of(here.name, in_source.type, here.type, self.doing)
        if self.look_back is not None:
            cursor.check_look_back(self.look_back, type(self).__name__)
        part = {column.name: value for column, value in constants.items() if self._is_of_class(column.name)}
        return _Reading(source, wanted, cursor, places[0], in_source, here, part)

    def _window(self, connection: sa.Connection, reading: _Reading) -> Window:
        from etlctl.db import windows

        cursor = reading.cursor
        high = end_of(cursor.kind, self._following, self.time_zone, type(self).__name__)
        raw = windows.greatest(connection, self.database, self.table, reading.here.name, reading.part)
        if raw is None:
            return Window(None, high)
        greatest = cursor.value(raw)
        if isinstance(self.load_mode, modes.Append):
            return Window(cursor.after(greatest), high)
        return Window(greatest if self.look_back is None else cursor.before(greatest, self.look_back), high)

    def _take_recorded(self, session: Session, reading: _Reading) -> None:
        """The window of the marker that is there; one of appended rows ends with the last of them, where the next
        load's began."""
        from etlctl.db import markers

        with session.asking() as connection:
            found = recorded(markers.inputs_of(connection, self.database, self.output().key), reading.cursor)
        if found is None:
            return
        reading.window, last, reading.record = found
        if isinstance(self.load_mode, modes.Append):
            if last is None:
                reading.window = reading.cursor.nothing_of(reading.window)
            else:
                reading.window = Window(reading.window.low, reading.cursor.after(last))

    def _described(self, session: Session, reading: _Reading) -> dict[str, Any]:
        from etlctl.db import windows

        kept, window = reading.cursor.kept, reading.known
        record = reading.record
        if record is None:
            record = {"cursor": reading.cursor.name, "from": kept(window.low), "to": kept(window.high)}
            if isinstance(self.load_mode, modes.Append):
                here = reading.here.name
                raw = windows.greatest(session.connection, self.database, self.table, here, reading.part)
                record["last"] = kept(None if raw is None else reading.cursor.value(raw))
        return {**reading.source.described, **record}

    def _note(self, reading: _Reading, count: int) -> str | None:
        if count or not reading.known.is_empty:
            return None
        return f"{shortened(str(self.table))} already reaches {reading.known.low}, beyond {reading.known.high}: 0 rows"

    def _kept(self, reading: _Reading, value: Any) -> Any:
        if value is None:
            return None
        return self.database.dialect.stored(reading.here.type, reading.cursor.of_type(reading.here.type, value))

    # -- what the class says

    @property
    def _cursor_name(self) -> str:
        if not isinstance(self.cursor, str) or not self.cursor:
            raise LoadError(
                f"{type(self).__name__}: cursor is {shortened(repr(self.cursor))}; name the column that grows: "
                'cursor = "updated_at".'
            )
        return self.cursor

    @property
    def _following(self) -> Any:
        """The next value of the date parameter, before whose beginning the window ends; None after the last."""
        name, parameter = self._date_parameter()
        value = self.param_kwargs[name]
        return None if value is None else parameter.next_in_enumeration(value)

    def _date_parameter(self) -> tuple[str, Any]:
        where = type(self).__name__
        dates = {name: one for name, one in self.get_params() if isinstance(self.param_kwargs[name], dt.date)}
        name = self.date_parameter
        if name is None and len(dates) > 1:
            raise LoadError(
                f"{where} has several parameters that are dates: {', '.join(dates)}. Say which one ends the window: "
                f'date_parameter = "{next(iter(dates))}".'
            )
        if name is None:
            name = next(iter(dates), None)
        if name not in dates:
            raise LoadError(
                f"{where} has no date parameter{f' {shortened(repr(name))}' if name else ''}, so it would run once and "
                "never again: each update_id loads once. Give it date = DateParameter(), and build it for each day."
            )
        parameter: Any = dates[name]
        if not parameter.significant or parameter.visibility is not ParameterVisibility.PUBLIC:
            raise LoadError(
                f"{where}: {name} must be significant and public, so that it is part of the update_id: else the first "
                "day that runs hides all others."
            )
        return name, parameter

    def _is_of_class(self, column: str) -> bool:
        """Whether `values` gives the column what all loads of this class, or all with the same further parameters,
        give it: then their rows are told from others by it."""
        source = next((source for name, source in self.values.items() if name.lower() == column.lower()), None)
        if not isinstance(source, str):
            return isinstance(source, _FIXED)
        parameters = dict(self.get_params())
        if source in parameters:
            return parameters[source].significant and source != self._date_parameter()[0]
        return isinstance(inspect.getattr_static(type(self), source, None), _FIXED)


_FIXED = (str, int, float, Decimal)
"""What an attribute of a class may be to be taken for fixed: a date is rather the day of something."""
