"""A call that is tried again for long is vouched for at each attempt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suanmesh_chassis import Call, Forwarded, Served
from suanmesh_chassis.assertion import LIFETIME_S, Minter
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.keyring import FixedKeys
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_gateway.forwarder import Forwarder
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import Unavailable


class LateOwner(Probes):
    """Its first answer to each method is, after longer than an assertion lives, that it is not ready."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self._clock = clock
        self._asked: set[str] = set()

    def _begin(self, method: str) -> None:
        if method not in self._asked:
            self._asked.add(method)
            self._clock.advance(LIFETIME_S + 1)
            raise Unavailable("NOT_READY", "not ready yet", domain="mesh.suanmesh")

    async def Read(self, request: Any, call: Call) -> Any:
        self._begin("Read")
        return await super().Read(request, call)

    async def Watch(self, request: Any, call: Call) -> AsyncIterator[Any]:
        self._begin("Watch")
        yield Probe(text="begun")


async def test_a_call_outlives_the_assertion_of_its_first_attempt(tmp_path: Path) -> None:
    """Whoever waited two minutes for a log was told that an assertion of the gateway's was past its time."""
    clock = HandClock(datetime.now(UTC))
    async with LoopbackNode(tmp_path, clock) as node:
        gateway = node.process("gateway")
        keys = FixedKeys({gateway.signer.key_id: gateway.signer.public_key})
        owner = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, LateOwner(clock))], keys=keys)
        behind = node.mesh(owner, caller=service_id("test", "gateway"))
        forwarder = Forwarder(behind, Minter(gateway.signer, clock), [PROBE_SERVICE])
        at = await node.serve(gateway, [Forwarded(PROBE_SERVICE, forwarder)])
        user = node.mesh(at).channel("gateway")

        read = user.unary_unary(f"/{SERVICE}/Read", response_deserializer=Probe.FromString)
        watch = user.unary_stream(f"/{SERVICE}/Watch", response_deserializer=Probe.FromString)

        assert (await read(Probe(text="hello").SerializeToString())).text.endswith("/user/ann hello")
        assert [each.text async for each in watch(Probe().SerializeToString())] == ["begun"]
