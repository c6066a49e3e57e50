"""What to do in a forked process with a connection that is its parent's."""

from __future__ import annotations


def leave_open(connection: object) -> None:
    """Leaves a connection open for as long as this process lives, past the end of Python even.

    It is the parent's: closing it would have SQLite play back the journal of a transaction that goes on there.
    (sqlite.org/howtocorrupt.html, 2.6)
    """
    import ctypes  # 3 ms that only a forked process takes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
