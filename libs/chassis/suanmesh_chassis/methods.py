"""What a service's descriptor declares of its methods, read once at the start."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from suanmesh.type.v1 import semantics_pb2
from suanmesh.type.v1.semantics_pb2 import Effect, Role, Semantics, ServedBy
from suanmesh_chassis.bounds import UnboundedField, checker
from suanmesh_chassis.limits import Pool
from suanmesh_chassis.parts import Forwarded, RawForwarder, Served


class Shape(Enum):
    """Which sides stream."""

    UNARY = "unary"
    SERVER_STREAM = "server stream"
    CLIENT_STREAM = "client stream"
    BIDI = "bidi"


@dataclass(frozen=True, slots=True, eq=False)
class ServedMethod:
    """One method as the wrapper needs it."""

    name: str
    """Full name, `suanmesh.registry.v1.RegistryService/GetSite`."""
    shape: Shape
    streams: bool
    """Whether it answers many times."""
    request: type[Message]
    roles: frozenset[str]
    """Names in lower case without `ROLE_`."""
    effect: str
    """Name without `EFFECT_`."""
    keyed: bool
    """Whether `request_id` is needed and its answer kept."""
    has_request_id: bool
    handler: Any
    """Bound method `(request, call)`, or None where the call is forwarded."""
    forwarder: RawForwarder | None
    answer: type[Message]
    pool: Pool
    """What its calls are counted among."""
    led: bool
    """Whether the leader alone serves it."""
    reads_ahead: bool
    """Whether the caller's next message is read while one is worked on."""
    reader: Callable[[bytes], object | None] | None
    """As of `Served`."""

    @property
    def path(self) -> str:
        """As it stands on the wire."""
        return f"/{self.name}"


class BadServicer(Exception):
    """A servicer does not fit its descriptor: a defect found before anything is served."""


def table(parts: Iterable[Served | Forwarded], *, led: bool | None = None) -> dict[str, ServedMethod]:
    """All methods by path, or those that only the leader serves, or those that any instance does.

    Raises BadServicer where one of them lacks its handler or part of its semantics, or has two.
    """
    methods: dict[str, ServedMethod] = {}
    for part in parts:
        for descriptor in part.descriptor.methods:
            semantics = _semantics(part, descriptor)
            if isinstance(part, Forwarded) and not semantics.public:
                continue
            if led is not None and led != _is_led(part.descriptor, descriptor, semantics):
                continue
            method = _method(part, part.descriptor, descriptor, semantics)
            if methods.setdefault(method.path, method) is not method:
                raise BadServicer(f"{method.name} is served twice")
    return methods


def paths(parts: Iterable[Served | Forwarded], *, led: bool) -> set[str]:
    """The paths that descriptors of `parts` have of methods that only the leader serves, or that any instance does."""
    return {
        f"/{part.descriptor.full_name}/{each.name}"
        for part in parts
        for each in part.descriptor.methods
        if _is_led(part.descriptor, each, _semantics(part, each)) is led
    }


def _semantics(part: Served | Forwarded, descriptor: MethodDescriptor) -> Semantics:
    if isinstance(part, Served) and part.semantics is not None:
        return part.semantics
    declared: Semantics = descriptor.GetOptions().Extensions[semantics_pb2.semantics]
    return declared


def _is_led(service: ServiceDescriptor, descriptor: MethodDescriptor, semantics: Semantics) -> bool:
    if not semantics.served_by:
        raise BadServicer(f"{service.full_name}/{descriptor.name} does not declare who serves it")
    led: bool = semantics.served_by == ServedBy.SERVED_BY_LEADER
    return led


def _method(
    part: Served | Forwarded, service: ServiceDescriptor, descriptor: MethodDescriptor, semantics: Semantics
) -> ServedMethod:
    name = f"{service.full_name}/{descriptor.name}"
    effect = Effect.Name(semantics.effect).removeprefix("EFFECT_")
    if not semantics.roles or effect == "UNSPECIFIED" or not semantics.ownership:
        raise BadServicer(f"{name} does not declare its roles, its effect and whose things are met")
    fields = descriptor.input_type.fields_by_name
    led = _is_led(service, descriptor, semantics)
    if effect == "KEYED" and not led:
        raise BadServicer(f"{name} is keyed, so the leader serves it: only the leader may remember what was answered")
    keyed = effect == "KEYED" and isinstance(part, Served)
    if keyed and ("request_id" not in fields or descriptor.client_streaming or descriptor.server_streaming):
        raise BadServicer(f"{name} is keyed, so it must be unary and its request must have a request_id")
    answered = descriptor.output_type.fields_by_name
    if semantics.resumes_by and ("resume_token" not in fields or semantics.resumes_by not in answered):
        raise BadServicer(f"{name} cannot be resumed: it takes no resume_token, or answers no {semantics.resumes_by}")
    try:
        checker(descriptor.input_type)
    except UnboundedField as error:
        raise BadServicer(f"{name}: {error}") from error
    shape = _shape(descriptor)
    return ServedMethod(
        name=name,
        shape=shape,
        streams=descriptor.server_streaming,
        request=message_factory.GetMessageClass(descriptor.input_type),
        roles=frozenset(Role.Name(role).removeprefix("ROLE_").lower() for role in semantics.roles),
        effect=effect,
        keyed=keyed,
        has_request_id="request_id" in fields and not descriptor.client_streaming,
        handler=_handler(part, name, descriptor) if isinstance(part, Served) else None,
        forwarder=part.forwarder if isinstance(part, Forwarded) else None,
        answer=message_factory.GetMessageClass(descriptor.output_type),
        pool=_pool(part, shape),
        led=led,
        reads_ahead=part.reads_ahead,
        reader=part.readers.get(descriptor.name) if isinstance(part, Served) else None,
    )


def _shape(descriptor: MethodDescriptor) -> Shape:
    if descriptor.client_streaming:
        return Shape.BIDI if descriptor.server_streaming else Shape.CLIENT_STREAM
    return Shape.SERVER_STREAM if descriptor.server_streaming else Shape.UNARY


def _pool(part: Served | Forwarded, shape: Shape) -> Pool:
    if isinstance(part, Served) and part.probe:
        return Pool.PROBES
    if shape is Shape.UNARY:
        return Pool.CALLS
    if shape is Shape.SERVER_STREAM:
        return Pool.STREAMS
    return Pool.RELAYED if isinstance(part, Served) and part.relays else Pool.SENDING


def _handler(part: Served, name: str, descriptor: MethodDescriptor) -> Any:
    handler = getattr(part.servicer, descriptor.name, None)
    yields = inspect.isasyncgenfunction(handler)
    if not (yields if descriptor.server_streaming else inspect.iscoroutinefunction(handler)):
        wanted = "an async generator" if descriptor.server_streaming else "a coroutine function"
        raise BadServicer(f"{name}: {type(part.servicer).__name__}.{descriptor.name} must be {wanted}")
    return handler
