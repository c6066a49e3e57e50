"""The command: what it is given, what everybody can see of it, and how it ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from etlctl import notify
from etlctl.errors import SettingsError
from etlctl.settings import Secret
from notify.house import Load, failed, said, settings, summary


def tell(
    tmp_path: Path, *words: str, timeout_s: float = 10.0, retries: int = 0, wait_s: float = 20.0, reason: str = "no"
) -> None:
    """One failure, to the end."""
    told = settings("command", options={"command": list(words)}, timeout_s=timeout_s, retries=retries)
    opened = notify.opened({"ops": told}, project=tmp_path, profile=None, secrets=[Secret("S3cr3t-b7d1")])
    opened.run_finished(summary(failed(Load(), reason)))
    opened.close(timeout_s=wait_s)


def program(tmp_path: Path, text: str) -> str:
    """A Python script."""
    path = tmp_path / "tell.py"
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_command_gets_json_on_stdin_and_nothing_in_its_arguments(tmp_path: Path) -> None:
    """/proc/PID/cmdline shows everybody what a program was begun with; no shell looks at it either."""
    script = program(
        tmp_path,
        """\
        import json, os, pathlib, sys
        document = json.load(sys.stdin)
        pathlib.Path("kept.json").write_text(json.dumps([document, sys.argv[1:], os.getcwd()]))
        """,
    )

    tell(tmp_path, sys.executable, script, "$(touch shell)", "; touch shell", reason="no S3cr3t-b7d1")

    document, arguments, folder = json.loads((tmp_path / "kept.json").read_text())
    assert document["kind"] == "run" and document["tasks"][0]["reason"] == "no ***"
    assert arguments == ["$(touch shell)", "; touch shell"]
    assert Path(folder) == tmp_path and not (tmp_path / "shell").exists()


def test_command_with_a_secret_in_its_words_is_refused(tmp_path: Path) -> None:
    """Before anything runs, without the secret."""
    with pytest.raises(SettingsError, match="holds a secret, which everybody") as raised:
        tell(tmp_path, "notify-send", "--token=S3cr3t-b7d1")

    assert "S3cr3t" not in str(raised.value)


def test_command_that_fails_is_told_by_its_last_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Printable, masked, and tried once."""
    script = program(
        tmp_path,
        """\
        import pathlib
        with pathlib.Path("tries").open("a") as file: file.write("x")
        print("first" * 100_000)
        print("no route \\x1b[31m S3cr3t-b7d1")
        raise SystemExit(3)
        """,
    )

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(tmp_path, sys.executable, script, retries=3)

    assert "ended with exit 3: no route \\x1b[31m ***" in said(caplog.records)
    assert (tmp_path / "tries").read_text() == "x"


def test_command_that_asks_for_it_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """EX_TEMPFAIL."""
    script = program(
        tmp_path,
        """\
        import pathlib
        tries = pathlib.Path("tries")
        if not tries.exists():
            tries.touch()
            raise SystemExit(75)
        pathlib.Path("done").touch()
        """,
    )

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(tmp_path, sys.executable, script, retries=1)

    assert (tmp_path / "done").exists() and said(caplog.records) == ""


@pytest.mark.parametrize("wait_s", [0.7, 20.0])
def test_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wait_s: float
) -> None:
    """By its timeout, and when nobody waits for it any longer: nothing is left behind."""
    script = program(
        tmp_path,
        """\
        import os, pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path("pids.new").write_text(f"{os.getpid()} {child.pid}")
        os.rename("pids.new", "pids")
        time.sleep(600)
        """,
    )
    told = settings("command", options={"command": [sys.executable, script]}, timeout_s=1.0 if wait_s > 10 else 60.0)
    opened = notify.opened({"ops": told}, project=tmp_path, profile=None)

    with caplog.at_level(logging.WARNING, "etlctl"):
        opened.run_finished(summary(failed(Load())))
        until = time.monotonic() + 60
        while wait_s < 10 and not (tmp_path / "pids").exists() and time.monotonic() < until:
            time.sleep(0.02)
        opened.close(timeout_s=wait_s)

    assert "notify ops" in said(caplog.records)
    if (tmp_path / "pids").exists():  # else it was ended before it had begun one
        for pid in map(int, (tmp_path / "pids").read_text().split()):
            assert _ends(pid), pid


def test_command_that_leaves_a_child_with_its_pipes_is_not_waited_for(tmp_path: Path) -> None:
    """The program has ended well; what it left is ended too."""
    script = program(
        tmp_path,
        """\
        import pathlib, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path("pid").write_text(str(child.pid))
        """,
    )
    began = time.monotonic()

    tell(tmp_path, sys.executable, script, timeout_s=90)

    assert time.monotonic() - began < 60
    assert _ends(int((tmp_path / "pid").read_text()))


TELLS_AND_LEAVES = """
import os, sys, time
from pathlib import Path
from etlctl import notify
from etlctl.settings import NotifySettings
told = NotifySettings(
    name="ops", kind="command", on=("alert",), tasks=(), tags=(), url=None, timeout_s=600.0, retries=0,
    repeat_s=3600.0, options={"command": [sys.executable, "tell.py"]}, place="x:1: 'notify.ops'",
)
notify.opened({"ops": told}, project=Path.cwd(), profile=None).alert("alert", "title", "text")
while not os.path.exists("pids"):
    time.sleep(0.02)
print("begun", flush=True)
if sys.argv[1] == "leaves":
    os._exit(3)
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["leaves", "is killed"])
def test_command_does_not_outlive_its_process(tmp_path: Path, end: str) -> None:
    """Whichever way that goes: by os._exit(), as a loop whose time is over, or by a signal that nobody handles."""
    program(
        tmp_path,
        """\
        import os, pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path("pids.new").write_text(f"{os.getpid()} {child.pid}")
        os.rename("pids.new", "pids")
        time.sleep(600)
        """,
    )
    with subprocess.Popen(
        [sys.executable, "-c", TELLS_AND_LEAVES, end], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        if end == "is killed":
            process.send_signal(signal.SIGKILL)

        assert process.wait(30) == (3 if end == "leaves" else -signal.SIGKILL)
        assert [pid for pid in pids if not _ends(pid)] == []


def test_wait_for_messages_ends_at_a_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its exception goes on; before that what is on its way is given up, with its program, and said."""
    script = program(
        tmp_path,
        """\
        import os, pathlib, time
        pathlib.Path("pid.new").write_text(str(os.getpid()))
        os.rename("pid.new", "pid")
        time.sleep(600)
        """,
    )
    told = settings("command", options={"command": [sys.executable, script]}, timeout_s=600.0)
    opened = notify.opened({"ops": told}, project=tmp_path, profile=None)
    opened.run_finished(summary(failed(Load())))

    def interrupt() -> None:
        while not (tmp_path / "pid").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with caplog.at_level(logging.WARNING, "etlctl"), pytest.raises(KeyboardInterrupt):
            opened.close(timeout_s=600)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)

    assert "a message was not sent in time" in said(caplog.records)
    assert _ends(int((tmp_path / "pid").read_text()))


def _ends(pid: int) -> bool:
    """Whether a process is gone, or a zombie, within seconds."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            state = (
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] if os.path.exists("/proc") else ""
            )
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
