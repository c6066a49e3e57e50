"""The Dockerfile, the compose file, the CI file and the README that `etlctl init` writes, as far as they can be held to
their word without a container engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.test_cli_init import BARE, etlctl, run
from etlctl import settings
from etlctl.cli.main import COMMANDS
from etlctl.cli.skeleton import FILES, write

yaml: Any = import_module("yaml")  # moto brings it, and nobody its types


class Instruction(NamedTuple):
    """One instruction of a Dockerfile, its lines joined."""

    word: str
    rest: str

    @property
    def command(self) -> list[str]:
        """The command in exec form."""
        found: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A project as init writes it."""
    return write("demo", name=None, adds=False, cwd=tmp_path).folder


def instructions(demo: Path) -> list[Instruction]:
    """Those of the Dockerfile, in order."""
    text = re.sub(r"^#.*\n", "", (demo / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [Instruction(word, " ".join(rest.split())) for word, rest in lines]


def compose(demo: Path) -> Any:
    """The compose file as YAML has it."""
    return yaml.safe_load((demo / "compose.yaml").read_text())


def test_dockerfile_runs_the_loop_as_process_1_without_rights(demo: Path) -> None:
    """No shell in between, which would keep signals to itself; a user that is not root; a version that is named."""
    found = instructions(demo)
    words = [one.word for one in found]

    assert found[0] == Instruction("FROM", "python:3.13-slim")
    assert set(words) <= {
        "FROM",
        "ENV",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    for one in found:
        if one.word in ("RUN", "ENTRYPOINT", "CMD"):
            assert one.rest.startswith("[") and one.command, one
            assert one.command[0] not in ("sh", "bash", "/bin/sh"), one
    (user,) = (one.rest for one in found if one.word == "USER")
    assert int(user) > 0
    assert not {"RUN", "COPY"} & set(words[words.index("USER") :]), "nothing is changed by who runs it"
    command = [word for one in found if one.word in ("ENTRYPOINT", "CMD") for word in one.command]
    assert command == ["etlctl", "loop"]
    assert Instruction("STOPSIGNAL", "SIGTERM") in found


def test_dockerfile_copies_what_there_is_and_no_secret(demo: Path) -> None:
    """Each source is a file of the project and let through by .dockerignore, which lets through nothing else."""
    lines = [line for line in (demo / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    allowed = [line[1:] for line in lines if line.startswith("!")]
    sources = [word.rstrip("/") for one in instructions(demo) if one.word == "COPY" for word in one.rest.split()[:-1]]

    assert lines[0] == "*"
    assert sorted(sources) == sorted(allowed)
    assert all((demo / source).exists() for source in sources)
    for secret in ("secrets/warehouse_url", ".env", ".etlctl/state.db", "data/sales/2026-11-20.csv"):
        assert not any(fnmatch.fnmatch(secret, f"{one}*") for one in allowed)


def test_dockerfile_healthcheck_tells_a_loop_that_lives_from_one_that_does_not(demo: Path, tmp_path: Path) -> None:
    """The command itself, on a file that is fresh, old and not there; it is the one that the loop is told to write."""
    (check,) = (one.command for one in instructions(demo) if one.word == "HEALTHCHECK")
    given = dict(one.rest.split("=", 1) for one in instructions(demo) if one.word == "ENV" and "HEALTH" in one.rest)
    file = str(settings.load(demo / "config" / "etlctl.toml", environ=given, cwd=demo).loop.health_file)
    here = tmp_path / "health.json"
    assert check[:2] == ["python", "-c"] and file in check[2]
    code = check[2].replace(file, str(here))

    absent = run(tmp_path, "-c", code).returncode
    here.write_text("{}")
    fresh = run(tmp_path, "-c", code).returncode
    os.utime(here, (1, 1))
    old = run(tmp_path, "-c", code).returncode

    assert (absent, fresh, old) == (1, 0, 1)


def test_compose_starts_three_loops_beside_one_database(demo: Path) -> None:
    """They wait for the database to be well, have the secret as a file, and time to end."""
    found = compose(demo)
    db, loop = found["services"]["db"], found["services"]["loop"]

    assert loop["deploy"]["replicas"] == 3
    assert loop["build"] == "."
    assert loop["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert db["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert db["image"] == "postgres:17"
    grace = settings.load(demo / "config" / "etlctl.toml", environ={}, cwd=demo).loop.grace_s
    assert int(loop["stop_grace_period"].removesuffix("s")) > grace + 2
    for service in (db, loop):
        assert set(service["secrets"]) <= set(found["secrets"])
        mounted = [one.split(":")[0] for one in service["volumes"]]
        assert all(one in found["volumes"] or (demo / one).is_dir() for one in mounted)
        assert not any(re.search("(?i)password|url", key) and "/run/secrets/" not in value
                       for key, value in service["environment"].items())  # fmt: skip
    ignored = (demo / ".gitignore").read_text().splitlines()
    assert all(one["file"].startswith("./secrets/") for one in found["secrets"].values()) and "secrets/" in ignored


def test_compose_and_settings_mean_the_same(demo: Path, tmp_path: Path, postgres_url: str) -> None:
    """The profile and the secret of the compose file, on a PostgreSQL: warehouse and state are in one database."""
    loop = compose(demo)["services"]["loop"]
    (secret,) = loop["secrets"]
    (tmp_path / secret).write_text(f"{postgres_url}\n")
    file = demo / "config" / "etlctl.toml"
    text = file.read_text()
    assert text.count(f'"file:/run/secrets/{secret}"') == 2
    file.write_text(text.replace("/run/secrets", str(tmp_path)))

    built = etlctl(demo, "build", "All", env=loop["environment"])
    again = etlctl(demo, "build", "All", env=loop["environment"])

    assert built.returncode == 0, built.stdout + built.stderr
    assert "nothing to do" in again.stdout + again.stderr
    assert not (demo / ".etlctl" / "warehouse.db").exists() and not (demo / ".etlctl" / "state.db").exists()
    looked = etlctl(demo, "doctor", env=loop["environment"])
    assert looked.returncode == 0, looked.stdout + looked.stderr


@pytest.mark.slow
def test_three_loops_on_one_state_database_build_each_day_once(demo: Path, tmp_path: Path, postgres_url: str) -> None:
    """What the compose file starts, as processes: they end by SIGTERM, and go on where one of them was killed."""
    service = compose(demo)["services"]["loop"]
    (tmp_path / service["secrets"][0]).write_text(postgres_url)
    file = demo / "config" / "etlctl.toml"
    file.write_text(file.read_text().replace("/run/secrets", str(tmp_path)).replace('every = "10m"', 'every = "1s"'))
    env = {**BARE, "HOME": str(tmp_path), **service["environment"]}
    words = [sys.executable, "-P", "-m", "etlctl", "loop", "--health-file"]
    loops = [
        subprocess.Popen(
            [*words, str(tmp_path / f"health-{number}.json")], cwd=demo, env=env, stderr=subprocess.DEVNULL
        )
        for number in range(service["deploy"]["replicas"])
    ]
    try:
        _wait_for(demo / "reports" / "2026-11-21.csv")
        _wait_for(*(tmp_path / f"health-{number}.json" for number in range(3)))
        loops[0].kill()
        (demo / "data" / "sales" / "2026-11-22.csv").write_text("order_id,product,amount\n8,cup,12.00\n")
        _wait_for(demo / "reports" / "2026-11-22.csv")
        for loop in loops[1:]:
            loop.terminate()
        codes = [loop.wait(timeout=40) for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()

    assert codes == [-9, 143, 143]
    told = json.loads(etlctl(demo, "markers", "--json", env=service["environment"]).stdout)
    found = sorted((one["target_table"], one["rows"], one["state"]) for one in told["connections"][0]["markers"])
    sizes = {"product_sales": (1, 2, 3), "sales": (1, 3, 4)}
    assert found == [(table, rows, "done") for table, counts in sizes.items() for rows in counts]


def _wait_for(*files: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline, f"not there after a minute: {[str(file) for file in files]}"
        time.sleep(0.1)


def test_readme_makes_the_secrets_that_compose_mounts(demo: Path) -> None:
    """The lines above `docker compose up`, typed in a shell: two files that the container's user can read."""
    text = (demo / "README.md").read_text()
    (block,) = (one for one in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "docker compose up" in one)
    lines = block[: block.index("docker ")].replace("python3 -c", f"{shlex.quote(sys.executable)} -c")

    subprocess.run(["sh", "-euc", lines], cwd=demo, env=BARE, check=True)

    password = (demo / "secrets" / "postgres_password").read_text()
    assert re.fullmatch("[0-9a-f]{32}", password)
    url = (demo / "secrets" / "warehouse_url").read_text()
    found = compose(demo)
    assert url == f"postgresql://etl:{password}@db:5432/{found['services']['db']['environment']['POSTGRES_DB']}"
    for one in found["secrets"].values():
        assert (demo / one["file"]).stat().st_mode & 0o777 == 0o644
    assert (demo / "secrets").stat().st_mode & 0o777 == 0o700


def test_every_etlctl_command_in_the_files_is_one(demo: Path) -> None:
    """In README, CI file, Dockerfile and settings; their `--help` parses the words that stand before it."""
    said = set()
    for path in FILES:
        for line in (demo / path).read_text().splitlines():
            said |= {tuple(one.split()) for one in re.findall(r"(?:^|`|run: )etlctl ([a-z][^`#|]*)", line)}
    said.add(("loop",))

    assert {words[0] for words in said} >= {"plan", "build", "status", "history", "loop", "list", "doctor"}
    for words in said:
        assert words[0] in COMMANDS or words[0] == "COMMAND", words
    for words in sorted(said):
        if words[0] in COMMANDS and words[1:2] != ("COMMAND",):
            done = etlctl(demo, *words, "--help")
            assert done.returncode == 0, (words, done.stderr)


def test_ci_file_installs_tests_and_builds(demo: Path) -> None:
    """Each step is a command of this project; pytest is among what is installed."""
    job = yaml.safe_load((demo / ".github" / "workflows" / "tests.yml").read_text())["jobs"]["tests"]
    runs = [step["run"] for step in job["steps"] if "run" in step]

    assert runs[0].split()[-1] == "requirements-dev.txt" and (demo / "requirements-dev.txt").exists()
    assert "python -m pytest" in runs and "etlctl build All" in runs
    assert any(line.startswith("pytest") for line in (demo / "requirements-dev.txt").read_text().splitlines())
    assert all("@v" in step["uses"] for step in job["steps"] if "uses" in step)


def test_schedule_of_the_settings_can_be_opened(demo: Path) -> None:
    """The one that is there and the one that is commented out; both ask for tasks that there are; the notifier too."""
    from etlctl import notify
    from etlctl.schedule import opened

    file = demo / "config" / "etlctl.toml"
    text = file.read_text()
    begin, end = text.index("# [schedules.nightly]"), text.index("# `--profile production`")
    meant = re.sub(r"^# (?=\[|\w+ = )", "", text[begin:end], flags=re.MULTILINE)
    file.write_text(text[:begin] + meant + text[end:])
    env = {"SLACK_URL": "https://hooks.example.com/x"}
    told = settings.load(file, environ=env, cwd=demo)

    found = opened(told)
    notify.opened(told.notify, project=demo, profile=None, secrets=told.secrets()).close()

    assert list(told.notify) == ["team"]
    assert [one.name for one in found] == ["arrivals", "nightly"]
    listed = etlctl(demo, "list", "--json", env=env).stdout
    families = {task["family"] for task in json.loads(listed)["tasks"]}
    assert {task for one in found for task in one.tasks} <= families
