from __future__ import annotations

import os
import socket
import subprocess
import sys

from etlctl.db.state import owners

CHILD = "import sys; from etlctl.db.state import owners; print(owners.this_process(), flush=True); sys.stdin.read()"


def a_child() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_owner_names_host_and_process_for_people() -> None:
    assert owners.holder(owners.this_process()) == f"{socket.gethostname()}:{os.getpid()}"
    assert owners.holder("nightly build") == "nightly build"


def test_owner_is_another_each_time() -> None:
    assert owners.this_process() != owners.this_process()


def test_owner_lives_as_long_as_its_process() -> None:
    process, owner = a_child()

    assert not owners.is_dead(owner)

    end(process)
    assert owners.is_dead(owner)


def test_owner_that_nobody_has_taken_notice_of_is_dead() -> None:
    """A zombie: killed, and not waited for by its parent."""
    process, owner = a_child()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert owners.is_dead(owner)
    process.communicate()


def test_owner_whose_number_another_process_has_now_is_dead() -> None:
    host, machine, pid, start, chance = owners.this_process().split(":")

    assert start
    assert owners.is_dead(":".join((host, machine, pid, str(int(start) + 1), chance)))
    assert not owners.is_dead(":".join((host, machine, pid, start, chance)))


def test_owner_of_another_machine_is_never_judged() -> None:
    """Neither of another host, nor of another container of this one, which counts its processes for itself."""
    host, machine, _, start, chance = owners.this_process().split(":")
    boot, numbering = machine.split(".")

    for other in (f"{'0' * 16}.{numbering}", f"{boot}.1", ""):
        assert not owners.is_dead(":".join((host, other, "4194304", start, chance)))
    assert owners.is_dead(":".join((host, machine, "4194304", start, chance)))  # above the highest number there is
    assert not owners.is_dead("somebody")
