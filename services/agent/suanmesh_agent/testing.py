"""Stand-ins for what the agent calls: services kept on paper, a data path within one process; and a site among them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh_agent import offers
from suanmesh_agent.data_plane import Reader
from suanmesh_agent.delivery import Delivery
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.domain.tasks import Capabilities
from suanmesh_agent.domain.tickets import Ticket
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.fakes import FakeAccounting, FakeScheduler, FakeTransport, PlainSigner, State
from suanmesh_agent.inventory import Inventory
from suanmesh_agent.journal import Journal
from suanmesh_agent.meter import Meter
from suanmesh_agent.mirror import Mirror, own_pip
from suanmesh_agent.offers import Offers
from suanmesh_agent.permission import RunPermission
from suanmesh_agent.placements import Placements
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.secrets import Secrets, folder_in_memory
from suanmesh_agent.setups import Setups
from suanmesh_agent.staging import Staging
from suanmesh_agent.steps import Steps
from suanmesh_agent.turns import Turns
from suanmesh_content import Chunk, manifest_to
from suanmesh_kernel.clock import SystemClock, seeded_rng
from suanmesh_kernel.owner_limits import NO_LIMITS, OwnerLimits
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.refusals import Refusal

__all__ = [
    "OWN_PARTY",
    "FakeAccounting",
    "FakeScheduler",
    "FakeSite",
    "FakeTransport",
    "NearDataPath",
    "PlainSigner",
    "State",
    "a_placement",
    "write_numbers",
]

OWN_PARTY = "parties/acme"
"""Whose site it is: its tasks run without a sandbox."""
TWO_CORES = Inventory(
    hosts=(("a", Capacity(2000, 2**30, 2**30)),),
    architecture="x86_64",
    runtimes=("python3",),
    simulated=True,
    can=Capabilities(walled=False),
    sha256_bytes_per_s=1,
    blake3_bytes_per_s=1,
    measured_at=datetime(2026, 1, 1, tzinfo=UTC),
)
"""What the site has."""


class NearDataPath:
    """`DataPath` to another site's replicas in the same process; `fault` may change or refuse what it gives."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self.fault: Callable[[agent_pb.FetchChunksResponse], agent_pb.FetchChunksResponse] | None = None
        self.chunks_sent = 0
        self.away: Refusal | None = None

    async def manifest(self, transfer: transfer_pb2.Transfer) -> dataset_pb2.Manifest:
        """The manifest at the source."""
        if self.away:
            raise self.away
        return manifest_to(self._source.manifest(self._ticket(transfer)))

    async def fetch(
        self, transfer: transfer_pb2.Transfer, ranges: list[agent_pb.ChunkRange]
    ) -> AsyncGenerator[agent_pb.FetchChunksResponse, None]:
        """The ranges."""
        wanted = [Chunk(i, each.file, each.offset, each.bytes) for i, each in enumerate(ranges)]
        async for piece in self._source.read(self._ticket(transfer), wanted):
            if self.away:
                raise self.away
            self.chunks_sent += bool(piece.digest)
            answer = agent_pb.FetchChunksResponse(range=piece.chunk.index, content=piece.content, digest=piece.digest)
            yield self.fault(answer) if self.fault else answer

    def _ticket(self, transfer: transfer_pb2.Transfer) -> Ticket:
        return Ticket(
            transfer=transfer.name,
            dataset=transfer.dataset,
            digest=transfer.digest,
            source=transfer.source,
            reader="",
            expire_time=datetime(9999, 1, 1, tzinfo=UTC),
            rate_bps=transfer.rate_bps,
        )


class FakeSite:
    """The site `sites/a`: a real agent over a folder, with services on paper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scheduler = FakeScheduler()
        self.transport = FakeTransport()
        self.accounting = FakeAccounting()
        self.run_for_s = 3600.0
        """What an agent is permitted at its start."""
        self.limits: OwnerLimits = NO_LIMITS
        """What its owner refuses to others; with any, tasks of others run here without walls."""
        self.runtime = Path(sys.prefix)
        """The Python of its tasks."""
        self.mirror = ""
        """Where its owner has wheels from."""
        self._rng = seeded_rng(1)

    @asynccontextmanager
    async def agent(self, kind: type[Journal] = Journal) -> AsyncIterator[Journal]:
        """An agent's life over the folder; leaving it is as sudden as a kill."""
        site, clock, journal = "sites/a", SystemClock(), kind(self.folder / "agent.db")
        journal.remember(offers.OWN_PARTY, OWN_PARTY)
        self.permission = RunPermission(self.folder / "permission", clock)
        self.permission.renew(clock.monotonic(), self.run_for_s)
        self.replicas = Replicas(self.folder)
        self.engine = ProcessEngine(
            self.folder / "tasks",
            sandbox=None,
            cgroups=None,
            runtime_path=(self.runtime / "bin",),
            permission=self.permission.path,
        )
        meter = Meter(site, journal, self.accounting, PlainSigner(), clock, self._rng)
        self.delivery = Delivery(site, self.transport, self.engine, journal, self.replicas, Turns())
        self.setups = Setups(
            self.folder / "setups", self.engine, Turns(), clock, host=("python3",),
            mirror=Mirror(self.mirror, self.runtime / "bin" / "python3", own_pip()),
        )  # fmt: skip
        steps = Steps(
            offers=Offers(journal, TWO_CORES, self.limits is not NO_LIMITS, self.limits),
            scheduler=self.scheduler,
            engine=self.engine,
            staging=Staging(self.transport, journal, self.replicas),
            setups=self.setups,
            secrets=Secrets(folder_in_memory(self.folder), self.scheduler),
            delivery=self.delivery,
            meter=meter,
            meter_every_s=0.2,
            permission=self.permission,
            clock=clock,
        )
        placements = Placements(
            site, scheduler=self.scheduler, journal=journal, engine=self.engine, steps=steps, clock=clock
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(placements.run()), tasks.create_task(meter.run())]
            try:
                yield journal
            finally:
                for life in lives:
                    life.cancel()
        self.engine.close()
        self.permission.close()
        journal.close()

    async def killed_at(self, stage: Stage) -> None:
        """An agent's life until it has written down `stage`."""
        reached = asyncio.Event()

        class Mortal(Journal):
            async def commit(self, take: Callable[[], None]) -> None:
                await super().commit(take)
                if any(at is stage for _, _, at in self.placements()):
                    reached.set()
                    raise asyncio.CancelledError

        async with self.agent(Mortal):
            await reached.wait()

    async def cleared_up(self) -> None:
        """Wait until no working folder is left."""
        while self.engine.idle_placements():  # noqa: ASYNC110 - a folder, removed by a thread
            await asyncio.sleep(0.01)


def a_placement(code: str, name: str = "placements/p1", **fields: object) -> placement_pb2.Placement:
    """A committed placement of one Python task with the output `out`; `fields` are those of its work."""
    placement = placement_pb2.Placement(
        name=name, job="jobs/j1", site="sites/a", state=State.STATE_COMMITTED, party=OWN_PARTY, attempt=1
    )
    work = placement.work
    work.ask.cpu_milli, work.ask.memory_bytes = 1000, 2**28
    work.variant.runtime = "python3"
    work.variant.command.extend(["python3", "-c", code])
    work.outputs.add(output_id="result", mount="out")
    work.count, work.max_duration_s = 1, 60
    for key, value in fields.items():
        setattr(work, key, value)
    return placement


def write_numbers(folder: Path, files: int, size_bytes: int) -> Path:
    """A folder of files that differ, the same for the same numbers."""
    folder.mkdir(parents=True)
    for number in range(files):
        block = (number.to_bytes(4, "big") * 256)[:1024]
        pieces = (block[4:] + index.to_bytes(4, "big") for index in range(size_bytes // 1024 + 1))
        (folder / f"file-{number}").write_bytes(b"".join(pieces)[:size_bytes])
    return folder
