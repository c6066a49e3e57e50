"""A server as a child process: in a folder of its own, dead when its parent is; a database's never as root.

It holds what PostgreSQL, MariaDB and the services of S3 have in common; what they are told and asked stands in their
own files.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

LOOPBACK = "127.0.0.1"
START_S = 60.0
STOP_S = 20.0
PR_SET_PDEATHSIG = 1
DISK = Path("/var/tmp")  # where /tmp is memory, this is not
MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
FOLDER = "etlctl-"
"""What the names of the servers' folders begin with; short, since a socket's path has at most 104 bytes on macOS."""

_PORTS = (20_000, 32_000)
"""Below what Linux and macOS take for connections, and for a server that asks for port 0."""
_DRAWS = random.SystemRandom()
_TAKEN_OUT = ("PG", "MYSQL", "MARIADB", "AWS_", "RCLONE_", "MOTO_")
"""Variables that would make a server another one than it is for everybody."""


class ServerError(RuntimeError):
    """A server that is missing, does not start or is not one of ours to start and stop."""


def unprivileged() -> dict[str, Any]:
    """What `subprocess` is told so that a server does not run as root: PostgreSQL refuses to. Nothing for others."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    """A port on loopback that was free a moment ago, and that the system gives to nobody of its own accord: it is free
    a moment later, too, while other tests connect and listen, and while a server is stopped."""
    while True:
        port = _DRAWS.randint(*_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):  # somebody has it
            probe.bind((LOOPBACK, port))
            return port


class ServerProcess(ABC):
    """A server with folders of its own. A context manager: started on the way in, gone without a trace on the way out.

    `durable` puts the data on disk and makes the server wait for it, as in production; without it the data are in
    memory where there is room, and nothing is synced.
    Start servers in the main thread: on Linux they get the signal of their parent's death when the *thread* that
    started them ends (prctl(2), PR_SET_PDEATHSIG).
    """

    name: str
    """Short, for the folder and for messages."""
    stop_signals: Mapping[str, signal.Signals]
    """Signal by mode of `stop`; `fast` is among them, which is how the server ends with its parent too."""
    leaves_root = True
    """Whether it runs as `nobody` where we are root; its programs must then be where that user can reach them."""

    def __init__(self, *, durable: bool = False, settings: Sequence[str] = ()) -> None:
        self.durable = durable
        self.settings = tuple(settings)
        self.port = 0
        self.identity = unprivileged() if self.leaves_root else {}
        self._locks: dict[Path, int] = {}
        self.folder = self._new_folder(Path("/tmp"))
        self.log = self.folder / "log"
        self.work = self._make_own(self.folder / "w")
        place = self.work if not durable and not has_memory() else self._new_folder(DISK if durable else MEMORY)
        self.data = self._make_own(place / "data")
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def initialize(self) -> None:
        """Makes the data folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs the server on `self.port`."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Does this very server (not another one on the same port) take connections?"""

    def __enter__(self) -> Self:
        try:
            self.initialize()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server on its port; the first time on a free one. Returns when it takes connections.

        A port found free may be taken by the time the server binds it, so the first start is tried twice.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ServerError(f"start {self.name} in the main thread: it would end with this thread")
        if self.is_running:
            return
        if self.port:
            self._start()
            return
        self.port = free_port()
        try:
            self._start()
        except ServerError:
            self.port = free_port()
            self._start()

    def stop(self, mode: str = "fast") -> None:
        """Stops the server and waits for its end; kills it when it takes too long."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signals[mode])
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def crash(self) -> None:
        """The server dies as in a power cut, except that what it wrote to the operating system stays."""
        self.stop("crash")

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.stop()
        for folder, descriptor in self._locks.items():
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
        self._locks.clear()

    def run(self, *command: str | Path) -> None:
        """Runs a program of the server's, as the server's user and in its folder; its output is the error's text."""
        done = subprocess.run(
            command, cwd=self.work, env=self.environment(), capture_output=True, check=False, text=True, **self.identity
        )
        if done.returncode != 0:
            raise ServerError(f"{Path(command[0]).name} failed: {done.stderr.strip() or done.stdout.strip()}")

    def environment(self) -> dict[str, str]:
        """That of this process, except for what would change a server's words and times."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(_TAKEN_OUT)}
        return {**mine, "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.work)}

    def _new_folder(self, base: Path) -> Path:
        _sweep(base)
        folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{self.name}-", dir=base))
        self._locks[folder] = _lock(folder)
        folder.chmod(0o755)
        return folder

    def _make_own(self, folder: Path) -> Path:
        """A new folder of the server's user."""
        folder.mkdir(mode=0o700)
        if self.identity:
            os.chown(folder, self.identity["user"], self.identity["group"])
        return folder

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.work,
                env=self.environment(),
                start_new_session=True,  # the terminal's ^C is for pytest only
                preexec_fn=dies_with_parent(self.stop_signals["fast"]),
                **self.identity,
            )
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)


def has_memory() -> bool:
    """Is there room for data in memory? A new PostgreSQL database is 300 files: 15 ms there, 50 to 300 ms on ext4."""
    return MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES


def dies_with_parent(wanted: signal.Signals) -> Callable[[], None] | None:
    """What a child calls between fork and exec; after the change of user, which would undo it."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: between fork and exec only the call is safe
    parent = os.getpid()

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, int(wanted), 0, 0, 0)
        if os.getppid() != parent:  # it died before the request
            os._exit(1)

    return ask_for_signal


def _lock(folder: Path) -> int:
    """A descriptor with a lock that lives as long as this process, so that nobody sweeps the folder away."""
    descriptor = os.open(folder / "owned", os.O_CREAT | os.O_RDWR, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _sweep(base: Path) -> None:
    """Removes folders whose process was killed. One that is made just now may not be locked yet: some grace."""
    for folder in base.glob(f"{FOLDER}*-*"):
        with contextlib.suppress(OSError):  # somebody else's, or another process sweeps too
            if folder.stat().st_uid != os.geteuid() or time.time() - folder.stat().st_mtime < 10:
                continue
            descriptor = os.open(folder / "owned", os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
