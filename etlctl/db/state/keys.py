"""Under which key the lease of a task stands in the state database."""

from __future__ import annotations

import hashlib


def stored_key(profile: str | None, key: str) -> str:
    """SHA-256 of profile and key: two profiles load into other places, so one does not hold the other's tasks."""
    return hashlib.sha256(f"{profile or ''}\0{key}".encode()).hexdigest()
