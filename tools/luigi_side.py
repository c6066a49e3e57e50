"""The Luigi half of check_luigi.py: runs in an environment of its own, with luigi and SQLAlchemy below 2.

    luigi_side.py build CONTRIB PLACE DAY…       runs real Luigi's CopyToTable for these days
    luigi_side.py complete CONTRIB PLACE DAY…    prints, as JSON, what its complete() says of each

CONTRIB is postgres, mysqldb or sqla; PLACE is a URL. The task is that of check_luigi.py: same name, same parameters.
"""

# mypy: ignore-errors
# written for packages that are not installed here, and that ship no types

from __future__ import annotations

import datetime
import json
import sys
from urllib.parse import urlsplit

import luigi

CONTRIB, PLACE = sys.argv[2], sys.argv[3]
AT = urlsplit(PLACE)
ROWS = [("UA", 1545, "2.5"), ("AA", 1141, "-3")]


class _Server:
    """Where, in the words of contrib.postgres and contrib.mysqldb."""

    host = f"{AT.hostname}:{AT.port}"
    database = AT.path.strip("/")
    user = AT.username
    password = AT.password or ""
    table = "flights"


if CONTRIB == "postgres":
    from luigi.contrib.postgres import CopyToTable

    class LoadFlights(_Server, CopyToTable):
        """As the tutorial has it."""

        date = luigi.DateParameter()
        columns = [("date", "DATE"), ("carrier", "TEXT"), ("flight", "INT"), ("delay", "NUMERIC")]

        def rows(self):
            for row in ROWS:
                yield (str(self.date), *row)

elif CONTRIB == "mysqldb":
    from luigi.contrib.mysqldb import CopyToTable

    class LoadFlights(_Server, CopyToTable):
        """The same."""

        date = luigi.DateParameter()
        columns = [("date", "DATE"), ("carrier", "VARCHAR(2)"), ("flight", "INT"), ("delay", "NUMERIC(6,1)")]

        def rows(self):
            for row in ROWS:
                yield (str(self.date), *row)

else:
    import sqlalchemy
    from luigi.contrib.sqla import CopyToTable

    class LoadFlights(CopyToTable):
        """The same; here the marker comes in a transaction of its own."""

        date = luigi.DateParameter()
        connection_string = PLACE
        table = "flights"
        columns = [
            (["date", sqlalchemy.Date()], {}),
            (["carrier", sqlalchemy.String(2)], {}),
            (["flight", sqlalchemy.Integer()], {}),
            (["delay", sqlalchemy.Numeric(6, 1)], {}),
        ]

        def rows(self):
            for row in ROWS:
                yield (self.date, row[0], row[1], float(row[2]))


def main() -> None:
    """See the module."""
    tasks = [LoadFlights(datetime.date.fromisoformat(day)) for day in sys.argv[4:]]
    if sys.argv[1] == "build":
        assert luigi.build(tasks, local_scheduler=True, log_level="WARNING")
    print(json.dumps({task.task_id: task.complete() for task in tasks}))


if __name__ == "__main__":
    main()
