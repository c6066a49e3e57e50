"""S5, S6: exceptions that quote every secret there is go through failing commands; nothing that is left behind has one.

The secrets: a password in a URL, one in an environment variable, one in a file, an access key, a webhook's address, and
a private parameter from the settings. Looked at: stdout, stderr, logs, the history, messages of notifiers, metrics,
every file of the project, and the command lines of all processes meanwhile.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.project import Project, Ran

FLOWS = '''
    """Tasks that fail, and say too much."""

    import os
    import subprocess
    from urllib.parse import quote

    import sqlalchemy

    from etlctl import LocalTarget, Parameter, ParameterVisibility, Task
    from etlctl.core.events import Event

    SECRETS = [os.environ[name] for name in ("CANARY_URL", "CANARY_ENV", "CANARY_FILE", "CANARY_KEY", "CANARY_HOOK")]


    class Says(Task):
        """The base of all: its parameter is private, and comes from the settings."""

        pin = Parameter(visibility=ParameterVisibility.PRIVATE)
        retry_count = 0

        def all(self):
            return " ".join([*SECRETS, self.pin, quote(self.pin, safe=""), repr(self.pin)])

        def output(self):
            return LocalTarget(f"out/{type(self).__name__}")


    class Raises(Says):
        def run(self):
            raise RuntimeError(self.all())


    class Chained(Says):
        def run(self):
            try:
                raise KeyError(self.all())
            except KeyError as error:
                raise ValueError("see above") from error


    class Noted(Says):
        def run(self):
            error = ValueError("see below")
            error.add_note(self.all())
            raise error


    class Lines(Says):
        def run(self):
            raise ValueError("\\n".join(["first", *SECRETS, self.pin]))


    class Long(Says):
        def run(self):
            raise ValueError("x" * 480 + " " + self.pin)


    class Exits(Says):
        def run(self):
            raise SystemExit(self.all())


    class Grouped(Says):
        def run(self):
            raise ExceptionGroup("two", [ValueError(self.all()), KeyError(self.pin)])


    class Tool(Says):
        def run(self):
            subprocess.run(["false"], check=True, env={"PIN": self.pin})


    class Engine(Says):
        def run(self):
            sqlalchemy.create_engine(f"nothing://u:{self.pin}@h/d")


    class Requires(Says):
        def requires(self):
            raise RuntimeError(self.all())

        def run(self):
            pass


    class Complete(Says):
        def complete(self):
            raise RuntimeError(self.all())

        def run(self):
            pass


    class Output(Says):
        def output(self):
            raise RuntimeError(self.all())

        def run(self):
            pass


    class OnFailure(Says):
        def run(self):
            raise RuntimeError("quiet")

        def on_failure(self, error):
            return self.all()


    class OnFailureRaises(OnFailure):
        def on_failure(self, error):
            raise RuntimeError(self.all())


    class Handled(Says):
        def run(self):
            raise RuntimeError("quiet")


    @Handled.event_handler(Event.FAILURE)
    def _heard(task, error):
        raise RuntimeError(task.all())


    class Unmade(Says):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            raise RuntimeError(self.all())


    class Retried(Says):
        retries = 1
        retry_delay = 0.01

        def run(self):
            raise RuntimeError(self.all())
'''
BROKEN = """
    import os

    raise RuntimeError(os.environ["CANARY_URL"] + os.environ["CANARY_KEY"])
"""
FAMILIES = [
    *("Raises", "Chained", "Noted", "Lines", "Long", "Exits", "Grouped", "Tool", "Engine", "Requires", "Complete"),
    *("Output", "OnFailure", "OnFailureRaises", "Handled", "Unmade", "Retried"),
]
MADE = [name for name in FAMILIES if name != "Unmade"]
TELLING = [
    ("plan", *MADE, "--debug"),
    ("plan", *MADE, "--json"),
    ("status", *MADE, "--debug"),
    ("status", "--json"),
    ("status",),
    ("graph", "Requires"),
    ("show", "Requires"),
    ("list",),
    ("history",),
    ("history", "--json"),
    ("logs",),
    ("doctor",),
    ("doctor", "--json"),
    ("build", "Nothing"),
    ("build", "Raises", "--pim", "x"),
    ("markers", "list"),
    ("plan", "Unmade", "--json"),
]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One secret of each kind, in variables."""
    found = {name: f"S3cr3t-{name}-{uuid.uuid4()}" for name in ("URL", "ENV", "FILE", "KEY", "HOOK")}
    found["PIN"] = f"pr'iv\\ate {uuid.uuid4()} é"
    for name, value in found.items():
        monkeypatch.setenv(f"CANARY_{name}", value)
    monkeypatch.setenv("ETLCTL_CONNECTIONS_FAR_URL", f"postgresql://u:{found['ENV']}@127.0.0.1:1/d")
    return found


@pytest.fixture
def project(tmp_path: Path, canaries: dict[str, str]) -> Project:
    """Settings that name all of them, with a notifier that keeps what it is told."""
    made = Project(tmp_path / "project", f"flows_{uuid.uuid4().hex[:12]}")
    made.pipeline(FLOWS)
    made.pipeline(BROKEN, "broken")
    (tmp_path / "secret").write_text(f"postgresql://u:{canaries['FILE']}@127.0.0.1:1/d\n", encoding="utf-8")
    keep = tmp_path / "keep.py"
    keep.write_text("import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))\n")
    params = "".join(f'[params.{name}]\npin = "${{CANARY_PIN}}"\n' for name in FAMILIES)
    made.write(
        "config/etlctl.toml",
        f"""
[pipelines]
path = "{made.package}"
[connections.warehouse]
url = "postgresql://u:${{CANARY_URL}}@127.0.0.1:1/d"
connect_timeout = 1
[connections.far]
url = "sqlite:///far.db"
connect_timeout = 1
[connections.filed]
url = "file:{tmp_path}/secret"
connect_timeout = 1
[s3]
access_key_id = "AKIA"
secret_access_key = "env:CANARY_KEY"
[metrics]
textfile = "metrics.prom"
[notify.kept]
kind = "command"
command = ["{sys.executable}", "{keep}", "told.txt"]
on = ["ok", "fail", "blocked", "recovered", "alert"]
[notify.hook]
kind = "webhook"
url = "http://127.0.0.1:1/${{CANARY_HOOK}}"
retries = 0
{params}""",
    )
    return made


class Watch:
    """Reads the command lines of all processes, again and again."""

    def __init__(self, secrets: list[bytes]) -> None:
        self.secrets = secrets
        self.hits: set[bytes] = set()
        self.seen = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,))
        thread.start()
        yield
        over.set()
        thread.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(0.005):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = place.read_bytes()
                except OSError:  # it has ended
                    continue
                self.seen += b"etlctl" in words
                if any(secret in words for secret in self.secrets):
                    self.hits.add(words)


def _forms(canaries: dict[str, str]) -> dict[str, str]:
    """Every secret, and of the one with a backslash and quotes a part that no way of writing changes."""
    return {**canaries, "PIN": canaries["PIN"].split(" ")[1]}


def test_no_secret_that_an_exception_quotes_is_left_anywhere(project: Project, canaries: dict[str, str]) -> None:
    """More than thirty commands that fail; none says a secret, neither at once nor later."""
    forms = _forms(canaries)
    leaks: list[str] = []
    codes: list[int] = []

    def look(words: tuple[str, ...], ran: Ran) -> None:
        codes.append(ran.code)
        leaks.extend(f"{' '.join(words)}: {name}" for name, value in forms.items() if value in ran.out + ran.err)

    builds = [("build", name) for name in FAMILIES] + [("build", name, "--debug", "--json") for name in FAMILIES]
    for words in [*builds, *TELLING]:
        look(words, project.run(*words))

    assert leaks == []
    assert sum(code != 0 for code in codes) > 30
    assert _in_files(project, forms) == []
    assert "RuntimeError" in (project.folder / "told.txt").read_text(encoding="utf-8")
    assert "fail" in (project.folder / "metrics.prom").read_text(encoding="utf-8").lower()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")
def test_no_secret_stands_in_a_command_line(project: Project, canaries: dict[str, str]) -> None:
    """S6: neither of etlctl's own processes, nor of its workers, nor of what a notifier starts."""
    forms = _forms(canaries)
    env = {name: value for name, value in os.environ.items() if name.startswith(("ETLCTL_", "CANARY_"))}
    watch = Watch([value.encode() for value in forms.values()])

    with watch.watching():
        built = project.spawn("build", *MADE, "--jobs", "2", env=env)
        logged = project.spawn("logs", env=env)

    assert built.code not in (0, 2), built.err
    assert [name for name, value in forms.items() if value in built.out + built.err + logged.out + logged.err] == []
    assert watch.seen > 3 and watch.hits == set()
    assert _in_files(project, forms) == []


def _in_files(project: Project, forms: dict[str, str]) -> list[str]:
    """Files of the project that hold a secret, bytecode left out."""
    found = []
    for folder, _, names in os.walk(project.folder):
        for path in (Path(folder, name) for name in names):
            text = path.read_bytes()
            found += [f"{path.name}: {name}" for name, value in forms.items() if value.encode() in text]
    return found
