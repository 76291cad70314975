"""The node in one process on virtual time: what it does is looked at, and what befalls it comes from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from scenario.engines import NotingEngine
from scenario.findings import Findings
from scenario.virtual_time import LoopClock
from scenario.watch import WatchedKeyspace
from suanmesh_chassis.memory_network import Links
from suanmesh_fake.keyspace import ProcessKeys
from suanmesh_fake.node import InProcessNode
from suanmesh_kernel.clock import Clock
from suanmesh_local import world
from suanmesh_registry.settings import RegistrySettings

ETCD = "etcd"
"""The host that the keyspace is at."""


class SimulatedNode(InProcessNode):
    """The node; use it as an async context manager."""

    def __init__(
        self, folder: Path, seed: int, *, sites: int = 3, cores: int = 4, liar: str = "",
        links: Links | None = None, keys_delay_s: Callable[[], float] = lambda: 0.0,
        keys_fault: Callable[[str], str] = lambda area: "",
        standbys: Sequence[str] = (), clocks_off_s: float = 0.0, signing_key_days: float = 90.0,
    ) -> None:  # fmt: skip
        clock = LoopClock()
        self.findings = Findings(clock)
        room = {f"sites/{place.site}": cores * 1000 for place in world.places(sites)}
        self.keys = WatchedKeyspace(clock, self.findings, room)
        clocks = Random(f"{seed} clocks")

        def own_keys(name: str) -> ProcessKeys:
            cut = partial(self.network.is_cut, name, ETCD)
            return ProcessKeys(self.keys, keys_delay_s, partial(keys_fault, name), cut)

        def engine(site: str, of: Clock, permitted_until: Callable[[], float]) -> NotingEngine:
            return NotingEngine(site, of, permitted_until, lies=site == liar)

        super().__init__(
            folder, seed, clock=clock, keys=own_keys, engine=engine, sites=sites, cores=cores, standbys=standbys,
            links=links, own_clock=lambda: LoopClock(off_s=clocks.uniform(-clocks_off_s, clocks_off_s)),
            settings={"registry": RegistrySettings(ca_dir=folder / "ca", signing_key_days=signing_key_days)},
        )  # fmt: skip
