"""What `main.py` is given and what it gives back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from google.protobuf.descriptor import ServiceDescriptor

from suanmesh.type.v1 import semantics_pb2
from suanmesh_chassis.call import Call
from suanmesh_chassis.settings import Common
from suanmesh_chassis.signing import Signer
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry.readings import Readings

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh
    from suanmesh_store import Answered, IdempotencyKey, Leadership, Store

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Served:
    """A servicer: an object with one method `(request, call)` for each method of `descriptor`.

    Unary answers are returned, streamed ones yielded by an async generator; streamed requests come as an async
    iterator in the place of the request. `semantics` is for a foreign service (such as OTLP's) whose descriptor does
    not declare any; it then holds for all its methods.
    """

    descriptor: ServiceDescriptor
    servicer: object
    semantics: semantics_pb2.Semantics | None = None
    probe: bool = False
    """Whether its calls are counted apart from all others, as health checks are."""
    reads_ahead: bool = False
    """Whether of callers' streams the next message is read while one is worked on: for those that bring much."""
    readers: Mapping[str, Callable[[bytes], object | None]] = field(default_factory=dict)
    """By the name of a method what reads messages of its requests in the place of protobuf, within their bounds, and
    answers None for those that protobuf is to read: for those that bring much."""
    relays: bool = False
    """Whether the streams that callers send on carry calls to them, of which an agent may have many."""


class RawForwarder(Protocol):
    """Passes calls on without reading their bodies."""

    async def unary(self, method: str, request: bytes, call: Call) -> bytes:
        """Pass on a call with one request and one answer; `method` is the full name."""

    def stream(self, method: str, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
        """Pass on any other kind of call; one that answers once yields once."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A service whose calls are passed on raw, under the same identity, roles, deadline, trace and log line.

    Methods that are not declared public are unknown here.
    """

    descriptor: ServiceDescriptor
    forwarder: RawForwarder
    reads_ahead: bool = False
    """As of `Served`."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One more address to listen on."""

    address: str
    """`host:port`; port 0 takes a free one."""
    client_certificate: bool = True
    """Whether a client certificate is asked for; without it only ROLE_ANYONE methods are served, in small bounds."""
    streams_per_connection: int = 0
    """Most calls under way on one connection, further ones wait at the caller; 0 for as many as the process takes."""


class Requests(Protocol):
    """Where the answers once given to a `request_id` are kept."""

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What is kept under `key`, or None."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of: what any instance serves for as long as its process lives, and how its terms begin.

    Of a service that is led, the parts of the process serve the methods that are SERVED_BY_ANY, the parts that `term`
    builds those that are SERVED_BY_LEADER. Of one that is not, its parts serve all.
    """

    servicers: Sequence[Served | Forwarded] = ()
    tasks: Sequence[Callable[[], Awaitable[None]]] = ()
    """Run in one TaskGroup for as long as the process serves; an unexpected exception ends the process."""
    requests: Requests | None = None
    """Needed where a method is EFFECT_KEYED and served here."""
    components: Mapping[str, Callable[[], Refusal | None]] = field(default_factory=dict)
    """What the service relies on besides itself, such as `ledger`, and what is wrong with it now, or None.

    Health checks, the metric `suan_component_serving` and the log are told of each as `accounting.ledger`.
    """
    readings: Sequence[Readings] = ()
    """What Prometheus is shown besides what is counted; read at each scrape."""
    extra_listeners: Sequence[Listener] = ()
    term: Callable[[ServiceContext[Any]], Awaitable[Parts]] | None = None
    """Builds what needs the fence, each time this instance begins to lead; None where nobody leads the area."""


@dataclass(frozen=True, slots=True)
class ServiceContext(Generic[S]):
    """What the chassis has ready when a process is built, and each time a term of it begins."""

    area: str
    node: str
    settings: S
    common: Common
    clock: Clock
    rng: Rng
    store: Store
    """Fenced by this instance's leadership; without one it only reads."""
    mesh: Mesh
    """The other services, called as this one."""
    signer: Signer
    identity: str
    """SPIFFE id of this service."""
    leadership: Leadership | None
    """None for what the process serves whether it leads or not."""
    data_dir: Path
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    """Closed after the last call and the last task have ended, and where building fails half way."""
