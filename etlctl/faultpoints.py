"""Named moments of the work at which tests let a process die; in use it does nothing and reads nothing.

A test replaces `point` by its own function before the work begins; so call it through the module
(`faultpoints.point("load.begun")`), never by a name imported from it. The names in use stand in `POINTS` and
`FILE_POINTS`.
"""

from __future__ import annotations

POINTS = (
    "load.begun",  # the write transaction is open, nothing is written
    "load.marker",  # the marker says `loading`, uncommitted
    "load.copied",  # the rows are in the target, uncommitted
    "load.rowcount",  # their number was found right, uncommitted
    "load.committed",  # COMMIT has returned; nobody was told yet
)
"""Every name that a load passes, in this order."""

FILE_POINTS = (
    "file.tmp_open",  # the temporary file is there, or the path that a tool will fill has been given out
    "file.written",  # all bytes are with the system
    "file.fsynced",  # all bytes are on the disk
    "file.renamed",  # the final name shows the new content, until a power loss at least
    "file.dirsynced",  # and after one
)
"""Every name that the writing of a file passes, in this order."""


def point(name: str) -> None:
    """Marks the moment `name`; see the module."""
