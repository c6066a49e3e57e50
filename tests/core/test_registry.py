"""The registry: a folder as the package of its own name, broken modules reported alone, tasks found by name."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from etlctl.core.registry import Registry, find_class, install_package, place_of_class
from etlctl.errors import AmbiguousTaskError, PipelineImportError, TaskNotFoundError

_number = itertools.count()
Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Write]:
    """`folder("flights.py", "…", …)` writes modules into a pipelines folder whose name no other test has."""
    name = f"pipelines_{os.getpid()}_{next(_number)}"
    before = list(sys.path)
    known = set(sys.modules)

    def write(*files: str, package: str = name) -> Path:
        root = tmp_path / package
        root.mkdir(exist_ok=True)
        for file, text in zip(files[::2], files[1::2], strict=True):
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).replace("PACKAGE", package), encoding="utf-8")
        return root

    yield write
    for module in set(sys.modules) - known:
        del sys.modules[module]
    sys.path[:] = before


LOAD = """\
from etlctl import Task


class LoadForRegistry(Task):
    pass
"""


def families(registry: Registry) -> list[str]:
    return [cls.task_family for cls in registry.classes()]


# -- a folder as a package


def test_registry_folder_is_the_package_of_its_own_name(folder: Write) -> None:
    """Every module is imported under it; a class is one object however it is reached; sys.path is not touched."""
    root = folder(
        "flights.py",
        LOAD,
        "reports.py",
        """
        from etlctl import Task, requires
        from PACKAGE.flights import LoadForRegistry
        from . import flights

        @requires(LoadForRegistry)
        class Daily(Task):
            same = flights.LoadForRegistry is LoadForRegistry
        """,
    )
    before = list(sys.path)

    registry = Registry.load(root)

    assert sys.path == before
    assert families(registry) == ["Daily", "LoadForRegistry"]
    module = import_module(f"{root.name}.flights")
    assert registry.find("LoadForRegistry") is module.LoadForRegistry is find_class("LoadForRegistry")
    assert registry.find("Daily").same  # type: ignore[attr-defined]  # of the class written above
    assert registry.packages == (root.name,)
    assert Registry.load(root).find("LoadForRegistry") is module.LoadForRegistry, "again is free"


def test_registry_takes_a_folder_with_an_initial_module_and_nested_ones(folder: Write) -> None:
    """`__init__.py` runs once; packages below are walked, with `__init__.py` and without; `__main__` is not run."""
    root = folder(
        "__init__.py",
        "runs = []\nruns.append(1)\n",
        "one/__init__.py",
        "",
        "one/deep.py",
        LOAD.replace("LoadForRegistry", "Deep"),
        "two/bare.py",
        LOAD.replace("LoadForRegistry", "Bare"),
        "two/three/lower.py",
        LOAD.replace("LoadForRegistry", "Lower"),
        "__main__.py",
        "raise SystemExit('a program, not a pipeline')",
        "data/notes.txt",
        "no module",
    )

    registry = Registry.load(root)

    assert registry.broken == ()
    assert families(registry) == ["Bare", "Deep", "Lower"]
    assert import_module(root.name).runs == [1]


def test_registry_module_names_of_the_standard_library_shadow_nothing(folder: Write) -> None:
    """`pipelines/json.py`, `click.py`: they are modules of the package, and `import json` is the real one."""
    root = folder(
        "json.py",
        "import json\nfrom etlctl import Task\nclass FromJson(Task):\n    text = json.dumps([1])\n",
        "click.py",
        LOAD.replace("LoadForRegistry", "FromClick"),
    )

    registry = Registry.load(root)

    assert families(registry) == ["FromClick", "FromJson"]
    assert registry.find("FromJson").text == "[1]"  # type: ignore[attr-defined]  # as above
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-pipelines", "'my-pipelines' is no identifier"),
        ("2013", "'2013' is no identifier"),
        ("class", "'class' is no identifier"),
        ("json", "has the name of a standard module"),
        ("antigravity", "has the name of a standard module"),
        ("pytest", "already imported from"),
        ("etlctl", "already imported from"),
        ("import_linter", "no pipelines folder"),
    ],
)
def test_registry_refuses_a_folder_that_cannot_be_a_package(name: str, said: str, tmp_path: Path) -> None:
    """No identifier, a standard module's name, a name that is taken: each in a sentence that says to rename it."""
    root = tmp_path / name
    if "no pipelines folder" not in said:
        root.mkdir()
    with pytest.raises(PipelineImportError, match=said) as caught:
        Registry.load(root)
    assert str(root) in str(caught.value)


def test_registry_refuses_the_name_of_an_installed_package_that_is_not_imported_yet(tmp_path: Path) -> None:
    """A folder `sqlalchemy` would be what a pipeline's `import sqlalchemy` finds."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from etlctl.core.registry import Registry\n"
        "from etlctl.errors import PipelineImportError\n"
        "try:\n"
        "    Registry.load(Path(sys.argv[1]))\n"
        "except PipelineImportError as error:\n"
        "    print(error)\n"
    )
    (tmp_path / "sqlalchemy").mkdir()

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "sqlalchemy")], capture_output=True, text=True, check=True
    )

    assert "has the name of an installed package" in done.stdout


def test_registry_of_a_missing_folder_says_how_to_mend_it(tmp_path: Path) -> None:
    """Create it, or set its path; a file is no folder."""
    with pytest.raises(
        PipelineImportError, match=r"There is no pipelines folder .*Create it, or set \[pipelines\] path"
    ):
        Registry.load(tmp_path / "pipelines")
    (tmp_path / "pipelines").write_text("")
    with pytest.raises(PipelineImportError, match="cannot be read: Not a directory"):
        Registry.load(tmp_path / "pipelines")


def test_registry_of_an_unreadable_folder_is_a_sentence(tmp_path: Path) -> None:
    """A folder that this user may not read; root may read all, so another user asks."""
    root = tmp_path / "pipelines"
    root.mkdir()
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from etlctl.core.registry import Registry\n"
        "from etlctl.errors import PipelineImportError\n"
        "import etlctl.core.task\n"
        "if os.getuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    Registry.load(Path(sys.argv[1]))\n"
        "except PipelineImportError as error:\n"
        "    print(error)\n"
    )
    root.chmod(0)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/") and os.getuid() == 0 and "pytest" in str(parent):
            parent.chmod(parent.stat().st_mode | 0o055)
    try:
        done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False)
    finally:
        root.chmod(0o755)

    assert done.stdout == f"The pipelines folder {root} cannot be read: Permission denied.\n", done.stderr


# -- broken modules

BROKEN = {
    "syntax": ("x = 1\n\ndef broken(:\n", 3, "SyntaxError: invalid syntax"),
    "missing": ("\n" * 6 + "import no_such_module_anywhere\n", 7, "ModuleNotFoundError: No module named"),
    "name": ("from etlctl import Taks\n", 1, "ImportError: cannot import name 'Taks'"),
    "raises": ("def config():\n    raise ValueError('no key')\n\nconfig()\n", 2, "ValueError: no key"),
    "exits": ("import sys\n\nsys.exit(0)\n", 3, "its code called sys.exit()"),
    "bytes": ("x = '\x00'\n", None, "source code string cannot contain null bytes"),
    "task": ("from etlctl import Task\nclass Half(Task):\n    pass\n1 / 0\n", 4, "ZeroDivisionError"),
    "parameter": ("import etlctl\nclass P(etlctl.Task):\n    d = etlctl.ChoiceParameter()\n", 3, "Parameter"),
}


@pytest.mark.parametrize("kind", list(BROKEN))
def test_registry_reports_a_broken_module_alone_with_file_and_line(kind: str, folder: Write) -> None:
    """Whatever it does at import; the others work."""
    text, line, said = BROKEN[kind]
    root = folder("good.py", LOAD, "other.py", LOAD.replace("LoadForRegistry", "Other"))
    (root / "bad.py").write_text(text)

    registry = Registry.load(root)

    (broken,) = registry.broken
    assert families(registry) == ["LoadForRegistry", "Other"]
    assert (broken.module, broken.path, broken.line) == (f"{root.name}.bad", str(root / "bad.py"), line)
    assert said in broken.message
    assert str(broken).startswith(f"{root / 'bad.py'}:{line}: " if line else f"{root / 'bad.py'}: ")


def test_registry_names_the_other_file_when_the_error_was_raised_there(folder: Write) -> None:
    """A helper called at import, a module that imports a broken one: the own line, and where it happened."""
    root = folder(
        "helper.py",
        "def config(key):\n    raise KeyError(key)\n",
        "caller.py",
        "from PACKAGE.helper import config\n\nconfig('url')\n",
        "bad.py",
        "def (:\n",
        "importer.py",
        "\nimport PACKAGE.bad\n",
    )

    broken = {one.module.rpartition(".")[2]: one for one in Registry.load(root).broken}

    assert (broken["caller"].line, broken["caller"].message) == (3, f"KeyError: 'url' ({root / 'helper.py'}:2)")
    assert broken["importer"].line == 2
    assert broken["importer"].message.endswith(f"({root / 'bad.py'}:1)")
    assert broken["bad"].line == 1
    assert broken.keys() == {"caller", "importer", "bad"}


def test_registry_reports_a_module_that_cannot_be_read_alone(folder: Write) -> None:
    """Bytes that are no UTF-8."""
    root = folder("good.py", LOAD)
    (root / "bad.py").write_bytes(b"x = '\xff\xfe'\n")

    registry = Registry.load(root)

    assert families(registry) == ["LoadForRegistry"]
    assert [one.module for one in registry.broken] == [f"{root.name}.bad"]


def test_registry_message_of_a_broken_module_is_one_printable_line(folder: Write) -> None:
    """Escape sequences and newlines of an error are written out."""
    root = folder("bad.py", r"raise ValueError('\x1b[31m\nred')")
    (broken,) = Registry.load(root).broken
    assert broken.message == r"ValueError: \x1b[31m\nred"


def test_registry_find_of_a_task_in_a_broken_module_says_why(folder: Write) -> None:
    """The wanted task's own module is broken: its file, line and error; classes it half made are never found."""
    root = folder(
        "bad.py",
        LOAD + "\n\nclass Later(Task):\n    pass\n\nraise ValueError('too late')\n",
        "worse.py",
        LOAD.replace("LoadForRegistry", "Worse") + "def (:\n",
        "good.py",
        LOAD.replace("LoadForRegistry", "Good"),
    )
    registry = Registry.load(root)

    assert families(registry) == ["Good"]
    assert registry.find("Good").task_family == "Good"
    for name, place in (("LoadForRegistry", "bad.py:11"), ("Later", "bad.py:11"), ("Worse", "worse.py:6")):
        with pytest.raises(PipelineImportError, match=f"{name} cannot be used: its module fails to import.*{place}"):
            registry.find(name)
    with pytest.raises(
        TaskNotFoundError, match=r"No task is named 'Godo'.*Did you mean 'Good'\?(?s:.*)not looked into"
    ):
        registry.find("Godo")


def test_registry_broken_initial_module_is_an_error_of_the_folder(folder: Write) -> None:
    """Nothing below a package can be imported without it: a sentence with file and line, and nothing stays behind."""
    root = folder("__init__.py", "x = 1\n1 / 0\n", "good.py", LOAD)
    with pytest.raises(PipelineImportError, match=r"__init__\.py:2: ZeroDivisionError"):
        Registry.load(root)
    assert root.name not in sys.modules
    (root / "__init__.py").write_text("")
    assert families(Registry.load(root)) == ["LoadForRegistry"]


# -- names


def test_registry_find_suggests(folder: Write) -> None:
    """A mistyped name finds the nearest; nothing near is no suggestion."""
    registry = Registry.load(folder("flights.py", LOAD))
    with pytest.raises(TaskNotFoundError, match=r"No task is named 'LoadForRegistyr'.*Did you mean 'LoadForRegistry'"):
        registry.find("LoadForRegistyr")
    with pytest.raises(TaskNotFoundError) as caught:
        registry.find("\x1b[31mX")
    assert "\x1b" not in str(caught.value)
    assert "Did you mean" not in str(caught.value)


def test_registry_two_tasks_of_one_name_name_both_files_when_asked_for(folder: Write) -> None:
    """Only that name is an error; the others are found, and both are listed."""
    root = folder("a.py", LOAD, "b.py", "\n\n" + LOAD, "c.py", LOAD.replace("LoadForRegistry", "Other"))
    registry = Registry.load(root)

    assert families(registry) == ["LoadForRegistry", "LoadForRegistry", "Other"]
    assert registry.find("Other")
    with pytest.raises(AmbiguousTaskError) as caught:
        registry.find("LoadForRegistry")
    assert f"{root / 'a.py'}:4 and {root / 'b.py'}:6" in str(caught.value)
    assert "namespace" in str(caught.value)


def test_registry_a_subclass_with_its_parents_name_stands_for_it(folder: Write) -> None:
    """Luigi's rule."""
    root = folder(
        "base.py",
        LOAD,
        "own.py",
        "from PACKAGE import base\n\n\nclass LoadForRegistry(base.LoadForRegistry):\n    own = True\n",
    )
    assert Registry.load(root).find("LoadForRegistry").__module__ == f"{root.name}.own"


def test_registry_an_externalized_twin_does_not_stand_for_its_task(folder: Write) -> None:
    """externalize(Class) in a requires() makes a class that the registry never hands out."""
    root = folder(
        "flights.py",
        LOAD + "\n\nfrom etlctl import externalize\nTwin = externalize(LoadForRegistry)\n",
    )
    registry = Registry.load(root)
    assert families(registry) == ["LoadForRegistry"]
    assert not registry.find("LoadForRegistry")().is_external


def test_registry_a_class_defined_twice_is_what_its_name_means_now(folder: Write) -> None:
    """In one module the later definition counts, of whatever base; that is no ambiguity."""
    root = folder(
        "flights.py",
        """
        from etlctl import ExternalTask, Task

        class A(ExternalTask):
            which = 1

        class A(Task):
            which = 2

        class B(Task):
            which = 1

        class B(ExternalTask):
            which = 2
        """,
    )
    registry = Registry.load(root)
    assert [registry.find(name).which for name in "AB"] == [2, 2]  # type: ignore[attr-defined]  # as above


def test_registry_namespaces_tell_two_of_one_name_apart(folder: Write) -> None:
    """`shop.LoadForRegistry` and `LoadForRegistry` are two names."""
    root = folder(
        "a.py",
        LOAD,
        "b.py",
        "import etlctl\netlctl.namespace('shop', scope=__name__)\n" + LOAD,
        "c.py",
        LOAD.replace("pass", "task_namespace = 'own'"),
    )
    registry = Registry.load(root)

    assert families(registry) == ["LoadForRegistry", "own.LoadForRegistry", "shop.LoadForRegistry"]
    assert registry.find("shop.LoadForRegistry").__module__ == f"{root.name}.b"
    assert registry.find("LoadForRegistry").__module__ == f"{root.name}.a"


def test_registry_lists_only_the_projects_own_tasks(folder: Write) -> None:
    """Neither etlctl's classes nor tasks that some library of the user brings."""
    registry = Registry.load(folder("flights.py", LOAD + "\n\nfrom etlctl import WrapperTask\n"))
    assert families(registry) == ["LoadForRegistry"]


def test_registry_place_of_class_is_file_and_line(folder: Write) -> None:
    """`flights.py:4`; a class without a file is told by its module."""
    root = folder("flights.py", LOAD)
    assert place_of_class(Registry.load(root).find("LoadForRegistry")) == f"{root / 'flights.py'}:4"
    assert (
        place_of_class(type("Made", (Registry.load(root).find("LoadForRegistry"),), {"__module__": "nowhere"}))
        == "nowhere"
    )


# -- installed packages


def test_registry_takes_installed_packages_besides_or_instead(folder: Write, tmp_path: Path) -> None:
    """`modules = ["acme.etl"]`: a package on sys.path, its submodules, or one module; no folder is needed."""
    acme = f"acme_{os.getpid()}_{next(_number)}"
    root = folder("flights.py", LOAD)
    folder(
        "__init__.py",
        "",
        "etl/__init__.py",
        LOAD.replace("LoadForRegistry", "Initial"),
        "etl/sales.py",
        LOAD.replace("LoadForRegistry", "Sales"),
        "etl/bad.py",
        "\n1 / 0\n",
        "other.py",
        LOAD.replace("LoadForRegistry", "Elsewhere"),
        package=acme,
    )
    sys.path.insert(0, str(tmp_path))

    alone = Registry.load(None, [f"{acme}.etl"])
    both = Registry.load(root, [f"{acme}.etl.sales"])

    assert families(alone) == ["Initial", "Sales"]
    assert [str(one) for one in alone.broken] == [
        f"{tmp_path / acme / 'etl' / 'bad.py'}:2: ZeroDivisionError: division by zero"
    ]
    assert families(both) == ["LoadForRegistry", "Sales"]
    with pytest.raises(TaskNotFoundError):
        both.find("Elsewhere")


def test_registry_reports_a_missing_or_broken_installed_package(folder: Write, tmp_path: Path) -> None:
    """A module that is not installed, or whose package raises, is reported like any other; the rest works."""
    acme = f"acme_{os.getpid()}_{next(_number)}"
    folder("__init__.py", "\n\n1 / 0\n", "etl.py", LOAD.replace("LoadForRegistry", "Sales"), package=acme)
    sys.path.insert(0, str(tmp_path))

    registry = Registry.load(folder("flights.py", LOAD), ["no_such_package.etl", f"{acme}.etl"])

    assert families(registry) == ["LoadForRegistry"]
    missing, broken = registry.broken
    assert str(missing) == "no_such_package.etl: ModuleNotFoundError: No module named 'no_such_package'"
    assert broken.message == f"ZeroDivisionError: division by zero ({tmp_path / acme / '__init__.py'}:3)"


# -- the package itself


def test_install_package_is_found_by_imports_in_fresh_code(folder: Write) -> None:
    """After it `import pipelines.flights` works although the folder's parent is not on sys.path."""
    root = folder("flights.py", LOAD)
    package = install_package(root)

    assert str(root.parent) not in sys.path
    assert import_module(f"{root.name}.flights").LoadForRegistry.__module__ == f"{root.name}.flights"
    assert install_package(root) is package


def test_install_package_refuses_a_second_folder_of_the_same_name(folder: Write, tmp_path: Path) -> None:
    """One name is one folder in a process."""
    root = folder("flights.py", LOAD)
    install_package(root)
    copy = tmp_path / "elsewhere" / root.name
    shutil.copytree(root, copy)

    with pytest.raises(PipelineImportError, match="already imported from"):
        install_package(copy)
