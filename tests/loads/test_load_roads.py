"""One file on its ways into three databases: straight, with values, with null words, with surplus columns, staged."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from any_warehouse import AnyWarehouse
from etlctl import DateParameter, DumpTable, ExternalTask, LoadTable, LocalTarget, not_null
from etlctl.core.context import Attempt, attempting
from etlctl.errors import BadDataError, TaskError

NASTY = (
    "i,n,s,b,t,day_no,y\r\n"
    '1,12.50,"a ""q"", b",yes,2013-01-02T03:04:05Z,5,\\x00ff\r\n'
    '-2,NA,"line\r\nend\\.",F,2013-01-02 03:04:05.250,NA,\r\n'
    '+3,.5,\\N,1,2013-01-02,,"\\x"\r\n'
    ' 4 ,1e3,"tab\t\\t é日",off,NA,7,\\x41\r\n'
)
DUMPED = (
    "day,i,n,s,b,t,y\n"
    '2013-01-01,1,12.5,"a ""q"", b",true,2013-01-02 03:04:05,\\x00ff\n'
    '2013-01-01,-2,<NULL>,"line\r\nend\\.",false,2013-01-02 03:04:05.25,<NULL>\n'
    "2013-01-01,3,0.5,\\N,true,2013-01-02 00:00:00,\\x\n"
    "2013-01-01,4,1000,tab\t\\t é日,false,<NULL>,\\x41\n"
)


class Feed(ExternalTask):
    def output(self) -> Any:
        return LocalTarget("nasty.csv")


class Load(LoadTable):
    day = DateParameter(default=dt.date(2013, 1, 1))
    table = "t"
    columns = {
        "day": "date", "i": "integer", "n": "numeric", "s": "text", "b": "boolean", "t": "timestamp", "y": "bytes",
    }  # fmt: skip
    values = {"day": "day"}
    null_values = ("", "NA")

    def requires(self) -> Any:
        return Feed()


class Dump(DumpTable):
    query = "SELECT day, i, n, s, b, t, y FROM t ORDER BY abs(i)"
    null = "<NULL>"

    def output(self) -> Any:
        return LocalTarget("out.csv")


def _write(warehouse: AnyWarehouse, text: str) -> Path:
    path = Path(Feed().output().path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("checks", [(), (not_null("i"),)])
@pytest.mark.parametrize("offset", ["", "+01:00"])
def test_a_nasty_file_is_the_same_table_everywhere(anywhere: AnyWarehouse, checks: Any, offset: str) -> None:
    """Quotes, line ends in fields, null words, a column nobody wants: alike, also where values must be converted."""
    _write(anywhere, NASTY.replace("05.250", f"05.250{offset}"))

    with attempting(Attempt()) as attempt:
        type("LoadNasty", (Load,), {"checks": checks})().run()
    Dump().run()

    found = Path(Dump().output().path).read_bytes().decode()
    assert found == (DUMPED.replace("03:04:05.25", "02:04:05.25") if offset else DUMPED)
    assert attempt.rows == 4


def test_a_bad_value_names_its_line_everywhere(anywhere: AnyWarehouse) -> None:
    """Line and column of the file, whichever road it took at first; the table stays empty."""
    _write(anywhere, NASTY.replace(" 4 ", "0x4"))

    with pytest.raises(BadDataError, match=r"nasty.csv: line 6, column i: '0x4' is no integer"):
        Load().run()

    assert anywhere.count("t") == 0


def test_a_file_that_changes_while_it_is_loaded_is_refused_everywhere(
    anywhere: AnyWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F83: also where the server reads the file's own bytes; nothing is kept."""
    path = _write(anywhere, "i,n,s,b,t,y\n" + "1,2,a,t,2013-01-01,\n" * 1000)
    method = "store" if anywhere.dialect.stages_outside else "store_records"
    store = getattr(Load, method)

    def stored(self: Load, *arguments: Any) -> Any:
        result = store(self, *arguments)
        path.write_bytes(path.read_bytes() + b"2,2,a,t,2013-01-01,\n")
        return result

    monkeypatch.setattr(Load, method, stored)
    with pytest.raises(TaskError, match="changed while it was being loaded"):
        Load().run()

    assert anywhere.count("t") == 0 and anywhere.markers() == []


@pytest.mark.parametrize("text", ["", "i,n,s,b,t,y\n"])
def test_a_file_without_rows_is_told_everywhere(anywhere: AnyWarehouse, text: str) -> None:
    """Zero rows are loaded, with a note that says whether there was a header."""
    _write(anywhere, text)

    with attempting(Attempt()) as attempt:
        Load().run()

    assert anywhere.markers()[0][3] == 0
    assert [note for note in attempt.notes if note.endswith("is empty: 0 rows" if not text else "alone: 0 rows")]
