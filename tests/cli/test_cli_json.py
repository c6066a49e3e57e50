"""Every `--json` document has exactly the fields of its schema, on success, failure and when blocked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from cli.documents import check
from cli.project import Project, environment
from etlctl.cli import documents
from etlctl.cli.schemas import SCHEMAS

CALLS: list[tuple[list[str], str, int]] = [
    (["build", "Report", "--date", "2013-01-02"], "etlctl/build", 0),
    (["build", "Report", "--date", "2013-01-13"], "etlctl/build", 1),
    (["build", "Report", "--date", "2013-01-20"], "etlctl/build", 3),
    (["build", "Reprot"], "etlctl/error", 2),
    (["plan", "Report", "--date", "2013-01-02..03"], "etlctl/plan", 0),
    (["status", "Report", "--date", "2013-01-02"], "etlctl/status", 0),
    (["status"], "etlctl/status", 0),
    (["pause", "Seats"], "etlctl/pause", 0),
    (["resume", "--all"], "etlctl/resume", 0),
    (["list"], "etlctl/list", 0),
    (["show", "Flights"], "etlctl/show", 0),
    (["show", "Report", "--date", "2013-01-02"], "etlctl/show", 0),
    (["graph", "Report", "--date", "2013-01-02"], "etlctl/graph", 0),
    (["cron", "Seats", "--every", "1h"], "etlctl/cron", 0),
    (["loop", "Seats", "--every", "1h", "--list"], "etlctl/schedules", 0),
    (["completion"], "etlctl/completion", 0),
    (["completion", "bash"], "etlctl/completion", 0),
]


@pytest.mark.parametrize(("words", "schema", "code"), CALLS, ids=[" ".join(words) for words, _, _ in CALLS])
def test_document_has_exactly_the_fields_of_its_schema(
    project: Project, words: list[str], schema: str, code: int
) -> None:
    """One document, its schema named in it, its exit code the process's own."""
    project.weather("2013-01-02", "2013-01-13")
    project.pipeline("raise RuntimeError('boom')", "broken")

    ran = project.run(*words, "--json")

    assert ran.code == code, ran.err
    assert ran.json["schema"] == schema
    assert ran.json["version"] == documents.VERSION
    assert ran.json["exit_code"] == code
    check(ran.json, SCHEMAS[schema])


def test_every_schema_is_tested() -> None:
    """A document that is added gets a call above; those that need loads have their test with the command."""
    elsewhere = {"etlctl/table", "etlctl/markers", "etlctl/adoption", "etlctl/resolved", "etlctl/gc"}
    elsewhere |= {"etlctl/history", "etlctl/logs", "etlctl/stop", "etlctl/doctor", "etlctl/init"}
    elsewhere |= {"etlctl/loop"}  # below

    assert {schema for _, schema, _ in CALLS} | elsewhere == set(SCHEMAS)


def test_a_loop_that_was_ended_leaves_its_document(project: Project) -> None:
    loop = subprocess.Popen(
        [sys.executable, "-m", "etlctl", "loop", "Seats", "--every", "1h", "--json"],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert loop.stderr is not None
        while b"exit 0" not in (line := loop.stderr.readline()):
            assert line, "the loop ended by itself"
        loop.terminate()
        out, _ = loop.communicate(timeout=60)
    finally:
        loop.kill()
        loop.communicate()

    document = json.loads(out)
    assert loop.returncode == document["exit_code"] == 143
    check(document, SCHEMAS["etlctl/loop"])


def test_build_document_tells_the_failure(project: Project) -> None:
    """Status, reason, details, place and error of the failed task; private values nowhere."""
    project.weather("2013-01-13")

    ran = project.run("build", "Report", "Flights", "--date", "2013-01-13", "-p", "password=S3cr3t", "--json")

    failed = next(one for one in ran.json["tasks"] if one["status"] == "FAIL")
    assert failed["reason"] == "ValueError: the 13th is unlucky"
    assert failed["details"] == ["and always was"]
    assert failed["where"].startswith(f"{project.package}/flows.py:")
    assert failed["error"] == {"type": "ValueError", "message": "ValueError: the 13th is unlucky"}
    assert "S3cr3t" not in ran.out + ran.err


def test_listing_of_broken_modules(project: Project) -> None:
    """The document names module, file, line and error."""
    place = project.pipeline("x = 1\nraise RuntimeError('boom')\n", "broken")

    assert project.run("list", "--json").json["broken"] == [
        {"module": f"{project.package}.broken", "path": str(place), "line": 2, "message": "RuntimeError: boom"}
    ]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(("day", "code"), [("2013-01-02", 0), ("2013-01-13", 1), ("2013-01-20", 3)])
def test_jq_reads_the_build_document_as_a_process_prints_it(project: Project, day: str, code: int) -> None:
    """Success, failure and blocked: `etlctl build X --json | jq .` although tasks print and start programs."""
    project.weather("2013-01-02", "2013-01-13")
    project.pipeline("import os\nos.system('echo from a program')\nprint('from the module')\n", "loud")

    ran = project.spawn("build", "Report", "--date", day, "--json")
    read = subprocess.run(["jq", ".exit_code"], input=ran.out, capture_output=True, text=True)

    assert ran.code == code
    assert (read.returncode, read.stdout.strip()) == (0, str(code))
    assert json.loads(ran.out)["exit_code"] == code
    assert "from a program" in ran.err
    assert "from the module" in ran.err
    assert "counting at the gate" in ran.err
