"""The fake mesh: a node within this process, and a client of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import structlog

from suanmesh_agent.domain.tasks import TaskSpec
from suanmesh_agent.engines.memory import MemoryEngine, Script, script_of
from suanmesh_client import Client
from suanmesh_client.sync import Client as SyncClient
from suanmesh_fake.keyspace import ProcessKeys
from suanmesh_fake.node import InProcessNode
from suanmesh_kernel.clock import Clock, SystemClock
from suanmesh_local import world
from suanmesh_store.memory import MemoryKeyspace

USER = "alice"
SEED = 1
MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
"""What a function may raise that was written wrongly."""


class FakeMesh:
    """A node of `sites` sites with `cores` cores each, for one test; use it as an async context manager.

    `acts` says what a task does: how long it runs, its exit status, its log, its files. Services, decisions, prices,
    usage and bills are the real ones; only processes, wire and keyspace are memory. A job takes about a second.
    """

    def __init__(self, acts: Callable[[TaskSpec], Script] = script_of, *, sites: int = 3, cores: int = 4) -> None:
        self._acts = acts
        self._sites, self._cores = sites, cores
        self._stack = AsyncExitStack()
        self.node: InProcessNode
        """The node behind it: its services and sites can be stopped, killed and started."""

    async def __aenter__(self) -> Client:
        async with AsyncExitStack() as stack:
            if not structlog.is_configured():  # else whoever uses this has said what is to be logged
                structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
                stack.callback(structlog.reset_defaults)
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="suanmesh-fake-")))
            clock = SystemClock()
            keys = MemoryKeyspace(clock)
            self.node = await stack.enter_async_context(
                InProcessNode(
                    folder,
                    SEED,
                    clock=clock,
                    keys=lambda _: ProcessKeys(keys),
                    engine=self._engine,
                    sites=self._sites,
                    cores=self._cores,
                )
            )
            self._stack = stack.pop_all()
        return Client(self.node.mesh(world.CONSUMER, USER), account=f"accounts/{world.CONSUMER}")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _engine(self, site: str, clock: Clock, permitted_until: Callable[[], float]) -> MemoryEngine:
        return MemoryEngine(clock, queues=True, permitted_until=permitted_until, acts=self._said)

    def _said(self, task: TaskSpec) -> Script:
        """What the test says that the task does; a mistake of it fails the job, which names it."""
        try:
            return self._acts(task)
        except MISTAKES as fault:
            raise ValueError(repr(fault)) from fault


def fake_mesh(acts: Callable[[TaskSpec], Script] = script_of, *, sites: int = 3, cores: int = 4) -> SyncClient:
    """As `FakeMesh`, for tests without `async`: a context manager that gives the client itself."""
    return SyncClient(partial(FakeMesh, acts, sites=sites, cores=cores))
