"""Named moments of the work at which tests let a process die; in use it does nothing and reads nothing.

A test replaces `point` by its own function before the work begins; so call it through the module
(`faultpoints.point("load.begun")`), never by a name imported from it. The names in use stand in `POINTS`,
`LEASE_POINTS`, `FILE_POINTS` and `S3_POINTS`.
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

LEASE_POINTS = (
    "lease.claimed",  # the leases of some tasks are ours, and stand in the state database
    "lease.registered",  # the session of a load is noted there; its transaction is open, the marker not inserted
    "load.fenced",  # the lease was found ours, and is locked until COMMIT; only where it is in the same database
    "lease.ended",  # ends of leases stand in the state database
)
"""Every name that a task passes for its lease, where there is one."""

FILE_POINTS = (
    "file.tmp_open",  # the temporary file is there, or the path that a tool will fill has been given out
    "file.written",  # all bytes are with the system
    "file.fsynced",  # all bytes are on the disk
    "file.renamed",  # the final name shows the new content, until a power loss at least
    "file.dirsynced",  # and after one
)
"""Every name that the writing of a file passes, in this order."""

S3_POINTS = (
    "s3.created",  # the store knows of the upload, whose first part is full; small objects go without
    "s3.part",  # a part is with the store, seen by nobody; passed in another thread, once for each part
    "s3.written",  # publishing begins; the end of the content is not with the store
    "s3.completing",  # only the request is left that makes the object
    "s3.published",  # the object is there
)
"""Every name that the writing of an object passes, in about this order."""


def point(name: str) -> None:
    """Marks the moment `name`; see the module."""
