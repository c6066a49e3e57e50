"""MySQL and MariaDB as a Dialect, by PyMySQL (extra `mysql`): its sessions, its staging in temporary tables.

DDL commits on these servers, and what came before it too. So tables are made before a load's transaction begins, rows
are staged in temporary tables, whose CREATE and DROP do not commit, and everything else that would is refused inside.
What the server has no lock for that ends with the transaction is a named lock (GET_LOCK) that our connection frees
after COMMIT or ROLLBACK; the server itself frees it with the session.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateTable

from etlctl.db.columns import Column, ColumnType, Kind
from etlctl.db.dialects import guarding
from etlctl.db.dialects.base import AUTOCOMMIT, EnforcesKeys, Options, Records, Staged, TableColumn, TableName
from etlctl.db.dialects.mysql import values as mysql_values
from etlctl.db.words import exact_text, named_table, same_text, table_name, table_of
from etlctl.errors import EtlctlError, LoadError, SettingsError, UnavailableError

if TYPE_CHECKING:
    from etlctl.db.dialects.mysql.connection import LoadConnection
    from etlctl.db.dialects.mysql.guard import MySQLGuard

_SCHEMES = ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")
_KEPT = 2
"""Connections that stay open between loads."""
_OLDEST_KEPT_S = 1800
_SLOTS = 16
"""Named locks of one table: a part of it has one of them, all of it has all."""
_DDL_LOCK = "etlctl:ddl"
"""A named lock belongs to the whole server, as its databases do, any of which may hold a target or the markers. Its
name has 64 characters at most, and no case."""
_DUPLICATE = 1062
_OF_PRIMARY_KEY = re.compile(r"for key '(?:.*\.)?PRIMARY'\Z", re.DOTALL)


class MySQLDialect(EnforcesKeys):
    """See `Dialect`. SettingsError for a URL of another driver, and where PyMySQL is not installed."""

    name = "mysql"
    ids_per_query = 5_000
    longest_id: int | None = 255
    stages_outside = False
    has_transactional_ddl = False
    refuses_commit = False

    def __init__(self, scheme: str, shown: str) -> None:
        if scheme not in _SCHEMES:
            raise SettingsError(
                f"{shown}: loads into MySQL and MariaDB use PyMySQL. Write mysql://USER@HOST/DATABASE, without another "
                "driver."
            )
        if find_spec("pymysql") is None:
            raise SettingsError(
                f'{shown}: MySQL and MariaDB need PyMySQL, which is not installed: pip install "etlctl[mysql]"'
            )
        self._shown = shown

    # -- opening

    def make_engine(self, url: str, options: Options) -> sa.Engine:
        """See `Dialect.make_engine`. SettingsError for a URL that names no database."""

        parsed = sa.make_url(url).set(drivername="mysql+pymysql")
        if not parsed.database:
            raise SettingsError(f"{self._shown}: the URL names no database: mysql://USER@HOST/DATABASE.")
        engine = sa.create_engine(
            parsed,
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=_KEPT,
            max_overflow=-1,
            pool_pre_ping=True,
            pool_use_lifo=True,
            pool_recycle=_OLDEST_KEPT_S,
        )

        @event.listens_for(engine, "do_connect")
        def _connect(_: Any, __: Any, ___: Any, arguments: dict[str, Any]) -> Any:
            return self._connected(arguments, options)

        @event.listens_for(engine, "begin")
        def _begun(connection: sa.Connection) -> None:
            raw = _raw(connection)
            if connection.get_execution_options().get(AUTOCOMMIT):
                raw.autocommit(True)
            else:
                raw.begin()

        @event.listens_for(engine, "reset")
        def _reset(raw: Any, *_: Any) -> None:
            raw.make_fit_for_others()

        guarding.listen(engine)
        return engine

    def _connected(self, arguments: dict[str, Any], options: Options) -> Any:
        """A session; UnavailableError for what PyMySQL cannot do as the URL says."""
        from etlctl.db.dialects.mysql.connection import make_connection

        if isinstance(arguments.get("ssl"), str):
            wrong = "has the option 'ssl', which takes no text; ssl_ca=FILE asks for TLS, and looks at the certificate"
            raise UnavailableError(f"{self._shown}: the URL {wrong}. Mend the URL.")
        try:
            return make_connection(arguments, options)
        except TypeError as error:
            option = re.search(r"keyword argument '(\w+)'", str(error))
            wrong = f"has the option {option[1]!r}, which PyMySQL does not take" if option else f"is refused: {error}"
            raise UnavailableError(f"{self._shown}: the URL {wrong}. Mend the URL.") from error
        except (RuntimeError, ValueError, OSError) as error:
            files = [value for value in arguments.get("ssl", {}).values() if isinstance(value, str)]
            missing = next((file for file in files if not Path(file).exists()), None)
            wrong = f"the file {missing} of the URL is not there" if missing else str(error)
            raise UnavailableError(f"{self._shown}: PyMySQL cannot log in as the URL says: {wrong}.") from error

    def table_name(self, table: str) -> TableName:
        """See `Dialect.table_name`."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        return mysql_catalog.table_name(table)

    def checked_column(self, name: str, table: str) -> str:
        """See `Dialect.checked_column`."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        return mysql_catalog.checked_column(name, table)

    def is_absent(self, url: str) -> bool:
        """Never: a database that is missing is an error of the server's."""
        return False

    def is_same(self, url: str, other: str) -> bool:
        """Whether both name the same server and database in the same words, whoever the user is."""
        first, second = sa.make_url(url), sa.make_url(other)
        if any(one.drivername.partition("+")[0] not in ("mysql", "mariadb") for one in (first, second)):
            return False
        return _server(first) == _server(second)

    def prepare_to_write(self, url: str) -> None:
        """Nothing: the server is there or it is not."""

    # -- a load

    def open_staging(self, connection: sa.Connection) -> None:
        """Nothing: temporary tables need no room made."""

    def stage_records(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], records: Records
    ) -> Staged:
        """See `Dialect.stage_records`."""
        from etlctl.db.dialects.mysql.inserts import insert_all, quoted

        staged = self._new_staging(connection, name, columns)
        rows = insert_all(_raw(connection), quoted(name), records)
        return Staged(staged, tuple(column.name for column in columns), rows)

    def insert_records(self, connection: sa.Connection, table: str, records: Records) -> int:
        """See `Dialect.insert_records`."""
        from etlctl.db.dialects.mysql.inserts import insert_all, quoted
        from etlctl.db.dialects.mysql.limits import limits_of

        name = self.table_name(table)
        self._refuse_shadowed(connection, name)
        place = ".".join(quoted(part) for part in name if part is not None)
        limits = limits_of(connection, name, [*records.columns, *(records.constants or {})])
        return insert_all(_raw(connection), place, records, limits)

    def stage_query(
        self, connection: sa.Connection, name: str, columns: Sequence[Column], query: str, parameters: Any
    ) -> Staged:
        """See `Dialect.stage_query`."""
        staged = self._new_staging(connection, name, [_exact(column) for column in columns])
        quote = connection.dialect.identifier_preparer.quote_identifier
        names = ", ".join(quote(column.name) for column in columns)
        # on one line with the query's first, so that a line in the server's words is the query's own
        into = f"INSERT INTO {quote(name)} ({names}) "
        wrote = connection.exec_driver_sql(into + query, parameters).rowcount
        return Staged(staged, tuple(column.name for column in columns), wrote)

    def _new_staging(self, connection: sa.Connection, name: str, columns: Sequence[Column]) -> sa.TableClause:
        """A temporary table, which is dropped with the load, or when the session is given back."""
        place = table_name(name)
        made = table_of(place, columns, self, prefixes=["TEMPORARY"], **self.table_options(connection))
        connection.execute(CreateTable(made))
        _raw(connection).staged.append(name)
        return named_table(place, (column.name for column in columns))

    def query_columns(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[Column]:
        """See `Dialect.query_columns`."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        return mysql_catalog.query_columns(connection, query, parameters)

    def result_types(
        self, connection: sa.Connection, query: str, parameters: Any, *, without_parameters: str
    ) -> list[ColumnType | None]:
        """See `Dialect.result_types`."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        return mysql_catalog.result_types(connection, query, parameters)

    def drop_staged(self, connection: sa.Connection, staged: Staged) -> None:
        """See `Dialect.drop_staged`."""
        raw = _raw(connection)
        raw.drop_staged([staged.table.name])

    def fit_staged(self, connection: sa.Connection, table: str, staged: Staged) -> None:
        """See `Dialect.fit_staged`. BadDataError for a value that the table's column would change in silence."""
        from etlctl.db.dialects.mysql import limits as mysql_limits

        columns = [Column(name, ColumnType(Kind.TEXT)) for name in staged.columns]
        self._refuse_shadowed(connection, self.table_name(table))
        limits = mysql_limits.limits_of(connection, self.table_name(table), columns)
        mysql_limits.refuse_staged(connection, limits, staged)

    def insert_staged(self, connection: sa.Connection, table: str, staged: Staged) -> int:
        """See `Dialect.insert_staged`."""
        target = named_table(self.table_name(table), staged.columns)
        rows = sa.select(*(staged.table.c[name] for name in staged.columns))
        return connection.execute(sa.insert(target).from_select(list(staged.columns), rows)).rowcount

    def _refuse_shadowed(self, connection: sa.Connection, name: TableName) -> None:
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        if _raw(connection).may_be_shadowed:
            mysql_catalog.refuse_shadowed(connection, name)

    def ids_among(self, column: sa.ColumnElement[str], ids: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Dialect.ids_among`."""
        return column.in_(ids)

    def insert_marker(self, connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """See `Dialect.insert_marker`. A plain INSERT, whose one harmless error is that the key is there: INSERT IGNORE
        would take an id that is too long for a shorter one."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        name = TableName(table.schema, table.name)  # type: ignore[arg-type]  # both are quoted names
        raw = _raw(connection)
        self._refuse_shadowed(connection, name)
        if name not in raw.checked:
            mysql_catalog.refuse_without_transactions(connection, name)
            raw.checked.add(name)
        for key in ("update_id", "target_table"):
            if len(values[key]) > mysql_values.LONGEST_ID:
                raise LoadError(
                    f"the {key} has {len(values[key])} characters, and the marker table on MySQL takes "
                    f"{mysql_values.LONGEST_ID}. Give the task a shorter one."
                )
        try:
            connection.execute(sa.insert(table).values(values))
        except sa.exc.IntegrityError as error:
            if not _is_duplicate_key(error.orig):
                raise
            return False
        return True

    def guard(self, connection: sa.Connection) -> AbstractContextManager[MySQLGuard]:
        """See `Dialect.guard`."""
        from etlctl.db.dialects.mysql import guard as mysql_guard

        return mysql_guard.guarding(connection)

    # -- tables

    def lock_target(self, connection: sa.Connection, table: str, part: str | None) -> None:
        """See `Dialect.lock_target`; two parts may share a lock, and then wait for each other all the same."""
        raw = _raw(connection)
        name = self.table_name(table)
        place = f"{name.schema or _database(raw)}.{name.name}"  # by one name, however a task spells it
        slots = range(_SLOTS) if part is None else [int(_digest(part)[:8], 16) % _SLOTS]
        for slot in slots:
            raw.lock_until_the_end(f"etlctl:{_digest(f'{place.lower()}:{slot}')[:40]}")

    @contextmanager
    def lock_for_ddl(self, connection: sa.Connection) -> Iterator[None]:
        """See `Dialect.lock_for_ddl`."""
        raw = _raw(connection)
        raw.lock(_DDL_LOCK)
        try:
            yield
        finally:
            if raw.open:  # else the server has freed it
                raw.unlock(_DDL_LOCK)

    def table_columns(self, connection: sa.Connection, name: TableName) -> list[TableColumn] | None:
        """See `Dialect.table_columns`. LoadError for a table of an engine without transactions."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        return mysql_catalog.table_columns(connection, name)

    def unique_keys(self, connection: sa.Connection, name: TableName) -> list[frozenset[str]]:
        """See `Dialect.unique_keys`."""
        from etlctl.db.dialects.mysql import catalog as mysql_catalog

        return mysql_catalog.unique_keys(connection, name)

    def is_partitioned(self, connection: sa.Connection, name: TableName) -> bool:
        """No."""
        return False

    def table_options(self, connection: sa.Connection) -> Mapping[str, Any]:
        """InnoDB, UTF-8, and a collation by which texts are equal only when they are the same."""
        return {
            "mysql_engine": "InnoDB",
            "mysql_charset": "utf8mb4",
            "mysql_collate": _raw(connection).binary_collation,
        }

    def type_ddl(self, column_type: ColumnType, *, is_key: bool = False) -> str:
        """See `Dialect.type_ddl`."""
        return mysql_values.ddl(column_type, is_key=is_key)

    def stored(self, column_type: ColumnType, value: object) -> Any:
        """See `Dialect.stored`."""
        return mysql_values.stored(column_type, value)

    def bound(self, value: object) -> Any:
        """See `Dialect.bound`."""
        return mysql_values.bound(value)

    def create_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.create_markers`."""
        from etlctl.db.dialects.mysql import markers as mysql_markers

        mysql_markers.create(connection, table, _raw(connection).binary_collation)

    def adopt_markers(self, connection: sa.Connection, table: sa.Table) -> None:
        """See `Dialect.adopt_markers`."""
        from etlctl.db.dialects.mysql import markers as mysql_markers

        mysql_markers.adopt(connection, table, _raw(connection).binary_collation)

    # -- errors

    def translated(self, error: BaseException, *, doing: str, shown_url: str) -> EtlctlError | None:
        """See `Dialect.translated`."""
        from etlctl.db.dialects.mysql import errors as mysql_errors

        return mysql_errors.translated(error, doing=doing, shown_url=shown_url)


@compiles(exact_text, "mysql")
def _exact_text(element: exact_text, compiler: Any, **options: Any) -> str:
    (text,) = (compiler.process(part, **options) for part in element.clauses)
    return f"CAST(CONVERT({text} USING utf8mb4) AS BINARY)"


@compiles(same_text, "mysql")
def _same_text(element: same_text, compiler: Any, **options: Any) -> str:
    """Byte for byte, since most tables of others compare without case, accents and blanks at the end; the first part is
    what finds an index."""
    column, value = (compiler.process(part, **options) for part in element.clauses)
    in_bytes = f"CAST(CONVERT({column} USING utf8mb4) AS BINARY) = CAST(CONVERT({value} USING utf8mb4) AS BINARY)"
    return f"({column} = {value} AND {in_bytes})"


def _raw(connection: sa.Connection) -> LoadConnection:
    raw: Any = connection.connection.driver_connection
    found: LoadConnection = raw
    return found


def _exact(column: Column) -> Column:
    """The column for what a query gives: a numeric without sizes is not rounded before it is looked at."""
    if column.type != ColumnType(Kind.NUMERIC):
        return column
    return replace(column, type=ColumnType(Kind.NUMERIC, precision=65, scale=30))


def _server(url: sa.URL) -> tuple[str, int, str | None]:
    host = (url.host or "localhost").lower()
    return host, url.port or 3306, url.database


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _database(raw: LoadConnection) -> str:
    return raw.db.decode() if isinstance(raw.db, bytes) else str(raw.db)


def _is_duplicate_key(error: BaseException | None) -> bool:
    if error is None or error.args[:1] != (_DUPLICATE,):
        return False
    return _OF_PRIMARY_KEY.search(str(error.args[1])) is not None
