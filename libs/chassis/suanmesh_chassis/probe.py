"""A service with one method of every kind and effect, for tests of whatever stands between a caller and a handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

from suanmesh.type.v1 import bounds_pb2, document_pb2, semantics_pb2
from suanmesh_chassis.call import Call
from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_store import Answered, IdempotencyKey

SERVICE = "suanmesh.probe.v1.ProbeService"
_FIELDS = {"text": 8 * 1024 * 1024, "request_id": 1024 * 1024, "traceparent": 64}
"""With the most bytes of each."""
_METHODS = {
    # name: (client streams, server streams, effect, roles)
    "Read": (False, False, "READ", ("USER", "SERVICE", "AGENT")),
    "Change": (False, False, "KEYED", ("USER",)),
    "Manage": (False, False, "READ", ("OPERATOR",)),
    "Open": (False, False, "IDEMPOTENT", ("ANYONE",)),
    "List": (False, True, "READ", ("USER",)),
    "Gather": (True, False, "IDEMPOTENT", ("USER",)),
    "Talk": (True, True, "IDEMPOTENT", ("USER",)),
    "Feed": (True, True, "STREAM", ("USER",)),
    "Look": (False, False, "READ", ("USER",)),
    "Watch": (False, True, "READ", ("USER",)),
}
_ANYWHERE = ("Look", "Watch")
"""Served by any instance; the leader serves the others."""


def _described() -> ServiceDescriptor:
    pool = descriptor_pool.Default()
    try:
        return pool.FindServiceByName(SERVICE)
    except KeyError:
        pass
    file = descriptor_pb2.FileDescriptorProto(
        name="suanmesh/probe/v1/probe_service.proto", package="suanmesh.probe.v1", syntax="proto3"
    )
    file.dependency.extend(("suanmesh/type/v1/semantics.proto", "suanmesh/type/v1/bounds.proto"))
    message = file.message_type.add(name="Probe")
    for number, (name, most) in enumerate(_FIELDS.items(), 1):
        options = message.field.add(name=name, number=number, type=9, label=1).options
        options.Extensions[bounds_pb2.max_bytes], options.Extensions[bounds_pb2.free_text] = most, True
    service = file.service.add(name="ProbeService")
    for name, (client, server, effect, roles) in _METHODS.items():
        kind = ".suanmesh.probe.v1.Probe"
        method = service.method.add(
            name=name, input_type=kind, output_type=kind, client_streaming=client, server_streaming=server
        )
        semantics = method.options.Extensions[semantics_pb2.semantics]
        semantics.effect = semantics_pb2.Effect.Value(f"EFFECT_{effect}")
        semantics.roles.extend(semantics_pb2.Role.Value(f"ROLE_{role}") for role in roles)
        semantics.ownership = semantics_pb2.OWNERSHIP_COMMON
        semantics.public = name != "Manage"
        semantics.served_by = semantics_pb2.SERVED_BY_ANY if name in _ANYWHERE else semantics_pb2.SERVED_BY_LEADER
    pool.Add(file)
    return pool.FindServiceByName(SERVICE)


PROBE_SERVICE = _described()
Probe: Any = message_factory.GetMessageClass(PROBE_SERVICE.methods_by_name["Read"].input_type)


class Probes:
    """Does what the text of the request says."""

    def __init__(self) -> None:
        self.changes = 0
        self.idempotency_records: dict[IdempotencyKey, Answered] = {}
        self.begun = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.closed = asyncio.Event()

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        return self.idempotency_records.get(key)

    async def Read(self, request: Any, call: Call) -> Any:
        if request.text == "refuse":
            raise FailedPrecondition("PROBE_SAD", "the probe is sad", mood="low")
        if request.text.startswith("quote"):
            raise FailedPrecondition("PROBE_SAD", f"the probe is sad about {request.text}", about=request.text)
        if request.text == "break":
            raise ZeroDivisionError("a defect")
        if request.text == "ended":
            waited_for: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waited_for.cancel()
            await waited_for
        if request.text == "finish":
            self.begun.set()
            await self.may_finish.wait()
        if request.text == "wait":
            try:
                self.begun.set()
                await asyncio.Event().wait()
            finally:
                self.closed.set()
        return Probe(text=f"{call.principal} {request.text}", traceparent=call.traceparent)

    async def Change(self, request: Any, call: Call) -> Any:
        self.changes += 1
        answer = Probe(text=f"change {self.changes}")
        idempotency = call.idempotency(answer)
        record = document_pb2.RequestRecord(
            method=idempotency.key.method, body_digest=idempotency.body_digest, answer=answer.SerializeToString()
        )
        self.idempotency_records[idempotency.key] = Answered(record)
        return answer

    async def Manage(self, request: Any, call: Call) -> Any:
        return Probe(text="managed")

    async def Open(self, request: Any, call: Call) -> Any:
        return Probe(text=f"open to {call.principal or 'anyone'}")

    async def List(self, request: Any, call: Call) -> AsyncIterator[Any]:
        try:
            for number in range(1_000_000 if request.text == "endless" else 3):
                yield Probe(text=str(number))
                if request.text == "silent":
                    await asyncio.Event().wait()
            if request.text == "refuse":
                raise FailedPrecondition("PROBE_SAD", "the probe is sad")
        finally:
            self.closed.set()

    async def Look(self, request: Any, call: Call) -> Any:
        return Probe(text=f"looked at {request.text}")

    async def Watch(self, request: Any, call: Call) -> AsyncIterator[Any]:
        yield Probe(text="begun")
        await self.may_finish.wait()
        yield Probe(text="finished")

    async def Gather(self, requests: AsyncIterator[Any], call: Call) -> Any:
        return Probe(text=" ".join([request.text async for request in requests]))

    async def Talk(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        async for request in requests:
            yield Probe(text=request.text.upper())

    async def Feed(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        async for request in requests:
            yield Probe(text=request.text, traceparent=call.traceparent)
