"""The server of a process: listeners, routing, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import empty_pb2

from suanmesh_chassis import methods
from suanmesh_chassis.limits import Pool
from suanmesh_chassis.methods import ServedMethod, Shape
from suanmesh_chassis.network import Listening, Network, ProcessTls
from suanmesh_chassis.parts import Forwarded, Listener, Served
from suanmesh_chassis.serving import Rules
from suanmesh_chassis.settings import Common
from suanmesh_chassis.wrapper import refusing, wrapped
from suanmesh_kernel.refusals import Refusal, Unimplemented
from suanmesh_telemetry import names


class Router(grpc.GenericRpcHandler):
    """Finds the handler of a method. What is not placed in it yet is refused with what `not_yet` says.

    What is served in a term has rules of its own, so that its end is not the end of what any instance serves; so have
    `probes`, which are answered always, whatever is placed.
    """

    def __init__(
        self,
        rules: Rules,
        term_rules: Rules,
        not_yet: Callable[[], Refusal],
        probe_rules: Rules,
        probes: Sequence[Served] = (),
    ) -> None:
        self._rules = rules
        self._term_rules = term_rules
        self._not_yet = not_yet
        self._whole = False
        """Whether all is placed that will be: then a method that is not found is unknown."""
        self._handlers: dict[str, Any] = {}
        self._of_term: dict[str, Any] = {}
        self._probes = _handlers(probe_rules, methods.table(probes))

    def place(self, parts: Sequence[Served | Forwarded], *, led: bool) -> None:
        """Serve `parts` from now on: all they have, or where the area is `led` what any instance serves of them.

        Raises BadServicer where one does not fit its descriptor.
        """
        self._handlers = _handlers(self._rules, methods.table(parts, led=False if led else None))
        self._whole = not led

    def place_term(self, parts: Sequence[Served | Forwarded]) -> None:
        """Serve of `parts` what only the leader does, until `clear_term`.

        Raises BadServicer as `place` does, and where a method of theirs that any instance should serve is not placed.
        """
        if missing := methods.paths(parts, led=False) - self._handlers.keys():
            raise methods.BadServicer(f"{min(missing)} is for any instance to serve, and only the leader has it")
        self._of_term = _handlers(self._term_rules, methods.table(parts, led=True))
        self._whole = True

    def clear_term(self) -> None:
        """Serve nothing of the leader's any more; streams that are open end with what `not_yet` says."""
        self._of_term, self._whole = {}, False
        self._term_rules.term += 1
        self._term_rules.streams.end_all(self._not_yet())

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the called method, as gRPC asks for it."""
        path = handler_call_details.method
        handler = self._handlers.get(path) or self._of_term.get(path) or self._probes.get(path)
        if handler is not None:
            return handler
        if not self._whole:
            return refusing(self._rules, _UNKNOWN, self._not_yet(), whoever=True)
        name = path.lstrip("/")[:200]
        return refusing(self._rules, _UNKNOWN, Unimplemented("METHOD_UNKNOWN", f"no method {name}", method=name))


class Server:
    """The listeners of one process."""

    def __init__(self, router: Router, network: Network, tls: ProcessTls, common: Common) -> None:
        self._router = router
        self._network = network
        self._tls = tls
        self._common = common
        self._listening: list[Listening] = []

    async def listen(self, listener: Listener) -> str:
        """Serve on one more address and return it as `host:port`. Raises OSError where it is taken."""
        listening = await self._network.listen(self._router, listener, self._tls, self._common)
        self._listening.append(listening)
        return listening.address

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, give those in flight `grace_s` to end, then break them off."""
        await asyncio.gather(*(each.stop(grace_s) for each in self._listening))


def _handlers(rules: Rules, table: Mapping[str, ServedMethod]) -> dict[str, Any]:
    return {path: wrapped(rules, method) for path, method in table.items()}


def _unknown() -> ServedMethod:
    """A method we know nothing of, as far as the wrapper needs it; one name for all, since names become labels."""
    return ServedMethod(
        name=names.METHOD_OTHER,
        shape=Shape.BIDI,
        streams=True,
        request=empty_pb2.Empty,
        roles=frozenset(("anyone",)),
        effect="STREAM",
        keyed=False,
        has_request_id=False,
        handler=None,
        forwarder=None,
        answer=empty_pb2.Empty,
        pool=Pool.CALLS,
        led=False,
        reads_ahead=False,
        reader=None,
    )


_UNKNOWN = _unknown()
