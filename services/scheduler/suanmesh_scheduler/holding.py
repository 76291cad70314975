"""Holding path and money for the placements of a round: one call to each owner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.scheduler.v1 import decision_pb2
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler.domain.values import Candidate, JobSpec
from suanmesh_scheduler.jobs import Job
from suanmesh_scheduler.ports import Hold, Peers


@dataclass(frozen=True, slots=True)
class Chosen:
    """A job for which something fits, and what it will be placed as."""

    job: Job
    spec: JobSpec
    candidate: Candidate
    per_task: Capacity
    decision: decision_pb2.Decision
    placement: str


@dataclass(frozen=True, slots=True)
class Holds:
    """What a placement holds before it is committed."""

    money: Hold
    paths: tuple[Hold, ...]

    @property
    def all(self) -> tuple[Hold, ...]:
        """Every hold."""
        return (self.money, *self.paths)


class Holding:
    """Holds for all placements of a round; each has all of its holds or the first reason why not."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def hold(
        self,
        chosen: Sequence[Chosen],
        attachment: str,
        links: Mapping[str, link_pb2.Link],
        traceparents: Mapping[str, str],
    ) -> dict[str, Holds | Refusal]:
        """By placement. What is held for one that is refused goes with the attachment."""
        asks = [ask for each in chosen for ask in _path_asks(each, attachment, traceparents[each.job.name])]
        answers = iter(await self._peers.hold_paths(asks) if asks else ())
        paths = {each.placement: [next(answers) for _ in each.candidate.routes] for each in chosen}
        refused: dict[str, Holds | Refusal] = {
            placement: refusal for placement, held in paths.items() if (refusal := _first_refusal(held)) is not None
        }
        paying = [each for each in chosen if each.placement not in refused]
        money = [_money_ask(each, attachment, links, traceparents[each.job.name]) for each in paying]
        held = await self._peers.hold_money(money) if money else ()
        return refused | {
            each.placement: answer if isinstance(answer, Refusal) else Holds(answer, _granted(paths[each.placement]))
            for each, answer in zip(paying, held, strict=True)
        }


def _path_asks(chosen: Chosen, attachment: str, traceparent: str) -> Iterator[network.PathAsk]:
    for index, route in enumerate(chosen.candidate.routes):
        yield network.PathAsk(
            placement=chosen.placement,
            index=index,
            attachment=attachment,
            source=route.end,
            target=chosen.candidate.site,
            rate_bps=route.rate_bps,
            max_latency_us=chosen.spec.max_latency_us,
            traceparent=traceparent,
        )


def _money_ask(
    chosen: Chosen, attachment: str, links: Mapping[str, link_pb2.Link], traceparent: str
) -> accounting.HoldAsk:
    return accounting.HoldAsk(
        placement=chosen.placement,
        attachment=attachment,
        account=chosen.job.message.account,
        amount_micros=chosen.candidate.cost_micros or 0,
        job=chosen.job.name,
        decision=chosen.decision.name,
        site=chosen.candidate.site,
        price_book=chosen.candidate.price_book,
        link_prices=_link_prices(chosen.candidate, links),
        traceparent=traceparent,
    )


def _link_prices(chosen: Candidate, links: Mapping[str, link_pb2.Link]) -> list[accounting.LinkPrice]:
    """The prices of every way in and out, each for what moves from its one end to its other."""
    ways = [(route, route.end, chosen.site) for route in chosen.routes]
    ways += [(home, chosen.site, home.end) for home in chosen.homes]
    return [
        accounting.LinkPrice(link=name, party=link.owner, price=link.price, source=source, target=target)
        for way, source, target in ways
        for name in sorted(way.path.links)
        if (link := links.get(name)) is not None and link.HasField("price")
    ]


def _first_refusal(answers: Iterable[Hold | Refusal]) -> Refusal | None:
    return next((answer for answer in answers if isinstance(answer, Refusal)), None)


def _granted(answers: Iterable[Hold | Refusal]) -> tuple[Hold, ...]:
    return tuple(answer for answer in answers if isinstance(answer, Hold))
