"""Ends the sessions that loads of a former holder may still have open, before the one who follows it begins.

It is no condition for loading once: the marker is. Without it a load waits until the other transaction ends by itself,
hence a session that may not be ended is a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from etlctl.db.dialects import ending
from etlctl.errors import EtlctlError

if TYPE_CHECKING:
    from etlctl.db.connections import Database

_logger = logging.getLogger("etlctl")


def evict(
    sessions: Iterable[tuple[str, str]],
    database_of: Callable[[str | None], Database],
    *,
    task_id: str,
    holder: str,
    warn: Callable[[str], object] = _logger.warning,
) -> int:
    """Ends `sessions`, (connection, backend) as loads registered them; how many were there."""
    ended = 0
    for connection, backend in sessions:
        try:
            ended += ending.end_session(database_of(connection), backend)
        except EtlctlError as error:
            warn(
                f"{task_id}: the load that {holder} has left open on {connection} cannot be ended ({error}), so this "
                "one may have to wait for it. The user of the connection needs the right to end its own sessions."
            )
    return ended
