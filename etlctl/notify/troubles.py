"""What a loop tells that is no run's: what goes wrong in the loop itself, once, and that it is over. Sends nothing.

A trouble is known by what it is about and by its text: another text is told at once, the same one again after `repeat`.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from etlctl.notify.digest import About, Told, Wanted, alert
from etlctl.notify.memory import VARYING, Memory, stem_of
from etlctl.notify.selection import ALERT, RECOVERED


class Trouble(NamedTuple):
    """Something that goes wrong. Texts are for people, printable or not."""

    subject: str
    """What it is about: `turn nightly`. There is one trouble with it at a time."""
    title: str
    text: str
    """What happened, why, and what to do."""


def begun(trouble: Trouble, wanted: Wanted, about: About, memory: Memory) -> Told | None:
    """The message about it; None where it was told before. As Memory raises."""
    said = sha256(VARYING.sub("#", trouble.text).encode()).hexdigest()[:12]
    fresh = memory.first([f"{_stem(trouble, wanted)}{said}"], again_after_s=wanted.repeat_s)
    if not fresh:
        return None
    return Told(alert(ALERT, trouble.title, trouble.text, about), frozenset(fresh), frozenset())


def over(trouble: Trouble, wanted: Wanted, about: About, memory: Memory) -> Told | None:
    """The message that it is over; None where it was not told, or nobody wants to hear of ends. As Memory raises."""
    settled = memory.settle(sorted(memory.open(_stem(trouble, wanted))))
    if not settled or RECOVERED not in wanted.selection.on:
        return None
    message = replace(alert(RECOVERED, trouble.title, trouble.text, about), is_bad=False)
    return Told(message, frozenset(), frozenset(settled))


def _stem(trouble: Trouble, wanted: Wanted) -> str:
    return stem_of(wanted.notifier, f"loop: {trouble.subject}")
