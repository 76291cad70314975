"""What every process of a node opens first and closes last: logs, spans on their way out, its identity."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from random import Random

import structlog

from suanmesh_chassis.network import GrpcNetwork, Network, ProcessTls
from suanmesh_chassis.outgoing import TracedCalls
from suanmesh_chassis.settings import Common, described
from suanmesh_chassis.signing import Signer, load_signer
from suanmesh_chassis.trust import CurrentTrust, TrustFile
from suanmesh_kernel.clock import Clock, Rng, system_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_sdk import Resolver, Tls
from suanmesh_sdk.mesh import Mesh
from suanmesh_telemetry.logs import configure_logs
from suanmesh_telemetry.rpc import CallSpans
from suanmesh_telemetry.traces import Origin, Target, Tracing, start_tracing

log = structlog.get_logger()

READ_AHEAD_BYTES = 128 * 1024
"""What a service takes of a stream before it is read: it reads for others, who may never take it."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a node: a service, or an agent."""

    area: str
    identity: str
    """SPIFFE id."""
    instance: str
    """An id of its own, new at each start."""
    common: Common
    clock: Clock
    tls: ProcessTls
    signer: Signer
    spans: CallSpans
    tracing: Tracing | None
    network: Network = field(default_factory=GrpcNetwork)
    rng: Rng = system_rng
    trust: CurrentTrust | None = None
    """Whom it believes; its own node alone where it is not said."""

    def mesh(self, resolver: Resolver, *, via: str = "") -> Mesh:
        """The other services, called as this process; with `via` through a gateway, as whoever reads for itself."""
        return self.mesh_of(self.tls.tls, resolver, via=via)

    def mesh_of(self, tls: Tls, resolver: Resolver, *, via: str = "") -> Mesh:
        """The same, called as whoever `tls` is."""
        ahead = None if via else READ_AHEAD_BYTES
        dial = self.network.dial(tls, read_ahead_bytes=ahead)
        hook = TracedCalls(self.spans)
        return Mesh(node=self.common.node, tls=tls, resolver=resolver, via=via, hook=hook, dial=dial, rng=self.rng)

    async def close(self) -> None:
        """Send the spans that are left, for a bounded time."""
        if self.tracing is not None:
            await self.tracing.close()


def open_process(
    area: str,
    identity: str,
    common: Common,
    settings: object,
    clock: Clock,
    rng: Rng,
    backends: Sequence[Target] = (),
) -> Process:
    """Set up logs and tracing of this process and read its keys; spans go to `backends`. Raises OSError, ValueError."""
    configure_logs(area, common.log_level)
    log.info("process begins", settings=described(common) | described(settings), principal=identity)
    tls = ProcessTls.of(Tls.of_folder(common.tls_dir), clock)
    trust = TrustFile(common.tls_dir, common.node, lambda: tls.shown().ca, clock)
    instance = sortable_id(clock.now(), rng)
    tracing = None
    if backends:
        version, host = metadata.version("suanmesh"), socket.gethostname()
        tracing = start_tracing(Origin(area, instance, common.node, version, host), backends)
    return Process(
        area=area,
        identity=identity,
        instance=instance,
        common=common,
        clock=clock,
        tls=replace(tls, peers=lambda: trust().roots_of_peers()),
        signer=load_signer(common.tls_dir / "signing.key", identity),
        spans=CallSpans(common.trace_sample_reads, Random(rng(16))),
        tracing=tracing,
        rng=rng,
        trust=trust,
    )
