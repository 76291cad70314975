"""Builds the server of a process out of its pieces: certificates, assertions, rules, router, listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from suanmesh_chassis.admission import Admission
from suanmesh_chassis.assertion import Assertions
from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import Certificates
from suanmesh_chassis.keyring import FixedKeys, Keys
from suanmesh_chassis.limits import Limits
from suanmesh_chassis.parts import Forwarded, Listener, Requests, Served
from suanmesh_chassis.patience import Patience
from suanmesh_chassis.probes import Probes
from suanmesh_chassis.process import Process
from suanmesh_chassis.relayed_call import serve_relayed
from suanmesh_chassis.revocations import Refused, nobody
from suanmesh_chassis.server import Router, Server
from suanmesh_chassis.serving import Rules
from suanmesh_chassis.trust import OwnTrust
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.streams import StreamCall


def not_ready() -> Refusal:
    """Said before there is anything to serve."""
    return Unavailable("NOT_READY", "this instance is not ready yet")


class ServiceServer:
    """A server with what it serves."""

    def __init__(
        self,
        process: Process,
        keys: Keys | None = None,
        not_yet: Callable[[], Refusal] = not_ready,
        revoked: Callable[[Caller], Refusal | None] = nobody,
    ) -> None:
        """Without `keys` nobody passes callers on to this process, as is the case for an agent.

        `revoked` says why a caller is refused whose certificate is good.
        """
        common = process.common
        trust = process.trust or OwnTrust(common.node, process.tls.shown)
        certificates = Certificates(common.node, trust, process.clock)
        assertions = Assertions(common.node, process.area, keys or FixedKeys(), process.clock, trust)
        admission = Admission(certificates, assertions, process.clock, revoked)
        limits, stall = Limits(common), Patience(common.stream_stall_s)
        self._rules, self._term_rules, self._probe_rules = (
            Rules(process.area, common.node, admission, process.spans, process.clock, limits=limits, stall=stall)
            for _ in range(3)
        )
        self._probes = Probes()
        self._router = Router(self._rules, self._term_rules, not_yet, self._probe_rules, self._probes.parts())
        self._listeners = Server(self._router, process.network, process.tls, common)
        self._reflected: dict[str, None] = {}
        self._components: dict[str, Mapping[str, bool]] = {}

    async def listen(self, listener: Listener) -> str:
        """Listen on one more address and return it. Raises OSError where it is taken."""
        return await self._listeners.listen(listener)

    async def serve_relayed(self, stream: StreamCall, call: str, *, site: str, peer: str) -> None:
        """Serve one call that a gateway at `peer` carries on `stream`, as the data plane of `site`: `serve_relayed`."""
        await serve_relayed(self._router, stream, call, site=site, peer=peer)

    async def place(self, parts: Sequence[Served | Forwarded], requests: Requests | None = None) -> None:
        """Serve all of `parts` from now on, and say so to health checks. Raises BadServicer where one does not fit."""
        self._rules.requests = requests
        self._router.place(parts, led=False)
        self._reflect(parts)
        self.tell_serving()

    async def place_replica(self, parts: Sequence[Served | Forwarded]) -> None:
        """Serve of `parts` what any instance does, from now on. Raises BadServicer where one does not fit."""
        self._router.place(parts, led=True)
        self._reflect(parts)

    async def begin_term(self, parts: Sequence[Served | Forwarded], requests: Requests | None) -> None:
        """Serve of `parts` what the leader does, and say so to health checks. Raises BadServicer as `place` does."""
        self._term_rules.requests = requests
        self._router.place_term(parts)
        self._reflect(parts)
        self.tell_serving()

    async def end_term(self) -> None:
        """Serve nothing of the leader's any more, until a term begins."""
        self._router.clear_term()
        self._probes.set_serving(False)
        self.tell_components("term", {})

    async def finish_term(self, grace_s: float) -> None:
        """Take no more calls that only the leader serves, end their streams, give those in flight `grace_s` to end."""
        self._router.clear_term()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._term_rules.under_way.none()

    def health(self) -> tuple[bool, Mapping[str, bool]]:
        """Whether calls may come, and of each component whether it does its part."""
        return self._probes.state()

    def tell_serving(self) -> None:
        """Tell health checks that calls may come."""
        self._probes.set_serving(True)

    def tell_components(self, whose: str, serving: Mapping[str, bool]) -> None:
        """Tell health checks of each component whether it does its part; those of `whose` replace those told before."""
        self._components[whose] = serving
        self._probes.set_components({name: does for each in self._components.values() for name, does in each.items()})

    def end_revoked(self) -> None:
        """End the streams of callers who are refused by now."""
        for rules in (self._rules, self._term_rules, self._probe_rules):
            rules.streams.end_those(rules.admission.revoked)

    async def refuse_health(self) -> None:
        """Tell health checks that no more calls should come."""
        self._probes.set_serving(False)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, end open streams, give the other calls in flight `grace_s` to end."""
        self._probes.set_serving(False)
        for rules in (self._rules, self._term_rules, self._probe_rules):
            rules.streams.end_all(Unavailable("NOT_READY", "this instance is draining"))
        await self._listeners.stop(grace_s)

    def _reflect(self, parts: Sequence[Served | Forwarded]) -> None:
        """List these besides what was listed: a standby's leader serves them all."""
        self._reflected.update(dict.fromkeys(part.descriptor.full_name for part in parts))
        self._probes.reflect(list(self._reflected))


async def serve_alone(process: Process, parts: Sequence[Served], refused: Refused | None = None) -> ServiceServer:
    """A server of `parts` without etcd, as an agent's data plane is; it listens nowhere yet.

    Whoever is `refused` is not served, and its streams end once it is.
    """
    server = ServiceServer(process, revoked=refused or nobody)
    if refused is not None:
        refused.changed = server.end_revoked
    await server.place(parts)
    return server
