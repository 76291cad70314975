"""What a handler knows of the call it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from suanmesh_chassis import batches
from suanmesh_kernel.clock import Clock

if TYPE_CHECKING:
    from suanmesh_store import Author, IdempotencyRecord


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the certificate or the gateway's assertion proves it."""

    principal: str = ""
    """SPIFFE id; empty on a listener that asks for no certificate."""
    party: str = ""
    """`parties/{p}` a user acts for; empty for an agent or a service."""
    site: str = ""
    """`sites/{s}` an agent speaks for; empty for anybody else."""
    roles: frozenset[str] = frozenset()
    """`user`, `operator`, `agent`, `service`, or `peer` for a service of another node; `anyone` is implied."""
    hosts: tuple[str, ...] = field(default=(), compare=False)
    """Of a service that calls itself: the names and addresses that its certificate is good for."""
    since: datetime | None = field(default=None, compare=False)
    """From when its certificate is good; None where that is not known."""


@dataclass(slots=True, eq=False)
class Call:
    """One call, from the wrapper to the handler; not frozen only because that costs each call a microsecond."""

    method: str
    """Full name, `suanmesh.registry.v1.RegistryService/GetSite`."""
    caller: Caller
    request_id: str
    traceparent: str
    """W3C traceparent of the call's own span."""
    body_digest: bytes
    """SHA-256 of the request without its `request_id`; empty where the method is not keyed."""
    peer: str
    """Address of the connection."""
    deadline: float | None
    """On `clock`'s monotonic scale; None where the call has none."""
    clock: Clock
    earlier: Mapping[int, Message] = field(default_factory=dict)
    """Of a keyed batch that is repeated: the entries of `results` that are settled, as they were remembered."""
    earlier_revision: int = 0
    """Of the record that `earlier` is from."""

    @property
    def principal(self) -> str:
        """SPIFFE id of the caller; empty on a listener that asks for no certificate."""
        return self.caller.principal

    @property
    def party(self) -> str:
        """`parties/{p}` the caller acts for, or empty."""
        return self.caller.party

    @property
    def site(self) -> str:
        """`sites/{s}` the calling agent speaks for, or empty."""
        return self.caller.site

    @property
    def roles(self) -> frozenset[str]:
        """`user`, `operator`, `agent`, `service`."""
        return self.caller.roles

    def is_(self, role: str) -> bool:
        """Whether the caller has `role`, such as `operator`."""
        return role in self.caller.roles

    def time_left(self) -> float:
        """Seconds until the deadline; infinite where there is none."""
        return float("inf") if self.deadline is None else self.deadline - self.clock.monotonic()

    def author(self) -> Author:
        """On whose behalf the store writes."""
        from suanmesh_store import Author

        return Author(principal=self.caller.principal, request_id=self.request_id)

    def idempotency(self, answer: Message) -> IdempotencyRecord:
        """What to remember with the effect, so that a repeat of this `request_id` is answered the same way.

        Of a batch only the settled entries are remembered; a repeat gets them as `earlier`, and does the others.
        """
        from suanmesh_store import IdempotencyKey, IdempotencyRecord

        key = IdempotencyKey(principal=self.caller.principal, request_id=self.request_id, method=self.method)
        return IdempotencyRecord(
            key=key, body_digest=self.body_digest, answer=batches.kept(answer), over=self.earlier_revision
        )
