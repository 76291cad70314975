"""Between the contract's messages and the domain's values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from suanmesh.network_orchestrator.v1 import link_pb2, network_orchestrator_service_pb2, reservation_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.money import Price
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import invalid_field
from suanmesh_network_orchestrator.domain.explaining import Explanation
from suanmesh_network_orchestrator.domain.paths import NoPath, Path, Query
from suanmesh_network_orchestrator.domain.probes import RTT_US_MAX, Probe
from suanmesh_network_orchestrator.domain.reservations import Ask, Reservation, State, require_valid_ask
from suanmesh_network_orchestrator.domain.topology import Link, LinkClass
from suanmesh_sdk.values import timestamp

_wire = network_orchestrator_service_pb2


def link_from(message: link_pb2.Link, *, field: str = "link") -> Link:
    """Raises InvalidArgument (`FIELD_INVALID`) where a field has no meaning; ranges are the domain's to check."""
    if _class(message) not in link_pb2.Link.Class.values()[1:]:
        raise invalid_field(f"{field}.class", "say which class of link it is")
    return Link(
        name=message.name,
        source=message.source,
        target=message.target,
        link_class=LinkClass(_class(message)),
        capacity_bps=message.capacity_bps,
        latency_us=message.latency_us,
        loss_ppm=message.loss_ppm,
        price=_price_from(message.price, f"{field}.price") if message.HasField("price") else None,
        risk_groups=tuple(message.risk_groups),
        owner=message.owner,
    )


def link_to(stored: link_pb2.Link, etag: str, reserved_bps: int, probe: Probe | None) -> link_pb2.Link:
    """A stored link with what the service knows beside it."""
    message = link_pb2.Link()
    message.CopyFrom(stored)
    message.etag = etag
    message.state.reserved_bps = reserved_bps
    if probe is not None:
        message.state.probed_rtt_us = probe.rtt_us
        message.state.probe_time.CopyFrom(timestamp(probe.time))
    return message


def declared(message: link_pb2.Link) -> link_pb2.Link:
    """What is stored of a declared link: all but what the service sets."""
    stored = link_pb2.Link()
    stored.CopyFrom(message)
    stored.ClearField("etag")
    stored.ClearField("state")
    return stored


def query_from(message: network_orchestrator_service_pb2.PathQuery, *, field: str) -> Query:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    if message.min_bandwidth_bps < 0:
        raise invalid_field(f"{field}.min_bandwidth_bps", "it is negative")
    if message.max_latency_us < 0:
        raise invalid_field(f"{field}.max_latency_us", "it is negative")
    return Query(
        source=checked_name(message.source, "sites", field=f"{field}.source"),
        target=checked_name(message.target, "sites", field=f"{field}.target"),
        min_bandwidth_bps=message.min_bandwidth_bps,
        max_latency_us=message.max_latency_us,
    )


def ask_from(message: network_orchestrator_service_pb2.PathAsk, *, field: str) -> Ask:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    ask = Ask(
        placement=checked_name(message.placement, "placements", field=f"{field}.placement"),
        index=message.index,
        source=checked_name(message.source, "sites", field=f"{field}.source"),
        target=checked_name(message.target, "sites", field=f"{field}.target"),
        rate_bps=message.rate_bps,
        max_latency_us=message.max_latency_us,
    )
    require_valid_ask(ask, field=field)
    if not message.attachment:
        raise invalid_field(f"{field}.attachment", "a hold goes with its round")
    return ask


def probe_from(message: network_orchestrator_service_pb2.Probe, source: str, now: datetime, *, field: str) -> Probe:
    """Raises InvalidArgument (`FIELD_INVALID`)."""
    if not 0 < message.rtt_us <= RTT_US_MAX:
        raise invalid_field(f"{field}.rtt_us", f"{message.rtt_us} is not within 1 to {RTT_US_MAX}")
    return Probe(source, checked_name(message.target, "sites", field=f"{field}.target"), message.rtt_us, now)


def path_to(path: Path) -> reservation_pb2.Path:
    """A path as a message."""
    return reservation_pb2.Path(
        links=path.links,
        latency_us=path.latency_us,
        available_bps=path.available_bps,
        narrowest_link=path.narrowest_link,
        price_micros_per_mib=path.price_micros_per_mib,
    )


def path_from(message: reservation_pb2.Path) -> Path:
    """A stored path."""
    return Path(
        links=tuple(message.links),
        latency_us=message.latency_us,
        available_bps=message.available_bps,
        narrowest_link=message.narrowest_link,
        price_micros_per_mib=message.price_micros_per_mib,
    )


def result_to(found: Path | NoPath) -> network_orchestrator_service_pb2.PathResult:
    """What was found for one query."""
    if isinstance(found, Path):
        return _wire.PathResult(path=path_to(found))
    return _wire.PathResult(
        obstacle=_wire.PathObstacle(
            kind=_wire.PathObstacle.Kind.ValueType(found.missing.value),
            link=found.link,
            available_bps=found.available_bps,
            least_latency_us=found.least_latency_us,
        )
    )


def reservation_to(reservation: Reservation) -> reservation_pb2.Reservation:
    """A reservation as a message."""
    return reservation_pb2.Reservation(
        name=reservation.name,
        placement=reservation.placement,
        source=reservation.source,
        target=reservation.target,
        path=path_to(reservation.path),
        rate_bps=reservation.rate_bps,
        state=reservation_pb2.Reservation.State.ValueType(reservation.state.value),
        create_time=timestamp(reservation.create_time),
        release_time=None if reservation.release_time is None else timestamp(reservation.release_time),
        party=reservation.party,
    )


def reservation_from(message: reservation_pb2.Reservation) -> Reservation:
    """A stored reservation."""
    return Reservation(
        name=message.name,
        placement=message.placement,
        source=message.source,
        target=message.target,
        path=path_from(message.path),
        rate_bps=message.rate_bps,
        state=State(message.state),
        create_time=message.create_time.ToDatetime(UTC),
        release_time=message.release_time.ToDatetime(UTC) if message.HasField("release_time") else None,
        party=message.party,
    )


def is_released(message: reservation_pb2.Reservation) -> bool:
    """Whether it was given back."""
    return message.state == reservation_pb2.Reservation.STATE_RELEASED


def place_of(message: reservation_pb2.Reservation) -> str:
    """Where a reservation stands in lists: those that hold bandwidth first."""
    return f"{'b' if is_released(message) else 'a'} {message.name}"


def _class(message: link_pb2.Link) -> int:
    """The field's name is a keyword of Python's, so it cannot be read with a dot."""
    return int(getattr(message, "class"))


def _price_from(message: money_pb2.Price, field: str) -> Price:
    if message.meter != money_pb2.METER_TRANSFER_BYTES:
        raise invalid_field(f"{field}.meter", "a link is paid for by METER_TRANSFER_BYTES")
    if message.per_quantity < 1:
        raise invalid_field(f"{field}.per_quantity", f"{message.per_quantity} is not at least 1")
    if message.amount_micros < 0:
        raise invalid_field(f"{field}.amount_micros", f"{message.amount_micros} is negative")
    return Price(message.amount_micros, message.per_quantity)


def explanation_to(
    found: Explanation, links: Iterable[link_pb2.Link], revision: int
) -> network_orchestrator_service_pb2.PathExplanation:
    """Why a path is the one."""
    return _wire.PathExplanation(
        found=result_to(found.found),
        fastest=path_to(found.fastest) if found.fastest else None,
        widest=path_to(found.widest) if found.widest else None,
        links=links,
        revision=revision,
    )
