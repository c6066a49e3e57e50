"""Where a path written in a pipeline is on the disk: in the project, and inside a root; nothing here opens a file."""

from __future__ import annotations

import os
import re

from etlctl.core import context
from etlctl.errors import TaskError
from etlctl.text import printable, shortened

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):/(/?)(.*)", re.IGNORECASE | re.DOTALL)
_S3 = ("s3", "s3a", "s3n")
_SURE = (*_S3, "gs", "http", "https", "file")
"""Known with one slash as well: pathlib makes one of two."""


def as_text(path: str | os.PathLike[str]) -> str:
    """The path as str; TaskError for an address (`s3://…`), which a file system would take for a folder `s3:`, and for
    what none takes: empty, with a NUL, or not encodable.
    """
    text = os.fsdecode(path)
    if not text:
        raise TaskError("a target needs a path, and this one is empty")
    if ":/" in text:
        _refuse_address(text)
    if "\x00" in text:
        raise TaskError(f"the path {shortened(text)} holds a NUL character, which no file name may")
    try:
        if not text.isascii():
            os.fsencode(text)
    except UnicodeEncodeError as error:
        raise TaskError(
            f"the path {shortened(text)} cannot be written in this system's encoding: {error.reason}"
        ) from error
    return text


def _refuse_address(text: str) -> None:
    found = _ADDRESS.match(text)
    if found is None:
        return
    scheme, second_slash, rest = found[1].lower(), found[2], found[3]
    if not second_slash and scheme not in _SURE:
        return
    shown, meant = f"{scheme}://…", f"give a path of this machine (./{scheme}:/… for a folder of this name)"
    if scheme in _S3:
        from etlctl.s3.address import without_keys  # only here, since LocalTarget needs nothing of S3

        shown = shortened(without_keys(f"{scheme}://{rest}"), 300)
        meant = f'give S3Target("{shortened(without_keys(f"s3://{rest}"), 300)}")'
    elif scheme == "file":
        shown = shortened(text, 300)
        meant = f'give LocalTarget("/{shortened(rest.partition("/")[2] if second_slash else rest, 300)}")'
    raise TaskError(f"{shown} is an address, and a LocalTarget is a file on this machine: {meant}")


def absolute(path: str) -> str:
    """Where it is whatever the current folder, for a look at the disk: the system need not be asked for that folder."""
    return path if path.startswith("/") else f"{os.fspath(context.current().project)}/{path}"


def in_project(path: str) -> str:
    """A relative path as it is where the project is the current folder, else with the project's path before it.

    So a pipeline's own `open(target.path)` and ours mean the same file, and paths stay as short as they were written.
    """
    if path.startswith("/"):
        return path
    project = os.fspath(context.current().project)
    try:
        is_here = os.getcwd() == project
    except FileNotFoundError:  # the current folder was removed
        is_here = False
    return path if is_here else os.path.join(project, path)


def check_relative(path: str) -> None:
    """Refuses by its text alone a path that is meant to stay inside a root."""
    if os.path.isabs(path):
        raise TaskError(f"{shortened(path)} is absolute, but must stay inside its root: give it relative to the root")
    if ".." in path.split("/"):
        raise TaskError(f"{shortened(path)} goes up by '..', but must stay inside its root")
    if os.path.normpath(path) == ".":
        raise TaskError(f"{shortened(path)} names the root itself: give a path inside it")


def check_inside(root: str, path: str) -> None:
    """Refuses a path that symbolic links, as they are now, lead out of its root."""
    real_root, real = os.path.realpath(root), os.path.realpath(path)
    if os.path.commonpath([real_root, real]) != real_root:
        raise TaskError(f"{printable(path)} leads out of its root {printable(root)} by a symbolic link")
