"""The table `[s3]` and the keys of a connection to Redshift: what comes of them, and what is refused (F53, S3, S4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etlctl.errors import SettingsError
from etlctl.settings import S3Settings, Secret, Settings

Loader = Callable[..., Settings]
F = "config/etlctl.toml"
ROLE = "arn:aws:iam::123456789012:role/etl"
SCHEMES = ("redshift", "redshift+psycopg2")
CANARY = "wJalrXUtnFEMI/K7MDENG+CANARY"


def _sentence(load_text: Loader, *args: object, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_text(*args, **options)
    return str(caught.value)


def _redshift(line: str) -> str:
    return f"[connections.warehouse]\nurl = 'redshift://etl@wh:5439/dw'\n{line}"


def test_no_table_leaves_all_to_boto3(load_text: Loader) -> None:
    """None stands for boto3's own chain; tries and timeouts have our defaults."""
    settings = load_text("")

    assert settings.s3 == S3Settings()
    assert (settings.s3.region, settings.s3.access_key_id, settings.s3.profile) == (None, None, None)
    assert (settings.s3.max_attempts, settings.s3.connect_timeout_s, settings.s3.read_timeout_s) == (5, 10, 60)
    assert not any(key.startswith("s3.") for key in settings.origins)


def test_every_key_of_the_table_arrives(load_text: Loader) -> None:
    """Each under its own name, with the line it stands in."""
    settings = load_text(
        "[s3]\nregion = 'eu-central-1'\nendpoint_url = 'https://s3.example.com:9000/'\naddressing_style = 'path'\n"
        f"profile = 'etl'\nrole_arn = '{ROLE}'\nrole_session_name = 'night'\nexternal_id = 'a:b/c'\n"
        "max_attempts = 3\nconnect_timeout = 2\nread_timeout = 0.5\nexistence = 'head'\n"
        "gc = ['s3://lake', 's3://lake/a b/']"
    )

    assert settings.s3 == S3Settings(
        region="eu-central-1",
        endpoint_url="https://s3.example.com:9000",
        addressing_style="path",
        profile="etl",
        role_arn=ROLE,
        role_session_name="night",
        external_id="a:b/c",
        max_attempts=3,
        connect_timeout_s=2,
        read_timeout_s=0.5,
        existence="head",
        gc=("s3://lake", "s3://lake/a b/"),
    )
    assert settings.origins["s3.region"] == f"{F}:2"


def test_every_key_has_a_variable_and_a_profile_that_go_before_the_file(load_text: Loader) -> None:
    """Environment over profile over file, as with any other key."""
    text = (
        "[s3]\nregion = 'eu-central-1'\nmax_attempts = 2\nexistence = 'head'\n"
        "[profiles.test.s3]\nmax_attempts = 7\nexistence = 'auto'\n"
    )
    environ = {"ETLCTL_S3_MAX_ATTEMPTS": "9", "ETLCTL_S3_GC": "s3://lake/a, s3://lake/b"}

    settings = load_text(text, environ, profile="test")

    assert (settings.s3.region, settings.s3.max_attempts, settings.s3.existence) == ("eu-central-1", 9, "auto")
    assert settings.s3.gc == ("s3://lake/a", "s3://lake/b")
    assert settings.origins["s3.max_attempts"] == "environment variable ETLCTL_S3_MAX_ATTEMPTS"


@pytest.mark.parametrize("written", ["${KEY}", "env:KEY", "file:run/key", CANARY])
def test_access_keys_come_by_every_road_and_are_never_shown(load_text: Loader, tmp_path: Path, written: str) -> None:
    """A text, a variable, a reference or a mounted file; printing the settings gives none away."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "key").write_text(f"{CANARY}\n")

    settings = load_text(
        f"[s3]\naccess_key_id = '{written}'\nsecret_access_key = '{written}'\nsession_token = '{written}'",
        {"KEY": CANARY},
    )

    assert (settings.s3.access_key_id, settings.s3.secret_access_key) == (Secret(CANARY), Secret(CANARY))
    assert settings.s3.session_token == Secret(CANARY)
    assert "CANARY" not in f"{settings!r} {settings.s3} {settings.s3!r} {dict(settings.origins)}"


def test_keys_go_before_a_profile(load_text: Loader) -> None:
    """So a profile of ours with keys works on a machine that has no profile of AWS's."""
    settings = load_text("[s3]\nprofile = 'etl'", {"ETLCTL_S3_ACCESS_KEY_ID": "a", "ETLCTL_S3_SECRET_ACCESS_KEY": "b"})

    assert settings.s3.profile is None
    assert settings.s3.access_key_id == Secret("a")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"access_key_id": CANARY}, "secret_access_key"),
        ({"secret_access_key": CANARY}, "access_key_id"),
        ({"session_token": CANARY}, "access_key_id"),
        ({"access_key_id": CANARY, "session_token": CANARY}, "secret_access_key"),
    ],
)
def test_half_an_access_key_is_refused(load_text: Loader, given: dict[str, str], missing: str) -> None:
    """boto3 would say PartialCredentialsError, and only at the first request."""
    shown = _sentence(load_text, "[s3]\n" + "\n".join(f"{name} = '{value}'" for name, value in given.items()))

    assert shown.startswith(f"{F}:2: 's3.{next(iter(given))}' needs 's3.{missing}' beside it.")
    assert CANARY not in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("regoin = 'a'", "unknown key 's3.regoin'. Did you mean 'region'?"),
        ("region = 'eu central'", "'s3.region' must be the name of a region, as in eu-central-1, not 'eu central'."),
        ("region = 'https://a'", "must be the name of a region"),
        ("endpoint_url = 's3.example.com'", "must be a URL such as https://s3.example.com:9000, not 's3.example.com'."),
        ("endpoint_url = 'http://h/?x=1'", "must be a URL such as https://s3.example.com:9000."),
        ("addressing_style = 'pth'", "must be auto, path or virtual, not 'pth'. Did you mean 'path'?"),
        ("existence = 'list'", "must be auto or head, not 'list'."),
        ("max_attempts = 0", "'s3.max_attempts' must be a whole number from 1 to 100."),
        ("max_attempts = 101", "must be a whole number from 1 to 100."),
        ("max_attempts = 2.5", "must be a whole number, not a number."),
        ("max_attempts = true", "must be a whole number, not true or false."),
        ("read_timeout = 0", "'s3.read_timeout' must be a number of seconds from 0.001 to 2000000."),
        ("role_arn = 'etl'", "must be the ARN of a role: arn:aws:iam::123456789012:role/NAME, not 'etl'."),
        ("role_arn = 'default'", "must be the ARN of a role"),
        ("role_session_name = 'a b'", "must be 2 to 64 letters, digits and _+=,.@-, not 'a b'."),
        ("external_id = 'ü'", "must be 2 to 1224 letters, digits and _+=,.@:/-"),
        ("gc = ['lake/parts']", "'s3.gc' must be a list of s3://BUCKET or s3://BUCKET/PREFIX, not 'lake/parts'."),
        ("gc = 's3://lake'", "must be a list of texts in quotes, not a text."),
        ("profile = ''", "'s3.profile' is empty. Give it a value, or take it out."),
    ],
)
def test_value_of_a_wrong_form_is_told_with_its_line(load_text: Loader, line: str, said: str) -> None:
    """Before anything runs, and with the form that is meant."""
    shown = _sentence(load_text, f"[s3]\n{line}")

    assert shown.startswith(f"{F}:2: ")
    assert said in shown


@pytest.mark.parametrize(
    "line",
    [
        f"endpoint_url = 'http://etl:{CANARY}@s3.example.com'",
        f"secret_access_key = ' {CANARY}'\naccess_key_id = 'a'",
        f"access_key_id = 'a'\nsecret_access_key = '{CANARY}\\n'".replace("'", '"'),
    ],
)
def test_wrong_secret_is_not_shown(load_text: Loader, line: str) -> None:
    """The sentence names the key of the settings alone."""
    shown = _sentence(load_text, f"[s3]\n{line}")

    assert "'s3." in shown
    assert "CANARY" not in shown


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAX_ATTEMPTS", "five", "must be a whole number from 1 to 100, not 'five'."),
        ("MAX_ATTEMPTS", "1e2", "must be a whole number from 1 to 100, not '1e2'."),
        ("MAX_ATTEMPTS", "101", "must be a whole number from 1 to 100."),
        ("REGION", "", "is set, but empty. Unset it, or give it a value."),
        ("EXISTENCE", "heads", "must be auto or head, not 'heads'. Did you mean 'head'?"),
    ],
)
def test_variable_of_a_wrong_form_is_named(load_text: Loader, name: str, value: str, said: str) -> None:
    """A variable says which it is."""
    shown = _sentence(load_text, "", {f"ETLCTL_S3_{name}": value})

    assert shown.startswith(f"environment variable ETLCTL_S3_{name}")
    assert said in shown


def test_variable_that_is_nearly_ours_draws_a_warning(load_text: Loader) -> None:
    """And that of the tests' own service none."""
    settings = load_text("", {"ETLCTL_S3_ENDPOINT": "http://h", "ETLCTL_TEST_S3_URL": "s3://lake/tests/"})

    assert settings.warnings == (
        (
            "environment variable ETLCTL_S3_ENDPOINT sets nothing. Did you mean 'ETLCTL_S3_ENDPOINT_URL'? "
            "Rename or unset it."
        ),
    )


@pytest.mark.parametrize("written", ["s3://lake/staging", "s3://lake/staging/", "s3://lake/staging//"])
def test_staging_is_a_folder_with_one_slash_at_its_end(load_text: Loader, written: str) -> None:
    """However it is written."""
    settings = load_text(_redshift(f"s3_staging = '{written}'"))

    assert settings.connections["warehouse"].s3_staging == "s3://lake/staging/"


@pytest.mark.parametrize(
    "written",
    ["s3://lake", "s3://lake/", "s3://lake//x", "lake/x", "https://lake/x", "s3://l/x", "s3://lake/a/../x",
     "s3://lake/./x", "s3://lake/..", "s3://lake/a/."],
)  # fmt: skip
def test_staging_that_is_no_folder_is_refused(load_text: Loader, written: str) -> None:
    """Never a bucket's top: what is removed after a load lies below it."""
    assert f"must be a folder in a bucket: s3://BUCKET/FOLDER/, not '{written}'." in _sentence(
        load_text, _redshift(f"s3_staging = '{written}'")
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("default", "default"),
        (ROLE, ROLE),
        ("arn:aws-cn:iam::123456789012:role/a/b/etl", "arn:aws-cn:iam::123456789012:role/a/b/etl"),
        (f"{ROLE}, {ROLE}-2", f"{ROLE},{ROLE}-2"),
        (f"{ROLE},with-comma", f"{ROLE},with-comma"),
    ],
)
def test_iam_role_is_default_or_one_or_a_chain(load_text: Loader, written: str, meant: str) -> None:
    """Blanks after the commas of a chain are taken out."""
    assert load_text(_redshift(f"iam_role = '{written}'")).connections["warehouse"].iam_role == meant


@pytest.mark.parametrize(
    "written",
    [
        "etl",
        "arn:aws:iam::12345678901:role/etl",
        "arn:aws:iam::123456789012:user/etl",
        "arn:aws:iam::123456789012:role/",
        f"{ROLE}\\n",
        f"{ROLE}'",
        f"{ROLE}, default",
        f"{ROLE},arn:aws:s3:::lake",
        f"{ROLE}' CREDENTIALS 'aws_access_key_id=x",
        "Default",
        "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/etl",
    ],
)
def test_iam_role_of_a_wrong_form_is_refused(load_text: Loader, written: str) -> None:
    """It becomes a literal of SQL: nothing that is not a role gets there (S3)."""
    shown = _sentence(load_text, _redshift(f'iam_role = "{written}"'))

    assert shown.startswith(f"{F}:3: 'connections.warehouse.iam_role' must be default, or the ARN of a role")


def test_static_keys_are_off_unless_asked_for(load_text: Loader) -> None:
    """S4."""
    off, on = load_text(_redshift("")), load_text(_redshift("static_keys = true"))

    assert (off.connections["warehouse"].static_keys, on.connections["warehouse"].static_keys) == (False, True)


def test_redshift_is_known_by_its_url(load_text: Loader) -> None:
    """psycopg2 is the one driver; another is told as for PostgreSQL."""
    plain, named = (load_text(f"connections.warehouse.url = '{scheme}://etl@wh:5439/dw'") for scheme in SCHEMES)

    assert plain.connections["warehouse"].url != named.connections["warehouse"].url
    assert "begins with redshift+redshift_connector; etlctl uses psycopg2 for it: write redshift://…" in _sentence(
        load_text, "connections.warehouse.url = 'redshift+redshift_connector://etl@wh:5439/dw'"
    )
