"""The tokenizer of SQL text: which names are parameters, and how values get to the driver."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.db.sqltext import MYSQL, POSTGRESQL, SQLITE, Kind, bind, check_parameters, flavour_of, parameters, tokens
from etlctl.errors import QueryError


class Asked(dict[str, Any]):
    """What SQLite's own parser wants values for: it asks here for each name that it finds."""

    def __missing__(self, name: str) -> Any:
        self[name] = 1
        return 1


def names_sqlite_wants(sql: str) -> set[str]:
    asked = Asked()
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(sql, asked)
    finally:
        connection.close()
    return set(asked)


text_of_anything = st.text(alphabet=":ab'\"`[]-/*;\n%\\$@? é", max_size=12)
single_quoted = text_of_anything.map(lambda text: "'" + text.replace("'", "''") + "'")
comment = st.one_of(
    st.sampled_from([" ", "\n", "\t "]),
    text_of_anything.map(lambda text: "--" + text.replace("\n", " ") + "\n"),
    text_of_anything.map(lambda text: "/*" + text.replace("*/", "").replace("*", "+") + "*/"),
)
parameter = st.sampled_from([":a", ":b", ":long_name", ":émile", ":a1", ":_x"])
expression = st.one_of(
    parameter,
    single_quoted,
    st.sampled_from(
        ["1", "1.5e3", ".5", "x'0a'", "NULL", "(:a)", ":a+:b", ":a/:b", ":a- -:b", "abs(:a)", "(:a,:b)=(1,2)"]
    ),
    st.tuples(st.sampled_from(["+", "||", "<", "IS"]), parameter, single_quoted).map(
        lambda part: f"{part[1]} {part[0]} {part[2]}"
    ),
)
alias = st.one_of(
    st.just(""),
    text_of_anything.map(lambda text: ' AS "' + text.replace('"', '""') + '"'),
    text_of_anything.map(lambda text: " AS `" + text.replace("`", "``") + "`"),
    text_of_anything.map(lambda text: " AS [" + text.replace("]", "") + "]"),
)
select = st.lists(st.tuples(comment, expression, comment, alias), min_size=1, max_size=6).map(
    lambda parts: "SELECT " + ",".join("".join(part) for part in parts)
)


@given(select)
def test_parameters_are_those_that_sqlite_itself_wants(sql: str) -> None:
    """On any query made of strings, quoted names, comments and parameters we find the names SQLite's parser finds."""
    wanted = names_sqlite_wants(sql)

    assert set(parameters(sql, flavour=SQLITE)) == wanted


@given(select)
def test_bind_gives_sqlite_a_statement_with_every_value(sql: str) -> None:
    """A bound statement runs and answers exactly as the text with SQLite's own named parameters does."""
    values = {"a": 7, "b": "x:y", "long_name": None, "émile": 2.5, "a1": b"\0", "_x": "%"}
    connection = sqlite3.connect(":memory:")

    bound = bind(sql, values, flavour=SQLITE)
    ours = connection.execute(bound.statement, dict(bound.values)).fetchall()
    theirs = connection.execute(sql, values).fetchall()

    connection.close()
    assert ours == theirs


@given(st.text(alphabet=":=ab'\"`[]-/*;\n%\\$@?#( )0.eE", max_size=30), st.sampled_from([SQLITE, POSTGRESQL, MYSQL]))
def test_tokens_leave_nothing_out(sql: str, flavour: Any) -> None:
    """The tokens of any text joined are the text, each knows its line, and an open quote is an error."""
    try:
        found = tokens(sql, flavour=flavour)
    except QueryError as error:
        assert "never ends" in str(error)  # noqa: PT017  either outcome is right for random text, and nothing else is
        return

    assert "".join(token.text for token in found) == sql
    assert [token.line for token in found] == [
        1 + "".join(token.text for token in found[:index]).count("\n") for index in range(len(found))
    ]


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT :day::date, x::text, '::a'::text", ("day",)),
        ("SELECT a[1:2], a[lo:hi], a[:n], a[f(x):hi][:m], b[(:p):q]", ("n", "m", "p")),
        ("SELECT CASE WHEN a[1:2] = :x THEN :y END", ("x", "y")),
        ("SELECT $$ :a $$, $tag$ :b $$ :c $tag$, :d, $1", ("d",)),
        (r"SELECT E'it\'s :a', :b, e'\\', :c", ("b", "c")),
        (r"SELECT 'a\', :b", ("b",)),
        ("SELECT 1 /* :a /* :b */ :c */ + :d -- :e\n+ :f", ("d", "f")),
        ("CALL f(x := :a, y => :b)", ("a", "b")),
        ('SELECT "a:b", U&"x:y", foo$bar$ , :c', ("c",)),
        ("SELECT :a :a :b", ("a", "b")),
        ("SELECT '{\"a\": 1}'::jsonb ? 'a', :b", ("b",)),
    ],
)
def test_parameters_follow_postgresql_rules(sql: str, names: tuple[str, ...]) -> None:
    """Casts, slices, dollar quotes, E'' strings, nested comments and := hold no parameters on PostgreSQL."""
    assert parameters(sql, flavour=POSTGRESQL) == names


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        (r"SELECT 'it\'s :a', :b", ("b",)),
        (r'SELECT "say \":a\"", :b', ("b",)),
        ("SELECT 1 # :a\n, :b", ("b",)),
        ("SELECT 5--1, :a -- :b", ("a",)),
        ("SET @x := :a, `b:c` = 1", ("a",)),
    ],
)
def test_parameters_follow_mysql_rules(sql: str, names: tuple[str, ...]) -> None:
    """Backslashes, # comments and backticks hold no parameters on MySQL, where -- needs a blank behind it."""
    assert parameters(sql, flavour=MYSQL) == names


def test_bind_doubles_percent_signs_for_drivers_that_format() -> None:
    """A literal percent sign reaches a pyformat driver unharmed, and so does one in what is put around the query."""
    bound = bind("SELECT '50%' LIKE :p -- 100%", {"p": "%"}, flavour=POSTGRESQL).within('INSERT INTO "a%" (', ")")

    text = bound.statement % {name: repr(value) for name, value in bound.values.items()}

    assert text == "INSERT INTO \"a%\" (\nSELECT '50%' LIKE '%' -- 100%\n)"


def test_bind_keeps_literals_as_they_are_written() -> None:
    """Backslashes and colons in a string come back from SQLite unchanged."""
    sql = r"SELECT 'a\:b', 'c:d', '\\:e', :e"

    bound = bind(sql, {"e": "f"})
    row = sqlite3.connect(":memory:").execute(bound.statement, dict(bound.values)).fetchone()

    assert row == (r"a\:b", "c:d", r"\\:e", "f")


@pytest.mark.parametrize("sql", ["SELECT 2 IN :xs, 9 IN (:xs), 2 IN ( :xs )", "SELECT 2 IN(:xs),9 IN:xs,2 IN :xs"])
def test_bind_spreads_a_list(sql: str) -> None:
    """A tuple parameter fills IN, with and without parentheses of its own, and never collides with another name."""
    bound = bind(sql + ", :xs_1", {"xs": (1, 2), "xs_1": "mine"})

    row = sqlite3.connect(":memory:").execute(bound.statement, dict(bound.values)).fetchone()

    assert row == (1, 0, 1, "mine")


def test_bind_lets_an_empty_list_match_nothing() -> None:
    """IN over an empty list is false, not a syntax error."""
    bound = bind("SELECT 1 WHERE 1 IN :xs OR 1 IN (:xs)", {"xs": []})

    rows = sqlite3.connect(":memory:").execute(bound.statement, dict(bound.values)).fetchall()

    assert rows == []


def test_bind_passes_values_through_adapt() -> None:
    """Each bound value is what the dialect makes of it."""
    bound = bind("SELECT :a, :b", {"a": 1, "b": [2, 3], "unused": 4}, adapt=lambda value: value * 10)

    assert dict(bound.values) == {"a": 10, "b_1": 20, "b_2": 30}


@pytest.mark.parametrize("end", [";", " ; ", "; -- done", ";\n/* done; */\n"])
def test_bind_drops_the_end_of_the_statement(end: str) -> None:
    """A query may end in a semicolon and comments and still stand inside an INSERT."""
    bound = bind(f"SELECT :a{end}", {"a": 5}).within("SELECT * FROM (", ")")

    assert sqlite3.connect(":memory:").execute(bound.statement, dict(bound.values)).fetchone() == (5,)


def test_check_parameters_names_place_and_neighbour_of_an_unknown_name() -> None:
    """An unknown :name is an error with file and line, the names there are, and the nearest of them."""
    with pytest.raises(QueryError) as caught:
        check_parameters("SELECT 1\nWHERE d = :dat", ["date", "carrier"], place="pipelines/x.sql", owner="Delays")

    assert str(caught.value) == (
        "pipelines/x.sql:2: :dat is no parameter of Delays; there are: :date, :carrier. Did you mean 'date'?"
    )


def test_check_parameters_says_that_a_task_has_none() -> None:
    """Where the task has no parameters at all the sentence says so."""
    with pytest.raises(QueryError, match="there are: none"):
        check_parameters("SELECT :day", [], owner="Delays")


@pytest.mark.parametrize("placeholder", ["?", "?1", "@x", "$x", ":1"])
def test_check_parameters_refuses_the_placeholders_of_the_driver(placeholder: str) -> None:
    """SQLite would bind ? and @x as well: we ask for :name instead of letting the driver miscount."""
    with pytest.raises(QueryError, match=r"write :name"):
        check_parameters(f"SELECT {placeholder}", ["x"])


@pytest.mark.parametrize(
    ("sql", "flavour", "what"),
    [
        ("SELECT 1,\n 'abc", SQLITE, "query:2: the quote '"),
        ('SELECT 1,\n\n "abc', SQLITE, 'query:3: the quote "'),
        ("SELECT [abc", SQLITE, "query:1: the bracket ["),
        ("SELECT 1 /* abc", SQLITE, "query:1: the comment /*"),
        ("SELECT 1 /* /* abc */", POSTGRESQL, "query:1: the comment /*"),
        ("SELECT $tag$ abc $$", POSTGRESQL, "query:1: the dollar quote $tag$"),
        ("SELECT `abc", MYSQL, "query:1: the quote `"),
        ("SELECT 1\n\0", SQLITE, "query:2: the SQL text holds a NUL"),
    ],
)
def test_tokens_name_the_line_of_what_never_ends(sql: str, flavour: Any, what: str) -> None:
    """An open quote or comment is an error at the line where it opened."""
    with pytest.raises(QueryError) as caught:
        tokens(sql, flavour=flavour)

    assert str(caught.value).startswith(what)


def test_token_name_is_without_its_quotes() -> None:
    """A quoted identifier gives the name it stands for."""
    quoted = [token.name for token in tokens('"a""b" `c``d` [e]', flavour=SQLITE) if token.kind is Kind.QUOTED]

    assert quoted == ['a"b', "c`d", "e"]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        (r"SELECT 'it\'s :a', :b", ["b"]),
        (r"SELECT 'ends \\', :a", ["a"]),
        (r"""SELECT "a\", :a FROM t WHERE x = 'y'""", ["a"]),
        (r"SELECT $q$ ' :a $q$, :b -- :c", ["b"]),
    ],
)
def test_redshift_reads_backslashes_in_literals_alone(sql: str, wanted: list[str]) -> None:
    r"""AWS's pages write \' and \\ in constants; a name in double quotes has no escapes."""
    found = [token.name for token in tokens(sql, flavour=flavour_of("redshift")) if token.kind is Kind.PARAMETER]

    assert found == wanted
