"""Leases that answer as a test tells them; what a run makes of the answers is what is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from etlctl.core.leases import Answer, Ended, EndState, Full, Wanted


class Scripted:
    """Leases that answer by task as they are told: the store's own races are tested beside it."""

    owner = "here:1"

    def __init__(self, answer: Callable[[str, int], Answer]) -> None:
        self._answer = answer
        self.asked: dict[str, int] = {}
        self.claims: list[list[str]] = []
        self.ends: list[tuple[str, EndState]] = []
        self.to_lose: dict[str, str] = {}
        self.given_back: set[str] = set()
        self._names: dict[str, str] = {}

    def claim(self, wanted: Sequence[Wanted]) -> list[Answer]:
        self.claims.append([one.task_id.split("_")[1] for one in wanted])
        return [self._answered(one) for one in wanted]

    def _answered(self, one: Wanted) -> Answer:
        name = self._names[one.key] = one.task_id.split("_")[1]
        self.asked[name] = self.asked.get(name, 0) + 1
        self.to_lose.pop(one.key, None)
        return self._answer(name, self.asked[name])

    def begin(self, key: str) -> bool:
        return self._names[key] not in self.given_back and key not in self.to_lose

    def end(self, ended: Ended) -> None:
        self.ends.append((self._names[ended.key], ended.state))

    def park(self, key: str) -> None:
        pass

    def unpark(self, key: str) -> Full | None:
        return None

    def register(self, key: str, connection: str, backend: str) -> None:
        pass

    def lost(self) -> Mapping[str, str]:
        lost, self.to_lose = self.to_lose, {}
        return lost

    def close(self) -> None:
        pass
