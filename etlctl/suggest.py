"""The nearest name to one that was mistyped, for error sentences; holds no list of names of its own."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, ignoring case, or None when none is close enough to be worth naming.

    A candidate that differs in case alone is taken before any other, and a word that is too short to compare by
    likeness (`st` for `state`) still finds the candidate it begins. An exact equal is not handed back.
    """
    names = [name for name in dict.fromkeys(candidates) if name != word]
    folded = word.casefold()
    for name in names:
        if name.casefold() == folded:
            return name

    from difflib import get_close_matches  # only an error needs it

    by_folded = {name.casefold(): name for name in reversed(names)}
    close = get_close_matches(folded, by_folded, n=1)
    if close:
        return by_folded[close[0]]
    begun = [name for key, name in by_folded.items() if folded and key.startswith(folded)]
    return begun[0] if len(begun) == 1 else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`" Did you mean 'x'?"`, to be put after a sentence, or the empty text when nothing is near."""
    name = nearest(word, candidates)
    return f" Did you mean '{name}'?" if name is not None else ""
