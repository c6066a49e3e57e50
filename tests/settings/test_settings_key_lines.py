"""The line of each key agrees with what tomllib reads."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from etlctl.settings.key_lines import key_lines

SAMPLE = """\
# no = 1
a = "[not.a.table]" # nor = 2
b.c = '= x'
'q.r' = 3
"s\\u0074" = [
  1, # in = 3
  [2, {inside = 1}],
  "] = ,",
]
m = \"\"\"
x = 1
\\\"\"\" [t]
\"\"\"
[t . "u v"]
i = { j = 1, k = {l = '}'}, n.o = 2 }
p = 2013-01-02 03:04:05

[[r]]
x = '''
y = 1'''
z = 1.5
"""


def _paths(table: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))


def test_key_lines_finds_each_key_at_its_line() -> None:
    """Dotted, quoted and inline keys, in spite of comments, texts over lines and lists that look like keys."""
    found = dict(reversed(key_lines(SAMPLE)))

    assert found[("a",)] == 2
    assert found[("b", "c")] == found[("b",)] == 3
    assert found[("q.r",)] == 4
    assert found[("st",)] == 5
    assert found[("m",)] == 10
    assert found[("t", "u v")] == 14
    assert found[("t", "u v", "i", "k", "l")] == found[("t", "u v", "i", "n", "o")] == 15
    assert found[("t", "u v", "p")] == 16
    assert found[("r", "z")] == 21


def test_key_lines_finds_all_that_tomllib_reads_and_nothing_else() -> None:
    """Outside of lists, the two agree on the keys there are."""
    read = tomllib.loads(SAMPLE)

    found = {path for path, _ in key_lines(SAMPLE) if path[0] != "r" and path[:2] != ("st", "inside")}

    assert found == set(_paths({name: value for name, value in read.items() if name != "r"}))


@given(st.text(alphabet="ab.=[]{}\"'#\\ \n,1", max_size=60))
def test_key_lines_agrees_with_tomllib_on_any_text_it_can_read(text: str) -> None:
    """Whatever tomllib accepts, every key outside of lists gets a line; whatever it refuses does no harm."""
    lines = dict(key_lines(text))

    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(_paths(read)) <= set(lines)
