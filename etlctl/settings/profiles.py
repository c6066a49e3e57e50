"""Profiles that inherit: the layers of one, the furthest first. Reads no value."""

from __future__ import annotations

from collections.abc import Mapping

from etlctl.errors import SettingsError
from etlctl.settings.entries import Layer
from etlctl.settings.keys import INHERITS, PROFILES, dotted
from etlctl.settings.mistakes import Mistakes
from etlctl.suggest import did_you_mean
from etlctl.text import printable


def check(profiles: Mapping[str, Layer], mistakes: Mistakes) -> None:
    """Tells any profile that inherits from none that there is, or from itself by whatever way."""
    for name in profiles:
        with mistakes.told():
            lineage(profiles, name)


def lineage(profiles: Mapping[str, Layer], name: str) -> list[Layer]:
    """The layers of the profile `name`, a key of `profiles`: those that it inherits from before its own."""
    names = [name]
    while (said := profiles[names[-1]].inherits) is not None:
        at = f"{said.origin}: '{dotted((PROFILES, names[-1], INHERITS))}'"
        if said.value not in profiles:
            others = [one for one in profiles if one != names[-1]]
            raise SettingsError(
                f"{at} names no profile: '{printable(said.value)}'.{did_you_mean(said.value, others)} "
                f"There are: {', '.join(printable(one) for one in others) or 'no others'}."
            )
        names.append(said.value)
        if said.value in names[:-1]:
            way = " -> ".join(printable(one) for one in names[names.index(said.value) :])
            raise SettingsError(f"{at} makes a circle: {way}. Let one of them inherit from another profile, or none.")
    return [profiles[one] for one in reversed(names)]
