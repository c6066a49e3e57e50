"""Takes secrets out of texts that leave the machine: those of the settings, and private values of tasks."""

from __future__ import annotations

from collections.abc import Iterable

from etlctl.core.parameters import ParameterVisibility
from etlctl.core.task import Task
from etlctl.settings import Secret, masked

_LEAST_CUT = 4
"""Letters of a secret, at an end that was cut off, that tell something of it."""
_NO_SECRETS = ("", "None", "True", "False")
_CUT = "…"


class Mask:
    """Puts `***` in place of each secret; of use by several threads."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._secrets = tuple(secrets)

    def __call__(self, text: str) -> str:
        """`text` without the secrets, and without the beginning of one before the `…` of what was cut."""
        shown = masked(text, self._secrets)
        return "\n".join(map(self._without_cut_end, shown.split("\n"))) if _CUT in shown else shown

    def and_(self, texts: Iterable[str]) -> Mask:
        """A mask of these as well."""
        return Mask([*self._secrets, *map(Secret, texts)])

    def holds(self, text: str) -> bool:
        """Whether there is a secret in `text`."""
        return masked(text, self._secrets) != text

    def _without_cut_end(self, line: str) -> str:
        before, cut, after = line.partition(_CUT)
        if not cut:
            return line
        for secret in self._secrets:
            text = secret.reveal()
            for length in range(min(len(text) - 1, len(before)), _LEAST_CUT - 1, -1):
                if before.endswith(text[:length]):
                    return f"{before[:-length]}***{cut}{after}"
        return line


def private_values(tasks: Iterable[Task]) -> set[str]:
    """What parameters of `tasks` hold that are declared private, as texts."""
    found: set[str] = set()
    for task in tasks:
        for name, parameter in task._parameters.items():
            if parameter.visibility is ParameterVisibility.PRIVATE:
                value = task.__dict__[name]
                found |= {parameter.serialize(value), str(value)}
    return found.difference(_NO_SECRETS)
