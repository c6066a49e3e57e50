"""Whoever insists on a state database that cannot be used hears that somebody wants an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from etlctl.core.leases import Wanted
from etlctl.db.state import owners
from etlctl.db.state.leases import StoreLeases
from etlctl.db.state.store import Store
from etlctl.errors import UnavailableError

TTL_S = 60.0
"""Without an end it insists for 48 s."""


def test_claim_is_not_tried_again_when_somebody_wants_an_end(open_store: Callable[[str], Store]) -> None:
    """A SIGTERM is heard while nobody listens on the server's port."""
    is_over = threading.Event()
    nowhere = open_store("postgresql://etl@127.0.0.1:1/state")
    leases = StoreLeases(nowhere, owner=owners.this_process(), began_at=0.0, ttl_s=TTL_S, stop=is_over.is_set)
    threading.Timer(0.5, is_over.set).start()
    began = time.monotonic()

    with pytest.raises(UnavailableError):
        leases.claim([Wanted("a", "A")])

    assert is_over.is_set()
    assert time.monotonic() - began < TTL_S / 2
    leases.close()
