"""Registers pools from signed descriptors: all of a call, or none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis import verify
from suanmesh_chassis.signing import windows_by_id
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import compute_resource_identifier, sortable_id
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_registry import wire
from suanmesh_registry.domain import pools, sites
from suanmesh_registry.domain.caps import Caps, require_pools
from suanmesh_registry.mirrors import Mirrors
from suanmesh_sdk.values import timestamp
from suanmesh_store import Author, Conflict, Create, Held, Store, Update
from suanmesh_store.layout import POOLS

TRIES = 4
"""How often it is begun anew when a pool's phase was settled meanwhile."""

Step = Create[pool_pb2.Pool] | Update[pool_pb2.Pool]


class Registrar:
    """Turns an agent's claims into pools."""

    def __init__(
        self,
        store: Store,
        mirrors: Mirrors,
        node: str,
        clock: Clock,
        rng: Rng,
        caps: Caps,
    ) -> None:
        self._caps = caps
        self._store = store
        self._mirrors = mirrors
        self._node = node
        self._clock = clock
        self._rng = rng

    async def registered(
        self, site: Held[site_pb2.Site], descriptors: Sequence[signed_pb2.Signed], author: Author
    ) -> list[Held[pool_pb2.Pool]]:
        """The pools as recorded, in the order of their descriptors.

        Raises InvalidArgument (`DESCRIPTOR_SIGNATURE_INVALID`, `FIELD_INVALID`), FailedPrecondition
        (`DESCRIPTOR_KEY_LAPSED`), PermissionDenied (`NOT_OWNER`), ResourceExhausted (`POOLS_TOO_MANY`), Conflict.
        """
        claims = {
            message.name: (message, signed)
            for signed in descriptors
            for message in [_checked(site, signed, self._clock.now())]
        }
        if len(claims) != len(descriptors):
            raise InvalidArgument("FIELD_INVALID", "descriptors: one for each pool", field="descriptors")
        has = self._mirrors.pools_of[site.name]
        require_pools(site.name, len(has.keys() | claims.keys()), self._caps)
        for attempt in range(1, TRIES + 1):
            standing = {name: await self._store.get(POOLS, name) for name in claims}
            steps = {name: step for name, claim in claims.items() if (step := self._step(site, *claim, standing[name]))}
            try:
                return await self._committed(steps, standing, author)
            except Conflict:
                if attempt == TRIES:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _committed(
        self, steps: dict[str, Step], standing: dict[str, Held[pool_pb2.Pool] | None], author: Author
    ) -> list[Held[pool_pb2.Pool]]:
        written: dict[str, Held[pool_pb2.Pool]] = {}
        if steps:
            committed = await self._store.commit(*steps.values(), author=author)
            written = {held.name: held for held in committed.held}
            await self._mirrors.pools.wait_for(committed.revision)
        return [held for name in standing if (held := written.get(name) or standing[name]) is not None]

    def _step(
        self,
        site: Held[site_pb2.Site],
        message: pool_pb2.PoolDescriptor,
        signed: signed_pb2.Signed,
        held: Held[pool_pb2.Pool] | None,
    ) -> Step | None:
        """What a claim changes; None for a descriptor that is not newer."""
        party = site.message.party
        if held is None:
            unique = sortable_id(self._clock.now(), self._rng)
            word = pools.pool_class(wire.descriptor_from(message))
            identifier = compute_resource_identifier(self._node, last(site.name), word, unique)
            now = timestamp(self._clock.now())
            phase = pools.Phase.VERIFYING
            pool = wire.pool_to(message, signed, identifier=identifier, party=party, phase=phase, create_time=now)
            return Create(POOLS, message.name, pool)
        before = held.message
        if message.generation <= before.generation:
            return None
        phase = pools.redescribed(wire.phase_from(before.phase))
        identifier, born = before.identifier, before.create_time
        return Update(
            held,
            wire.pool_to(message, signed, identifier=identifier, party=party, phase=phase, create_time=born),
        )


def _checked(site: Held[site_pb2.Site], signed: signed_pb2.Signed, now: datetime) -> pool_pb2.PoolDescriptor:
    key = windows_by_id(site.message.signing_keys).get(signed.key_id)
    if key is None or not verify(signed, key.public_key):
        raise InvalidArgument(
            "DESCRIPTOR_SIGNATURE_INVALID", f"descriptors: not signed with a key of {site.name}", field="descriptors"
        )
    if fault := key.fault(now, now):
        raise FailedPrecondition(
            "DESCRIPTOR_KEY_LAPSED", f"descriptors: {fault.value}", key_id=signed.key_id, field="descriptors"
        )
    message = wire.signed_descriptor(signed)
    sites.require_pool_of(site.name, message.name)
    pools.checked(wire.descriptor_from(message))
    return message
