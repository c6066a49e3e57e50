"""F73: a loop whose streams are closed, full or read by nobody goes on with its work, and ends as told."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from looping import loop_of, looping, make_project

NOWHERE = {
    "stdout and stderr closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "a full disk": ">/dev/full 2>/dev/full",
    "a reader that has gone": "2>&1 | true",
}


@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_loop_goes_on_where_nothing_can_be_written(
    tmp_path: Path, sqlite_url: str, where: str, log_format: str
) -> None:
    """A task that prints is done, health answers, a reload is carried out, and SIGTERM ends it with its code."""
    if "/dev/full" in NOWHERE[where] and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    project = make_project(tmp_path, sqlite_url)
    command, port = loop_of("Quick", grace_s=5)
    # whichever side of a pipe it is on, it tells its number and its code by files
    script = f'{{ sh -c \'echo $$ > pid; exec "$@"\' sh "$@"; echo $? > code; }} {NOWHERE[where]}'
    shell = [
        "env",
        f"ETLCTL_LOGS_FORMAT={log_format}",
        "sh",
        "-c",
        f"{script}; while ! [ -s code ]; do sleep 0.05; done",
    ]
    with looping([*shell, "sh", *command], project, port) as loop:
        loop.wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text().strip(), "its number")
        loop.pid = int((project / "pid").read_text())
        loop.wait_for_turn()
        assert (project / "quick.txt").exists(), loop.document()
        with (project / "pipelines" / "looped.py").open("a") as file:
            file.write('Path("read anew").touch()\n')
        loop.send(signal.SIGHUP)
        loop.wait_for((project / "read anew").exists, "the reload")

        loop.send(signal.SIGTERM)
        loop.ended()

    assert (project / "code").read_text() == "143\n"
