"""A Ray cluster of its own for a test, and an engine of ours on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from suanmesh_agent.domain.tasks import UserRange
from suanmesh_agent.engines.batched.engine import BatchedEngine
from suanmesh_agent.engines.process.layout import Confined, Layout
from suanmesh_agent.engines.ray.listing import Entry
from suanmesh_agent.engines.ray.scheduler import Ray, RayAccess
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.ray import LocalRay, running
from suanmesh_local.tools import ToolMissing

CPUS = 4


class LastingRay(Ray):
    """What asks Ray takes a second to start: engines that come and go share one."""

    def close(self) -> None:
        """Whoever made it closes it."""

    def end(self) -> None:
        """It is not asked any more."""
        super().close()


@contextmanager
def ray_cluster(cpus: int = CPUS, environment: Mapping[str, str] | None = None) -> Iterator[LocalRay]:
    """A cluster that is gone afterwards; skips where Ray is not installed."""
    try:
        with running(cpus, environment) as cluster:
            yield cluster
    except ToolMissing as missing:
        pytest.skip(str(missing))


def access_to(cluster: LocalRay) -> RayAccess:
    """How an agent comes to it."""
    return RayAccess(cluster.address, Path(sys.executable), cluster.token_file)


def ray_engine(
    ray: Ray, folder: Path, runtimes: tuple[Path, ...], *, dev_folder: Path = Path("/dev")
) -> BatchedEngine[Entry]:
    """An engine whose tasks are walled off, each with a user of its own, as on a host with root."""
    confined = Confined(UserRange(), runtimes) if os.geteuid() == 0 else None
    layout = Layout(folder.absolute(), (Path(runtimes[0]) / "bin",), None, None, confined)
    return BatchedEngine(layout, ray, "test", SystemClock(), dev_folder=dev_folder)
