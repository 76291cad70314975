"""Registering further signing keys of sites, each shown to be its agent's by a signature of its own."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from suanmesh.registry.v1 import site_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis import Call, verify
from suanmesh_chassis.signing import key_id, window_from, window_to
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_registry.domain import signing_keys
from suanmesh_registry.reads import agents_site
from suanmesh_store import Held, Store, Update

ROTATION_TYPE = site_pb2.SigningKeyRotation.DESCRIPTOR.full_name


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Registers keys for `days` each."""

    store: Store
    clock: Clock
    days: float

    async def rotated(self, signed: signed_pb2.Signed, call: Call) -> Held[site_pb2.Site]:
        """The calling agent's site with the key that the rotation brings.

        Raises InvalidArgument (`SIGNING_KEY_INVALID`, `FIELD_INVALID`), FailedPrecondition (`SIGNING_KEY_LAPSED`,
        `SITE_REMOVED`), ResourceExhausted (`SIGNING_KEYS_TOO_MANY`), NotFound (`SITE_UNKNOWN`), Conflict.
        """
        held = await agents_site(self.store, call)
        public_key = _shown(signed, held.name)
        now = self.clock.now()
        fresh = signing_keys.fresh(key_id(held.message.agent, public_key), public_key, now, self.days)
        before = tuple(map(window_from, held.message.signing_keys))
        after = signing_keys.rotated(before, fresh, now)
        if after == before:
            return held
        message = held.draft()
        del message.signing_keys[:]
        message.signing_keys.extend(map(window_to, after))
        committed = await self.store.commit(Update(held, message), author=call.author())
        stored: Held[site_pb2.Site] = committed.held[0]
        return stored


def _shown(signed: signed_pb2.Signed, site: str) -> bytes:
    """The key a rotation brings, where it is signed with that very key and for `site`."""
    try:
        rotation = site_pb2.SigningKeyRotation.FromString(signed.payload)
    except DecodeError as error:
        raise _invalid("it cannot be parsed") from error
    if signed.payload_type != ROTATION_TYPE or not verify(signed, rotation.public_key):
        raise _invalid("it is not signed with the key it brings")
    if rotation.site != site:
        raise _invalid(f"it is not for {site}")
    return rotation.public_key


def _invalid(problem: str) -> InvalidArgument:
    return InvalidArgument("SIGNING_KEY_INVALID", f"rotation: {problem}", field="rotation")
