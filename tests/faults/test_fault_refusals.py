"""What a database refuses: a missing column, a missing right, a missing schema, a read-only database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from etlctl.core.parameters import IntParameter
from etlctl.core.results import RunSummary
from etlctl.core.task import Task
from etlctl.errors import ExitCode
from etlctl.loads.modes import append
from etlctl.loads.query import QueryTable
from etlctl.loads.table import LoadTable
from faults.faultcase import build, execute, faults, rows_of
from servers.mariadb import Mysql
from servers.postgres import Postgres
from torture.loads import ROWS, RowsLoad
from torture.places import Place, place_for


class OneRow(LoadTable):
    """A row of two columns."""

    part = IntParameter()
    table = "narrow"
    columns = {"part": "integer", "surplus": "integer"}
    mode = append

    def rows(self) -> Any:
        return [(self.part, 1)]


class InSchema(OneRow):
    """The same into a schema."""

    table = "nowhere.narrow"


class FromMissing(QueryTable):
    """A query of a table that there is not."""

    part = IntParameter()
    table = "t_query"
    columns = {"part": "integer"}
    query = "SELECT part FROM missing_source WHERE part = :part"


def failed_once(summary: RunSummary, *said: str) -> bool:
    """Exit 1, each word said, no traceback, no second try."""
    text = summary.text
    assert summary.exit_code == ExitCode.FAILED, text
    return all(word in text for word in said) and "Traceback" not in text and "tried again" not in text


def test_target_that_lacks_a_column_is_named_with_it(place: Place) -> None:
    """F24: exit 1; table and column stand in the sentence, and nothing is written."""
    execute(place, "CREATE TABLE narrow (part INTEGER)")

    assert failed_once(build(place, OneRow(1)), "narrow", "surplus")
    assert rows_of(place, "narrow") == 0


def test_missing_schema_is_named(place: Place) -> None:
    """F24: a schema is made by nobody but its owner."""
    if place.name == "sqlite":
        pytest.skip("a dot is part of the name on SQLite")

    assert failed_once(build(place, InSchema(1)), "nowhere")


def test_query_of_a_missing_table_names_it(place: Place) -> None:
    """F24, of what is read: exit 1 and the table's name."""
    assert failed_once(build(place, FromMissing(1)), "missing_source")


@pytest.mark.parametrize("server", ["postgres_server", "mariadb_server"])
def test_missing_right_is_named(request: pytest.FixtureRequest, tmp_path: Path, server: str) -> None:
    """F24: a user who may not write to the target gets exit 1 with its name; other tables are loaded."""
    found: Postgres | Mysql = request.getfixturevalue(server)
    url, seen = _poor_user(found, "narrow")
    place = place_for(url, tmp_path, seen_url=seen)

    assert failed_once(build(place, OneRow(1)), "narrow")
    assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
    assert rows_of(place, "narrow") == 0 and faults(place, RowsLoad(1), done=True) == {}

    _drop(found, url)


def _poor_user(server: Postgres | Mysql, table: str) -> tuple[str, str]:
    """A database, and its URL for a user who may do everything but write to `table`."""
    url = server.new_database()
    name = make_url(url).database
    user = f"u{str(name)[-12:]}"
    server.ask(f"CREATE TABLE {table} (part INTEGER, surplus INTEGER)", url=url)
    if isinstance(server, Postgres):
        server.ask(f"CREATE ROLE {user} LOGIN PASSWORD 'p'")
        server.ask(f"GRANT ALL ON SCHEMA public TO {user}", url=url)
        server.ask(f"GRANT SELECT ON {table} TO {user}", url=url)
    else:
        server.ask(f"CREATE USER {user}@'%' IDENTIFIED BY 'p'")
        server.ask(f"GRANT CREATE, ALTER, DROP, INDEX ON {name}.* TO {user}@'%'")
        server.ask(f"GRANT CREATE TEMPORARY TABLES, SELECT ON {name}.* TO {user}@'%'")
        for other in ("table_updates", RowsLoad.table):
            server.ask(f"GRANT CREATE, INSERT, UPDATE, DELETE ON {name}.{other} TO {user}@'%'")
    return url, make_url(url).set(username=user, password="p").render_as_string(hide_password=False)


def _drop(server: Postgres | Mysql, url: str) -> None:
    user = f"u{str(make_url(url).database)[-12:]}"
    if isinstance(server, Postgres):
        server.ask(f"DROP OWNED BY {user}", url=url)
    server.drop_database(url)
    server.ask(f"DROP ROLE {user}" if isinstance(server, Postgres) else f"DROP USER {user}@'%'")


# -- read-only


def test_read_only_postgresql_ends_with_exit_4(postgres_url: str, tmp_path: Path) -> None:
    """F26: 25006, as after a failover: the sentence says read-only; reading still works."""
    place = place_for(postgres_url, tmp_path)
    place.prepare()
    assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
    name = make_url(postgres_url).database
    execute(place, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    _check_read_only(place, build(place, RowsLoad(1), RowsLoad(2)))


def test_read_only_mariadb_ends_with_exit_4(mariadb_server: Mysql, tmp_path: Path) -> None:
    """F26: the same of a session that may only read."""
    url = mariadb_server.new_database()
    place = place_for(url, tmp_path)
    place.prepare()
    assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
    name = make_url(url).database
    user = f"u{str(name)[-12:]}"
    mariadb_server.ask(f"CREATE USER {user}@'%' IDENTIFIED BY 'p'")
    mariadb_server.ask(f"GRANT ALL ON {name}.* TO {user}@'%'")
    seen = make_url(url).set(username=user, password="p").render_as_string(hide_password=False)
    reader = place_for(url, tmp_path / "reader", seen_url=seen)
    mariadb_server.ask("SET GLOBAL read_only = 1")
    try:
        summary = build(reader, RowsLoad(1), RowsLoad(2))
    finally:
        mariadb_server.ask("SET GLOBAL read_only = 0")

    _check_read_only(reader, summary)

    mariadb_server.drop_database(url)
    mariadb_server.ask(f"DROP USER {user}@'%'")


def test_read_only_sqlite_ends_with_exit_4(tmp_path: Path) -> None:
    """F26: a file that is opened to be read alone."""
    place = place_for("sqlite://", tmp_path)
    place.prepare()
    assert build(place, RowsLoad(1)).exit_code == ExitCode.DONE
    settings = tmp_path / "config" / "etlctl.toml"
    text = settings.read_text()
    settings.write_text(text.replace("sqlite:///", "sqlite:///file:").replace(".db", ".db?mode=ro&uri=true"))

    _check_read_only(place, build(place, RowsLoad(1), RowsLoad(2)))


def _check_read_only(place: Place, summary: RunSummary) -> None:
    done: list[Task] = [RowsLoad(1)]
    assert summary.exit_code == ExitCode.UNAVAILABLE, summary.text
    assert "read-only" in summary.text or "readonly" in summary.text
    assert "Traceback" not in summary.text and "tried again" not in summary.text
    assert "UPTODATE=1" in summary.text
    assert rows_of(place, RowsLoad.table) == ROWS and faults(place, *done, done=True) == {}
