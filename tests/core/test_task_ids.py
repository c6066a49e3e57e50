"""Task ids equal Luigi's. The literals were observed from luigi 3.8.1 with the same classes and values."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import etlctl
from etlctl import ParameterVisibility, Task
from etlctl.core.context import Context, use
from etlctl.core.identity import task_id_str


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Shop(Task):
    task_namespace = "shop"


class Other(Shop):
    pass


def task_of(name: str, namespace: str | None = None, /, **parameters: Any) -> type[Any]:
    body = {**parameters, "task_namespace": namespace} if namespace else parameters
    return type(name, (Task,), {"__module__": __name__, **body})


HIDDEN, PRIVATE = ParameterVisibility.HIDDEN, ParameterVisibility.PRIVATE
TEXT = etlctl.Parameter


def one(kind: Any) -> type[Any]:
    return task_of("T", a=kind)


OBSERVED = [
    ("Words__99914b932b", lambda: task_of("Words")()),
    ("Count_2021_10_25_8a7563aba6", lambda: task_of("Count", date=etlctl.DateParameter())(dt.date(2021, 10, 25))),
    ("T_plain_485bc25f26", lambda: one(TEXT())("plain")),
    ("T_Gr__e___mega_____99ca391027", lambda: one(TEXT())("Grüße, Ωmega ☃ 🎉 naïve")),
    ("T___054155e2fc", lambda: one(TEXT())("\u00e9")),
    ("T_e__88add72fe8", lambda: one(TEXT())("e\u0301")),
    ("T_a_b___31m_quoted_d088b58515", lambda: one(TEXT())('a\nb\t\x1b[31m"quoted"\\')),
    (
        "T_xxxxxxxxxxxxxxxx_yyyyyyyyyyyyyyyy_zzzzzzzzzzzzzzzz_a1fe738f39",
        lambda: task_of("T", a=TEXT(), b=TEXT(), c=TEXT(), d=TEXT())("x" * 40, "y" * 17, "z" * 16, "w"),
    ),
    ("T_2_3_1_fedb416be9", lambda: task_of("T", zeta=TEXT(), alpha=TEXT(), mid=etlctl.IntParameter())("1", "2", 3)),
    ("T__449cbf3b10", lambda: one(TEXT())("")),
    ("T__42_8b4afb96bb", lambda: one(etlctl.IntParameter())(-42)),
    ("T_1e_07_79d0db432a", lambda: one(etlctl.FloatParameter())(1e-7)),
    ("T_3_0_082129305d", lambda: one(etlctl.FloatParameter())(3.0)),
    (
        "T_True_False_d0a2c14df1",
        lambda: task_of("T", a=etlctl.BoolParameter(), b=etlctl.BoolParameter())(True, False),
    ),
    ("T_2013_01_99f5bbfa6e", lambda: one(etlctl.MonthParameter())(dt.date(2013, 1, 1))),
    ("T_2013_d98fb81e61", lambda: one(etlctl.YearParameter())(dt.date(2013, 1, 1))),
    ("T_2013_01_02T03_00b0e419db", lambda: one(etlctl.DateHourParameter())(dt.datetime(2013, 1, 2, 3))),
    ("T_2013_01_02T0304_b4f29aeaec", lambda: one(etlctl.DateMinuteParameter())(dt.datetime(2013, 1, 2, 3, 4))),
    ("T_2013_01_02T03040_b546cbd26e", lambda: one(etlctl.DateSecondParameter())(dt.datetime(2013, 1, 2, 3, 4, 5))),
    (
        "T_0_w_1_d_2_h_0_m__70f5d561b1",
        lambda: one(etlctl.TimeDeltaParameter())(dt.timedelta(days=1, hours=2, seconds=5)),
    ),
    ("T__1___two____3_5__31c12e44ff", lambda: one(etlctl.ListParameter())([1, "two", [3.5, None]])),
    ("T___1__2_____a_____c1b255c936", lambda: one(etlctl.TupleParameter())(((1, 2), ("a", "b")))),
    ("T___b___1___a______7e1b35076d", lambda: one(etlctl.DictParameter())({"b": 1, "a": {"c": [1, 2]}})),
    ("T_GREEN_51bbd2fff2", lambda: one(etlctl.EnumParameter(enum=Colour))(Colour.GREEN)),
    ("T_y_bd92f209cc", lambda: one(etlctl.ChoiceParameter(choices=["x", "y"]))("y")),
    ("T__449cbf3b10", lambda: one(etlctl.OptionalParameter())(None)),
    ("T_5_9562869448", lambda: one(etlctl.OptionalIntParameter())(5)),
    ("T_a_582af9ef5c", lambda: task_of("T", a=TEXT(), b=TEXT(significant=False))("a", "b")),
    ("T_a_582af9ef5c", lambda: task_of("T", a=TEXT(), b=TEXT(visibility=HIDDEN))("a", "b")),
    ("T_a_582af9ef5c", lambda: task_of("T", a=TEXT(), b=TEXT(visibility=PRIVATE))("a", "b")),
    ("T__99914b932b", lambda: one(TEXT(visibility=PRIVATE))("b")),
    ("shop.eu.T_a_582af9ef5c", lambda: task_of("T", "shop.eu", a=TEXT())("a")),
    ("T_2013_01_02_f9c4cf3600", lambda: one(etlctl.DateIntervalParameter()).from_str_params({"a": "2013-01-02"})),
    ("T_2013_W05_f6dc37bdad", lambda: one(etlctl.DateIntervalParameter()).from_str_params({"a": "2013-W05"})),
    ("T_data_x_csv_45e900651c", lambda: one(etlctl.PathParameter())("data/x.csv")),
    ("T_shop_Other_8429438335", lambda: one(etlctl.TaskParameter())(Other)),
]


@pytest.mark.parametrize(("expected", "make"), OBSERVED, ids=[row[0] for row in OBSERVED])
def test_task_id_is_luigis(expected: str, make: Any) -> None:
    """The id of a task is the one Luigi gives it, so that marker rows written by Luigi stay valid."""
    assert make().task_id == expected


def test_task_id_of_a_lone_surrogate_is_luigis() -> None:
    """Text that is no valid Unicode has an id too: Luigi's JSON escapes it."""
    assert task_id_str("T", {"a": "\ud800x"}) == "T__x_bc6ce9e152"


@pytest.mark.parametrize("seed", ["0", "1", "12345"])
def test_task_id_is_the_same_in_every_process(seed: str) -> None:
    """F59: Hash randomisation does not reach ids or update keys, of sets and dicts neither."""
    code = (
        "import etlctl\n"
        "class T(etlctl.Task):\n"
        "    a = etlctl.DictParameter()\n"
        "    b = etlctl.ListParameter()\n"
        "t = T({'z': 1, 'a': [2]}, ['x', 'y'])\n"
        "print(t.task_id, t.update_key)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    class_of = task_of("T", a=etlctl.DictParameter(), b=etlctl.ListParameter())
    here = class_of({"z": 1, "a": [2]}, ["x", "y"])

    assert done.stdout.split() == [here.task_id, here.update_key]


def test_update_key_keeps_apart_what_the_task_id_does_not() -> None:
    """Ids are not injective (JSON inside JSON, 40 bits); the update key is a SHA-256 of family and values."""
    first, second = one(TEXT())("a"), one(TEXT())("b")
    assert len(first.update_key) == 64
    assert first.update_key != second.update_key
    assert first.update_key == one(TEXT())("a").update_key
    assert first.update_key != task_of("U", a=TEXT())("a").update_key


class Pair(Task):
    left = etlctl.Parameter()
    right = etlctl.Parameter()


@given(st.text(), st.text(), st.text(), st.text())
def test_equal_ids_keys_and_tasks_go_together(a: str, b: str, c: str, d: str) -> None:
    """F59: Tasks are equal exactly when their values are; then hash, task_id and update_key are equal too."""
    with use(Context(project=Path(__file__).parent)):
        first, second = Pair(a, b), Pair(c, d)

    same = (a, b) == (c, d)
    assert (first == second) is same
    assert (first.update_key == second.update_key) is same
    if same:
        assert hash(first) == hash(second)
        assert first.task_id == second.task_id


@given(st.dictionaries(st.text(), st.text(st.characters(codec=None)) | st.integers(), max_size=6))
def test_task_id_ends_in_the_hash_of_luigis_json(params: dict[str, Any]) -> None:
    """Whatever names and texts are, what is hashed is what json.dumps() makes of them, as in Luigi; a kind of a user's
    own may even serialise to what is no text, past the three that the id begins with."""
    params = {"": "", "\t": "", "\n": ""} | {f"z{name}": value for name, value in params.items()}
    text = json.dumps(params, separators=(",", ":"), sort_keys=True)

    found = task_id_str("T", params)

    assert found.rpartition("_")[2] == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:10]


_DATED = task_of("Dated", day=etlctl.DateParameter())
_KEYED = task_of("Keyed", keys=etlctl.DictParameter())
_NAMED = task_of("Named", name=etlctl.Parameter())


def test_equal_values_have_one_id_however_they_were_given() -> None:
    """F59: a datetime for a date, another order in a dict; composed and decomposed é are two values and two ids."""
    with use(Context(project=Path(__file__).parent)):
        same = [
            (_DATED(dt.date(2013, 1, 2)), _DATED(dt.datetime(2013, 1, 2, 3))),
            (_KEYED({"a": 1, "b": 2}), _KEYED({"b": 2, "a": 1})),
        ]
        composed, decomposed = _NAMED("\u00e9"), _NAMED("e\u0301")

    for one, other in same:
        assert (one == other) == (one.task_id == other.task_id) == (one.update_key == other.update_key)
    assert same[0][0] == same[0][1]
    assert composed != decomposed
    assert (composed.task_id, composed.update_key) != (decomposed.task_id, decomposed.update_key)
