"""What an operator does once on a new node: parties, accounts, prices, links. Doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress

from suanmesh.accounting.v1 import account_pb2, price_book_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import party_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.refusals import AlreadyExists
from suanmesh_local import world
from suanmesh_local.control_plane import ControlPlane
from suanmesh_local.facts import USER_OF_OPERATOR
from suanmesh_sdk import Mesh

HOUR_US = 3_600_000_000
REGISTER_S = 60.0
"""How long a registry that has just started may take to lead and to answer, seconds."""
KINDS = {
    world.CONSUMER: party_pb2.Party.KIND_CONSUMER,
    world.CARRIER: party_pb2.Party.KIND_NETWORK_PROVIDER,
    "operator": party_pb2.Party.KIND_OPERATOR,
}


async def found(operator: Mesh, places: tuple[world.Place, ...]) -> None:
    """Bring a node to where sites can join and jobs be paid."""
    for party in ("operator", world.CONSUMER, world.CARRIER, *sorted({place.provider for place in places})):
        await _register(operator, party, world.CURRENCY)
    await _account(operator)
    for place in places:
        await _price_book(operator, place)
    links = [_link(one, other) for one, other in world.pairs(places)]
    if links:
        await operator.network_orchestrator.DeclareLinks(network.DeclareLinksRequest(links=links))


async def register_operator(node: ControlPlane) -> None:
    """Have the party that the operator of a node acts for. Raises Refusal."""
    party, user = USER_OF_OPERATOR
    async with node.mesh(user) as operator:
        await _register(operator, party, node.facts.currency)


async def _register(operator: Mesh, party: str, currency: str) -> None:
    """Have a party, which accounts in `currency` (ISO 4217)."""
    kind = KINDS.get(party, party_pb2.Party.KIND_COMPUTE_PROVIDER)
    message = party_pb2.Party(kind=kind, display_name=party, currency=currency)
    request = registry.CreatePartyRequest(party_id=party, party=message)
    await _once(operator.registry.CreateParty(request, timeout=REGISTER_S))


async def let_publish(operator: Mesh, places: tuple[world.Place, ...]) -> None:
    """Let the node's sites, which are those of providers, publish data for the consumer; they must have joined."""
    name = f"parties/{world.CONSUMER}"
    party = await operator.registry.GetParty(registry.GetPartyRequest(name=name))
    sites = {*party.publishers, *(f"sites/{place.site}" for place in places)}
    request = registry.SetPublishersRequest(name=name, publishers=sorted(sites), etag=party.etag)
    await operator.registry.SetPublishers(request)


async def _account(operator: Mesh) -> None:
    """The consumer's account, with money paid in when it is opened."""
    account = account_pb2.Account(
        party=f"parties/{world.CONSUMER}", currency=world.CURRENCY, kind=account_pb2.Account.KIND_CONSUMER
    )
    await _once(
        operator.accounting.CreateAccount(accounting.CreateAccountRequest(account_id=world.CONSUMER, account=account))
    )
    name = f"accounts/{world.CONSUMER}"
    request = accounting.CreditAccountRequest(
        name=name, amount_micros=world.OPENING_MICROS, request_id="opening-balance"
    )
    await operator.accounting.CreditAccount(request)


async def _price_book(operator: Mesh, place: world.Place) -> None:
    """The site's prices; the request id makes a second start change nothing."""

    def price(meter: money_pb2.Meter.ValueType, micros: int, per_quantity: int) -> money_pb2.Price:
        amount = micros * place.price_percent // 100
        return money_pb2.Price(meter=meter, amount_micros=amount, per_quantity=per_quantity)

    book = price_book_pb2.PriceBook(
        party=f"parties/{place.provider}",
        currency=world.CURRENCY,
        prices=[
            price(money_pb2.METER_CPU_US, world.CORE_HOUR_MICROS, HOUR_US),
            price(money_pb2.METER_MEMORY_MIB_S, world.GIB_HOUR_MICROS, 1024 * 3600),
        ],
    )
    request = accounting.PublishPriceBookRequest(
        price_book_id=place.site, price_book=book, request_id=f"opening-prices-{place.site}"
    )
    await operator.accounting.PublishPriceBook(request)


def _link(one: world.Place, other: world.Place) -> link_pb2.Link:
    return link_pb2.Link(
        name=f"links/{one.site}-{other.site}",
        source=f"sites/{one.site}",
        target=f"sites/{other.site}",
        capacity_bps=world.LINK_BPS,
        latency_us=world.latency_us(one, other),
        price=money_pb2.Price(
            meter=money_pb2.METER_TRANSFER_BYTES,
            amount_micros=world.MIB_MOVED_MICROS,
            per_quantity=world.MEBIBYTE,
        ),
        owner=f"parties/{world.CARRIER}",
        **{"class": link_pb2.Link.CLASS_INTER},  # type: ignore[arg-type]
    )


async def _once(call: Awaitable[object]) -> None:
    with suppress(AlreadyExists):
        await call
