"""A site of a node within one process: the real agent over an engine in memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from suanmesh_agent import enrolment
from suanmesh_agent import site as agent
from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_agent.inventory import Inventory
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis.ca import agent_server_name
from suanmesh_chassis.identity import agent_id
from suanmesh_chassis.memory_network import MemoryNetwork
from suanmesh_chassis.network import ProcessTls
from suanmesh_chassis.process import Process
from suanmesh_chassis.signing import load_signer
from suanmesh_fake.processes import NODE, Authority, Host, Supervised
from suanmesh_kernel.clock import Clock, Rng, seeded_rng
from suanmesh_kernel.quantities import Capacity
from suanmesh_local import world
from suanmesh_sdk import Mesh, Tls

FIRST_PORT = 7100
GIBIBYTE = 1 << 30
RATE_BYTES_PER_S = 10**9


class SiteProcess:
    """One site: its agent, which comes and goes, and what runs there, which stays."""

    def __init__(
        self, place: world.Place, number: int, cores: int, folder: Path, network: MemoryNetwork, clock: Clock, rng: Rng,
        *, authority: Authority, engine: Callable[[str, Clock, Callable[[], float]], MemoryEngine],
    ) -> None:  # fmt: skip
        """`engine` makes its engine of its site, its clock, and until when it may run tasks."""
        identity, names = agent_id(NODE, place.site), (agent_server_name(NODE, place.site),)
        self.host = Host(authority, place.site, identity, names, folder, network)
        self.supervised = Supervised(place.site)
        self.engine = engine(place.site, clock, self._permitted_until)
        self._place = place
        self._folder = folder
        self._capacity = Capacity(cores * 1000, cores * GIBIBYTE, cores * GIBIBYTE)
        self._clock = clock
        self._rng = rng
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = AgentSettings(
            site=place.site,
            data_dir=folder,
            data_listen=f"127.0.0.1:{FIRST_PORT + number}",
            display_name=place.city,
            city_code=place.city_code,
            latitude_microdegrees=round(place.latitude * 1e6),
            longitude_microdegrees=round(place.longitude * 1e6),
            price_book=f"priceBooks/{place.site}",
        )

    async def join(self, mesh: Mesh, token: str) -> None:
        """Spend a join token."""
        await enrolment.spend_token(mesh, token, self.settings, self._identity)

    def start(self) -> None:
        """A new agent of it."""
        rng = seeded_rng(int.from_bytes(self._rng(8), "big"))
        process = self._process(rng)

        async def live(stop: asyncio.Event) -> None:
            await agent.serve(process, self.settings, rng, stop, self.engine, self._inventory())

        self.supervised.run(live)

    async def stop(self) -> None:
        """As on SIGTERM; what runs goes on."""
        await self.supervised.stop()

    async def kill(self) -> None:
        """As on SIGKILL; what runs goes on."""
        self.host.network.crash(self.host.name)
        await self.supervised.kill()

    def copy_of_journal(self, number: int) -> Path | None:
        """A copy of all that the agent's journal has now; None where there is none yet."""
        if not self._journal.exists():
            return None
        kept = self._folder / f"copy-{number}.db"
        with closing(sqlite3.connect(self._journal)) as connection:
            connection.execute("VACUUM INTO ?", (str(kept),))
        return kept

    def set_journal_back(self, kept: Path) -> None:
        """Let the journal be what a copy is, while the agent is down."""
        for path in self._folder.glob(f"{self._journal.name}*"):
            path.unlink()
        kept.rename(self._journal)

    def unsent_usage(self) -> int:
        """Records of usage that accounting has not taken yet."""
        if not self._journal.exists():
            return 0
        with closing(sqlite3.connect(self._journal)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM usage_records").fetchone()[0])

    @property
    def _journal(self) -> Path:
        return self._folder / "agent.db"

    @property
    def _identity(self) -> Path:
        return agent.identity_folder(self.settings)

    def _process(self, rng: Rng) -> Process:
        made = self.host.process("agent", self._clock, rng)
        tls = ProcessTls.of(Tls.of_folder(self._identity), self._clock)
        signer = load_signer(self._identity / "signing.key", self.host.identity)
        return Process(
            area=made.area,
            identity=made.identity,
            instance=made.instance,
            common=made.common,
            clock=made.clock,
            tls=tls,
            signer=signer,
            spans=made.spans,
            tracing=None,
            network=made.network,
            rng=rng,
        )

    def _inventory(self) -> Inventory:
        return Inventory(
            hosts=((self._place.site, self._capacity),),
            architecture="x86_64",
            runtimes=("python3",),
            simulated=True,
            can=self.engine.capabilities(),
            sha256_bytes_per_s=RATE_BYTES_PER_S,
            blake3_bytes_per_s=RATE_BYTES_PER_S,
            measured_at=self._clock.now(),
        )

    def _permitted_until(self) -> float:
        """What the file says that the agent keeps for the shims of its tasks."""
        return int((self._folder / agent.PERMISSION).read_text().rpartition(" ")[2]) / 1e9
