"""Parameters whose value is a bool or a path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from etlctl.core.parameters.base import NO_VALUE, NoValue, Parameter, ParameterOptions, named_type
from etlctl.errors import ParameterError


class BoolParameter(Parameter[bool]):
    """True or False; False when nothing else is said.

    `parsing` is for the command line: IMPLICIT_PARSING (the default) makes `--verbose` alone mean True,
    EXPLICIT_PARSING takes `--verbose true` and `--verbose false` too. Assigning `BoolParameter.parsing` changes it
    for all that are made afterwards.
    """

    IMPLICIT_PARSING = "implicit"
    EXPLICIT_PARSING = "explicit"
    parsing: str = IMPLICIT_PARSING

    def __init__(
        self,
        default: bool | Callable[[], bool] | NoValue = NO_VALUE,
        *,
        parsing: str | None = None,
        **options: Unpack[ParameterOptions],
    ) -> None:
        super().__init__(False if default is NO_VALUE else default, **options)
        self.parsing = type(self).parsing if parsing is None else parsing
        if self.parsing not in (self.IMPLICIT_PARSING, self.EXPLICIT_PARSING):
            raise ParameterError(f"parsing={self.parsing!r}: give BoolParameter.IMPLICIT_PARSING or EXPLICIT_PARSING.")

    @property
    def accepts(self) -> str:
        return "true or false"

    @property
    def suggestions(self) -> tuple[str, ...]:
        return ("true", "false")

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word not in ("true", "false"):
            raise ValueError("it is neither true nor false")
        return word == "true"

    def normalize(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{named_type(value)} is not a bool; give True or False")
        return value


class PathParameter(Parameter[Path]):
    """A path of the file system, given as text or as a path.

    `absolute=True` completes a relative one from the current folder; `exists=True` refuses one that is not there.
    """

    def __init__(
        self,
        default: Path | str | Callable[[], Path | str] | NoValue = NO_VALUE,
        *,
        absolute: bool = False,
        exists: bool = False,
        **options: Unpack[ParameterOptions],
    ) -> None:
        declared: Any = default  # text is taken as well, normalised when it is asked
        super().__init__(declared, **options)
        self.absolute = absolute
        self.exists = exists

    @property
    def accepts(self) -> str:
        return "the path of something that exists" if self.exists else "a path"

    def parse(self, text: str) -> Path:
        return Path(text)

    def normalize(self, value: Any) -> Path:
        if not isinstance(value, str | os.PathLike):
            raise TypeError(f"{named_type(value)} is not a path")
        path = Path(value)
        if "\0" in str(path):
            raise ValueError("a path cannot hold a NUL character")
        if self.absolute:
            path = path.absolute()
        if self.exists and not path.exists():
            raise ValueError("there is nothing at this path")
        return path
