"""A Slurm of its own for a test, and an engine of ours on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from suanmesh_agent.domain.tasks import UserRange
from suanmesh_agent.engines.batched.engine import BatchedEngine
from suanmesh_agent.engines.process.layout import Confined, Layout
from suanmesh_agent.engines.slurm.commands import Slurm
from suanmesh_agent.engines.slurm.listing import Entry
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.slurm import LocalSlurm, running
from suanmesh_local.tools import ToolMissing

CPUS = 32
"""More than the machine has: what tests run sleeps."""


@contextmanager
def slurm_cluster(cpus: int = CPUS, absent: int = 0, cards: Mapping[str, int] | None = None) -> Iterator[LocalSlurm]:
    """A cluster that is gone afterwards; skips where Slurm is not installed, or no device file can be made."""
    try:
        with running(cpus, absent, cards) as cluster:
            yield cluster
    except (ToolMissing, PermissionError) as missing:
        pytest.skip(str(missing))


def slurm_engine(
    cluster: LocalSlurm, folder: Path, runtimes: tuple[Path, ...], *, partition: str = "", programs: str = "/usr/bin"
) -> BatchedEngine[Entry]:
    """An engine whose tasks are walled off, each with a user of its own, as on a host with root."""
    confined = Confined(UserRange(), runtimes) if os.geteuid() == 0 else None
    layout = Layout(folder.absolute(), (Path(runtimes[0]) / "bin",), None, None, confined)
    slurm = Slurm(conf=str(cluster.conf), programs=programs, partition=partition)
    return BatchedEngine(layout, slurm, "test", SystemClock(), dev_folder=cluster.dev_folder)
