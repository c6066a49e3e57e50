"""S3 that fails, lies or is not to be had: an object is whole or not there, and nothing is left behind (F48 to F53).

Each is a build of a task with an S3Target, as a user would run it, through a proxy that misbehaves.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from cli.project import Project, Ran, environment
from etlctl import faultpoints
from etlctl.engine import retry
from etlctl.errors import ExitCode
from etlctl.s3 import client
from servers.process import free_port
from servers.s3 import RcloneServer, S3Service, bucket_in, split_url
from servers.s3_fixtures import lead
from servers.s3_proxy import S3Proxy

LAKE = '''
import os
import signal
import sys
import time
from pathlib import Path

from etlctl import BoolParameter, ChoiceParameter, IntParameter, S3Target, Task, WrapperTask, faultpoints

FOLDER = {folder!r}


def wait_for(name):
    while not Path(name).exists():
        time.sleep(0.01)


class Export(Task):
    """An object of `mib` MiB and a little, that tells who wrote it."""

    who = IntParameter(default=1)
    mib = IntParameter(default=0)
    how = ChoiceParameter(default="with", choices=("with", "raise", "forget", "exit", "kill", "first", "second"))
    at = IntParameter(default=0)
    if_absent = BoolParameter()

    def output(self):
        return S3Target(FOLDER + "export #1?.txt", if_absent=self.if_absent)

    def run(self):
        if self.how == "kill":
            name = faultpoints.S3_POINTS[self.at]
            faultpoints.point = lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == name else None
        if self.how == "second":
            faultpoints.point = lambda passed: wait_for("first") if passed == "s3.completing" else None
            Path("second").touch()
        if self.how == "first":
            wait_for("second")
        if self.how == "forget":
            self.write(self.output().open("w"))
            return
        with self.output().open("w") as file:
            self.write(file)
            if self.how == "raise":
                raise ValueError("half of it")
            if self.how == "exit":
                sys.exit(3)
        if self.how == "first":
            Path("first").touch()

    def write(self, file):
        for _ in range(self.mib):
            file.write(f"{{self.who}}" * (1 << 20))
        file.write(f"{{self.who}}" * 100)


class Day(Task):
    """One of many small objects."""

    number = IntParameter()

    def output(self):
        return S3Target(f"{{FOLDER}}days/{{self.number}}.csv")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")


class Days(WrapperTask):
    def requires(self):
        return [Day(number=number) for number in range(20)]
'''
KEY = "export #1?.txt"
PARTS = "9"
"""MiB that go in two parts."""


@dataclass(frozen=True)
class Lake:
    """A project whose objects lie in an empty folder of a bucket."""

    project: Project
    service: S3Service
    bucket: str
    prefix: str

    def run(self, *words: str) -> Ran:
        """`etlctl words` in this process; nothing that it prints gives a key away."""
        ran = self.project.run(*words)
        for secret in (self.service.secret, self.service.key_id):
            assert secret is None or secret not in ran.out + ran.err  # None: a real service's, which boto3 finds
        assert "Traceback" not in ran.out + ran.err or "--debug" in words
        return ran

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """The same as a process, with the settings of this test."""
        given = {name: value for name, value in os.environ.items() if name.startswith("ETLCTL_S3_")}
        return subprocess.Popen(
            [sys.executable, "-m", "etlctl", *words],
            cwd=self.project.folder,
            env=environment(given),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def objects(self) -> dict[str, bytes]:
        """What is there, past etlctl and the proxy."""
        keys = self.service.keys(self.bucket, self.prefix)
        return {key.removeprefix(self.prefix): self.service.get(self.bucket, key) for key in keys}

    @property
    def uploads(self) -> list[tuple[str, str]]:
        """What nobody has ended."""
        return self.service.uploads(self.bucket, self.prefix)

    def put(self, name: str, content: bytes = b"") -> None:
        """Makes an object, past etlctl."""
        self.service.put(self.bucket, self.prefix + name, content)


def whole(who: int = 1, mib: int = 0) -> dict[str, bytes]:
    """The one object of `Export`."""
    return {KEY: f"{who}".encode() * ((mib << 20) + 100)}


@pytest.fixture
def make_lake(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[S3Service, str], Lake]]:
    """Makes the lake in a folder of a service; requests are tried three times in all, tasks twice, without a pause."""
    monkeypatch.setattr(retry, "DELAYS_S", (0.01,))

    package = f"lake_{sha256(str(tmp_path).encode()).hexdigest()[:12]}"

    def made(service: S3Service, url: str) -> Lake:
        monkeypatch.setenv("ETLCTL_S3_MAX_ATTEMPTS", "3")
        project = Project(tmp_path, package)
        project.pipeline(LAKE.format(folder=url))
        return Lake(project, service, *split_url(url))

    yield made
    client.close()
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    gc.collect()  # what a test has forgotten to close is discarded in it, not in the next one
    gc.freeze()  # what is left stays: the next search need not look through it


@pytest.fixture
def lake(make_lake: Callable[[S3Service, str], Lake], s3_server: S3Service, s3_url: str) -> Lake:
    """In moto; through the proxy where the test asks for that."""
    return make_lake(s3_server, s3_url)


# -- F48: the network and the service fail


TRICKS: dict[str, tuple[str, str, Callable[[S3Proxy, int], None]]] = {
    "small, reset in its body": ("0", "PutObject", lambda proxy, times: proxy.reset("PutObject", times=times)),
    "small, slow down": ("0", "PutObject", lambda proxy, times: proxy.answer("PutObject", 503, times=times)),
    "small, answer lost": ("0", "PutObject", lambda proxy, times: proxy.lose("PutObject", times=times)),
    "large, refused at its beginning": (
        PARTS,
        "CreateMultipartUpload",
        lambda proxy, times: proxy.answer("CreateMultipartUpload", 503, times=times),
    ),
    "large, reset in a part": (
        PARTS,
        "UploadPart",
        lambda proxy, times: proxy.reset("UploadPart", after_bytes=1 << 19, times=times),
    ),
    "large, slow down": (PARTS, "UploadPart", lambda proxy, times: proxy.answer("UploadPart", 503, times=times)),
    "large, 500 on Complete": (
        PARTS,
        "CompleteMultipartUpload",
        lambda proxy, times: proxy.answer("CompleteMultipartUpload", 500, times=times),
    ),
    "large, 200 with an error on Complete": (
        PARTS,
        "CompleteMultipartUpload",
        lambda proxy, times: proxy.answer("CompleteMultipartUpload", 200, times=times),
    ),
}
"""How many MiB, which operation, and what is done to so many of its requests."""


@pytest.mark.parametrize("trick", TRICKS)
def test_object_is_whole_after_a_burst_of_failures(lake: Lake, s3_proxy: S3Proxy, trick: str) -> None:
    """F48: two failures are tried again; nobody hears of them."""
    mib, operation, play = TRICKS[trick]
    play(s3_proxy, 2)

    ran = lake.run("build", "Export", "--mib", mib)

    assert (ran.code, s3_proxy.played[operation]) == (ExitCode.DONE, 2), ran.err
    assert lake.objects == whole(mib=int(mib))
    assert lake.uploads == []


@pytest.mark.parametrize("trick", [trick for trick in TRICKS if "lost" not in trick])
def test_failure_for_good_leaves_nothing_and_says_so(lake: Lake, s3_proxy: S3Proxy, trick: str) -> None:
    """F48: exit 4, a sentence with the address; no object, no part; the next build makes it."""
    mib, operation, play = TRICKS[trick]
    play(s3_proxy, 99)

    ran = lake.run("build", "Export", "--mib", mib)
    left = lake.objects, lake.uploads, s3_proxy.counts[operation]
    s3_proxy.forget()
    again = lake.run("build", "Export", "--mib", mib)

    assert (ran.code, left[:2]) == (ExitCode.UNAVAILABLE, ({}, [])), ran.out
    assert re.search(
        rf"writing s3://{lake.bucket}/.*{re.escape(KEY)}: the store (is too busy|cannot be reached)", ran.out
    )
    assert left[2] in (6, 12), "each request of each try, and two parts may be on their way"
    assert (again.code, lake.objects) == (ExitCode.DONE, whole(mib=int(mib)))


@pytest.mark.parametrize("mib", ["0", PARTS])
def test_failure_leaves_the_old_object_as_it_was(lake: Lake, s3_proxy: S3Proxy, mib: str) -> None:
    """F48: --force writes it anew, and fails."""
    lake.put(KEY, b"old")
    s3_proxy.answer("PutObject" if mib == "0" else "CompleteMultipartUpload", 500, times=99)

    ran = lake.run("build", "Export", "--mib", mib, "--force")

    assert ran.code == ExitCode.UNAVAILABLE
    assert (lake.objects, lake.uploads) == ({KEY: b"old"}, [])


@pytest.mark.parametrize("lost", [1, 99])
def test_object_that_is_there_though_the_answer_was_lost_is_done(lake: Lake, s3_proxy: S3Proxy, lost: int) -> None:
    """F48: a Complete that was carried out is not taken for a failure, nor for somebody else's."""
    s3_proxy.lose("CompleteMultipartUpload", times=lost)

    ran = lake.run("build", "Export", "--mib", PARTS, "--if-absent")

    assert ran.code == ExitCode.DONE, ran.out
    assert (lake.objects, lake.uploads) == (whole(mib=9), [])


def test_beginning_whose_answer_was_lost_is_ended_by_gc(lake: Lake, s3_proxy: S3Proxy) -> None:
    """F48: nobody knows the id of that upload; the object is whole all the same."""
    s3_proxy.lose("CreateMultipartUpload")

    ran = lake.run("build", "Export", "--mib", PARTS)
    left = lake.uploads
    swept = lake.run("gc", "--s3", f"s3://{lake.bucket}/{lake.prefix}")

    assert (ran.code, lake.objects) == (ExitCode.DONE, whole(mib=9))
    assert len(left) == 1
    assert (swept.code, lake.uploads) == (ExitCode.DONE, [])


# -- F49: the process is killed


@pytest.mark.parametrize("at", range(len(faultpoints.S3_POINTS)), ids=faultpoints.S3_POINTS)
def test_killed_upload_is_unseen_and_ended_by_gc(lake: Lake, at: int) -> None:
    """F49: kill -9 at each moment of an upload: whole or absent; gc ends what is left; the next build makes it."""
    killed = lake.spawn("build", "Export", "--mib", PARTS, "--how", "kill", "--at", str(at))
    killed.communicate(timeout=60)
    is_published = faultpoints.S3_POINTS[at] == "s3.published"
    found, left = lake.objects, len(lake.uploads)

    swept = lake.run("gc", "--s3", f"s3://{lake.bucket}/{lake.prefix}", "--json")
    again = lake.run("build", "Export", "--mib", PARTS)

    assert killed.returncode == -9
    assert found == (whole(mib=9) if is_published else {})
    assert left == (0 if is_published else 1)
    assert [len(place["uploads"]) for place in swept.json["places"]] == [left]
    assert again.code == ExitCode.DONE
    assert (lake.objects, lake.uploads) == (whole(mib=9), [])


# -- F50: the task fails while it writes


@pytest.mark.parametrize("mib", ["0", PARTS])
@pytest.mark.parametrize("how", ["raise", "exit", "forget"])
@pytest.mark.filterwarnings("ignore:.*never closed. discarded:ResourceWarning")  # what a forgotten close draws
def test_task_that_fails_while_writing_publishes_nothing(lake: Lake, how: str, mib: str) -> None:
    """F50: an exception, an exit and a forgotten close abort the upload; the old object stays."""
    lake.put(KEY, b"old")

    ran = lake.run("build", "Export", "--mib", mib, "--how", how, "--force")

    assert ran.code == (ExitCode.DONE if how == "forget" else ExitCode.FAILED), ran.out
    assert (lake.objects, lake.uploads) == ({KEY: b"old"}, [])


@pytest.mark.filterwarnings("ignore:.*never closed. discarded:ResourceWarning")
def test_forgotten_close_leaves_the_task_incomplete(lake: Lake) -> None:
    """F50: a task whose run() ends without its output has failed."""
    ran = lake.run("build", "Export", "--mib", PARTS, "--how", "forget")

    assert ran.code == ExitCode.FAILED
    assert (lake.objects, lake.uploads) == ({}, [])


# -- F51: two writers


@pytest.mark.parametrize("mib", ["0", PARTS])
def test_first_of_two_writers_wins(lake: Lake, mib: str) -> None:
    """F51: the second has all but completed when the first has. Both end well, the second with a note and no parts."""
    words = ["build", "Export", "--mib", mib, "--if-absent", "--json"]
    second = lake.spawn(*words, "--who", "2", "--how", "second")
    first = lake.spawn(*words, "--who", "1", "--how", "first")
    printed = [child.communicate(timeout=60) for child in (first, second)]
    notes = [json.loads(out)["tasks"][0]["notes"] for out, _ in printed]

    assert [first.returncode, second.returncode] == [ExitCode.DONE, ExitCode.DONE], printed
    assert notes[0] == []
    assert [note.endswith("the first one stays, what this run wrote is discarded") for note in notes[1]] == [True]
    assert (lake.objects, lake.uploads) == (whole(1, int(mib)), [])


@pytest.mark.parametrize("mib", ["0", PARTS])
def test_last_of_two_writers_wins_where_nothing_is_said(lake: Lake, mib: str) -> None:
    """F51: without `if_absent` an object is replaced, whole."""
    words = ["build", "Export", "--mib", mib]
    second = lake.spawn(*words, "--who", "2", "--how", "second")
    first = lake.spawn(*words, "--who", "1", "--how", "first")
    printed = [child.communicate(timeout=60) for child in (first, second)]

    assert [first.returncode, second.returncode] == [ExitCode.DONE, ExitCode.DONE], printed
    assert (lake.objects, lake.uploads) == (whole(2, int(mib)), [])


# -- F52: listings


def days(ran: Ran) -> tuple[int, int]:
    """How many days are done, and how many would run."""
    states = [task["decision"] for task in ran.json["tasks"] if task["family"] == "Day"]
    return states.count("done"), states.count("run")


@pytest.fixture
def half(lake: Lake) -> Lake:
    """Every second day is there; beside the others lie keys that share all but their end."""
    for number in range(0, 20, 2):
        lake.put(f"days/{number}.csv")
    for number in range(1, 20, 2):
        for decoy in (f"days/{number}.csv.bak", f"days/{number}.csv/part", f"days/{number}.CSV", f"days/0{number}.csv"):
            lake.put(decoy)
    return lake


def test_listing_decides_by_the_exact_key(half: Lake, s3_proxy: S3Proxy) -> None:
    """F52: a key that another begins with is not there."""
    ran = half.run("plan", "Days", "--json")

    assert days(ran) == (10, 10)
    assert (s3_proxy.counts["ListObjectsV2"], s3_proxy.counts["HeadObject"]) == (1, 0)


@pytest.mark.parametrize("trick", ["lost", "late", "busy", "cut"])
def test_page_of_a_listing_that_fails_once_is_asked_for_again(half: Lake, s3_proxy: S3Proxy, trick: str) -> None:
    """F52: half a listing is no listing."""
    plays: dict[str, Callable[[], None]] = {
        "lost": lambda: s3_proxy.lose("ListObjectsV2"),
        "late": lambda: s3_proxy.stall("ListObjectsV2", 0.3),
        "busy": lambda: s3_proxy.answer("ListObjectsV2", 503),
        "cut": lambda: s3_proxy.cut("ListObjectsV2", after_bytes=1500),
    }
    plays[trick]()

    ran = half.run("plan", "Days", "--json")

    assert (ran.code, s3_proxy.played["ListObjectsV2"]) == (ExitCode.DONE, 1)
    assert days(ran) == (10, 10)


def test_listing_that_cannot_be_had_runs_nothing(half: Lake, s3_proxy: S3Proxy) -> None:
    """F52: exit 4; what is not known to be missing is not made anew."""
    s3_proxy.answer("ListObjectsV2", 503, times=99)
    s3_proxy.answer("HeadObject", 503, times=99)

    ran = half.run("build", "Days")

    assert ran.code == ExitCode.UNAVAILABLE
    assert s3_proxy.counts["PutObject"] == 0


def test_store_whose_listings_lag_is_asked_key_by_key(
    half: Lake, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: `existence = "head"` makes no listing at all."""
    monkeypatch.setenv("ETLCTL_S3_EXISTENCE", "head")

    ran = half.run("plan", "Days", "--json")

    assert days(ran) == (10, 10)
    assert s3_proxy.counts["ListObjectsV2"] == 0


# -- F53: no credentials, no right, the wrong place


def _forget_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"ETLCTL_S3_{name}")


def _ask_with_a_profile(proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_keys(monkeypatch)
    monkeypatch.setenv("ETLCTL_S3_PROFILE", "nobody")


def _ask_a_wall(proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETLCTL_S3_READ_TIMEOUT", "0.2")
    proxy.stall("*", 600, times=99)


def _ask_nobody(proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETLCTL_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


ROLE = "arn:aws:iam::123456789012:role/loader"


def _ask_in_a_role(url: str) -> Callable[[S3Proxy, pytest.MonkeyPatch], None]:
    """`url`, where it is not the proxy's, gives out the role's credentials."""

    def play(proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ETLCTL_S3_ROLE_ARN", ROLE)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url or proxy.url)
        proxy.answer("*", 403, "AccessDenied", times=99)

    return play


def _ask_without_login(proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_keys(monkeypatch)
    session = "[sso-session work]\nsso_start_url = https://x.invalid/start\nsso_region = eu-central-1\n"
    profile = "[profile work]\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = loader\n"
    Path("aws").write_text(session + profile)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(Path("aws").absolute()))
    monkeypatch.setenv("AWS_PROFILE", "work")


def _ask_with_a_profile_of_aws(proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_keys(monkeypatch)
    monkeypatch.setenv("AWS_PROFILE", "nobody")


REFUSALS: dict[str, tuple[Callable[[S3Proxy, pytest.MonkeyPatch], None], str]] = {
    "403 on HEAD": (lambda proxy, _: proxy.answer("HeadObject", 403, times=99), "Grant s3:GetObject"),
    "403 on all": (lambda proxy, _: proxy.answer("*", 403, times=99), "Grant s3:GetObject"),
    "expired": (lambda proxy, _: proxy.answer("*", 400, "ExpiredToken", times=99), "expired"),
    "wrong region": (lambda proxy, _: proxy.answer("*", 301, "PermanentRedirect", times=99), "another region"),
    "no credentials": (lambda _, monkeypatch: _forget_keys(monkeypatch), "there are no credentials"),
    "no such profile": (_ask_with_a_profile, "has no profile 'nobody'"),
    "no such profile of AWS": (_ask_with_a_profile_of_aws, "look at AWS_PROFILE and at `profile` in [s3]"),
    "nobody listens": (_ask_nobody, "the store cannot be reached at 127.0.0.1:"),
    "no answer": (_ask_a_wall, "the store cannot be reached at 127.0.0.1:"),
    "role refused": (
        _ask_in_a_role(""),
        f"assuming the role {ROLE} (environment variable ETLCTL_S3_ROLE_ARN): this us",
    ),
    "role not to be had": (
        _ask_in_a_role("http://127.0.0.1:1"),
        "the service that gives out a role's credentials cannot be reached at 127.0.0.1:1: ",
    ),
    "never logged in": (_ask_without_login, "`aws sso login`"),
}
"""What is wrong, and what is said of it."""


@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["", "debug"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_store_that_cannot_be_asked_is_no_absent_object(
    lake: Lake, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, refusal: str, debug: tuple[str, ...]
) -> None:
    """F53: exit 4 with the mend, before the task has run; no key is shown, with --debug neither (S4)."""
    play, said = REFUSALS[refusal]
    monkeypatch.chdir(lake.project.folder)
    monkeypatch.setenv("ETLCTL_S3_SESSION_TOKEN", "CANARY-0123456789")
    play(s3_proxy, monkeypatch)

    ran = lake.run(*debug, "build", "Export")

    assert ran.code == ExitCode.UNAVAILABLE, ran.err
    assert said in ran.out + ran.err
    assert "CANARY" not in ran.out + ran.err
    assert s3_proxy.counts["PutObject"] == 0
    assert lake.objects == {}


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("ExpiredToken", 400, "the session's credentials have expired: get new ones"),
        ("InvalidAccessKeyId", 403, "the store does not know these credentials"),
        ("AccessDenied", 403, "Grant s3:PutObject"),
        ("PermanentRedirect", 301, "the bucket is in another region: set `region` in [s3]"),
        ("AuthorizationHeaderMalformed", 400, "the bucket is in another region"),
        ("RequestTimeTooSkewed", 403, "this machine's clock is wrong"),
        ("NoSuchBucket", 404, "there is no such bucket"),
        ("QuotaExceeded", 403, "the bucket's quota is used up"),
    ],
)
@pytest.mark.parametrize("mib", ["0", PARTS])
def test_refused_write_says_how_to_mend_it(
    lake: Lake, s3_proxy: S3Proxy, code: str, status: int, said: str, mib: str
) -> None:
    """F53: exit 4, at once; nothing is left."""
    operation = "PutObject" if mib == "0" else "UploadPart"
    s3_proxy.answer(operation, status, code, times=99)

    ran = lake.run("build", "Export", "--mib", mib)

    assert ran.code == ExitCode.UNAVAILABLE, ran.out
    assert said in ran.out
    assert (lake.objects, lake.uploads) == ({}, [])


def test_wrong_secret_is_told_and_never_shown(
    make_lake: Callable[[S3Service, str], Lake], rclone_server: RcloneServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F53, S4: a service that looks at the signature refuses it; the secret is in no output and no file of ours."""
    lead(monkeypatch, rclone_server)
    with bucket_in(rclone_server) as bucket:
        lake = make_lake(rclone_server, f"s3://{bucket}/lake/")
        right = lake.run("build", "Export")
        monkeypatch.setenv("ETLCTL_S3_SECRET_ACCESS_KEY", "CANARY-0123456789")
        ran = lake.run("--debug", "build", "Export", "--force")

        assert (right.code, lake.objects) == (ExitCode.DONE, whole())
    assert ran.code == ExitCode.UNAVAILABLE
    assert "CANARY" not in ran.out + ran.err
    written = [file for file in Path(lake.project.folder).rglob("*") if file.is_file()]
    assert written
    for file in written:
        content = file.read_bytes()
        assert b"CANARY" not in content and str(rclone_server.secret).encode() not in content


def test_missing_bucket_is_told_before_the_task_runs(
    make_lake: Callable[[S3Service, str], Lake], bucket: str, s3_server: S3Service
) -> None:
    """F53: its name, and how to make it; exit 4, not "absent"."""
    lake = make_lake(s3_server, f"s3://{bucket}-not/lake/")

    ran = lake.run("build", "Export")

    assert ran.code == ExitCode.UNAVAILABLE
    assert f"s3://{bucket}-not" in ran.out + ran.err and "`aws s3 mb`" in ran.out + ran.err


def test_store_that_is_away_is_given_up_in_time(lake: Lake, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """F53: tries times read_timeout, not minutes."""
    monkeypatch.setenv("ETLCTL_S3_READ_TIMEOUT", "0.5")
    s3_proxy.stall("*", 600, times=99)
    began = time.monotonic()

    ran = lake.run("build", "Export")

    assert ran.code == ExitCode.UNAVAILABLE
    assert time.monotonic() - began < 15
