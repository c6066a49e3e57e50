"""Steps that tests of the runner have it run: what is on the shelf is done, and `ran` says which ran, in order."""

from __future__ import annotations

from typing import Any

from etlctl import Parameter, Task
from running import Shelf

shelf = Shelf()
ran: list[str] = []


def cleared() -> None:
    """Nothing is done, and nothing has run."""
    shelf.names.clear()
    ran.clear()


class Step(Task):
    """Requires the steps named in `after`, and puts its own name on the shelf."""

    name = Parameter()
    after = Parameter(default="", significant=False)

    def requires(self) -> Any:
        return [Step(name) for name in self.after.split()]

    def output(self) -> Any:
        return shelf.target(self.name)

    def run(self) -> Any:
        ran.append(self.name)
        shelf.names.add(self.name)
