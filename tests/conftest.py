"""What every test may ask for: database servers, services of S3, and a stand-in for Redshift. What all of them need."""

from __future__ import annotations

import gc
import signal
from contextlib import AbstractContextManager

import hypothesis
import pytest

from etlctl.core.garbage import set_apart

_APART = pytest.StashKey[AbstractContextManager[None]]()
pytest_plugins = ["servers.fixtures", "servers.s3_fixtures", "servers.redshift.fixtures"]


# the same examples each time, however long they take: who changes the code is told, and nobody else.
# `--hypothesis-profile=default` looks for others
hypothesis.settings.register_profile(
    "etlctl", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("etlctl")


def pytest_configure(config: pytest.Config) -> None:
    """A shell has its background jobs ignore SIGINT and SIGQUIT, nohup SIGHUP; what tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # not heeded here either; a program that is begun has the default


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Nine thousand tests and their imports: each search for cycles looked through them, a third of the time."""
    gc.collect()
    session.config.stash[_APART] = apart = set_apart()  # so that no build counts them either
    apart.__enter__()
