"""The kind `command`: a program of one's own that is given the message as JSON on its stdin. Never a shell.

It runs in a group of its own, which is killed when it has ended, when its time is up, and with this process: beside it
a guard waits for the end of a pipe that this process alone holds, which the kernel closes however the process ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from etlctl.notify import options
from etlctl.notify.message import Message, NotSent
from etlctl.settings import NotifySettings
from etlctl.settings.masks import Mask
from etlctl.text import shortened

_MOST_SAID = 300
_MOST_READ = 4_096
_GUARD = ("/bin/sh", "-c", 'read -r group && { read -r never; kill -s KILL -- "-$group"; }')
"""Given the number of a group, a line; kills it when there will be no other."""


class Command:
    """Runs the program once a message, in the project's folder; it is ended, with all it started, when time is up."""

    def __init__(self, settings: NotifySettings, project: Path, mask: Mask) -> None:
        """SettingsError for a command that is none, or that holds a secret: everybody on the machine can see it."""
        options.check_names(settings, {"command"})
        self._words = list(options.texts(settings, "command"))
        if any("\0" in word for word in self._words):
            raise options.wrong(settings, "command", "holds a NUL character.")
        if any(mask.holds(word) for word in self._words):
            raise options.wrong(
                settings,
                "command",
                "holds a secret, which everybody on the machine could see. Let the program read it from its "
                "environment, or from a file.",
            )
        self._project = project
        self._timeout_s = settings.timeout_s
        self._lock = Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._is_aborted = False

    def send(self, message: Message) -> None:
        """See Notifier. Exit 0 is sent; 75 (EX_TEMPFAIL of sysexits.h) is tried again, and nothing else is."""
        data = json.dumps(message.document(), ensure_ascii=False).encode("utf-8", "backslashreplace")
        program = shortened(self._words[0])
        with TemporaryFile() as output:  # a pipe would be waited for as long as a child of the program has it
            try:
                running = self._begun(output)
            except OSError as error:
                raise NotSent(f"{program} cannot be run: {error.strerror}", can_retry=False) from error
            try:
                running.communicate(data, timeout=self._timeout_s)
            except subprocess.TimeoutExpired as error:
                raise NotSent(f"{program} did not end within {self._timeout_s:g} s, and was killed") from error
            finally:
                self._ended(running)
            if running.returncode:
                how = f"exit {running.returncode}" if running.returncode > 0 else f"signal {-running.returncode}"
                raise NotSent(
                    f"{program} ended with {how}{_last_line(output)}", can_retry=running.returncode == os.EX_TEMPFAIL
                )

    def abort(self) -> None:
        """See Notifier: kills what runs; nothing is begun after it."""
        with self._lock:
            self._is_aborted = True
            running = self._running
        if running is not None:
            _kill(running)

    def _begun(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_aborted:
                raise NotSent("the command ended meanwhile", can_retry=False)
            self._guard = _guard()
            try:
                self._running = subprocess.Popen(
                    self._words,
                    cwd=self._project,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError:
                self._dismiss()
                raise
            if self._guard is not None:
                _write(self._guard, f"{self._running.pid}\n".encode())
            return self._running

    def _dismiss(self) -> None:
        """Before the number of the group can be another's."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.wait()
            _close(guard)

    def _ended(self, running: subprocess.Popen[bytes]) -> None:
        _kill(running)
        with self._lock:
            self._dismiss()
            self._running = None
        running.wait()
        _close(running)


def _last_line(output: IO[bytes]) -> str:
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - _MOST_READ))
    last = output.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    return f": {shortened(last, _MOST_SAID)}" if last else ""


def _guard() -> subprocess.Popen[bytes] | None:
    """None where there is no shell: in a container without one, whose end is that of all in it."""
    try:
        return subprocess.Popen(
            _GUARD,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    with suppress(OSError):  # somebody has killed it
        if process.stdin is not None:
            process.stdin.write(data)
            process.stdin.flush()


def _close(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()


def _kill(running: subprocess.Popen[bytes]) -> None:
    """Ends the group, of which children may be left when the program itself has ended."""
    with suppress(OSError):
        os.killpg(running.pid, signal.SIGKILL)
