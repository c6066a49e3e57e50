"""Does real Luigi's marker table say "done" to etlctl, and etlctl's to Luigi? Needs the network once, for Luigi.

    python tools/check_luigi.py            all cases; ends with 1 when one does not hold
    python tools/check_luigi.py --record   also writes tests/faults/luigi_markers/*.sql, which an ordinary test reads

Luigi gets an environment of its own in build/luigi, with SQLAlchemy below 2, which its contrib.sqla needs. Each case
is one of its contrib modules on one database: Luigi loads two days; `etlctl plan` must say 0 to run; etlctl loads the
third; Luigi must say complete to all three, and be able to load a fourth; `etlctl plan` must say 0 to run to all four.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from sqlalchemy import make_url  # noqa: E402  the path above comes first

from servers.mariadb import MariadbServer, mariadb  # noqa: E402  as above
from servers.postgres import PostgresServer, postgres  # noqa: E402  as above

ENVIRONMENT = REPOSITORY / "build" / "luigi"
PACKAGES = ("luigi==3.8.1", "SQLAlchemy<2", "psycopg2-binary", "mysql-connector-python", "PyMySQL")
RECORDS = REPOSITORY / "tests" / "faults" / "luigi_markers"
CASES = (
    ("postgres", "postgresql"),
    ("mysqldb", "mysql"),
    ("sqla", "sqlite"),
    ("sqla", "postgresql"),
    ("sqla", "mysql"),
)
DAYS = ("2013-01-01", "2013-01-02", "2013-01-03", "2013-01-04")
FLOWS = RECORDS / "load_flights.py"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    _make_environment()
    wrong = []
    with tempfile.TemporaryDirectory() as folder, postgres() as pg, mariadb() as my:
        for contrib, database in CASES:
            name = f"{contrib}-{database}"
            found = _Case(contrib, database, Path(folder, name), pg, my).problems(record=given.record)
            print(f"{name}: {'; '.join(found) or 'agrees both ways'}")
            wrong.extend(found)
    return int(bool(wrong))


class _Case:
    """One contrib module of Luigi on one database."""

    def __init__(self, contrib: str, database: str, folder: Path, pg: PostgresServer, my: MariadbServer) -> None:
        self.contrib = contrib
        self.database = database
        self.folder = folder
        (folder / "pipelines").mkdir(parents=True)
        (folder / "pipelines" / "flights.py").write_text(FLOWS.read_text())
        servers: dict[str, PostgresServer | MariadbServer] = {"postgresql": pg, "mysql": my}
        self.server = servers.get(database)
        self.url = self.server.new_database() if self.server else f"sqlite:///{folder / 'warehouse.db'}"
        (folder / "etlctl.toml").write_text(f'[connections.warehouse]\nurl = "{self.url}"\n')

    def problems(self, *, record: bool) -> list[str]:
        """Sentences on what does not hold."""
        wrong = []
        self._luigi("build", *DAYS[:2])
        if record:
            RECORDS.mkdir(exist_ok=True)
            (RECORDS / f"{self.contrib}-{self.database}.sql").write_text(self._recorded())
        if self._to_run(DAYS[1]) != 0:
            wrong.append("after Luigi's loads, etlctl has something to run")
        self._etlctl("build", "LoadFlights", "--date", DAYS[2])
        if not all(self._luigi("complete", *DAYS[:3]).values()):
            wrong.append("after a load of etlctl, Luigi misses something")
        if not all(self._luigi("build", DAYS[3]).values()):
            wrong.append("Luigi cannot write its marker any more")
        if self._to_run(DAYS[3]) != 0:
            wrong.append("after Luigi's last load, etlctl has something to run")
        return wrong

    def _luigi(self, *words: str) -> dict[str, bool]:
        what, *days = words
        script = REPOSITORY / "tools" / "luigi_side.py"
        command = [str(ENVIRONMENT / "bin" / "python"), str(script), what, self.contrib, self.url]
        done = subprocess.run([*command, *days], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"Luigi's half of {self.contrib} on {self.database} failed:\n{done.stderr}")
        answer: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def _etlctl(self, *words: str) -> str:
        command = [sys.executable, "-m", "etlctl", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def _to_run(self, last: str) -> int:
        document = json.loads(self._etlctl("plan", "LoadFlights", "--date", f"{DAYS[0]}..{last}", "--json"))
        return int(document["counts"]["run"])

    def _recorded(self) -> str:
        """The statements that make what Luigi has left."""
        made = {"sqlite": self._of_sqlite, "postgresql": self._of_postgres, "mysql": self._of_mysql}[self.database]()
        what = f"what luigi.contrib.{self.contrib} ({PACKAGES[0]}) left on {self.database}"
        return f"-- {what}: tools/check_luigi.py --record\n" + "".join(f"{statement};\n" for statement in made)

    def _of_sqlite(self) -> list[str]:
        with sqlite3.connect(self.folder / "warehouse.db") as connection:
            lines = [line.rstrip(";") for line in connection.iterdump()]
        connection.close()
        return [line for line in lines if line.startswith(("CREATE", "INSERT"))]

    def _of_postgres(self) -> list[str]:
        assert isinstance(self.server, PostgresServer)
        at = make_url(self.url)
        command = [
            self.server.bindir / "pg_dump",
            "--inserts",
            "--no-owner",
            "-h",
            at.host,
            "-p",
            str(at.port),
            "-U",
            at.username,
        ]
        text = subprocess.run([*map(str, command), str(at.database)], capture_output=True, text=True, check=True).stdout
        lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET", "SELECT"))]
        return [statement.strip() for statement in f"{chr(10).join(lines)}\n".split(";\n") if statement.strip()]

    def _of_mysql(self) -> list[str]:
        assert isinstance(self.server, MariadbServer)
        made = []
        for table in ("flights", "table_updates"):
            made.append(self.server.ask(f"SHOW CREATE TABLE {table}", url=self.url)[0][1])
            for row in self.server.ask(f"SELECT * FROM {table}", url=self.url):  # noqa: S608  a name from above
                values = ", ".join(str(value) if isinstance(value, int) else f"'{value}'" for value in row)
                made.append(f"INSERT INTO {table} VALUES ({values})")  # noqa: S608  as above, and Luigi's own values
        return made


def _make_environment() -> None:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


if __name__ == "__main__":
    sys.exit(main())
