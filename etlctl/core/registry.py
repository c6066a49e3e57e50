"""The registry: imports pipelines and finds task classes by name. A broken module is reported alone.

There is no list of classes to keep: Python knows every subclass of Task, and the registry reads it off. A pipelines
folder becomes the package of its own name through an import spec, so `from pipelines.flights import LoadFlights` is the
same class in pipelines, in users' tests and in workers; the folder itself never goes on sys.path, so a
`pipelines/json.py` shadows nothing.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import keyword
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from etlctl.core.parametrized import Parametrized
from etlctl.core.private import hidden
from etlctl.core.task import Task
from etlctl.errors import AmbiguousTaskError, PipelineImportError, SettingsError, TaskNotFoundError
from etlctl.suggest import did_you_mean
from etlctl.text import shortened

_OURS = "etlctl"
_MACHINERY = ("<", __file__, str(Path(importlib.__file__ or "").parent))
"""Beginnings of the file names that stand in a traceback between an import and what it imports."""
C = TypeVar("C", bound=Parametrized)


@dataclass(frozen=True, slots=True)
class BrokenModule:
    """A pipelines module that could not be imported."""

    module: str
    path: str
    line: int | None
    message: str
    """The error as one printable line."""
    error: BaseException | None = None
    """What was raised, with its traceback."""

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.message}"


@dataclass(frozen=True)
class Registry:
    """The tasks of one project."""

    packages: tuple[str, ...]
    """The packages whose tasks are listed: that of the pipelines folder and those named in the settings."""
    broken: tuple[BrokenModule, ...] = ()

    @classmethod
    def load(cls, path: Path | None, modules: Sequence[str] = ()) -> Registry:
        """Imports every module of the pipelines folder and of the named packages.

        Raises PipelineImportError when the folder cannot be read or its name cannot be a package; a module that
        fails to import goes to `broken` and the others work.
        """
        packages: list[str] = []
        broken: list[BrokenModule] = []
        if path is not None:
            package = install_package(path)
            packages.append(package.__name__)
        packages.extend(modules)
        for name in packages:
            broken.extend(_import_all(name))
        return cls(tuple(packages), tuple(broken))

    def classes(self) -> list[type[Task]]:
        """The users' task classes, by family."""
        found = [cls for cls in _all_classes() if self._lists(cls)]
        return sorted(found, key=lambda cls: cls.task_family)

    def find(self, name: str) -> type[Task]:
        """The class of this family. Raises TaskNotFoundError, AmbiguousTaskError, PipelineImportError."""
        matches = [cls for cls in _all_classes() if cls.task_family == name and self._lists(cls)]
        if not matches:
            for module in self.broken:
                if name.rpartition(".")[2] in _classes_in(module.path):
                    sentence = f"{name} cannot be used: its module fails to import. {module}"
                    raise PipelineImportError(sentence) from module.error
            known = [cls.task_family for cls in self.classes()]
            also = "".join(f"\n  not looked into, since it fails to import: {module}" for module in self.broken)
            where = ", ".join(self.packages) or "no pipelines are configured"
            raise TaskNotFoundError(
                f"No task is named {shortened(name)!r} ({where}).{did_you_mean(name, known)} "
                f"`etlctl list` shows them all.{also}"
            )
        return _single(name, matches)

    def check_params(self, params: Mapping[str, Mapping[str, Any]], place_of: Callable[..., str]) -> None:
        """Raises the first of `wrong_params`."""
        for error in self.wrong_params(params, place_of):
            raise error

    def wrong_params(
        self, params: Mapping[str, Mapping[str, Any]], place_of: Callable[..., str]
    ) -> Iterator[SettingsError]:
        """An error for each `[params.Family]` of no task or Config, and each value of no parameter of it.

        `place_of(family)` and `place_of(family, name)` tell where each stands. Says nothing while a module is broken:
        the family may be in it.
        """
        if self.broken or not params:
            return
        # a project's own class is the one meant where an imported library has another of the same family
        families = {cls.task_family: cls for cls in sorted(below(Parametrized), key=self._lists)}
        for family, section in params.items():
            if family not in families:
                quoted = f' A namespace needs quotes: [params."{family}.…"].' if _holds_tables(section) else ""
                yield SettingsError(
                    f"{place_of(family)}: no task or Config is named {shortened(family)!r}."
                    f"{did_you_mean(family, families)}{quoted}"
                )
                continue
            known = dict(families[family].get_params())
            for name in section:
                if name not in known:
                    yield SettingsError(
                        f"{place_of(family, name)}: {family} has no parameter {shortened(name)!r}."
                        f"{did_you_mean(name, known)} "
                        f"Its parameters: {', '.join(known) or 'none'}."
                    )

    def _lists(self, cls: type[Parametrized]) -> bool:
        if any(cls.__module__ == module.module for module in self.broken):
            return False  # made before its module raised: half of what the author meant
        return any(cls.__module__ == name or cls.__module__.startswith(name + ".") for name in self.packages)


def find_class(family: str) -> type[Task]:
    """The task class of this family among everything imported so far; for TaskParameter and workers."""
    matches = [cls for cls in _all_classes() if cls.task_family == family]
    if not matches:
        known = [cls.task_family for cls in _all_classes()]
        raise TaskNotFoundError(f"No task is named {shortened(family)!r}.{did_you_mean(family, known)}")
    return _single(family, matches)


def place_of_class(cls: type[Task]) -> str:
    """`/path/flights.py:41` where the class stands; its module's name where it has no file."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.findsource(cls)[1] + 1}"
    except (OSError, TypeError):
        return cls.__module__


def install_package(path: Path) -> ModuleType:
    """Makes the folder importable as the package of its own name and returns it; again for the same folder is free.

    Raises PipelineImportError when the folder is missing or unreadable, or its name is taken or is no identifier.
    """
    path = path.resolve()
    name = path.name
    _check_folder(path)
    existing = sys.modules.get(name)
    if existing is not None:
        if {Path(place).resolve() for place in getattr(existing, "__path__", ())} == {path}:
            return existing
        raise PipelineImportError(
            f"The pipelines folder {path} cannot be the package {name!r}: a module of this name is already imported "
            f"from {getattr(existing, '__file__', None) or 'elsewhere'}. Rename the folder."
        )
    _check_not_installed(name, path)
    initial = path / "__init__.py"
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(path)]
    if initial.exists():
        spec = spec_from_file_location(name, initial, submodule_search_locations=[str(path)]) or spec
    package = module_from_spec(spec)
    sys.modules[name] = package
    if spec.loader is not None:
        try:
            spec.loader.exec_module(package)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise PipelineImportError(str(_broken(name, str(initial), error))) from error
    return package


def _check_folder(path: Path) -> None:
    try:
        if path.exists():
            next(path.iterdir(), None)
    except OSError as error:
        raise PipelineImportError(f"The pipelines folder {path} cannot be read: {error.strerror}.") from error
    if not path.exists():
        raise PipelineImportError(
            f"There is no pipelines folder {path}. Create it, or set [pipelines] path in the settings."
        )
    name = path.name
    if not name.isidentifier() or keyword.iskeyword(name):
        raise PipelineImportError(
            f"The pipelines folder {path} cannot be a Python package: {name!r} is no identifier. Rename it."
        )
    if name in sys.stdlib_module_names:
        raise PipelineImportError(f"The pipelines folder {path} has the name of a standard module. Rename it.")


def _check_not_installed(name: str, path: Path) -> None:
    """A folder `pandas` would stand before the installed package wherever a pipeline or a library imports it."""
    found = find_spec(name)
    origin = Path(found.origin) if found is not None and found.origin else path
    if {"site-packages", "dist-packages"} & set(origin.parts) and origin.parent != path:
        raise PipelineImportError(
            f"The pipelines folder {path} has the name of an installed package ({origin}). Rename the folder, or name "
            "the package under [pipelines] modules if it is what holds your tasks."
        )


def _import_all(name: str) -> Iterator[BrokenModule]:
    """Imports the module and, if it is a package, everything below it; yields what fails."""
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  any module-level code of the user
        yield _broken(name, _file_of(name), error)
        return
    for place in getattr(module, "__path__", ()):
        for found in _modules_in(Path(place)):
            yield from _import_all(f"{name}.{found}")


def _modules_in(folder: Path) -> list[str]:
    """Modules and packages of a folder, folders without `__init__.py` that hold modules among them."""
    names = {found.name for found in pkgutil.iter_modules([str(folder)])}
    for path in folder.iterdir() if os.access(folder, os.R_OK) else ():
        if path.name.isidentifier() and path.is_dir() and any(path.glob("*.py")):
            names.add(path.name)
    return sorted(names - {"__main__", "__pycache__"})  # importing a __main__ would run its program


def _file_of(module: str) -> str:
    """The file that a module would be loaded from; its name where that cannot be told."""
    try:
        spec = find_spec(module)
    except (Exception, SystemExit):  # noqa: BLE001  the package around it may be what is broken
        return module
    return spec.origin if spec is not None and spec.origin else module


def _broken(module: str, path: str, error: BaseException) -> BrokenModule:
    """The module with the last line of it that ran, and in the message where the error was raised if elsewhere."""
    import traceback  # only a broken module needs it

    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    frames = [place for place in frames if not place[0].startswith(_MACHINERY)]
    line = next((number for file, number in reversed(frames) if file == path), None)
    text = str(error.msg if isinstance(error, SyntaxError) else error)
    said = "its code called sys.exit()" if isinstance(error, SystemExit) else f"{type(error).__name__}: {hidden(text)}"
    raised_in, raised_at = frames[-1] if frames else (path, line)
    place = "" if raised_in == path else f" ({raised_in}:{raised_at})"
    return BrokenModule(module, path, line, shortened(said, 300) + shortened(place, 200), error)


def _all_classes() -> list[type[Task]]:
    """Every subclass of Task outside etlctl itself; of a class defined twice at one place, what the name means now."""
    found: dict[tuple[str, str], type[Task]] = {}
    for cls in below(Task):
        if cls.__module__.partition(".")[0] == _OURS or vars(cls).get("is_twin"):
            continue
        key = (cls.__module__, cls.__qualname__)
        if key not in found or getattr(sys.modules.get(cls.__module__), cls.__qualname__, cls) is cls:
            found[key] = cls
    return list(found.values())


def below(base: type[C]) -> list[type[C]]:
    """Every subclass of `base`, each once, parents before children."""
    found: dict[type[C], None] = {}
    stack = [base]
    while stack:
        for cls in stack.pop().__subclasses__():
            if cls not in found:
                found[cls] = None
                stack.append(cls)
    return list(found)


def _holds_tables(section: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Mapping) for value in section.values())


def _single(name: str, matches: list[type[Task]]) -> type[Task]:
    """The one class of these; a subclass that kept its parent's name stands for it (Luigi's rule)."""
    derived = [cls for cls in matches if not any(other is not cls and issubclass(other, cls) for other in matches)]
    if len(derived) > 1:
        places = " and ".join(sorted(place_of_class(cls) for cls in derived))
        raise AmbiguousTaskError(
            f"Two tasks are named {name}: {places}. Rename one, or give its module a namespace "
            "(etlctl.namespace('x', scope=__name__))."
        )
    return derived[0]


def _classes_in(path: str) -> set[str]:
    """Names of classes that a file defines, read without importing it; of a file with a syntax error, by its text."""
    try:
        source = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return set()
    try:
        return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)}
    except (SyntaxError, ValueError):
        words = (line.split() for line in source.splitlines())
        return {row[1].partition("(")[0].rstrip(":") for row in words if len(row) > 1 and row[0] == "class"}
