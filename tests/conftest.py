"""What holds for every test."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from suanmesh_agent.trees import remove_tree
from suanmesh_local import ports
from suanmesh_store import databases, sqlite_files
from suanmesh_store.sqlite_files import HARD

# Time is measured by benches: a rule is no less true on a machine that is busy.
settings.register_profile("suanmesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suanmesh")

# What tests keep is to outlive processes, never a machine: none waits for a disk. What processes of their own do,
# `tests/unit/store/test_commits_are_on_disk.py` asserts.
sqlite_files.HARD = databases.HARD = tuple(each.replace("synchronous=FULL", "synchronous=OFF") for each in HARD)

# A shell that starts this in the background lets it ignore Ctrl-C, and with it every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Ports are free when a node is given them, and taken when it starts: those who run beside each other choose apart.
if worker := os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw"):
    _first, _last = ports.served_ports()
    _each = (_last - _first + 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ[ports.RANGE] = f"{_first + int(worker) * _each}-{_first + (int(worker) + 1) * _each - 1}"

_UMASK = os.umask(0o022)
os.umask(_UMASK)

_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder of its own: where it is one of several below one, pytest clears up after those before,
    and a tree of one that was killed may be deeper than it can bear."""
    if not config.option.basetemp and not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="suanmesh-tests-"))
        config.option.basetemp = str(folder / "run")
        config.stash[_FOLDER] = folder


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed may be looked at in the folder of its run; nothing else stays of it."""
    folder = session.config.stash.get(_FOLDER, None)
    if folder is not None and exitstatus != pytest.ExitCode.TESTS_FAILED:
        with suppress(OSError):
            remove_tree(folder)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """What runs as a command of ours in this process shuts what it makes to others: the next test is not to notice."""
    yield
    os.umask(_UMASK)
