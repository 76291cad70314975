"""How a gateway passes the caller on: a signed, short-lived assertion that services accept from gateways alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError

from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import caller_of, service_id
from suanmesh_chassis.signing import Signer, verify
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Unauthenticated

METADATA_KEY = "suanmesh-assertion-bin"
LIFETIME_S = 60.0
_REUSED_S = 30.0
_KEPT_MAX = 4096
_PAYLOAD_TYPE = signed_pb2.CallerAssertion.DESCRIPTOR.full_name

KeyOf = Callable[[str], bytes | None]
"""The gateway's raw public key under a key id; None where it is not known."""


class Minter:
    """Vouches for callers; an assertion is signed once and used for half its lifetime."""

    def __init__(self, signer: Signer, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, bytes]] = {}

    def metadata(self, caller: Caller, audience: str) -> tuple[str, bytes]:
        """The metadata entry that tells the service of area `audience` who calls."""
        now = self._clock.monotonic()
        kept = self._kept.get((caller.principal, audience))
        if kept is None or kept[0] < now:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            kept = now + _REUSED_S, self._signed(caller, audience)
            self._kept[caller.principal, audience] = kept
        return METADATA_KEY, kept[1]

    def _signed(self, caller: Caller, audience: str) -> bytes:
        claim = signed_pb2.CallerAssertion(
            principal=caller.principal, party=caller.party, roles=sorted(caller.roles), audience=audience
        )
        claim.expire_time.FromDatetime(self._clock.now() + timedelta(seconds=LIFETIME_S))
        return self._signer.sign(_PAYLOAD_TYPE, claim.SerializeToString()).SerializeToString()


class Assertions:
    """Checks assertions for one service; each is verified once."""

    def __init__(self, node: str, area: str, key_of: KeyOf, clock: Clock) -> None:
        self._node = node
        self._area = area
        self._gateway = service_id(node, "gateway")
        self._key_of = key_of
        self._clock = clock
        self._known: dict[bytes, tuple[Caller, datetime]] = {}

    def caller(self, bearer: Caller, assertion: bytes) -> Caller:
        """Who calls through the gateway `bearer`.

        Raises Unauthenticated (`ASSERTION_INVALID`) where the bearer is no gateway, or the assertion is forged, past
        its time, or meant for another service.
        """
        if bearer.principal != self._gateway:
            raise _invalid("only a gateway passes callers on")
        known = self._known.get(assertion)
        if known is None:
            known = self._verified(assertion)
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            self._known[assertion] = known
        caller, expires = known
        if expires <= self._clock.now():
            raise _invalid("it is past its time")
        return caller

    def _verified(self, assertion: bytes) -> tuple[Caller, datetime]:
        try:
            signed = signed_pb2.Signed.FromString(assertion)
            claim = signed_pb2.CallerAssertion.FromString(signed.payload)
        except DecodeError as error:
            raise _invalid("it cannot be read") from error
        key = self._key_of(signed.key_id) if signed.key_id.startswith(f"{self._gateway}#") else None
        if key is None or signed.payload_type != _PAYLOAD_TYPE or not verify(signed, key):
            raise _invalid("it is not signed by a gateway of this node")
        if claim.audience != self._area:
            raise _invalid(f"it is meant for {claim.audience[:64]!r}")
        caller = caller_of(claim.principal, self._node) if claim.principal else Caller()
        if set(claim.roles) != caller.roles or claim.party != caller.party:
            raise _invalid("its roles are not those of its principal")
        return caller, claim.expire_time.ToDatetime(UTC)


def _invalid(problem: str) -> Unauthenticated:
    return Unauthenticated("ASSERTION_INVALID", f"the caller's assertion is refused: {problem}")
