"""Whatever is sent to the one address: a typed answer in both languages, never INTERNAL or UNKNOWN, and nobody dies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from suanmesh.accounting.v1 import account_pb2, price_book_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.agent.v1 import agent_service_pb2 as agent
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2, semantics_pb2
from suanmesh_local import trials
from suanmesh_local.node import NODE, Node
from tests.mesh.calling import MIB, SERVICES, Answer, RawCaller, semantics_of

pytestmark = [pytest.mark.mesh, pytest.mark.asyncio(loop_scope="module")]

AGENT_ROLE, SERVICE_ROLE = semantics_pb2.ROLE_AGENT, semantics_pb2.ROLE_SERVICE
PUBLIC = [service for area, service in SERVICES if area != "agent"]
TEXTS = ("", "x", "../../etc/passwd", "jobs/" + "a" * 5000, "sites/\x00\x07", "作业/一", "parties/demo/extra", "-")
NUMBERS = (-1, 0, 2**31 - 1, 2**63 - 1, -(2**63))
WRONG = ("INTERNAL", "UNKNOWN")
DEPTH_MAX = 4


class Caller(RawCaller):
    """Sends anything through the gateway, as whoever may."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self._requests = 0

    async def ask(self, method: MethodDescriptor, body: Message | bytes) -> Answer:
        """Call through the gateway as whoever may."""
        roles = semantics_of(method).roles
        site = self._node.places[0].site
        as_agent = AGENT_ROLE in roles and semantics_pb2.ROLE_OPERATOR not in roles
        home = self._node.folder / "sites" / site / "identity" if as_agent else self._node.identities.of("operator")
        channel = self.channel(home, home / "ca.pem", self._node.gateway, f"gateway.{NODE}.suanmesh")
        return await self.put(channel, method, body)

    async def put(self, channel: grpc.aio.Channel, method: MethodDescriptor, body: Message | bytes) -> Answer:
        """One call; an answer of a stream is not waited for longer than needed to see a refusal."""
        raw = body if isinstance(body, bytes) else self._numbered(body).SerializeToString()
        return await self.send(channel, method, raw, stream_s=2.0 if method.client_streaming else 0.3)

    def _numbered(self, body: Message) -> Message:
        """With a request id of its own, unless it has one."""
        if "request_id" in body.DESCRIPTOR.fields_by_name and not body.request_id:  # type: ignore[attr-defined]
            self._requests += 1
            body.request_id = f"bad-input-{self._requests}"  # type: ignore[attr-defined]
        return body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A node of its own: what is sent here is meant to hurt."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "numbers").write_text("1 2 3")
    async with Node(tmp_path_factory.mktemp("bad-input"), 1) as node:
        await node.publish(node.places[0].site, "tiny", "demo", folder)
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(small: Node) -> AsyncIterator[Caller]:
    """Someone who sends anything."""
    caller = Caller(small)
    yield caller
    await caller.close()


@pytest.mark.parametrize("service", PUBLIC, ids=lambda service: service.name)
async def test_no_field_of_no_method_can_make_a_service_fail(
    small: Node, caller: Caller, service: ServiceDescriptor
) -> None:
    """A client's mistake must come back as its own: with the field, a reason and help, in English and Chinese."""
    wrong, asked = [], 0
    for method in _public(service):
        for body in _bodies(method):
            code, statuses, _ = await caller.ask(method, body)
            asked += 1
            wrong += [
                f"{method.name} {_shown(body)}: {code} {problem}" for problem in _problems(method, code, statuses)
            ]
    print(f"{service.name}: {asked} calls")
    assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(wrong[:40])
    assert [area for area, process in small.services.items() if not process.pid] == []


async def test_the_data_plane_of_a_site_cannot_be_made_to_fail(small: Node, caller: Caller) -> None:
    """Every other site can reach a site's data plane; none may bring it down."""
    site = small.places[0].site
    home, address = small.folder / "sites" / site / "identity", f"127.0.0.1:{small.ports[f'site-{site}']}"
    channel = caller.channel(home, home / "ca.pem", address, f"agent.{site}.{NODE}.suanmesh")
    wrong = []
    for method in agent.DESCRIPTOR.services_by_name["AgentService"].methods:
        for body in _bodies(method):
            code, statuses, _ = await caller.put(channel, method, body)
            wrong += [f"{method.name} {_shown(body)}: {code} {p}" for p in _problems(method, code, statuses)]
    assert not wrong, "\n".join(wrong[:40])
    assert small.agents[site].pid


async def test_the_mesh_still_works_after_all_of_it(small: Node) -> None:
    """What was refused must have left nothing that stops the next honest job."""
    async with small.mesh() as mesh:
        name = await trials.submit(mesh, "honest", trials.job("print('here')", cpu_milli=100))
        job = await trials.ended(mesh, name)
    assert job.state == trials.ENDED[0], job.state_reason
    for log in sorted((small.folder / "logs").iterdir()):
        assert "handler failed" not in log.read_text(), log.name
        assert "Traceback" not in log.read_text(), log.name


def _public(service: ServiceDescriptor) -> list[MethodDescriptor]:
    return [method for method in service.methods if method.GetOptions().Extensions[semantics_pb2.semantics].public]


def _bodies(method: MethodDescriptor) -> Iterator[Message | bytes]:
    """Not a message, too large a one, an empty one, and every field wrong in every way, one at a time."""
    yield b"\xff\xff\xff\xff"
    yield b"\x0a" + b"\x80\x80\x80\x80\x04" + bytes(16)
    yield bytes(4 * MIB + 1)
    kind = message_factory.GetMessageClass(method.input_type)
    yield kind()
    yield from _variants(_plausible(kind, DEPTH_MAX), DEPTH_MAX)
    for honest in HONEST.get(method.name, ()):
        yield from _variants(honest, DEPTH_MAX)


def _variants(base: Message, depth: int) -> Iterator[Message]:
    """Messages that differ from `base` in one place, however deep."""
    for field in base.DESCRIPTOR.fields:
        for value in _values(field, base, depth):
            message = type(base)()
            message.CopyFrom(base)
            _set(message, field, value)
            yield message


def _values(field: FieldDescriptor, base: Message, depth: int) -> Iterator[Any]:
    if field.message_type is not None:
        kind = message_factory.GetMessageClass(field.message_type)
        yield kind()
        held = getattr(base, field.name)
        if _is_map(field):
            inner = next((kind(key=key, value=value) for key, value in held.items()), kind())
        else:
            inner = next(iter(held), kind()) if field.is_repeated else held
        if depth:
            yield from _variants(inner, depth - 1)
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield from TEXTS
    elif field.type == FieldDescriptor.TYPE_BYTES:
        yield from (b"", b"\xff" * 9)
    elif field.type == FieldDescriptor.TYPE_ENUM:
        yield from (0, 99, -1)
    elif field.type == FieldDescriptor.TYPE_BOOL:
        yield True
    elif field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64):
        wide = field.cpp_type == FieldDescriptor.CPPTYPE_INT64
        yield from (number for number in NUMBERS if wide or -(2**31) <= number < 2**31)


def _plausible(kind: type[Message], depth: int) -> Message:
    """A message with one of everything, by the names of its fields."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.message_type is not None and depth and field.containing_oneof is None:
            if field.message_type.full_name != "google.protobuf.Timestamp":
                _set(message, field, _plausible(message_factory.GetMessageClass(field.message_type), depth - 1))
        elif field.name in GUESSES and field.type == FieldDescriptor.TYPE_STRING:
            _set(message, field, GUESSES[field.name])
        elif field.type == FieldDescriptor.TYPE_ENUM or field.name in ("page_size", "count", "per_quantity"):
            _set(message, field, 1)
    return message


GUESSES = {
    "account": "accounts/demo",
    "party": "parties/demo",
    "owner": "parties/backbone",
    "site": "sites/shanghai",
    "source": "sites/shanghai",
    "target": "sites/shanghai",
    "currency": "CNY",
    "price_book": "priceBooks/shanghai",
    "runtime": "python3",
    "command": "python3",
    "dataset": "datasets/none",
    "mount": "in/data",
    "job": "jobs/none",
    "placement": "placements/none",
    "link": "links/none",
}


_FAR = 2**63 - 1
_DEAR = money_pb2.Price(meter=money_pb2.METER_CPU_US, amount_micros=_FAR, per_quantity=1)
_TOLL = money_pb2.Price(meter=money_pb2.METER_TRANSFER_BYTES, amount_micros=_FAR, per_quantity=1)
_OVER_LINK = accounting.LinkPrice(link="links/a", party="parties/backbone", price=_TOLL)
_LINK = link_pb2.Link(
    name="links/shanghai-exchange", source="sites/shanghai", target="exchanges/x", capacity_bps=1000, latency_us=1,
    owner="parties/backbone", price=_TOLL, **{"class": link_pb2.Link.CLASS_INTER},
)  # fmt: skip
HONEST: dict[str, list[Message]] = {
    "SubmitJobs": [
        scheduler.SubmitJobsRequest(
            items=[scheduler.SubmitJob(job=trials.job("print(1)", cpu_milli=50, inputs=["tiny"], outputs=["o"]))],
            validate_only=True,
        ),
    ],
    "CreditAccount": [accounting.CreditAccountRequest(name="accounts/rich", amount_micros=_FAR)] * 2,
    "PublishPriceBook": [
        accounting.PublishPriceBookRequest(
            price_book_id="dear",
            price_book=price_book_pb2.PriceBook(party="parties/east-compute", currency="CNY", prices=[_DEAR]),
        )
    ],
    "QuoteBatch": [
        accounting.QuoteBatchRequest(
            items=[
                accounting.QuoteAsk(
                    price_book=book,
                    readings=[usage_pb2.MeterReading(meter=money_pb2.METER_CPU_US, quantity=_FAR)],
                    transfer_bytes=_FAR,
                    link_prices=[_OVER_LINK],
                )
            ]
        )
        for book in ("priceBooks/shanghai", "priceBooks/dear")
    ],
    "CreateTransfers": [
        transport.CreateTransfersRequest(
            items=[transport.TransferAsk(dataset="datasets/tiny", source="sites/shanghai", target="sites/shanghai")]
        )
    ],
    "ReadFile": [transport.ReadFileRequest(dataset="datasets/tiny", path=b"numbers")],
    "DeclareLinks": [network.DeclareLinksRequest(links=[_LINK])],
    "FindPaths": [network.FindPathsRequest(queries=[network.PathQuery(source="sites/shanghai", target="exchanges/x")])],
    "CreateAccount": [
        accounting.CreateAccountRequest(
            account_id="rich",
            account=account_pb2.Account(party="parties/demo", currency="CNY", kind=account_pb2.Account.KIND_CONSUMER),
        )
    ],
    "CancelJob": [scheduler.CancelJobRequest(name="jobs/standing", etag="stale")],
    "GetSite": [registry.GetSiteRequest(name="sites/shanghai")],
    "SearchPools": [registry.SearchPoolsRequest(filter="free.cpu_milli >= 1")],
}
"""Messages that would do something, to be made wrong in one place: what lies behind the first check is reached too."""


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if _is_map(field):
        getattr(message, field.name)[value.key] = value.value
    elif field.is_repeated:
        getattr(message, field.name).append(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, value)


def _problems(method: MethodDescriptor, code: str, statuses: list[status_pb2.Status]) -> Iterator[str]:
    if code in WRONG:
        yield "is our defect"
    if code in ("DEADLINE_EXCEEDED", "CANCELLED"):
        if not (method.server_streaming or method.client_streaming):
            yield "did not answer"
        return
    for status in statuses:
        if code_pb2.Code.Name(status.code) in WRONG:
            yield f"item: {status.message}"
        kinds = [any_.TypeName() for any_ in status.details]
        texts = [_unpacked(d) for d in status.details if d.Is(error_details_pb2.LocalizedMessage.DESCRIPTOR)]
        info = [d for d in status.details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
        if len(info) != 1 or "google.rpc.Help" not in kinds:
            yield f"has only {kinds}: {status.message}"
        elif sorted(text.locale for text in texts if text.message) != ["en", "zh"]:
            yield f"is not said in both languages: {status.message}"
        elif status.code == code_pb2.INVALID_ARGUMENT and "google.rpc.BadRequest" not in kinds:
            yield f"names no field: {status.message}"


def _unpacked(detail: Any) -> error_details_pb2.LocalizedMessage:
    text = error_details_pb2.LocalizedMessage()
    detail.Unpack(text)
    return text


def _shown(body: Message | bytes) -> str:
    return f"{len(body)} bytes" if isinstance(body, bytes) else str(body).replace("\n", " ")[:200]
