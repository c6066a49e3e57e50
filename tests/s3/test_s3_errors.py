"""What the store and boto3 say, in our words: a sentence with the mend, the right exit code, and no secret."""

from __future__ import annotations

import os
import re
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from etlctl.errors import EtlctlError, ExitCode, TaskError, TransientError, UnavailableError
from etlctl.s3 import client
from etlctl.s3.address import S3Address
from etlctl.s3.errors import translating
from etlctl.s3.existence import exist
from etlctl.s3.objects import head, listed
from etlctl.s3.reader import open_object
from etlctl.s3.writer import ObjectWriter
from servers.process import free_port
from servers.s3 import RcloneServer, S3Service, bucket_in
from servers.s3_fixtures import lead
from servers.s3_proxy import S3Proxy

At = Callable[[str], S3Address]
CANARY = "S3cr3t-c4n4ry-0f-th3-s3-t3sts"
OTHER_ID = "AKIANOBODYKNOWSTHIS1"

pytestmark = pytest.mark.usefixtures("impatient")


def put(address: S3Address) -> None:
    with ObjectWriter(address) as file:
        file.write(b"x")


def every_error(address: S3Address) -> list[EtlctlError]:
    """What each way of asking says."""
    found = []
    asked: list[Callable[[], object]] = [
        lambda: head(address),
        lambda: open_object(address),
        lambda: put(address),
        lambda: list(listed(address)),
    ]
    for ask in asked:
        with pytest.raises(EtlctlError) as failed:
            ask()
        found.append(failed.value)
    found.extend(answer for answer in exist([address]) if isinstance(answer, EtlctlError))
    return found


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "AccessDenied", UnavailableError, "this user may not do that"),
        (403, "AllAccessDisabled", UnavailableError, "this user may not do that"),
        (403, "InvalidAccessKeyId", UnavailableError, "does not know these credentials"),
        (403, "SignatureDoesNotMatch", UnavailableError, "does not know these credentials"),
        (403, "RequestTimeTooSkewed", UnavailableError, "clock is wrong"),
        (400, "ExpiredToken", UnavailableError, "have expired"),
        (400, "AuthorizationHeaderMalformed", UnavailableError, "in another region"),
        (301, "PermanentRedirect", UnavailableError, "in another region"),
        (404, "NoSuchBucket", UnavailableError, "there is no such bucket"),
        (503, "SlowDown", TransientError, "too busy"),
        (500, "InternalError", TransientError, "too busy"),
        (429, "TooManyRequests", TransientError, "too busy"),
        (400, "BadDigest", TransientError, "damaged on their way"),
        (400, "InvalidStorageClass", TaskError, "does not have this StorageClass; S3 has STANDARD, STANDARD_IA, "),
        (501, "NotImplemented", TaskError, "does not do what was asked for"),
        (400, "SomethingNew", TaskError, r"refuses PutObject: We encountered an internal error.*\(SomethingNew\)"),
    ],
)
def test_errors_of_the_store_come_out_in_our_words(
    at: At, s3_proxy: S3Proxy, status: int, code: str, kind: type[EtlctlError], words: str
) -> None:
    """F53: each with the address and what to do."""
    s3_proxy.answer("PutObject", status, code, times=100)

    with pytest.raises(kind, match=f"^writing {at('one')}: .*{words}") as failed:
        put(at("one"))

    assert failed.value.exit_code is (ExitCode.FAILED if kind is TaskError else ExitCode.UNAVAILABLE)
    assert "An error occurred" not in str(failed.value)


def test_errors_of_a_head_have_no_body_and_are_told_all_the_same(at: At, s3_proxy: S3Proxy) -> None:
    """F53: 403, and the 400 of expired credentials."""
    s3_proxy.answer("HeadObject", 403)
    s3_proxy.answer("HeadObject", 400, times=3)

    with pytest.raises(
        UnavailableError, match=r"may not do that, or the access key is wrong .*Grant s3:GetObject, and s3:ListBucket"
    ):
        head(at("one"))
    with pytest.raises(UnavailableError, match=r"expired credentials or a wrong region.* Signed with .*_ACCESS_KEY_ID"):
        head(at("one"))


def test_errors_of_a_right_that_is_missing_do_not_speak_of_wrong_keys(at: At, s3_proxy: S3Proxy) -> None:
    """An answer with a body says which it is; whose user that is, the sentence tells all the same."""
    s3_proxy.answer("GetObject", 403, "AccessDenied")

    with pytest.raises(UnavailableError, match=r"this user may not do that \(AccessDenied.* Grant ") as failed:
        open_object(at("one"))

    assert "wrong" not in str(failed.value)
    assert "Signed with the access key of environment variable ETLCTL_S3_ACCESS_KEY_ID." in str(failed.value)


def test_errors_of_wrong_keys_are_exit_4(rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """F53, on a service that looks at signatures; the secret is in no sentence and no chain of errors."""
    with bucket_in(rclone_server) as bucket:
        lead(monkeypatch, rclone_server)
        monkeypatch.setenv("ETLCTL_S3_SECRET_ACCESS_KEY", CANARY)

        errors = every_error(S3Address(bucket, "one"))

    assert [type(error) for error in errors] == [UnavailableError] * 5
    assert "does not know these credentials" in str(errors[1])
    assert CANARY not in "".join("".join(traceback.format_exception(error)) for error in errors)


KEYS = f"aws_access_key_id = {OTHER_ID}\naws_secret_access_key = {CANARY}\n"
AWS_KEYS = {"AWS_ACCESS_KEY_ID": OTHER_ID, "AWS_SECRET_ACCESS_KEY": CANARY}
ETLCTL_KEYS = {"ETLCTL_S3_ACCESS_KEY_ID": OTHER_ID, "ETLCTL_S3_SECRET_ACCESS_KEY": CANARY}
BY_REFERENCE = '[s3]\naccess_key_id = "${MINE}"\nsecret_access_key = "${MINE_TOO}"\n'


@pytest.mark.parametrize(
    ("given", "settings", "told"),
    [
        (ETLCTL_KEYS, "", "the access key of environment variable ETLCTL_S3_ACCESS_KEY_ID"),
        (
            {"MINE": OTHER_ID, "MINE_TOO": CANARY},
            BY_REFERENCE,
            r"the access key of config/etlctl\.toml:2 from \$\{MINE\}",
        ),
        (AWS_KEYS, "", "the access key of AWS_ACCESS_KEY_ID"),
        ({}, "", r"the profile 'default' of AWS's files \(shared-credentials-file\)"),
        ({"AWS_PROFILE": "mine"}, "", r"the profile 'mine' of AWS's files \(shared-credentials-file\)"),
        ({}, '[s3]\nprofile = "mine"\n', r"the profile 'mine' \(config/etlctl\.toml:2\)"),
    ],
    ids=["ETLCTL_S3", "settings", "AWS", "default profile", "AWS_PROFILE", "profile in settings"],
)
def test_errors_of_wrong_keys_say_whose_they_are(
    rclone_server: RcloneServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    given: dict[str, str],
    settings: str,
    told: str,
) -> None:
    """A HEAD's 403 has no body: a wrong key is named beside the missing right, with the place to look at; no key is."""
    lead(monkeypatch, rclone_server)
    for name in ETLCTL_KEYS:
        monkeypatch.delenv(name)
    files = tmp_path / "aws"
    files.write_text(f"[default]\n{KEYS}[mine]\n{KEYS}")
    for name, value in {"AWS_SHARED_CREDENTIALS_FILE": str(files), **given}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "etlctl.toml").write_text(settings)

    with bucket_in(rclone_server) as bucket:
        errors = [str(error) for error in every_error(S3Address(bucket, "one"))]

    assert re.search(rf"may not do that, or the access key is wrong or has expired.* Signed with {told}", errors[0])
    for error in errors:
        assert re.search(f"Signed with {told}", error) and OTHER_ID not in error and CANARY not in error


def test_errors_in_a_role_say_whose_keys_assumed_it(at: At, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which role it is stands in the settings, as the keys do."""
    address = at("one")
    monkeypatch.setenv("ETLCTL_S3_ROLE_ARN", "arn:aws:iam::123456789012:role/loader")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_proxy.url)
    s3_proxy.answer("HeadObject", 403)

    with pytest.raises(UnavailableError) as failed:
        head(address)

    assert (
        "Signed with the role arn:aws:iam::123456789012:role/loader (environment variable ETLCTL_S3_ROLE_ARN), "
        "assumed with the access key of environment variable ETLCTL_S3_ACCESS_KEY_ID" in str(failed.value)
    )


def test_errors_of_a_role_that_may_not_be_assumed_name_it_and_who_asked(
    at: At, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role's own policy names who may."""
    address = at("one")
    monkeypatch.setenv("ETLCTL_S3_ROLE_ARN", "arn:aws:iam::123456789012:role/loader")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_proxy.url)
    s3_proxy.answer("*", 403, "AccessDenied", times=9)

    with pytest.raises(UnavailableError) as failed:
        head(address)

    said = str(failed.value)
    assert said.startswith("assuming the role arn:aws:iam::123456789012:role/loader (environment variable ETLCTL_S3_")
    assert "Signed with the access key of environment variable ETLCTL_S3_ACCESS_KEY_ID. Grant sts:AssumeRole" in said


def test_errors_without_credentials_are_exit_4(at: At, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """F53: neither in the settings, nor in the environment, nor in a file, nor from the machine."""
    address = at("one")
    for name in ("ETLCTL_S3_ACCESS_KEY_ID", "ETLCTL_S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    errors = every_error(address)

    assert [type(error) for error in errors] == [UnavailableError] * 5
    assert all("there are no credentials: set AWS_PROFILE" in str(error) for error in errors)


def test_errors_of_a_profile_that_is_not_there_are_exit_4(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found when the client is made."""
    address = at("one")
    for name in ("ETLCTL_S3_ACCESS_KEY_ID", "ETLCTL_S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("ETLCTL_S3_PROFILE", "nobody")

    with pytest.raises(UnavailableError, match="has no profile 'nobody'"):
        head(address)


def test_errors_of_a_store_that_is_not_there_are_transient(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens: exit code 4, and the attempt may be repeated."""
    address = at("one")
    monkeypatch.setenv("ETLCTL_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    errors = every_error(address)

    assert [type(error) for error in errors] == [TransientError] * 5
    assert all("cannot be reached" in str(error) for error in errors)


def test_errors_of_the_region_name_a_variable_that_is_read(
    at: At, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 reads AWS_DEFAULT_REGION and, unlike other programs of Amazon's, no AWS_REGION."""
    address = at("one")
    monkeypatch.delenv("ETLCTL_S3_REGION")
    s3_proxy.answer("PutObject", 301, "PermanentRedirect", times=9)

    with pytest.raises(UnavailableError) as failed:
        put(address)
    named = re.findall(r"\b[A-Z0-9_]+_REGION\b", str(failed.value))

    assert named == ["ETLCTL_S3_REGION", "AWS_DEFAULT_REGION"]
    for name in named:
        monkeypatch.setenv(name, "eu-west-3")
        client.close()
        assert client.client().meta.region_name == "eu-west-3"
        monkeypatch.delenv(name)


def test_errors_of_a_redirect_that_leads_nowhere_come_to_an_end(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare 301: botocore would ask where the bucket is for ever."""
    asked = []

    class Redirects(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(301)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    address = at("one")
    with HTTPServer(("127.0.0.1", 0), Redirects) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("ETLCTL_S3_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")

        for ask in (lambda: head(address), lambda: open_object(address)):
            with pytest.raises(UnavailableError, match="in another region: set `region`"):
                ask()

        server.shutdown()
        thread.join()
    assert len(asked) <= 6


def test_errors_of_others_pass_unchanged() -> None:
    """User code's own errors, and ours, are not the store's."""
    for error in (ZeroDivisionError("x"), TaskError("ours"), FileNotFoundError("there is no such file")):
        with pytest.raises(type(error)) as passed, translating("writing"):
            raise error
        assert passed.value is error


def test_errors_hold_no_control_characters(at: At, s3_proxy: S3Proxy) -> None:
    """A key may hold what a terminal would obey."""
    s3_proxy.answer("GetObject", 403)

    with pytest.raises(UnavailableError) as failed:
        open_object(at("a\x1b[31m"))

    assert str(failed.value).isprintable()


def test_errors_canary_is_in_no_output(
    at: At, s3_proxy: S3Proxy, s3_server: S3Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """S4: secret key and session token, through every way that fails."""
    monkeypatch.setenv("ETLCTL_S3_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("ETLCTL_S3_SESSION_TOKEN", CANARY + "-token")
    s3_proxy.answer("*", 403, "InvalidAccessKeyId", times=1000)

    told = "".join("".join(traceback.format_exception(error)) for error in every_error(at("one")))

    assert CANARY not in told + "".join(capfd.readouterr())
    assert os.environ["ETLCTL_S3_SECRET_ACCESS_KEY"] == CANARY
    s3_proxy.forget()
