"""Under which key the lease of a task stands in the state database."""

from __future__ import annotations

import hashlib


def stored_key(profile: str | None, key: str) -> str:
    """128 bits of a hash of profile and key: two profiles load into other places, and hold none of each other's tasks.

    A shorter key costs less to find: a claim of many is little else.
    """
    return hashlib.sha256(f"{profile or ''}\0{key}".encode()).hexdigest()[:32]
