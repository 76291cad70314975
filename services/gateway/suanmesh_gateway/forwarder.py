"""Passes calls on to the service that owns them, unread, with a signed word on who calls."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from suanmesh_chassis import Call
from suanmesh_chassis.assertion import Minter
from suanmesh_sdk import Mesh

_Vouched = tuple[tuple[str, bytes]]


class Forwarder:
    """One for all areas: what it needs to know of a method it reads from its descriptor."""

    def __init__(self, mesh: Mesh, minter: Minter, services: Sequence[ServiceDescriptor]) -> None:
        self._minter = minter
        self._routes = {
            f"{service.full_name}/{method.name}": _ForwardedMethod(mesh, service, method)
            for service in services
            for method in service.methods
        }

    async def unary(self, method: str, request: bytes, call: Call) -> bytes:
        """One request, one answer, in the time that the caller gave it. Raises what the owner refused with."""
        route = self._routes[method]
        vouched = partial(self._vouched, route, call)
        answer: bytes = await route.callable(request, timeout=_seconds(call), metadata=vouched)
        return answer

    async def stream(self, method: str, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
        """Any other kind of call; the owner's is broken off when the caller breaks off."""
        route = self._routes[method]
        vouched = partial(self._vouched, route, call)
        if not route.answers_stream:
            yield await route.callable(requests, timeout=_seconds(call), metadata=vouched)
            return
        answers = route.callable(requests if route.asks_stream else await anext(requests), metadata=vouched)
        try:
            async for answer in answers:
                yield answer
        finally:
            answers.cancel()

    def _vouched(self, route: _ForwardedMethod, call: Call) -> _Vouched:
        """Asked for at each attempt: a call may be tried again for longer than an assertion lives."""
        return (self._minter.metadata(call.caller, route.area),)


class _ForwardedMethod:
    """Where one method is served, and in which of the four kinds."""

    __slots__ = ("answers_stream", "area", "asks_stream", "callable")

    def __init__(self, mesh: Mesh, service: ServiceDescriptor, method: MethodDescriptor) -> None:
        self.area = area_of(service)
        self.asks_stream, self.answers_stream = method.client_streaming, method.server_streaming
        channel = mesh.channel(self.area)
        makers: dict[tuple[bool, bool], Any] = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        # Without a serializer bytes stay bytes.
        self.callable = makers[self.asks_stream, self.answers_stream](f"/{service.full_name}/{method.name}")


def _seconds(call: Call) -> float | None:
    """What a call may take of which its caller waits for one answer; what is usual where the caller said nothing."""
    left_s = call.time_left()
    return left_s if math.isfinite(left_s) else None


def area_of(service: ServiceDescriptor) -> str:
    """`registry` for `suanmesh.registry.v1.RegistryService`."""
    return service.full_name.split(".")[1]
