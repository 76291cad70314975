"""The network orchestrator's handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from suanmesh.network_orchestrator.v1 import link_pb2, reservation_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as pb
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import NotFound, PermissionDenied, Refusal, invalid_field
from suanmesh_network_orchestrator import wire
from suanmesh_network_orchestrator.domain import declaration
from suanmesh_network_orchestrator.domain.explaining import explained
from suanmesh_network_orchestrator.domain.paths import find_path
from suanmesh_network_orchestrator.repository import AREA, Repository
from suanmesh_sdk.status import status_of
from suanmesh_telemetry import elsewhere, names, span

if TYPE_CHECKING:
    from suanmesh_chassis import Call

BATCH_MAX = 1000
HOLDS_MAX = 100


class NetworkReads:
    """What any instance answers."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def ListReservations(self, request: pb.ListReservationsRequest, call: Call) -> pb.ListReservationsResponse:
        """List reservations, those that hold bandwidth first."""
        sees_all = call.is_("operator") or call.is_("service")
        party = "" if sees_all else call.party
        size, scope = pages.checked_size(request.page_size), f"ListReservations {party}"
        found = await self._repository.reservations(party, pages.after(request.page_token, scope), size + 1)
        taken, token = pages.cut(found, size, scope)
        return pb.ListReservationsResponse(reservations=[found[place] for place in taken], next_page_token=token)

    async def GetReservation(self, request: pb.GetReservationRequest, call: Call) -> reservation_pb2.Reservation:
        """Return one reservation; another party's as if there were none."""
        found = await self._repository.reservation(_reservation_name(request.name))
        if found is None or not (call.is_("operator") or call.is_("service") or found.party == call.party):
            raise NotFound("RESERVATION_UNKNOWN", f"there is no reservation {request.name}", name=request.name)
        return found


class NetworkOrchestratorService(NetworkReads):
    """Answers for the topology, which agents measure, and holds bandwidth."""

    def __init__(self, repository: Repository, clock: Clock) -> None:
        super().__init__(repository)
        self._clock = clock

    async def DeclareLinks(self, request: pb.DeclareLinksRequest, call: Call) -> pb.DeclareLinksResponse:
        """Declare links, or change declared ones."""
        _check_count(request.links, BATCH_MAX, "links")
        for index, link in enumerate(request.links):
            field = f"links[{index}]"
            declaration.require_declarable(wire.link_from(link, field=field), field=field)
        _check_unique([link.name for link in request.links])
        return pb.DeclareLinksResponse(links=await self._repository.declare(request.links, call.author()))

    async def ListLinks(self, request: pb.ListLinksRequest, call: Call) -> pb.ListLinksResponse:
        """List links by name with their state."""
        links = {link.name: link for link in self._repository.links()}
        taken, token = pages.of(links, request.page_size, request.page_token, "ListLinks")
        return pb.ListLinksResponse(links=[links[name] for name in taken], next_page_token=token)

    async def GetLink(self, request: pb.GetLinkRequest, call: Call) -> link_pb2.Link:
        """Return one link with its state."""
        return self._repository.link(checked_name(request.name, "links"))

    async def RemoveLink(self, request: pb.RemoveLinkRequest, call: Call) -> pb.RemoveLinkResponse:
        """Forget a link that carries nothing."""
        await self._repository.remove_link(checked_name(request.name, "links"), request.etag, call.author())
        return pb.RemoveLinkResponse()

    async def ReportLinks(self, request: pb.ReportLinksRequest, call: Call) -> pb.ReportLinksResponse:
        """Take what the calling agent measured."""
        site = checked_name(request.site, "sites", field="site")
        if site != call.site:
            raise PermissionDenied("NOT_OWNER", f"{call.site} cannot report for {site}", name=site)
        if len(request.probes) > BATCH_MAX:
            raise invalid_field("probes", f"{len(request.probes)} are more than {BATCH_MAX}")
        now = self._clock.now()
        probes = [wire.probe_from(p, site, now, field=f"probes[{i}]") for i, p in enumerate(request.probes)]
        return pb.ReportLinksResponse(matched=self._repository.take_probes(probes))

    async def FindPaths(self, request: pb.FindPathsRequest, call: Call) -> pb.FindPathsResponse:
        """Find the best path for each query."""
        _check_count(request.queries, BATCH_MAX, "queries")
        queries = [wire.query_from(query, field=f"queries[{i}]") for i, query in enumerate(request.queries)]
        revision, topology = self._repository.revision, self._repository.topology()
        results = [wire.result_to(find_path(topology, query)) for query in queries]
        return pb.FindPathsResponse(results=results, revision=revision)

    async def ExplainPath(self, request: pb.ExplainPathRequest, call: Call) -> pb.PathExplanation:
        """Say why a path is the one."""
        query = wire.query_from(request.query, field="query")
        revision, explanation = self._repository.revision, explained(self._repository.topology(), query)
        return wire.explanation_to(explanation, map(self._repository.link, explanation.links), revision)

    async def ReservePaths(self, request: pb.ReservePathsRequest, call: Call) -> pb.ReservePathsResponse:
        """Hold bandwidth; each item is answered by itself."""
        _check_count(request.items, HOLDS_MAX, "items")
        results = [await self._hold(item, f"items[{index}]", call) for index, item in enumerate(request.items)]
        return pb.ReservePathsResponse(results=results)

    async def _hold(self, item: pb.PathAsk, field: str, call: Call) -> pb.PathHoldResult:
        try:
            ask = wire.ask_from(item, field=field)
            with span(
                names.HOLD_PATH, parent=elsewhere(item.traceparent), placement=ask.placement, rate_bps=ask.rate_bps
            ):
                reservation, token = await self._repository.reserve(ask, item.attachment, call.author())
        except Refusal as refusal:
            return pb.PathHoldResult(error=status_of(refusal, area=AREA))
        return pb.PathHoldResult(hold=pb.PathHold(reservation=wire.reservation_to(reservation), token=token))


def _reservation_name(given: str) -> str:
    """It ends with a placement's and a number, and may be longer than a name that somebody chose."""
    collection, _, rest = given.partition("/")
    if collection != "reservations" or not rest or "/" in rest:
        raise invalid_field("name", "is not of the form reservations/{id}")
    return given


def _check_count(items: Sequence[object], most: int, field: str) -> None:
    if not 1 <= len(items) <= most:
        raise invalid_field(field, f"{len(items)} are not 1 to {most}")


def _check_unique(link_names: Sequence[str]) -> None:
    for index, name in enumerate(link_names):
        if name in link_names[:index]:
            raise invalid_field(f"links[{index}].name", f"{name} is declared twice")
