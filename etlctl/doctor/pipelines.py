"""Task classes looked at without running one: modules that fail to import, loads that would hide each other's rows.

What a class declares is read by the command line's own functions, which are handed in: `show` tells the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from etlctl.core.registry import place_of_class
from etlctl.core.task import Task
from etlctl.doctor.findings import SETTINGS, Finding, failed, ok, told_of, warning
from etlctl.errors import EtlctlError
from etlctl.text import printable

if TYPE_CHECKING:
    from etlctl.app import App

_AREA = "pipelines"
ClassTold = Callable[[type[Task]], "str | None"]
"""A sentence about a class, with how to mend it; None where there is nothing to tell."""
TablesTold = Callable[[type[Task]], tuple["str | None", tuple[str, ...], "tuple[str, ...] | None"]]
"""The table that a class loads, those that its query reads, and the families it requires, None where only a task could
tell and none can be made without parameters."""


def pipeline_findings(app: App, pitfall: ClassTold, tables: TablesTold) -> list[Finding]:
    """What is wrong with the modules and classes of the project."""
    try:
        registry = app.imported
        classes = registry.classes()
    except EtlctlError as error:
        return [failed(_AREA, str(error), "do that first: no task can be found before.")]
    found = [failed(_AREA, f"{module} (none of its tasks can run)", "correct it there.") for module in registry.broken]
    settings = app.settings
    found.extend(told_of(SETTINGS, error) for error in registry.wrong_params(settings.params, settings.place_of_param))
    for cls in classes:
        told = pitfall(cls)
        if told is not None:
            text, _, mend = told.partition(". ")
            found.append(warning(_AREA, f"{_place(app, cls)} {cls.task_family}: {text}.", mend))
    found.extend(_unrequired(app, classes, tables))
    number = f"{len(classes):,} task class{'' if len(classes) == 1 else 'es'}"
    return found or [ok(_AREA, f"{number} imported, nothing to say")]


def _unrequired(app: App, classes: Iterable[type[Task]], tables: TablesTold) -> Iterable[Finding]:
    """A query that reads what another task writes, and does not require it, may run before that."""
    told = {cls: tables(cls) for cls in classes}
    writers = _writers(told)
    below = {cls.task_family: requires or () for cls, (_, _, requires) in told.items()}
    for cls, (own, reads, requires) in told.items():
        if requires is None:
            continue
        known = _all_below(cls.task_family, below)
        for name in dict.fromkeys(reads):
            families = writers.get(_bare(name), [])
            if not families or name == own or known.intersection(families):
                continue
            one = families[0]
            text = (
                f"{_place(app, cls)} {cls.task_family}: its query reads {printable(name)}, which {one} loads, and does "
                "not require it: it may run before that."
            )
            yield warning(_AREA, text, f"add @requires({one}), or requires() that returns it.")


def _writers(
    told: Mapping[type[Task], tuple[str | None, tuple[str, ...], tuple[str, ...] | None]],
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for cls, (table, _, _) in told.items():
        if table is not None:
            found.setdefault(_bare(table), []).append(cls.task_family)
    return found


def _all_below(family: str, below: Mapping[str, Iterable[str]]) -> set[str]:
    """The family itself, and all that it requires, near and far."""
    found: set[str] = set()
    left = [family]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left.extend(below.get(one, ()))
    return found


def _bare(table: str) -> str:
    """Without its schema: whether that is the same is the connection's to say, and a hint is a hint."""
    return table.rpartition(".")[2].strip('"`').lower()


def _place(app: App, cls: type[Task]) -> str:
    path, _, line = place_of_class(cls).rpartition(":")
    prefix = f"{app.settings.project}/"
    return printable(f"{path.removeprefix(prefix)}:{line}" if path else line)


def public_parameters(app: App) -> Callable[[Collection[str], str], bool]:
    """Tells whether a value for a parameter of these families may be shown: no, where no class says so, or one that has
    it does not."""
    from etlctl.core.parameters import ParameterVisibility
    from etlctl.core.parametrized import Parametrized

    try:
        classes: list[type[Parametrized]] = [*app.imported.classes()]
    except EtlctlError:
        classes = []
    known: dict[str, dict[str, bool]] = {}
    for cls in classes:
        for name, one in cls.get_params():
            known.setdefault(cls.task_family, {})[name] = one.visibility is ParameterVisibility.PUBLIC

    def is_public(families: Collection[str], name: str) -> bool:
        told = [known[family][name] for family in families if name in known.get(family, {})]
        return bool(told) and all(told) and known.keys() >= set(families)

    return is_public
