"""What holds for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Time is measured by benches: a rule is no less true on a machine that is busy.
settings.register_profile("suanmesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suanmesh")

# A shell that starts this in the background lets it ignore Ctrl-C, and with it every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_UMASK = os.umask(0o022)
os.umask(_UMASK)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """What runs as a command of ours in this process shuts what it makes to others: the next test is not to notice."""
    yield
    os.umask(_UMASK)
