"""The file of flights that the benches of PostgreSQL load, and its rows for `rows()`; etlctl and Luigi import it alike.

Needs the standard library only: Luigi's environment has nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

COLUMNS = {
    "carrier": "varchar(2)",
    "flight": "integer",
    "tailnum": "varchar(6)",
    "origin": "varchar(3)",
    "dest": "varchar(3)",
    "dep_time": "integer",
    "dep_delay": "integer",
    "air_time": "integer",
    "distance": "integer",
    "time_hour": "timestamp",
    "remark": "text",
}
AIRPORTS = ["EWR", "JFK", "LGA", "ORD", "ATL", "LAX", "MIA", "BOS"]
REMARKS = [
    "",
    "departed on time",
    "late incoming aircraft",
    "Zürich connection",
    "gate 12",
    "crew was changed at the gate because of illness",
]


def record(row: int) -> list[str]:
    """The fields of one row; the same each time. About one number in thirty is missing."""
    key = row * 2654435761 % 2**32  # scattered as random numbers are, and made in no time
    return [
        ("UA", "AA", "B6", "DL")[key % 4],
        str(key % 8500 + 1),
        f"N{key % 90000 + 10000}",
        AIRPORTS[key // 8 % 8],
        AIRPORTS[key // 64 % 8],
        "" if key % 37 == 0 else str(key % 2400 + 1),
        "" if key % 37 == 0 else str(key % 940 - 40),
        "" if key % 29 == 0 else str(key % 680 + 20),
        str(key % 4900 + 80),
        f"2013-{row % 12 + 1:02}-{row % 28 + 1:02} {row % 24:02}:00:00",
        REMARKS[key // 7 % 6],
    ]


def write_files(folder: Path, rows: int) -> None:
    """The same rows as plain.csv; plain.tsv, without a header, for Luigi; nulls.csv, where NA and the empty field mean
    NULL; surplus.csv, with a column more than the table. And quoted.csv, where a record in ten has quotes."""
    header = ",".join(COLUMNS)
    with (
        (folder / "plain.csv").open("w", encoding="utf-8", newline="") as plain,
        (folder / "plain.tsv").open("w", encoding="utf-8", newline="") as tabs,
        (folder / "nulls.csv").open("w", encoding="utf-8", newline="") as nulls,
        (folder / "surplus.csv").open("w", encoding="utf-8", newline="") as surplus,
        (folder / "quoted.csv").open("w", encoding="utf-8", newline="") as quoted,
    ):
        for file in (plain, nulls, quoted):
            file.write(f"{header}\n")
        surplus.write(f"{header},gate\n")
        for row in range(rows):
            fields = record(row)
            line = ",".join(fields)
            plain.write(f"{line}\n")
            tabs.write("\t".join(fields) + "\n")
            surplus.write(f"{line},{row % 60}\n")
            numbers = [field or "NA" for field in fields[:-1]]
            nulls.write(",".join([*numbers, fields[-1]]) + "\n")
            remark = f'"{fields[-1]}, gate ""{row % 60}"""' if row % 10 == 0 else fields[-1]
            quoted.write(",".join([*fields[:-1], remark]) + "\n")


def texts(path: str) -> Iterator[list[str]]:
    """Rows as a file without quotes gives them."""
    with Path(path).open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            yield line.rstrip("\n").split(",")


def objects(path: str) -> Iterator[tuple[Any, ...]]:
    """As many rows as Python objects: five thousand over and over, since making them is not what is measured."""
    rows = [_converted(*fields) for fields in islice(texts(path), 5000)]
    with Path(path).open("rb") as lines:
        number = sum(1 for _ in lines) - 1
    for row in range(number):
        yield rows[row % len(rows)]


def _converted(*fields: str) -> tuple[Any, ...]:
    carrier, flight, tailnum, origin, dest, *numbers, hour, remark = fields
    whole = [int(number) if number else None for number in numbers]
    return carrier, int(flight), tailnum, origin, dest, *whole, datetime.fromisoformat(hour), remark or None
