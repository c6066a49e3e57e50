"""Lines on their way to a server that reads text: shared by the encoders of dialects, which know the form of a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def in_blocks(lines: Iterable[str], size: int) -> Iterator[bytes]:
    """The texts in UTF-8, put together into blocks of `size` characters at least, but for the last; none is cut."""
    held: list[str] = []
    characters = 0
    for text in lines:
        held.append(text)
        characters += len(text)
        if characters >= size:
            yield "".join(held).encode()
            held, characters = [], 0
    if held:
        yield "".join(held).encode()
