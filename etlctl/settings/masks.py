"""Takes the secrets of the settings, and others one knows of, out of texts that people and other programs get."""

from __future__ import annotations

from collections.abc import Iterable

from etlctl.settings.secret import Secret, masked

_LEAST_CUT = 4
"""Letters of a secret, at an end that was cut off, that tell something of it."""
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
