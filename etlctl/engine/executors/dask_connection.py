"""A connection to a Dask scheduler: made within a time, refused in words of ours, and quiet."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import warnings
from typing import Any, Self

from etlctl.errors import UnavailableError, UsageError
from etlctl.text import shortened

CONNECT_TIMEOUT_S = 10.0
SETTING = "[executors.dask] address"
_NOISY = ("distributed", "distributed.client", "tornado", "tornado.application")
_logger = logging.getLogger("etlctl.dask")


def connected(address: str, timeout_s: float) -> Any:
    """A Client of the scheduler at `address`. Raises UnavailableError where none answers, UsageError for no address."""
    from distributed import Client

    try:
        _knock(address, timeout_s)
        with warnings.catch_warnings(record=True) as warned:  # of other versions there, which texts do not mind
            warnings.simplefilter("always")
            client = Client(address, timeout=timeout_s, set_as_default=False, name="etlctl")
        for one in warned:
            _logger.debug("%s", one.message)
        return client
    except (ValueError, TypeError, ImportError) as error:
        if address.startswith("tls://"):
            raise UsageError(
                f"{SETTING}: for {shortened(address)} Dask wants certificates: distributed.comm.tls of its settings "
                f"({shortened(str(error))})."
            ) from error
        raise UsageError(
            f"{SETTING}: {shortened(address)!r} is no address of a Dask scheduler ({shortened(str(error))}); "
            "it is written as tcp://HOST:8786."
        ) from error
    except OSError as error:
        raise unreachable(address, timeout_s, error) from error
    except Exception as error:  # what comes of reading another protocol's bytes, MemoryError too
        raise UnavailableError(
            f"{SETTING}: what answers at {address} is no Dask scheduler ({type(error).__name__}); the port of its "
            "dashboard is another one."
        ) from error


def _knock(address: str, timeout_s: float) -> None:
    """Shakes hands once: a Client waits for ever for a server that takes connections and says nothing.

    In a thread of its own, since a notebook's has a loop already.
    """
    from distributed.comm import connect  # type: ignore[attr-defined]  # it is, in their documentation
    from distributed.security import Security

    async def knock() -> None:
        arguments = Security().get_connection_args("client")
        connecting = connect(address, timeout=timeout_s, **arguments)
        (await asyncio.wait_for(connecting, timeout_s)).abort()

    with concurrent.futures.ThreadPoolExecutor(1, "etlctl-dask-knock") as thread:
        thread.submit(asyncio.run, knock()).result()


def unreachable(address: str, timeout_s: float, error: BaseException) -> UnavailableError:
    """What is told of a scheduler that was not there in time."""
    return UnavailableError(
        f"{SETTING}: no Dask scheduler answers at {address} within {timeout_s:g} s: {_said_by_system(error)}."
    )


def _said_by_system(error: BaseException | None) -> str:
    """The system's own words in a chain of errors whose texts show objects of Dask."""
    said = ""
    while error is not None:
        said = (isinstance(error, OSError) and error.strerror) or said
        error = error.__cause__ or error.__context__
    return said or "nothing there speaks as one does (8786 is its usual port, that of its dashboard is another)"


class _ToOurs(logging.Handler):
    """Hands records to a logger of ours, where --debug shows them."""

    def emit(self, record: logging.LogRecord) -> None:
        _logger.debug("%s: %s", record.name, record.getMessage())


class Quiet:
    """Nothing of Dask's own logs reaches the screen or a user's handlers: what goes wrong is told by us, once.

    Raises ImportError without the extra.
    """

    def __init__(self) -> None:
        self.lasts = False
        """Also behind the block: something of Dask may have a word to say yet."""

    def __enter__(self) -> Self:
        import distributed  # noqa: F401  it gives its loggers handlers that write to stderr

        loggers = [logging.getLogger(name) for name in _NOISY]
        self._before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.handlers, logger.propagate = [_ToOurs()], False
        return self

    def __exit__(self, *exception: object) -> None:
        for logger, handlers, propagates in () if self.lasts else self._before:
            logger.handlers, logger.propagate = handlers, propagates
