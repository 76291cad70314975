"""Between the registry's values and their messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.registry.v1 import join_token_pb2, party_pb2, pool_pb2, site_pb2
from suanmesh.type.v1 import capacity_pb2, signed_pb2
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.signing import window_from, window_to
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_registry.domain.admission import Admission
from suanmesh_registry.domain.liveness import Liveness
from suanmesh_registry.domain.parties import Party, PartyKind, PartyState
from suanmesh_registry.domain.pools import Capability, Descriptor, Host, Observed, Phase
from suanmesh_registry.domain.revoked import AgentCertificate
from suanmesh_registry.domain.sites import Site
from suanmesh_registry.domain.tokens import JoinToken
from suanmesh_sdk.values import capacity_from, limits_from, timestamp
from suanmesh_store import Held

DESCRIPTOR_TYPE = pool_pb2.PoolDescriptor.DESCRIPTOR.full_name

E = TypeVar("E", bound=Enum)
V = TypeVar("V", bound=int)
R = TypeVar("R", party_pb2.Party, site_pb2.Site, pool_pb2.Pool)


def shown(held: Held[R]) -> R:
    """A stored resource as callers see it: with its etag."""
    message = type(held.message)()
    message.CopyFrom(held.message)
    message.etag = held.etag
    return message


def party_kind(value: party_pb2.Party.Kind.ValueType) -> PartyKind | None:
    """None where it is not said, or not known here."""
    return _known(PartyKind, party_pb2.Party.Kind.Name, value, "KIND_")


def party_to(party: Party) -> party_pb2.Party:
    return party_pb2.Party(
        name=party.name,
        kind=party_pb2.Party.Kind.Value(f"KIND_{party.kind.value}"),
        display_name=party.display_name,
        currency=party.currency,
        state=party_pb2.Party.State.Value(f"STATE_{party.state.value}"),
        create_time=timestamp(party.create_time),
        publishers=party.publishers,
        default_site=party.default_site,
    )


def party_from(party: party_pb2.Party) -> Party:
    return Party(
        name=party.name,
        kind=PartyKind(party_pb2.Party.Kind.Name(party.kind).removeprefix("KIND_")),
        display_name=party.display_name,
        currency=party.currency,
        state=PartyState(party_pb2.Party.State.Name(party.state).removeprefix("STATE_")),
        create_time=moment(party.create_time),
        publishers=tuple(party.publishers),
        default_site=party.default_site,
    )


def token_to(token: JoinToken) -> join_token_pb2.JoinTokenRecord:
    return join_token_pb2.JoinTokenRecord(
        name=token.name,
        party=token.party,
        secret_digest=token.secret_digest,
        expire_time=timestamp(token.expire_time),
        spent_on=token.spent_on,
        keys_digest=token.keys_digest,
        user=token.user,
        site=token.site,
    )


def token_from(record: join_token_pb2.JoinTokenRecord) -> JoinToken:
    return JoinToken(
        name=record.name,
        party=record.party,
        secret_digest=record.secret_digest,
        expire_time=moment(record.expire_time),
        spent_on=record.spent_on,
        keys_digest=record.keys_digest,
        user=record.user,
        site=record.site,
    )


def site_to(site: Site) -> site_pb2.Site:
    """A site as it is enrolled: open for work."""
    return site_pb2.Site(
        name=site.name,
        party=site.party,
        display_name=site.display_name,
        city_code=site.city_code,
        latitude_microdegrees=site.latitude_microdegrees,
        longitude_microdegrees=site.longitude_microdegrees,
        residency=site.residency,
        pue_milli=site.pue_milli,
        agent=site.agent,
        data_endpoint=site.data_endpoint,
        signing_keys=map(window_to, site.signing_keys),
        liveness=liveness_to(site.liveness),
        create_time=timestamp(site.create_time),
        admission=site_pb2.Site.ADMISSION_OPEN,
    )


def site_from(site: site_pb2.Site) -> Site:
    """A site as stored, or as an agent asks for it; what the service sets may be missing then."""
    return Site(
        name=site.name,
        party=site.party,
        display_name=site.display_name,
        city_code=site.city_code,
        latitude_microdegrees=site.latitude_microdegrees,
        longitude_microdegrees=site.longitude_microdegrees,
        residency=tuple(site.residency),
        pue_milli=site.pue_milli if site.HasField("pue_milli") else None,
        agent=site.agent,
        data_endpoint=site.data_endpoint,
        signing_keys=tuple(map(window_from, site.signing_keys)),
        liveness=liveness_from(site.liveness),
        create_time=moment(site.create_time),
    )


def put_certificate(site: site_pb2.Site, begin: datetime, end: datetime) -> None:
    """Note in a site's document which certificate its agent was given last."""
    site.certificate_begin_time.CopyFrom(timestamp(begin))
    site.certificate_expire_time.CopyFrom(timestamp(end))


def certificate_from(site: site_pb2.Site) -> AgentCertificate | None:
    """What is known of its agent's certificate."""
    if not site.HasField("certificate_expire_time"):
        return None
    return AgentCertificate(moment(site.certificate_begin_time), moment(site.certificate_expire_time))


def liveness_to(liveness: Liveness) -> site_pb2.Site.Liveness.ValueType:
    return site_pb2.Site.Liveness.Value(f"LIVENESS_{liveness.value}")


def liveness_from(value: site_pb2.Site.Liveness.ValueType) -> Liveness:
    """What a document says; SUSPECT where it says nothing."""
    return _known(Liveness, site_pb2.Site.Liveness.Name, value, "LIVENESS_") or Liveness.SUSPECT


def admission_to(admission: Admission) -> site_pb2.Site.Admission.ValueType:
    return site_pb2.Site.Admission.Value(f"ADMISSION_{admission.value}")


def admission_of(value: site_pb2.Site.Admission.ValueType) -> Admission | None:
    """What a caller asks for; None where it is nothing that is known here."""
    return _known(Admission, site_pb2.Site.Admission.Name, value, "ADMISSION_")


def admission_from(site: site_pb2.Site) -> Admission:
    """What a document says; OPEN where it says nothing."""
    return admission_of(site.admission) or Admission.OPEN


def party_state(value: party_pb2.Party.State.ValueType) -> PartyState | None:
    return _known(PartyState, party_pb2.Party.State.Name, value, "STATE_")


def phase_to(phase: Phase) -> pool_pb2.Pool.Phase.ValueType:
    return pool_pb2.Pool.Phase.Value(f"PHASE_{phase.value}")


def phase_from(value: pool_pb2.Pool.Phase.ValueType) -> Phase:
    return Phase(pool_pb2.Pool.Phase.Name(value).removeprefix("PHASE_"))


def signed_descriptor(signed: signed_pb2.Signed) -> pool_pb2.PoolDescriptor:
    """The message that was signed.

    Raises InvalidArgument (`FIELD_INVALID`) where it is something else.
    """
    if signed.payload_type != DESCRIPTOR_TYPE:
        raise InvalidArgument("FIELD_INVALID", f"descriptors: signed is no {DESCRIPTOR_TYPE}", field="descriptors")
    try:
        descriptor = pool_pb2.PoolDescriptor.FromString(signed.payload)
    except DecodeError as error:
        raise InvalidArgument(
            "FIELD_INVALID", "descriptors: the payload cannot be read", field="descriptors"
        ) from error
    require_within(descriptor, field="descriptor")
    return descriptor


def descriptor_from(message: pool_pb2.PoolDescriptor) -> Descriptor:
    return Descriptor(
        name=message.name,
        architecture=message.architecture,
        hosts=tuple(_host(host) for host in message.hosts),
        host_capacity=capacity_from(message.host_capacity),
        runtimes=tuple(message.runtimes),
        capabilities=tuple(Capability(each.quantity, each.value, each.unit) for each in message.capabilities),
        offers=tuple(offer.name for offer in message.offers),
        generation=message.generation,
        origin_known=message.capacity_origin != capacity_pb2.ORIGIN_UNSPECIFIED,
        limits=limits_from(message.limits),
        limits_known=set(message.limits.refused_kinds) <= set(pool_pb2.WorkKind.values()[1:]),
    )


def declared(pool: pool_pb2.Pool) -> Capacity:
    """What a pool's hosts hold together."""
    return descriptor_from(pool_pb2.PoolDescriptor.FromString(pool.signed_descriptor.payload)).capacity()


def pool_to(
    message: pool_pb2.PoolDescriptor,
    signed: signed_pb2.Signed,
    *,
    identifier: str,
    party: str,
    phase: Phase,
    create_time: Timestamp,
) -> pool_pb2.Pool:
    """A pool as its descriptor states it, with what the service says of it."""
    return pool_pb2.Pool(
        name=message.name,
        identifier=identifier,
        party=party,
        architecture=message.architecture,
        hosts=message.hosts,
        host_capacity=message.host_capacity,
        runtimes=message.runtimes,
        capabilities=message.capabilities,
        offers=message.offers,
        generation=message.generation,
        phase=phase_to(phase),
        signed_descriptor=signed,
        create_time=create_time,
        capacity_origin=message.capacity_origin,
        limits=message.limits if message.HasField("limits") else None,
    )


def observed(state: pool_pb2.PoolState | None) -> Observed | None:
    return Observed(capacity_from(state.free)) if state is not None and state.HasField("free") else None


def moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def _host(host: pool_pb2.Host) -> Host:
    return Host(host.name, capacity_from(host.capacity) if host.HasField("capacity") else None)


def _known(kind: type[E], name: Callable[[V], str], value: V, prefix: str) -> E | None:
    """The value of ours behind a wire value; None for one that is unset, or newer than this code."""
    try:
        return kind(name(value).removeprefix(prefix))
    except ValueError:
        return None
