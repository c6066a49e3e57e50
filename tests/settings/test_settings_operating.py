"""What the settings say about operations: schedules, the loop, notifiers, metrics; and which of it nobody may read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlctl.errors import SettingsError
from etlctl.settings import Secret, Settings, masked

Loader = Callable[..., Settings]
F = "config/etlctl.toml"
SCHEDULES = """\
[schedules.nightly]
tasks = ["DailyReport", "sales.Load"]
cron = "0 6 * * *"
timezone = "Europe/Berlin"
date = "yesterday"
window = "1w"
jitter = "30s"
overlap = "queue"
deadline = "07:00"
params = { x = 1, where = "${REGION}" }

[schedules.feeds]
tasks = ["Feeds"]
every = "30m"
"""
PASSWORD = "p@ss: w/ö'rd\"\\"


def test_defaults_keep_what_was(load_text: Loader) -> None:
    found = load_text()

    assert found.schedules == {} and found.notify == {}
    assert tuple(found.loop) == (30, 300, None, "127.0.0.1", None, False)
    assert found.metrics.textfile is None and found.logs.format == "text"


def test_a_schedule_holds_what_its_table_says(load_text: Loader) -> None:
    found = load_text(SCHEDULES, {"REGION": "eu"}).schedules

    assert list(found) == ["nightly", "feeds"]
    assert found["nightly"]._asdict() == {
        "name": "nightly",
        "tasks": ("DailyReport", "sales.Load"),
        "every_s": None,
        "cron": "0 6 * * *",
        "timezone": "Europe/Berlin",
        "date": "yesterday",
        "window_s": 7 * 86_400,
        "params": {"x": 1, "where": "eu"},
        "jitter_s": 30,
        "overlap": "queue",
        "deadline": "07:00",
        "place": f"{F}:1: 'schedules.nightly'",
    }
    assert tuple(found["feeds"]) == (
        "feeds",
        ("Feeds",),
        1800,
        None,
        "UTC",
        None,
        None,
        {},
        0,
        "skip",
        None,
        found["feeds"][-1],
    )
    assert found["feeds"].place == f"{F}:12: 'schedules.feeds'"


def test_a_profile_replaces_single_keys_of_a_schedule_and_adds_schedules(load_text: Loader) -> None:
    text = SCHEDULES + "[profiles.test.schedules]\nfeeds.every = 5\nmore = {tasks = ['More'], cron = '* * * * *'}\n"

    found = load_text(text, {"REGION": "eu"}, profile="test").schedules

    assert list(found) == ["nightly", "feeds", "more"]
    assert (found["feeds"].tasks, found["feeds"].every_s) == (("Feeds",), 5)


def test_a_profile_may_give_a_schedule_the_other_kind_of_time(load_text: Loader) -> None:
    """`every` in place of the file's `cron`, and the other way round; both in one table are a mistake."""
    text = SCHEDULES + "[profiles.test.schedules]\nnightly.every = '1h'\nfeeds.cron = '@daily'\n"

    found = load_text(text, {"REGION": "eu"}, profile="test").schedules

    assert (found["nightly"].every_s, found["nightly"].cron) == (3600, None)
    assert (found["feeds"].every_s, found["feeds"].cron) == (None, "@daily")
    with pytest.raises(SettingsError, match=r"'schedules\.feeds' has every and cron both"):
        load_text(text + "feeds.every = 5\n", {"REGION": "eu"}, profile="test")


def test_a_schedules_param_may_be_called_as_a_key_is(load_text: Loader) -> None:
    text = "[schedules.a]\ntasks = ['A']\ncron = '@daily'\nparams = {every = 1}\n"

    assert load_text(text).schedules["a"].params == {"every": 1}


def test_the_loop_and_metrics_are_read_from_the_file(load_text: Loader, tmp_path: Path) -> None:
    found = load_text(
        "[loop]\ngrace = 5\nbackoff_max = '1h'\nhealth_port = 8080\nhealth_host = '0.0.0.0'\nhealth_file = 'run/h'\n"
        "local_state_ok = true\n[metrics]\ntextfile = '/srv/etl.prom'\n[logs]\nformat = 'json'\n"
    )

    assert tuple(found.loop) == (5, 3600, 8080, "0.0.0.0", tmp_path / "run" / "h", True)
    assert found.metrics.textfile == Path("/srv/etl.prom") and found.logs.format == "json"


def test_the_loop_and_metrics_are_read_from_variables(load_text: Loader, tmp_path: Path) -> None:
    environ = {
        "ETLCTL_LOOP_GRACE": "2m",
        "ETLCTL_LOOP_BACKOFF_MAX": "1.5",
        "ETLCTL_LOOP_HEALTH_PORT": "65535",
        "ETLCTL_LOOP_HEALTH_HOST": "::1",
        "ETLCTL_LOOP_HEALTH_FILE": "h",
        "ETLCTL_LOOP_LOCAL_STATE_OK": "true",
        "ETLCTL_METRICS_TEXTFILE": "m.prom",
        "ETLCTL_LOGS_FORMAT": "json",
    }

    found = load_text(None, environ)

    assert tuple(found.loop) == (120, 1.5, 65_535, "::1", tmp_path / "h", True)
    assert found.metrics.textfile == tmp_path / "m.prom" and found.logs.format == "json"
    assert found.warnings == ()


def test_a_notifier_has_defaults_for_all_but_its_kind(load_text: Loader) -> None:
    found = load_text("[notify.bug]\nkind = 'sentry'\n").notify["bug"]

    on = ("fail", "blocked", "held", "recovered", "deadline", "alert")
    assert tuple(found) == ("bug", "sentry", on, (), (), None, 10, 3, 6 * 3600, {}, found.place)
    assert found.place == f"{F}:1: 'notify.bug'"


def test_a_notifier_finds_the_keys_of_its_kind_among_its_options(load_text: Loader) -> None:
    """Any password arrives whole (F79)."""
    found = load_text(
        "[notify.mail]\nkind = 'email'\non = ['fail', 'ok']\ntasks = ['Load*']\ntags = ['nightly']\ntimeout = '1m'\n"
        "retries = 0\nrepeat = '1d'\nhost = 'mx'\nport = 25\nfrom = 'etl@a.example'\nto = ['${TO}']\nuser = 'etl'\n"
        "password = 'env:PW'\nstarttls = true\n[notify.mail.options]\nsubject = 'x ${TO}'\ndeep = {a = [1]}\n",
        {"TO": "b@a.example", "PW": PASSWORD},
    ).notify["mail"]

    assert found[2:9] == (("fail", "ok"), ("Load*",), ("nightly",), None, 60, 0, 86_400)
    assert found.options == {
        "subject": "x b@a.example",
        "deep": {"a": [1]},
        "host": "mx",
        "port": 25,
        "from": "etl@a.example",
        "to": ["b@a.example"],
        "user": "etl",
        "password": Secret(PASSWORD),
        "starttls": True,
    }


def test_a_notifiers_headers_are_secrets_and_may_be_references(load_text: Loader) -> None:
    found = load_text(
        "[notify.hook]\nkind = 'webhook'\nheaders.X-Team = 'etl'\nheaders.Authorization = 'env:AUTH'\n",
        {"AUTH": "Bearer x y"},
    ).notify["hook"]

    assert found.options == {"headers": {"X-Team": Secret("etl"), "Authorization": Secret("Bearer x y")}}


def test_a_notifiers_url_may_be_a_reference(load_text: Loader, tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.com/T0/B0\n")

    found = load_text("[notify.chat]\nkind = 'slack'\nurl = 'file:hook'\n").notify["chat"]

    assert found.url == Secret("https://hooks.example.com/T0/B0")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[schedules.a]", f"{F}:1: 'schedules.a' is empty. Fill it, or take it out."),
        ("[notify.a]", f"{F}:1: 'notify.a' is empty."),
        ("[schedules]\n'a b'.every = 1", f"{F}:2: 'schedules.\"a b\"': a schedule's name is letters, digits, _ and -"),
        ("[notify]\n1.kind = 'x'", f"{F}:2: 'notify.1': a notifier's name is letters, digits, _ and -"),
        ("[schedules.a]\nevery = 1", f"{F}:1: 'schedules.a' names no tasks. Name them: tasks = "),
        ("[schedules.a]\nevery = 1\ntasks = []", f"{F}:1: 'schedules.a' names no tasks."),
        ("[schedules.a]\nevery = 1\ntasks = ['']", f"{F}:3: 'schedules.a.tasks' holds an empty text."),
        ("[schedules.a]\ntasks = ['A']", f"{F}:1: 'schedules.a' has neither every nor cron. Give it one of them: "),
        ("[schedules.a]\ntasks = ['A']\nevery = 1\ncron = '@daily'", f"{F}:1: 'schedules.a' has every and cron both."),
        ("[schedules.a]\ntasks = ['A']\nevery = 0", f"{F}:3: 'schedules.a.every' must be 1 second at least."),
        ("[schedules.a]\ntask = 'A'", f"{F}:2: unknown key 'schedules.a.task'. Did you mean 'tasks'?"),
        (
            "[schedules.a]\ntasks = ['A']\nevery = 1\nwindow = '7d'",
            f"{F}:1: 'schedules.a' has a window without a date, which is its last day. Give it one: ",
        ),
        (
            "[schedules.a]\ntasks = ['A']\nevery = 1\ndate = 'today'\nwindow = '36h'",
            f"{F}:5: 'schedules.a.window' must be whole days, 1d at least, as in 7d.",
        ),
        (
            "[schedules.a]\ntasks = ['A']\nevery = 1\noverlap = 'skp'",
            f"{F}:4: 'schedules.a.overlap' must be skip or queue, not 'skp'. Did you mean 'skip'?",
        ),
        (f"[schedules.{'a' * 101}]\nevery = 1", f"{F}:1: 'schedules.{'a' * 101}': a name has 100 letters at most."),
        ("[loop]\nhealth_port = 0", f"{F}:2: 'loop.health_port' must be a whole number from 1 to 65535."),
        ("[loop]\ngrace = 'soon'", f"{F}:2: 'loop.grace' must be a number of seconds or a text such as 30s"),
        ("[notify.a]\non = ['fail']", f"{F}:1: 'notify.a' has no kind. Give it one: kind = "),
        ("[notify.a]\nkind = 'x'\nretries = 21", f"{F}:3: 'notify.a.retries' must be a whole number from 0 to 20."),
        ("[notify.a]\nkind = 'x'\ntimeout = 0", f"{F}:3: 'notify.a.timeout' must be 1 second at least."),
        ("[notify.a]\nkind = 'x'\nto = 'a@b'", f"{F}:3: 'notify.a.to' must be a list of texts in quotes, not a text."),
        (
            "[notify.a]\nkind = 'x'\nhost = 'h'\noptions.host = 'i'",
            f"{F}:3: 'notify.a.host' stands in 'notify.a.options' too. Keep one of them.",
        ),
        ("[notify.a]\nkind = 'x'\nurl = 'https://h/x y'", f"{F}:3: 'notify.a.url' holds a blank"),
        ("[notify.a]\nkind = 'x'\nurl = 'env:HOOK'", f"{F}:3: 'notify.a.url' needs the environment variable HOOK"),
        ("[logs]\nformat = 'jsn'", f"{F}:2: 'logs.format' must be text or json, not 'jsn'. Did you mean 'json'?"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(load_text: Loader, text: str, told: str) -> None:
    """F76."""
    with pytest.raises(SettingsError) as raised:
        load_text(text)

    assert str(raised.value).startswith(told)


SECRETS = """\
[state]
url = "postgresql://ctl:${PW}@ctl/etl"
[connections.warehouse]
url = "postgresql://etl:st%40te@wh/dw?sslpassword=ssl%2Bpass&application_name=visible"
[connections.plain]
url = "sqlite:///a.db"
[s3]
access_key_id = "AKIA0"
secret_access_key = "s3cret"
session_token = "t0ken"
[notify.chat]
kind = "slack"
url = "https://hooks.example.com/services/T0/B%200"
[notify.bug]
kind = "sentry"
dsn = "https://publickey@o0.ingest.example.com/42"
[notify.mail]
kind = "email"
user = "visible"
password = "env:PW"
[notify.own]
kind = "own"
[notify.own.options]
api_key = "opt-key"
room = "visible"
headers = { Authorization = "Bearer b", Accept = "visible" }
tokens = ["first-t", "second-t"]
"""


def test_secrets_are_all_of_them_in_each_form(load_text: Loader) -> None:
    found = [secret.reveal() for secret in load_text(SECRETS, {"PW": PASSWORD}).secrets()]

    assert set(found) == {
        *(PASSWORD, quote(PASSWORD, safe="")),
        *("st%40te", "st@te", "ssl%2Bpass", "ssl+pass"),
        *("AKIA0", "s3cret", "t0ken"),
        *("https://hooks.example.com/services/T0/B%200", "https://hooks.example.com/services/T0/B 0"),
        *("/services/T0/B%200", "/services/T0/B 0"),
        *("https://publickey@o0.ingest.example.com/42", "publickey"),
        *("opt-key", "Bearer b", "first-t", "second-t"),
    }
    assert found == sorted(found, key=len, reverse=True)


def test_no_secret_of_operations_is_printed(load_text: Loader) -> None:
    shown = repr(load_text(SECRETS, {"PW": PASSWORD}))

    assert not [text for text in ("p@ss", "hooks", "publickey", "opt-key", "Bearer") if text in shown]


@given(st.text(min_size=4).filter(lambda text: text.strip() == text))
def test_masked_finds_a_secret_as_it_is_written(text: str) -> None:
    """As it stands, in a URL, as Python and as JSON write it."""
    forms = [text, quote(text, safe=""), repr(text)[1:-1], json.dumps(text)[1:-1]] if text.isprintable() else [text]

    for form in forms:
        assert masked(f"<{form}>", [Secret(text)]) == "<***>"


def test_masked_hides_the_longer_secret_whole() -> None:
    assert masked("abcdef abcd", [Secret("abcd"), Secret("abcdef")]) == "*** ***"


def test_masked_leaves_a_short_secret_within_words() -> None:
    assert masked("db of dbx: db", [Secret("db")]) == "*** of dbx: ***"


def test_masked_without_secrets_changes_nothing() -> None:
    assert masked("a", []) == "a"
