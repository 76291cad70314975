"""How a gateway passes the caller on: a signed, short-lived assertion that services accept from gateways alone.

Two clocks take part, the gateway's and the service's. They may differ by 30 s in either direction: an assertion is used
for half its lifetime, and taken that long before it was issued. Beyond that, calls are refused for what is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from google.protobuf.message import DecodeError

from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import caller_of, service_id
from suanmesh_chassis.keyring import Keys
from suanmesh_chassis.signing import Signer, verify
from suanmesh_chassis.trust import CurrentTrust
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Unauthenticated, Unavailable
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_telemetry.metrics import CLOCK_SKEW

METADATA_KEY = "suanmesh-assertion-bin"
LIFETIME_S = 60.0
_REUSED_S = 30.0
_KEPT_MAX = 4096
_PAYLOAD_TYPE = signed_pb2.CallerAssertion.DESCRIPTOR.full_name
CLOCK_ALLOWANCE_S = 30.0
"""How far the issuer's clock may be ahead of ours, seconds."""
_SAID_AGAIN_S = 60.0

log = structlog.get_logger()


class Minter:
    """Vouches for callers; an assertion is signed once and used for half its lifetime."""

    def __init__(self, signer: Signer, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._kept: dict[tuple[str, datetime | None, str], tuple[float, bytes]] = {}

    def metadata(self, caller: Caller, audience: str) -> tuple[str, bytes]:
        """The metadata entry that tells the service of area `audience` who calls."""
        now = self._clock.monotonic()
        key = caller.principal, caller.since, audience
        kept = self._kept.get(key)
        if kept is None or kept[0] < now:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            kept = now + _REUSED_S, self._signed(caller, audience)
            self._kept[key] = kept
        return METADATA_KEY, kept[1]

    def _signed(self, caller: Caller, audience: str) -> bytes:
        claim = signed_pb2.CallerAssertion(
            principal=caller.principal, party=caller.party, roles=sorted(caller.roles), audience=audience
        )
        if caller.since is not None:
            claim.certificate_begin_time.FromDatetime(caller.since)
        now = self._clock.now()
        claim.issue_time.FromDatetime(now)
        claim.expire_time.FromDatetime(now + timedelta(seconds=LIFETIME_S))
        return self._signer.sign(_PAYLOAD_TYPE, claim.SerializeToString()).SerializeToString()


class Assertions:
    """Checks assertions for one service; each is verified once."""

    def __init__(self, node: str, area: str, keys: Keys, clock: Clock, trust: CurrentTrust | None = None) -> None:
        self._node = node
        self._trust = trust
        self._area = area
        self._gateway = service_id(node, "gateway")
        self._keys = keys
        self._clock = clock
        self._skew_said = -_SAID_AGAIN_S
        self._known: dict[bytes, tuple[Caller, datetime]] = {}

    async def learn(self, bearer: Caller, assertion: bytes) -> None:
        """Ask for the key of an assertion that is new, where it is not known yet; `caller` says what came of it."""
        if assertion in self._known or bearer.principal != self._gateway:
            return
        try:
            wanted = signed_pb2.Signed.FromString(assertion).key_id
        except DecodeError:
            return
        if wanted.startswith(f"{self._gateway}#"):
            await self._keys.learn(wanted)

    def caller(self, bearer: Caller, assertion: bytes) -> Caller:
        """Who calls through the gateway `bearer`.

        Raises Unauthenticated (`ASSERTION_INVALID`) where the bearer is no gateway, or the assertion is forged, past
        its time, or meant for another service; Unavailable where the key it is signed with cannot be looked up
        (`KEY_UNCHECKED`), or its times show that the gateway's clock is not ours (`CLOCK_SKEWED`).
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
        key = self._keys.find(signed.key_id) if signed.key_id.startswith(f"{self._gateway}#") else None
        if key is None or signed.payload_type != _PAYLOAD_TYPE or not verify(signed, key):
            raise _invalid("it is not signed by a gateway of this node")
        if claim.audience != self._area:
            raise _invalid(f"it is meant for {claim.audience[:64]!r}")
        peers = self._trust().peers if self._trust else ()
        caller = caller_of(claim.principal, self._node, peers) if claim.principal else Caller()
        if set(claim.roles) != caller.roles or claim.party != caller.party:
            raise _invalid("its roles are not those of its principal")
        if claim.HasField("certificate_begin_time"):
            caller = replace(caller, since=claim.certificate_begin_time.ToDatetime(UTC))
        expires = claim.expire_time.ToDatetime(UTC)
        self._compare_clocks(claim.issue_time.ToDatetime(UTC) if claim.HasField("issue_time") else None, expires)
        return caller, expires

    def _compare_clocks(self, issued: datetime | None, expires: datetime) -> None:
        """Of an assertion that is seen for the first time, and therefore was issued lately."""
        now = self._clock.now()
        if issued is None or issued - timedelta(seconds=CLOCK_ALLOWANCE_S) <= now < expires:
            CLOCK_SKEW.set(0)
            return
        skew_s = (now - issued).total_seconds()
        CLOCK_SKEW.set(skew_s)
        if self._clock.monotonic() >= self._skew_said + _SAID_AGAIN_S:
            self._skew_said = self._clock.monotonic()
            log.error("clocks differ", skew_s=round(skew_s, 3), peer=self._gateway)
        where = "ahead of" if skew_s > 0 else "behind"
        message = f"the clock of this {self._area} is about {abs(skew_s):.0f} s {where} the gateway's; set both"
        raise Unavailable("CLOCK_SKEWED", message, domain=MESH_DOMAIN, skew_s=f"{skew_s:.0f}")


def _invalid(problem: str) -> Unauthenticated:
    return Unauthenticated("ASSERTION_INVALID", f"the caller's assertion is refused: {problem}")
