"""Whom the node believes: what the operator says of other nodes, and what is so of this one."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import DecodeError

from suanmesh.type.v1 import signed_pb2, trust_pb2
from suanmesh_chassis import Call
from suanmesh_chassis.authorities import Authorities
from suanmesh_chassis.identity import service_area
from suanmesh_chassis.trust import authority_of
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import NODE_CHARS_MAX, NODE_PATTERN
from suanmesh_kernel.refusals import Aborted, InvalidArgument, ResourceExhausted
from suanmesh_sdk.values import timestamp
from suanmesh_store import Create, Delete, Held, Store, Update
from suanmesh_store.layout import KEYS, TRUSTED_NODES

NODES_MAX = 255
"""Other nodes that are believed at most; the bundle has this one besides."""
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class TrustedNodes:
    """The trust bundle of `node`."""

    node: str
    store: Store
    authorities: Authorities
    clock: Clock

    async def bundle(self) -> trust_pb2.TrustBundle:
        """Every node that is believed, this one first."""
        listing = await self.store.snapshot(TRUSTED_NODES)
        bundle = trust_pb2.TrustBundle(node=self.node, nodes=[await self._own()])
        bundle.nodes.extend(_shown(held) for held in listing.held)
        return bundle

    async def set(self, trust: trust_pb2.NodeTrust, call: Call) -> trust_pb2.NodeTrust:
        """What is believed of another node from now on.

        Raises InvalidArgument (`FIELD_INVALID`), ResourceExhausted (`NODES_TOO_MANY`), Aborted (`ETAG_STALE`) and
        Conflict.
        """
        self._require_sound(trust)
        held = await self.store.get(TRUSTED_NODES, trust.name)
        if trust.etag not in ("", held.etag if held else ""):
            raise Aborted("ETAG_STALE", f"{trust.name} has changed since it was read", name=trust.name)
        kept = trust_pb2.NodeTrust(name=trust.name, authorities=trust.authorities, signing_keys=trust.signing_keys)
        if not kept.authorities and not kept.signing_keys:
            if held is not None:
                await self.store.commit(Delete(held), author=call.author())
            return kept
        if held is not None and held.message == kept:
            return _shown(held)
        if held is None and len((await self.store.snapshot(TRUSTED_NODES)).held) >= NODES_MAX:
            problem = f"a node believes at most {NODES_MAX} others"
            raise ResourceExhausted("NODES_TOO_MANY", problem, most=str(NODES_MAX))
        step = Create(TRUSTED_NODES, kept.name, kept) if held is None else Update(held, kept)
        committed = await self.store.commit(step, author=call.author())
        return _shown(committed.held[0])

    async def _own(self) -> trust_pb2.NodeTrust:
        own = trust_pb2.NodeTrust(name=f"nodes/{self.node}")
        for certificate in (each.certificate for each in self.authorities.trusted):
            own.authorities.add(
                certificate_der=certificate.public_bytes(Encoding.DER),
                valid_from=timestamp(certificate.not_valid_before_utc),
                valid_until=timestamp(certificate.not_valid_after_utc),
            )
        now = timestamp(self.clock.now()).seconds
        for token in (await self.store.tokens(KEYS)).tokens:
            try:
                key = signed_pb2.SigningKey.FromString(token.value)
            except DecodeError:
                continue
            if key.valid_until.seconds > now and service_area(key.identity, self.node):
                own.signing_keys.append(key)
        return own

    def _require_sound(self, trust: trust_pb2.NodeTrust) -> None:
        collection, _, node = trust.name.partition("/")
        if collection != "nodes" or len(node) > NODE_CHARS_MAX or not NODE_PATTERN.fullmatch(node):
            raise _invalid("name", f"{trust.name[:200]!r} is not of the form nodes/{{node}}")
        if node == self.node:
            raise _invalid("name", "what is believed of this node is not for anybody to say")
        for index, authority in enumerate(trust.authorities):
            try:
                authority_of(authority)
            except (ValueError, OverflowError) as error:
                raise _invalid(f"authorities[{index}]", str(error)) from error
        for index, key in enumerate(trust.signing_keys):
            if not service_area(key.identity, node) or len(key.public_key) != KEY_BYTES:
                raise _invalid(f"signing_keys[{index}]", f"is no Ed25519 key of a service of {node}")
            if not key.valid_from.seconds < key.valid_until.seconds:
                raise _invalid(f"signing_keys[{index}]", "has no time")


def _shown(held: Held[trust_pb2.NodeTrust]) -> trust_pb2.NodeTrust:
    message = held.draft()
    message.etag = held.etag
    return message


def _invalid(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"trust.{field}: {problem}", field=f"trust.{field}")
