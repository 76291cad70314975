"""A node with something of one party and one site in every service, and a call about it for every method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from suanmesh.accounting.v1 import account_pb2, price_book_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.agent.v1 import agent_service_pb2 as agent
from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh.gateway.v1 import relay_service_pb2 as relay
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import party_pb2, pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2, signed_pb2, trust_pb2
from suanmesh_chassis.ca import NodeCa, agent_server_name, server_name, write_identity
from suanmesh_chassis.identity import agent_id, invite_id, service_id, user_id
from suanmesh_chassis.signing import load_signer
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.merkle import leaf_hashes, root_hash
from suanmesh_local import trials, world
from suanmesh_local.node import NODE, Node
from suanmesh_sdk.invites import new_key, signing_request
from tests.mesh.calling import STREAM_S, Answer, RawCaller

HOME, SOURCE, ABROAD = (place.site for place in world.PLACES[:3])
"""The site whose things are asked about, the one its data came from, and a stranger to both."""
BY_TICKET = {"GetManifest", "FetchChunks", "ReadFiles", "WriteFiles"}
"""Made out for one reader, which no role stands above."""


@dataclass(frozen=True)
class Identity:
    """Somebody with a certificate of the node."""

    name: str
    roles: frozenset[str]
    owns: bool
    """Whether the things that rows ask about are theirs, or theirs to see."""
    home: Path


@dataclass
class World:
    """A node with things of one party and one site to ask about."""

    node: Node
    caller: RawCaller
    identities: list[Identity] = field(default_factory=list)
    job: job_pb2.Job = field(default_factory=job_pb2.Job)
    ended: job_pb2.Job = field(default_factory=job_pb2.Job)
    transfer: transfer_pb2.Transfer = field(default_factory=transfer_pb2.Transfer)
    ticket: signed_pb2.Signed = field(default_factory=signed_pb2.Signed)
    pool: pool_pb2.Pool = field(default_factory=pool_pb2.Pool)
    site: site_pb2.Site = field(default_factory=site_pb2.Site)
    link: link_pb2.Link = field(default_factory=link_pb2.Link)
    reservation: str = ""
    asked: int = 0

    def signed(self, who: Identity, payload: Message) -> signed_pb2.Signed:
        """As the caller would sign it; whoever has no key signs as the first site's agent would not."""
        home = who.home if "agent" in who.roles else self.node.folder / "sites" / ABROAD / "identity"
        signer = load_signer(home / "signing.key", agent_id(NODE, home.parent.name))
        return signer.sign(payload.DESCRIPTOR.full_name, payload.SerializeToString(deterministic=True))

    async def ask(self, who: Identity, area: str, method: MethodDescriptor, *, direct: bool) -> Answer:
        """The method's row, asked by somebody."""
        return await self.send(who, area, method, self.row(who, method), direct=direct)

    def row(self, who: Identity, method: MethodDescriptor) -> bytes:
        """The request of the method's row, with a request id of its own."""
        self.asked += 1
        request = ROWS[method.name](self, who)
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = f"{who.name}-{self.asked}"  # type: ignore[attr-defined]
        return request.SerializeToString()

    async def send(
        self,
        who: Identity,
        area: str,
        method: MethodDescriptor,
        raw: bytes,
        *,
        direct: bool,
        stream_s: float = STREAM_S,
    ) -> Answer:
        """Any bytes to a method."""
        site = SOURCE if method.name in BY_TICKET else HOME
        address, name = self._door(who, area, site, direct=direct)
        ca = self.node.identities.of("operator") / "ca.pem"
        return await self.caller.send(self.caller.channel(who.home, ca, address, name), method, raw, stream_s=stream_s)

    def _door(self, who: Identity, area: str, site: str, *, direct: bool) -> tuple[str, str]:
        ports = self.node.ports
        if area == "agent" and direct:
            return f"127.0.0.1:{ports[f'site-{site}']}", agent_server_name(NODE, site)
        area = area if direct else "gateway"
        return f"127.0.0.1:{ports[area]}", server_name(NODE, area)


Row = Callable[[World, Identity], Message]


def _usage(w: World, who: Identity) -> accounting.RecordUsageRequest:
    site, epoch = f"sites/{HOME}", who.name.replace("-", "")
    record = usage_pb2.UsageRecord(site=site, epoch=epoch, sequence=1, placement=w.job.placement, task=0, final=True)
    raw = record.SerializeToString(deterministic=True)
    batch = usage_pb2.UsageBatch(site=site, tree_size=1, root_hash=root_hash(leaf_hashes([raw])))
    batch.sign_time.GetCurrentTime()
    return accounting.RecordUsageRequest(batch=w.signed(who, batch), records=[raw])


def _rotation(w: World) -> signed_pb2.Signed:
    """The first site's own key once more, as its agent has signed it and anybody may have seen it."""
    home = w.node.folder / "sites" / HOME / "identity"
    signer = load_signer(home / "signing.key", agent_id(NODE, HOME))
    rotation = site_pb2.SigningKeyRotation(site=f"sites/{HOME}", public_key=signer.public_key)
    return signer.sign(rotation.DESCRIPTOR.full_name, rotation.SerializeToString())


def _harmless_submit(w: World, who: Identity) -> Message:
    item = scheduler.SubmitJob(job=trials.job("print(1)"))
    return scheduler.SubmitJobsRequest(items=[item], validate_only=True)


ROWS: dict[str, Row] = {
    # registry
    "CreateParty": lambda w, who: registry.CreatePartyRequest(
        party_id="made", party=party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, currency="CNY")
    ),
    "GetParty": lambda w, who: registry.GetPartyRequest(name="parties/demo"),
    "ListParties": lambda w, who: registry.ListPartiesRequest(page_size=1000),
    "SetPublishers": lambda w, who: registry.SetPublishersRequest(
        name="parties/demo", publishers=[f"sites/{HOME}", f"sites/{SOURCE}"]
    ),
    "SetDefaultSite": lambda w, who: registry.SetDefaultSiteRequest(name="parties/demo"),
    "SetSiteAdmission": lambda w, who: registry.SetSiteAdmissionRequest(
        name=f"sites/{HOME}", admission=site_pb2.Site.ADMISSION_OPEN
    ),
    "RemoveSite": lambda w, who: registry.RemoveSiteRequest(name=f"sites/{HOME}"),
    "SetPartyState": lambda w, who: registry.SetPartyStateRequest(
        name="parties/demo", state=party_pb2.Party.STATE_APPROVED
    ),
    "CreateJoinToken": lambda w, who: registry.CreateJoinTokenRequest(party=w.site.party),
    "EnrolSite": lambda w, who: registry.EnrolSiteRequest(token="x.y", site_id="new"),
    "EnrolUser": lambda w, who: registry.EnrolUserRequest(token="x.y"),
    "GetSite": lambda w, who: registry.GetSiteRequest(name=f"sites/{HOME}"),
    "ListSites": lambda w, who: registry.ListSitesRequest(),
    "RenewCertificate": lambda w, who: registry.RenewCertificateRequest(csr_der=signing_request(new_key())),
    "RevokeCertificates": lambda w, who: registry.RevokeCertificatesRequest(name="parties/demo/users/nobody"),
    "GetTrustBundle": lambda w, who: registry.GetTrustBundleRequest(),
    "SetNodeTrust": lambda w, who: registry.SetNodeTrustRequest(trust=trust_pb2.NodeTrust(name="nodes/nobody")),
    "RotateSigningKey": lambda w, who: registry.RotateSigningKeyRequest(rotation=_rotation(w)),
    "RegisterPools": lambda w, who: registry.RegisterPoolsRequest(descriptors=[w.pool.signed_descriptor]),
    "GetPool": lambda w, who: registry.GetPoolRequest(name=w.pool.name),
    "SearchPools": lambda w, who: registry.SearchPoolsRequest(),
    "ReadPoolStates": lambda w, who: registry.ReadPoolStatesRequest(),
    "WatchPools": lambda w, who: registry.WatchPoolsRequest(),
    "ReportState": lambda w, who: registry.ReportStateRequest(
        sequence=1, pools=[pool_pb2.PoolState(name=w.pool.name)], data_endpoint=w.site.data_endpoint
    ),
    # scheduler
    "SubmitJobs": _harmless_submit,
    "GetJob": lambda w, who: scheduler.GetJobRequest(name=w.job.name),
    "ListJobs": lambda w, who: scheduler.ListJobsRequest(page_size=100),
    "WatchJob": lambda w, who: scheduler.WatchJobRequest(name=w.job.name),
    "CancelJob": lambda w, who: scheduler.CancelJobRequest(name=w.ended.name),
    "ExplainCandidate": lambda w, who: scheduler.ExplainCandidateRequest(
        name=f"{w.job.name}/decisions/-", pool=w.pool.name
    ),
    "GetDecision": lambda w, who: scheduler.GetDecisionRequest(name=f"{w.job.name}/decisions/-"),
    "GetPlacement": lambda w, who: scheduler.GetPlacementRequest(name=w.job.placement),
    "ListSitePlacements": lambda w, who: scheduler.ListSitePlacementsRequest(site=f"sites/{HOME}"),
    "WatchPlacements": lambda w, who: scheduler.WatchPlacementsRequest(site=f"sites/{HOME}"),
    "GetSealingKey": lambda w, who: scheduler.GetSealingKeyRequest(),
    "FetchSecrets": lambda w, who: scheduler.FetchSecretsRequest(placement=w.job.placement, public_key=b"\x09" * 32),
    "ReportTasks": lambda w, who: scheduler.ReportTasksRequest(
        reports=[scheduler.TaskReport(placement=w.job.placement, state=placement_pb2.Placement.STATE_RUNNING)]
    ),
    "ListTasks": lambda w, who: scheduler.ListTasksRequest(job=w.job.name),
    "ReadJobLogs": lambda w, who: scheduler.ReadJobLogsRequest(name=w.job.name),
    # network_orchestrator
    "DeclareLinks": lambda w, who: network.DeclareLinksRequest(links=[w.link]),
    "ListLinks": lambda w, who: network.ListLinksRequest(),
    "GetLink": lambda w, who: network.GetLinkRequest(name=w.link.name),
    "RemoveLink": lambda w, who: network.RemoveLinkRequest(name="links/none"),
    "ExplainPath": lambda w, who: network.ExplainPathRequest(
        query=network.PathQuery(source=f"sites/{HOME}", target=f"sites/{ABROAD}")
    ),
    "GetReservation": lambda w, who: network.GetReservationRequest(name=w.reservation),
    "ReportLinks": lambda w, who: network.ReportLinksRequest(site=f"sites/{HOME}"),
    "FindPaths": lambda w, who: network.FindPathsRequest(
        queries=[network.PathQuery(source=f"sites/{HOME}", target=f"sites/{ABROAD}")]
    ),
    "ReservePaths": lambda w, who: network.ReservePathsRequest(items=[network.PathAsk()]),
    "ListReservations": lambda w, who: network.ListReservationsRequest(page_size=1000),
    # transport
    "CreateDatasets": lambda w, who: transport.CreateDatasetsRequest(
        items=[
            transport.DatasetAsk(
                dataset_id="made", dataset=dataset_pb2.Dataset(party="parties/demo", digest="0" * 64, bytes=1, files=1)
            )
        ]
    ),
    "GetDataset": lambda w, who: transport.GetDatasetRequest(name="datasets/secret"),
    "ListDatasetVersions": lambda w, who: transport.ListDatasetVersionsRequest(name="datasets/secret"),
    "SetDatasetLabels": lambda w, who: transport.SetDatasetLabelsRequest(name="datasets/secret"),
    "RemoveDataset": lambda w, who: transport.RemoveDatasetRequest(name="datasets/secret"),
    "FindUnnamedContent": lambda w, who: transport.FindUnnamedContentRequest(site=f"sites/{HOME}", digests=["0" * 64]),
    "ListDatasets": lambda w, who: transport.ListDatasetsRequest(page_size=1000),
    "CreateTransfers": lambda w, who: transport.CreateTransfersRequest(
        items=[transport.TransferAsk(dataset="datasets/secret", source=f"sites/{SOURCE}", target=f"sites/{HOME}")]
    ),
    "GetTransfer": lambda w, who: transport.GetTransferRequest(name=w.transfer.name),
    "ListTransfers": lambda w, who: transport.ListTransfersRequest(page_size=100),
    "CancelTransfer": lambda w, who: transport.CancelTransferRequest(name=w.transfer.name),
    "WatchTransfers": lambda w, who: transport.WatchTransfersRequest(site=f"sites/{HOME}"),
    "ReportTransfers": lambda w, who: transport.ReportTransfersRequest(
        reports=[transport.TransferReport(transfer=w.transfer.name, state=transfer_pb2.Transfer.STATE_ACTIVE)]
    ),
    "ReadFile": lambda w, who: transport.ReadFileRequest(dataset="datasets/secret", path=b"numbers"),
    "GetTicketKey": lambda w, who: transport.GetTicketKeyRequest(),
    "OpenDataset": lambda w, who: transport.OpenDatasetRequest(name="datasets/secret"),
    "OpenUpload": lambda w, who: transport.OpenUploadRequest(
        dataset_id="secret", dataset=dataset_pb2.Dataset(party="parties/demo", digest="0" * 64, bytes=1, files=1)
    ),
    # accounting
    "CreateAccount": lambda w, who: accounting.CreateAccountRequest(
        account_id="made",
        account=account_pb2.Account(party="parties/other", currency="CNY", kind=account_pb2.Account.KIND_CONSUMER),
    ),
    "GetAccount": lambda w, who: accounting.GetAccountRequest(name="accounts/demo"),
    "ListAccounts": lambda w, who: accounting.ListAccountsRequest(page_size=1000),
    "CreditAccount": lambda w, who: accounting.CreditAccountRequest(name="accounts/demo", amount_micros=1),
    "CloseAccount": lambda w, who: accounting.CloseAccountRequest(name="accounts/operator-funding-cny"),
    "SetBudget": lambda w, who: accounting.SetBudgetRequest(name=f"accounts/{world.CONSUMER}"),
    "SetPartyBudget": lambda w, who: accounting.SetPartyBudgetRequest(party="parties/demo", currency="CNY"),
    "ListPartyBudgets": lambda w, who: accounting.ListPartyBudgetsRequest(),
    "PublishPriceBook": lambda w, who: accounting.PublishPriceBookRequest(
        price_book_id="made",
        price_book=price_book_pb2.PriceBook(
            party=w.site.party,
            currency="CNY",
            prices=[money_pb2.Price(meter=money_pb2.METER_CPU_US, amount_micros=1, per_quantity=1)],
        ),
    ),
    "ListPriceBooks": lambda w, who: accounting.ListPriceBooksRequest(),
    "QuoteBatch": lambda w, who: accounting.QuoteBatchRequest(
        items=[accounting.QuoteAsk(price_book=f"priceBooks/{HOME}")]
    ),
    "PlaceHolds": lambda w, who: accounting.PlaceHoldsRequest(items=[accounting.HoldAsk()]),
    "RecordUsage": _usage,
    "GetMeteringState": lambda w, who: accounting.GetMeteringStateRequest(works=[w.job.placement]),
    "GetBill": lambda w, who: accounting.GetBillRequest(account="accounts/demo"),
    "SummarizeCharges": lambda w, who: accounting.SummarizeChargesRequest(account="accounts/demo", group_by=1),
    "ListUsage": lambda w, who: accounting.ListUsageRequest(page_size=100),
    "ListPostings": lambda w, who: accounting.ListPostingsRequest(),
    "ListHolds": lambda w, who: accounting.ListHoldsRequest(page_size=100),
    # agent
    "GetManifest": lambda w, who: agent.GetManifestRequest(ticket=w.ticket),
    "FetchChunks": lambda w, who: agent.FetchChunksRequest(
        ticket=w.ticket, ranges=[agent.ChunkRange(file=0, offset=0, bytes=1)]
    ),
    "ReadFiles": lambda w, who: agent.ReadFilesRequest(
        site=f"sites/{SOURCE}",
        ticket=_ticket_of(w.node, w.transfer, transfer_pb2.TransferTicket(reader=_principal(w, who))),
        manifest=True,
    ),
    "WriteFiles": lambda w, who: agent.WriteFilesRequest(
        site=f"sites/{SOURCE}",
        ticket=_ticket_of(
            w.node,
            w.transfer,
            transfer_pb2.UploadTicket(writer=_principal(w, who), target=f"sites/{SOURCE}", party="parties/demo"),
        ),
    ),
    "ReadLog": lambda w, who: agent.ReadLogRequest(placement=w.job.placement),
    "Echo": lambda w, who: agent.EchoRequest(payload=b"x"),
    # gateway
    "GetTrace": lambda w, who: gateway.GetTraceRequest(name=f"traces/{w.ended.trace_id}"),
    "ListTraces": lambda w, who: gateway.ListTracesRequest(),
    "ListGateways": lambda w, who: gateway.ListGatewaysRequest(),
    "CheckDataPlane": lambda w, who: gateway.CheckDataPlaneRequest(endpoint="127.0.0.1:1"),
    "LocateDataPlane": lambda w, who: gateway.LocateDataPlaneRequest(site=f"sites/{HOME}"),
    "AwaitCalls": lambda w, who: relay.AwaitCallsRequest(),
    "ServeCall": lambda w, who: relay.ServeCallRequest(call="0"),
    # Both sites listen, so that none is called by way of a gateway: what is no method of theirs is refused before that.
    "CallSite": lambda w, who: relay.CallSiteRequest(site=f"sites/{HOME}", method="none"),
}


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    """A node on which `demo` has data, a transfer, a job that runs at the first site and one that ended there."""
    (folder / "data").mkdir()
    (folder / "data" / "numbers").write_text("1 2 3")
    async with Node(folder / "node", 3) as node:
        caller = RawCaller()
        made = World(node, caller)
        _identify(made, folder / "identities")
        await _found(made, folder / "data")
        yield made
        await caller.close()


def _identify(made: World, folder: Path) -> None:
    ca = NodeCa.load(made.node.identities.ca_dir, SystemClock())

    def issued(party: str) -> Path:
        write_identity(folder / party, ca.issue(user_id(NODE, party, "bob")))
        return folder / party

    invited = folder / "invited"
    write_identity(invited, ca.issue(invite_id(NODE, "some")))

    def at(site: str) -> Path:
        return made.node.folder / "sites" / site / "identity"

    user, operator, service = frozenset({"user"}), frozenset({"user", "operator"}), frozenset({"service"})
    made.identities = [
        Identity("stranger", user, owns=False, home=issued("other")),
        Identity("unregistered", user, owns=False, home=issued("ghost")),
        Identity("agent-abroad", frozenset({"agent"}), owns=False, home=at(ABROAD)),
        Identity("invited", frozenset(), owns=False, home=invited),
        Identity("owner", user, owns=True, home=made.node.identities.of("alice")),
        Identity("agent", frozenset({"agent"}), owns=True, home=at(HOME)),
        Identity("operator", operator, owns=True, home=made.node.identities.of("operator")),
        Identity("service", service, owns=True, home=made.node.identities.of("scheduler")),
    ]


async def _found(made: World, data: Path) -> None:
    node = made.node
    async with node.mesh("operator") as operator, node.mesh() as alice:
        party = party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, display_name="other", currency="CNY")
        await operator.registry.CreateParty(registry.CreatePartyRequest(party_id="other", party=party))
        await node.publish(SOURCE, "secret", "demo", data)
        await node.publish(SOURCE, "secret-moved", "demo", data)
        publishers = [f"sites/{HOME}", f"sites/{SOURCE}"]
        await alice.registry.SetPublishers(registry.SetPublishersRequest(name="parties/demo", publishers=publishers))
        ended = trials.job("print('secret')", inputs=["secret-moved"])
        ended.constraints.allow_sites.append(f"sites/{HOME}")
        made.ended = await trials.ended(alice, await trials.submit(alice, "secret-ended", ended))
        assert made.ended.state == job_pb2.Job.STATE_DONE, made.ended
        running = trials.job("import time\nprint('secret', flush=True)\ntime.sleep(100)")
        running.constraints.allow_sites.append(f"sites/{HOME}")
        name = await trials.submit(alice, "secret-running", running)
        made.job = await trials.reached(alice, name, job_pb2.Job.STATE_RUNNING)
        waiting = trials.job("pass", inputs=["secret"])  # so that it is not removed, whoever may
        waiting.constraints.residency.append("nowhere")
        await trials.submit(alice, "secret-waiting", waiting)
        assert made.job.state == job_pb2.Job.STATE_RUNNING, made.job
        made.transfer = (await alice.transport.ListTransfers(transport.ListTransfersRequest())).transfers[0]
        made.site = await alice.registry.GetSite(registry.GetSiteRequest(name=f"sites/{HOME}"))
        made.pool = await alice.registry.GetPool(registry.GetPoolRequest(name=f"sites/{HOME}/pools/cpu"))
        made.link = (await alice.network_orchestrator.ListLinks(network.ListLinksRequest())).links[0]
        made.link.ClearField("state")
        reserved = await alice.network_orchestrator.ListReservations(network.ListReservationsRequest())
        made.reservation = reserved.reservations[0].name
    ticket = transfer_pb2.TransferTicket(transfer=made.transfer.name, reader=agent_id(NODE, HOME))
    made.ticket = _ticket_of(node, made.transfer, ticket)


def _principal(w: World, who: Identity) -> str:
    """Whom a ticket is made out for: the user who asks, where what it opens is theirs, else one whose it is."""
    theirs = who.owns and "user" in who.roles
    home = who.home if theirs else w.node.identities.of("alice")
    certificate = x509.load_pem_x509_certificate((home / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


def _ticket_of(
    node: Node, transfer: transfer_pb2.Transfer, ticket: transfer_pb2.TransferTicket | transfer_pb2.UploadTicket
) -> signed_pb2.Signed:
    """A ticket for what the transfer carried; the mesh shows its own no more once the transfer has ended."""
    signer = load_signer(node.identities.of("transport") / "signing.key", service_id(NODE, "transport"))
    ticket.dataset, ticket.digest = transfer.dataset, transfer.digest
    if isinstance(ticket, transfer_pb2.TransferTicket):
        ticket.source = transfer.source
    ticket.expire_time.FromDatetime(SystemClock().now() + timedelta(hours=1))
    return signer.sign(ticket.DESCRIPTOR.full_name, ticket.SerializeToString())
