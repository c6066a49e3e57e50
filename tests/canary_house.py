"""What the tests of canaries share: secrets of each kind in settings of a project whose tasks say too much in each way,
and the judge: where a secret stands in files, in tables, in what was received and in command lines."""

from __future__ import annotations

import gzip
import sqlite3
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cli.project import Project

FLOWS = '''
    """Tasks that fail, and say too much."""

    import json
    import os
    import signal
    import subprocess
    from urllib.parse import quote
    from urllib.request import urlopen
    from urllib.error import HTTPError

    import sqlalchemy

    from etlctl import IntParameter, LocalTarget, Parameter, ParameterVisibility, Task
    from etlctl.core.events import Event
    from etlctl.errors import TaskError, UnavailableError

    SECRETS = [os.environ[name] for name in ("CANARY_URL", "CANARY_ENV", "CANARY_FILE", "CANARY_KEY", "CANARY_HOOK")]


    class Says(Task):
        """The base of all: its parameters are private, and come from the settings."""

        pin = Parameter(visibility=ParameterVisibility.PRIVATE)
        given = Parameter(default="", visibility=ParameterVisibility.PRIVATE)
        retry_count = 0
        deadline = "00:00"

        def all(self):
            said = [form for one in (self.pin, self.given) for form in (one, quote(one, safe=""), repr(one))]
            return " ".join([*SECRETS, *said])

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
            raise ValueError("\\n".join(["first", *SECRETS, self.pin, self.given]))


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
            if not os.path.exists("mended"):
                raise RuntimeError(self.all())


    class Retried(Says):
        retries = 1
        retry_delay = 0.01

        def run(self):
            raise RuntimeError(self.all())
'''
LOOP_FLOWS = '''

    def tell_loop(number):
        """From whichever of its processes."""
        with open("health.json") as file:
            os.kill(json.load(file)["pid"], number)


    class Gone(Says):
        """As if something could not be used."""

        def run(self):
            raise UnavailableError(self.all())


    class UnmadeByUs(Says):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            if not os.path.exists("mended"):
                raise TaskError(self.all())


    class UnmadeGone(Says):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            if not os.path.exists("mended"):
                raise UnavailableError(self.all())


    class Needs(Says):
        def requires(self):
            return Unmade(pin=self.pin, given=self.given)


    class Written(Parameter):
        def serialize(self, value):
            if not os.path.exists("mended"):
                raise ValueError(f"cannot write {value} down: {SECRETS}")
            return str(value)


    class Read(Parameter):
        def parse(self, text):
            raise ValueError(f"cannot read {text}")


    class Unread(Says):
        pin = Read(visibility=ParameterVisibility.PRIVATE)


    class Unwritten(Says):
        pin = Written(visibility=ParameterVisibility.PRIVATE)
        given = Written(default="", visibility=ParameterVisibility.PRIVATE)
        public = Written(default="x")


    class Late(Says):
        @property
        def deadline(self):
            raise RuntimeError(self.all())


    class Ends(Says):
        """Looks at the pages of the loop's health, and ends it."""

        port = IntParameter(significant=False)
        deadline = None

        def run(self):
            with open("pages.txt", "a") as file:
                for page in ("live", "ready", "metrics"):
                    try:
                        with urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=30) as answer:
                            file.write(answer.read().decode())
                    except HTTPError as error:
                        file.write(error.read().decode())
                with open("health.json") as health:
                    file.write(health.read())
            tell_loop(signal.SIGTERM)


    class Refused(Says):
        """Has everything read anew, while it cannot be used."""

        deadline = None

        def run(self):
            tell_loop(signal.SIGHUP)


    class Anew(Refused):
        def run(self):
            open("mended", "w").close()
            super().run()
'''
BROKEN = """
    import os

    if not os.path.exists("mended"):
        raise RuntimeError(os.environ["CANARY_URL"] + os.environ["CANARY_KEY"])
"""
FAMILIES = [
    *("Raises", "Chained", "Noted", "Lines", "Long", "Exits", "Grouped", "Tool", "Engine", "Requires", "Complete"),
    *("Output", "OnFailure", "OnFailureRaises", "Handled", "Unmade", "Retried"),
]
UNMADE = ["Unmade", "UnmadeByUs", "UnmadeGone", "Unwritten"]
"""Until `mended` is there."""
LOOPED = [*UNMADE, "Needs", "Refused", "Anew", *(one for one in FAMILIES if one not in UNMADE), "Late", "Gone", "Ends"]
"""What a loop has, in its order. `Anew` mends those before it, and the last ends the loop."""


def canaries() -> dict[str, str]:
    """One secret of each kind."""
    found = {name: f"S3cr3t-{name}-{uuid.uuid4()}" for name in ("URL", "ENV", "FILE", "KEY", "HOOK", "MAIL")}
    found["PIN"] = f"pr'iv\\ate {uuid.uuid4()} é"
    found["GIVEN"] = f"g'iv\\en {uuid.uuid4()} é"
    return found


def variables(secrets: dict[str, str]) -> dict[str, str]:
    """The environment that holds them."""
    far = {"ETLCTL_CONNECTIONS_FAR_URL": f"postgresql://u:{secrets['ENV']}@127.0.0.1:1/d"}
    return {**{f"CANARY_{name}": value for name, value in secrets.items()}, **far}


def forms_of(secrets: dict[str, str]) -> dict[str, str]:
    """What is looked for: every secret, and of those with a backslash and quotes a part that no way of writing
    changes."""
    return {name: value.split(" ")[1] if " " in value else value for name, value in secrets.items()}


def made_project(folder: Path, secrets: dict[str, str], flows: str = FLOWS, more: str = "") -> Project:
    """A project whose settings name all of them, with a notifier that keeps what it is told in `told.txt`."""
    made = Project(folder / "project", f"flows_{uuid.uuid4().hex[:12]}")
    made.pipeline(flows)
    made.pipeline(BROKEN, "broken")
    (folder / "secret").write_text(f"postgresql://u:{secrets['FILE']}@127.0.0.1:1/d\n", encoding="utf-8")
    keep = folder / "keep.py"
    keep.write_text("import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))\n")
    families = [name for name in (*LOOPED, "Unread") if f"class {name}(" in flows]
    params = "".join(f'[params.{name}]\npin = "${{CANARY_PIN}}"\n' for name in families)
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
url = "file:{folder}/secret"
connect_timeout = 1
[s3]
access_key_id = "AKIA"
secret_access_key = "env:CANARY_KEY"
[metrics]
textfile = "metrics.prom"
[notify.kept]
kind = "command"
command = ["{sys.executable}", "{keep}", "told.txt"]
on = ["ok", "fail", "blocked", "recovered", "alert", "deadline"]
[notify.hook]
kind = "webhook"
url = "http://127.0.0.1:1/${{CANARY_HOOK}}"
retries = 0
{params}{more}""",
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
        try:
            yield
        finally:
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


def in_files(folder: Path, forms: dict[str, str]) -> list[str]:
    """Files below `folder` that hold a secret, packed ones unpacked; and each text, number or blob of the tables of
    those that are SQLite's."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        raw = path.read_bytes()
        held = [gzip.decompress(raw)] if raw[:2] == b"\x1f\x8b" else [raw]
        if raw.startswith(b"SQLite format 3"):
            held += _in_tables(path)
        found += [f"{path.name}: {name}" for name, value in forms.items() if any(value.encode() in one for one in held)]
    return found


def _in_tables(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    blob = value if isinstance(value, bytes) else str(value).encode()
                    yield gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob


def in_text(text: str, forms: dict[str, str]) -> list[str]:
    """The names of the secrets in it."""
    return [name for name, value in forms.items() if value in text]
