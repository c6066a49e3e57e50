"""The setup of a checkout: tools/setup.sh with a Python, a pip and a uv that only write down what they were asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ["sh", "cat", "chmod", "cksum", "cp", "dirname", "flock", "ls", "mkdir", "rm", "sed", "touch"]

PYTHON = """#!/bin/sh
case "$1" in
-c) echo "{answer}"; exit 0 ;;
esac
echo "python $*" >>"$ASKED"
case "$2" in
venv) mkdir -p "$3/bin" "$3/lib/python3/site-packages/pip"; touch "$3/pyvenv.cfg"; cp "$0" "$3/bin/python" ;;
pip) [ ! -e "$ASKED.pip-fails" ] || exit 1 ;;
esac
"""

UV = """#!/bin/sh
echo "uv $*" >>"$ASKED"
case "$1" in
venv) mkdir -p "$5/bin"; touch "$5/pyvenv.cfg"; cp "$(command -v "$4")" "$5/bin/python" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A checkout and a PATH with nothing on it but what a test puts there."""

    checkout: Path
    bin: Path
    asked_file: Path

    def has(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def has_python(self, name: str, answer: str) -> None:
        self.has(name, PYTHON.format(answer=answer))

    def setup(self, checkout: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        self.asked_file.write_text("")
        environment = {"PATH": str(self.bin), "ASKED": str(self.asked_file), **variables}
        command = [self.bin / "sh", (checkout or self.checkout) / "tools" / "setup.sh"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def asked(self) -> list[str]:
        return [line for line in self.asked_file.read_text().splitlines() if "compileall" not in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    checkout = tmp_path / "a check out"
    (checkout / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "setup.sh", checkout / "tools")
    (checkout / "requirements-dev.lock").write_text("click==8.2.0\n")
    (checkout / "pyproject.toml").write_text("[project]\n")
    commands = tmp_path / "bin"
    commands.mkdir()
    for tool in TOOLS:
        if path := shutil.which(tool):
            (commands / tool).symlink_to(path)
    return Machine(checkout, commands, tmp_path / "asked")


def test_setup_installs_only_locked_files_and_then_the_project(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")

    done = machine.setup()

    assert done.returncode == 0, done.stderr
    environment, locked, project = machine.asked()
    assert environment == "python -m venv .venv"
    assert locked.endswith("--require-hashes --only-binary :all: -r requirements-dev.lock")
    assert project.endswith("--no-deps --no-build-isolation -e .")


def test_setup_says_and_does_nothing_the_second_time(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.setup()

    again = machine.setup()

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert machine.asked() == []


def test_setup_starts_anew_after_an_interrupted_one(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    interruption = Path(f"{machine.asked_file}.pip-fails")
    interruption.touch()
    failed = machine.setup()
    (machine.checkout / ".venv" / "half-made").touch()
    interruption.unlink()

    done = machine.setup()

    assert failed.returncode != 0
    assert done.returncode == 0
    assert len(machine.asked()) == 3
    assert not (machine.checkout / ".venv" / "half-made").exists()


def test_setup_makes_an_environment_that_has_not_even_its_configuration(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    (machine.checkout / ".venv" / "bin").mkdir(parents=True)
    (machine.checkout / ".venv" / ".made-by-setup").touch()

    done = machine.setup()

    assert done.returncode == 0
    assert (machine.checkout / ".venv" / "pyvenv.cfg").exists()


def test_setup_follows_a_changed_lock_in_the_same_environment(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.setup()
    (machine.checkout / "requirements-dev.lock").write_text("click==8.2.1\n")

    machine.setup()

    assert ["pip" in line for line in machine.asked()] == [True, True]


def test_setup_follows_changed_metadata_without_installing_dependencies(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.setup()
    (machine.checkout / "pyproject.toml").write_text("[project]\nname = 'etlctl'\n")

    machine.setup()

    assert [line.split()[-2:] for line in machine.asked()] == [["-e", "."]]


def test_setup_starts_anew_where_the_checkout_was_moved(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.setup()
    moved = machine.checkout.rename(machine.checkout.with_name("moved"))

    machine.setup(moved)

    assert machine.asked()[0] == "python -m venv .venv"


def test_setup_starts_anew_for_another_python_asked_for(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.has_python("python3.13", "3 13 pip")
    machine.setup()

    done = machine.setup(PY="python3.13")

    assert "making .venv with python3.13" in done.stderr


@pytest.mark.parametrize("answer", ["2 7 -", "3 9 pip", "3 10 -"])
def test_setup_finds_a_newer_python_by_its_name(machine: Machine, answer: str) -> None:
    machine.has_python("python3", answer)
    machine.has_python("python3.12", "3 12 pip")

    done = machine.setup()

    assert done.returncode == 0
    assert "making .venv with python3.12" in done.stderr


def fails_in_one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    return sentence


def test_setup_names_the_option_when_python_is_too_old(machine: Machine) -> None:
    machine.has_python("python3", "3 9 pip")

    sentence = fails_in_one_sentence(machine.setup())

    assert "needs Python 3.11 or newer and python3 is Python 3.9" in sentence
    assert "make PY=python3.12 test" in sentence


def test_setup_takes_no_other_python_than_the_one_asked_for(machine: Machine) -> None:
    machine.has_python("python3", "3 12 pip")
    machine.has_python("python3.8", "3 8 pip")

    sentence = fails_in_one_sentence(machine.setup(PY="python3.8"))

    assert "python3.8 is Python 3.8" in sentence


def test_setup_names_a_python_that_does_not_run(machine: Machine) -> None:
    machine.has_python("python3", "3 12 pip")

    assert "PY=python9" in fails_in_one_sentence(machine.setup(PY="python9"))


def test_setup_says_what_to_install_when_there_is_no_python(machine: Machine) -> None:
    assert "apt install python3 python3-venv" in fails_in_one_sentence(machine.setup())


def test_setup_says_what_to_install_when_python_cannot_make_environments(machine: Machine) -> None:
    machine.has_python("python3", "3 11 -")

    assert "apt install python3-venv" in fails_in_one_sentence(machine.setup())


@pytest.mark.parametrize(("name", "file"), [("mine", "notes"), (".git", "HEAD"), (".venv", "pyvenv.cfg")])
def test_setup_leaves_alone_what_somebody_else_made(machine: Machine, name: str, file: str) -> None:
    """A folder of work, or the reader's own environment with what is installed in it."""
    machine.has_python("python3", "3 11 pip")
    folder = machine.checkout / name
    folder.mkdir()
    (folder / file).write_text("home = /usr/bin\n")

    sentence = fails_in_one_sentence(machine.setup(VENV=name))

    assert f"{name} exists and this setup has not made it; remove it or name another place: make VENV=" in sentence
    assert machine.asked() == []
    assert (folder / file).exists()


@pytest.mark.parametrize("name", ["venv", "mine/env"])
def test_setup_remakes_its_own_environment_of_any_name(machine: Machine, name: str) -> None:
    """Interrupted while it was made, in whatever place."""
    machine.has_python("python3", "3 11 pip")
    interruption = Path(f"{machine.asked_file}.pip-fails")
    interruption.touch()
    machine.setup(VENV=name)
    interruption.unlink()

    done = machine.setup(VENV=name)

    assert done.returncode == 0, done.stderr
    assert len(machine.asked()) == 3


def test_setup_uses_uv_where_there_is_one_and_needs_no_venv_package_then(machine: Machine) -> None:
    machine.has_python("python3", "3 11 -")
    machine.has("uv", UV)

    done = machine.setup()

    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in machine.asked()] == [["uv", "venv"], ["uv", "pip"], ["uv", "pip"]]
    assert all("--compile-bytecode" in line for line in machine.asked()[1:])


def test_setup_starts_anew_with_pip_only_when_uv_is_gone_and_something_is_to_be_installed(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.has("uv", UV)
    machine.setup()
    (machine.bin / "uv").unlink()

    machine.setup()
    asked_while_current = machine.asked()
    (machine.checkout / "pyproject.toml").write_text("[project]\nname = 'etlctl'\n")
    machine.setup()

    assert asked_while_current == []
    assert [line.split()[2] for line in machine.asked()] == ["venv", "pip", "pip"]


@pytest.mark.skipif(not shutil.which("flock"), reason="only where there is a flock command does one setup wait")
def test_setup_runs_once_when_two_start_together(machine: Machine) -> None:
    machine.has_python("python3", "3 11 pip")
    machine.asked_file.write_text("")
    environment = {"PATH": str(machine.bin), "ASKED": str(machine.asked_file)}
    command = [machine.bin / "sh", machine.checkout / "tools" / "setup.sh"]

    both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]

    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert len(machine.asked()) == 3


def lower_bounds() -> dict[str, str]:
    requirements: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return dict(re.findall(r"^([a-z0-9-]+)>=(\S+)$", "\n".join(requirements).lower(), re.MULTILINE))


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-lowest.lock"])
def test_lock_has_a_hash_for_every_package_and_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()

    requirements = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text).strip())

    assert requirements
    assert [r for r in requirements if "==" not in r or "--hash=sha256:" not in r] == []
    assert "://" not in text
    assert "--index" not in text


def test_lock_holds_the_build_backend() -> None:
    assert {"hatchling", "editables"} <= pins("requirements-dev.lock").keys()


def test_lowest_lock_holds_the_lower_bounds_of_the_metadata() -> None:
    bounds = lower_bounds()

    lowest = pins("requirements-lowest.lock")

    assert "sqlalchemy" in bounds
    assert {name: lowest[name].removesuffix(".0") for name in bounds} == {
        name: bound.removesuffix(".0") for name, bound in bounds.items()
    }


def test_wheel_carries_types_licence_and_entry_points(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]

    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "PYTHONWARNINGS": ""})

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    assert "etlctl/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "tools"))]
    assert "etlctl = etlctl.__main__:run" in entry_points
    assert "etlctl = etlctl.pytest_plugin" in entry_points


def test_editable_install_puts_etlctl_alone_on_the_path(tmp_path: Path) -> None:
    """The root's `pipelines/`, `tests/` and `tools/` would hide those of every project used from the environment."""
    code = "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])"

    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".pth")]
        (folder,) = archive.read(name).decode().splitlines()
    assert os.listdir(folder) == ["etlctl"]
    assert (Path(folder) / "etlctl").samefile(ROOT / "etlctl")
