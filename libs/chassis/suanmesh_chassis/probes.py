"""What tells machines about a process: the standard health service, and reflection.

The health service is our own because gRPC's keeps a condition for every name a caller makes up, and drops it for all
who watch a name as soon as one of them leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection

from suanmesh.type.v1 import semantics_pb2
from suanmesh_chassis.call import Call
from suanmesh_chassis.parts import Served
from suanmesh_kernel.refusals import NotFound

_NOT_FOR_PROBES = (semantics_pb2.ROLE_UNSPECIFIED, semantics_pb2.ROLE_ANYONE)
SEMANTICS = semantics_pb2.Semantics(
    effect=semantics_pb2.EFFECT_STREAM,
    ownership=semantics_pb2.OWNERSHIP_COMMON,
    served_by=semantics_pb2.SERVED_BY_ANY,
    roles=[role for role in semantics_pb2.Role.values() if role not in _NOT_FOR_PROBES],
)
"""For whoever has a certificate; a probe needs no deadline."""

_States = health_pb2.HealthCheckResponse


class Probes:
    """The two services, by what was told last."""

    def __init__(self) -> None:
        self._health = Health()
        self._reflection = _Reflection([])

    def parts(self) -> list[Served]:
        """As they are served."""
        return [
            Served(health_pb2.DESCRIPTOR.services_by_name["Health"], self._health, SEMANTICS, probe=True),
            Served(
                reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"], self._reflection, SEMANTICS, probe=True
            ),
        ]

    def reflect(self, services: Sequence[str]) -> None:
        """List `services`, by full name, to whoever asks what is served."""
        self._reflection.list_services(services)
        self._health.known = frozenset(("", *services))

    def state(self) -> tuple[bool, Mapping[str, bool]]:
        """What was told last: whether the process serves, and of each component whether it does its part."""
        return self._health.state()

    def set_components(self, serving: Mapping[str, bool]) -> None:
        """Tell of each component whether it does its part."""
        self._health.tell_components(serving)

    def set_serving(self, serving: bool) -> None:
        """Tell whoever checks the health, and whoever watches it."""
        self._health.tell(serving)


class Health:
    """grpc.health.v1.Health: one state for the whole process and for each service in it, one for each component."""

    def __init__(self) -> None:
        self.known = frozenset(("",))
        self._serving = False
        self._components: Mapping[str, bool] = {}
        self._changed = asyncio.Event()

    def tell_components(self, serving: Mapping[str, bool]) -> None:
        """Each component by its name; those that are not named are not there."""
        self._components = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def tell(self, serving: bool) -> None:
        """The process serves from now on, or does not."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def state(self) -> tuple[bool, Mapping[str, bool]]:
        """Of the process, and of each component."""
        return self._serving, self._components

    async def Check(self, request: health_pb2.HealthCheckRequest, call: Call) -> health_pb2.HealthCheckResponse:
        if request.service not in self.known and request.service not in self._components:
            raise NotFound("SERVICE_UNKNOWN", f"no service {request.service[:200]}", name=request.service)
        return _States(status=self._state(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, call: Call
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        told = None
        while True:
            state, changed = self._state(request.service), self._changed
            if state != told:
                yield _States(status=state)
                told = state
            else:
                await changed.wait()

    def _state(self, service: str) -> Any:
        if service in self._components:
            return _States.SERVING if self._serving and self._components[service] else _States.NOT_SERVING
        if service not in self.known:
            return _States.SERVICE_UNKNOWN
        return _States.SERVING if self._serving else _States.NOT_SERVING


class _Reflection(reflection.ReflectionServicer):  # type: ignore[misc]
    """Standard reflection that learns what is served after it has begun to answer."""

    def list_services(self, services: Sequence[str]) -> None:
        super().__init__([*services, SERVICE_NAME])
