"""What a busy mesh answers: long names, several states, amounts with all their digits, and texts meant to do harm."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.accounting.v1.account_pb2 import Account, Posting
from suanmesh.accounting.v1.accounting_service_pb2 import (
    ChargeSum,
    ListAccountsResponse,
    ListHoldsResponse,
    ListPostingsResponse,
    ListPriceBooksResponse,
    ListUsageResponse,
    SummarizeChargesResponse,
)
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.accounting.v1.usage_pb2 import Bill, Charge, Hold, MeterReading, StoredUsage, UsageRecord
from suanmesh.gateway.v1.gateway_service_pb2 import ListTracesResponse
from suanmesh.gateway.v1.trace_pb2 import Span, Trace, TraceSummary
from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import (
    FindPathsResponse,
    ListLinksResponse,
    ListReservationsResponse,
    PathExplanation,
    PathObstacle,
    PathResult,
)
from suanmesh.network_orchestrator.v1.reservation_pb2 import Path, Reservation
from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.pool_pb2 import WORK_KIND_DATA, Pool
from suanmesh.registry.v1.registry_service_pb2 import (
    FoundPool,
    ListPartiesResponse,
    ListSitesResponse,
    SearchPoolsResponse,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.decision_pb2 import AdmittingChange, Candidate, Decision, Obstacle
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import Placement, TaskResult
from suanmesh.scheduler.v1.reason_pb2 import OBSTACLE_CODE_CPU
from suanmesh.scheduler.v1.scheduler_service_pb2 import (
    ListJobsResponse,
    ListSitePlacementsResponse,
    ListTasksResponse,
    SitePlacement,
    Task,
)
from suanmesh.transport.v1.dataset_pb2 import Dataset, Replica
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.transport.v1.transport_service_pb2 import ListDatasetsResponse, ListTransfersResponse
from suanmesh.type.v1.capacity_pb2 import Capacity
from suanmesh.type.v1.money_pb2 import METER_CPU_US, METER_TRANSFER_BYTES, Price
from suanmesh.type.v1.state_reason_pb2 import StateReason
from suanmesh.type.v1.trust_pb2 import CertificateAuthority, NodeTrust, TrustBundle

NOON = Timestamp(seconds=1_795_924_800)
LATER = Timestamp(seconds=1_795_924_861)
EVIL = "a\tb\x1b[31mred\u202eevil"
POOL = "sites/guiyang-northern-hub/pools/cpu-general-purpose"
DIGEST = "b3:" + "5f" * 32
FAILED = StateReason(code="EXIT_STATUS", facts={"task": "1", "exit_status": "3"})
WAITS = StateReason(code="NO_PLACE", facts={"pools": "3"})
JOBS = [
    Job(name="jobs/resnet50-imagenet-sweep-20261129-0017", state=Job.STATE_PENDING, state_reason=WAITS,
        create_time=NOON, account="accounts/vision", display_name="ResNet-50 学习率扫描 第十七轮", priority=10),
    Job(name="jobs/digits", state=Job.STATE_DELIVERING, create_time=NOON, account="accounts/demo", display_name=EVIL),
    Job(name="jobs/贵阳-夜间-训练", state=Job.STATE_FAILED, state_reason=FAILED, create_time=NOON,
        end_time=LATER,
        account="accounts/demo", display_name="夜间训练", placement="placements/p", trace_id="ab" * 16),
]  # fmt: skip
CANDIDATES = [
    Candidate(pool="sites/guiyang/pools/cpu", cost_micros=3_051, compute_micros=3_025, transfer_micros=26,
              rate_bps=10**7, transfer_bytes=264_712, path=["links/shanghai-wuhu", "links/wuhu-guiyang"],
              latency_us=10_700, transfer_ms=212, finish_ms=121_000),
    Candidate(pool=POOL, cost_micros=12_345_678_901_234, compute_micros=5_500, obstacle=Obstacle(
        code=OBSTACLE_CODE_CPU, needed=500, available=222, resource=POOL)),
]  # fmt: skip
CHANGE = AdmittingChange(field="ask.cpu_milli", to="222", pool=POOL)
DECISION = Decision(
    candidates=CANDIDATES, candidate_count=12, chosen="sites/guiyang/pools/cpu", admitting_change=CHANGE,
    reason=StateReason(code="CHOSEN", facts={"pool": POOL, "cost_micros": "3051"},
                       causes=[StateReason.Cause(code="ONLY_FIT")]),
)  # fmt: skip
CHARGES = [
    Charge(meter=METER_TRANSFER_BYTES, quantity=264_712, amount_micros=5, currency="CNY", trace_id="08" * 16,
           payee="accounts/backbone-income-cny", job="jobs/resnet50-imagenet-sweep-20261129-0017",
           price=Price(meter=METER_TRANSFER_BYTES, amount_micros=20, per_quantity=1 << 20),
           price_version="priceBooks/shanghai-guiyang@declared"),
    Charge(meter=METER_CPU_US, quantity=175_847_000_000, amount_micros=123_456_789_012, currency="CNY",
           job="jobs/digits", payee="accounts/guizhou-cloud-income-cny", trace_id="08" * 16,
           price=Price(meter=METER_CPU_US, amount_micros=165_000, per_quantity=3_600_000_000),
           price_version="priceBooks/guiyang@1"),
]  # fmt: skip
ACCOUNTS = [
    Account(name="accounts/demo", party="parties/demo", kind=Account.KIND_CONSUMER, currency="CNY",
            balance_micros=999_999_876_543_210, held_micros=12_345_678, create_time=NOON),
    Account(name="accounts/guizhou-cloud-income-cny", party="parties/guizhou-cloud", currency="CNY",
            balance_micros=-999_999_876_543_210, create_time=NOON),
]  # fmt: skip

POSTINGS = [
    Posting(entry="charges/guiyang-northern-hub-e1-77-0", account="accounts/demo", amount_micros=-123_456_789_017,
            currency="CNY", post_time=NOON),
]  # fmt: skip
HOLDS = [
    Hold(name="holds/resnet50-imagenet-sweep-20261129-0017-1-0", account="accounts/demo", state=Hold.STATE_COMMITTED,
         job="jobs/resnet50-imagenet-sweep-20261129-0017", amount_micros=123_456_789_017, charged_micros=5,
         create_time=NOON),
]  # fmt: skip
RECORD = UsageRecord(
    site="sites/guiyang-northern-hub", epoch="e1", sequence=77, placement="placements/p", task=3, start_time=NOON,
    end_time=LATER, final=True, readings=[MeterReading(meter=METER_CPU_US, quantity=175_847_000_000),
                                         MeterReading(meter=METER_TRANSFER_BYTES, quantity=264_712)],
)  # fmt: skip
SUMS = SummarizeChargesResponse(
    account="accounts/demo", currency="CNY", charges=2, total_micros=123_456_789_017, waived_micros=7,
    sums=[ChargeSum(job=each.job, charges=1, amount_micros=each.amount_micros, first_time=NOON, last_time=LATER)
          for each in CHARGES],
)  # fmt: skip
PLACEMENTS = [
    SitePlacement(name="placements/p", job="jobs/resnet50-imagenet-sweep-20261129-0017", party="parties/vision",
                  state=Placement.STATE_RUNNING, pool=POOL, tasks=60, tasks_ended=12, create_time=NOON,
                  max_duration_s=86_400, holds=Capacity(cpu_milli=12_500, memory_bytes=48 << 30)),
]  # fmt: skip

WAY = Path(links=["links/shanghai-wuhu", "links/wuhu-guiyang-northern-hub"], latency_us=10_700,
           available_bps=75 * 10**8, narrowest_link="links/wuhu-guiyang-northern-hub",
           price_micros_per_mib=123_456_789)  # fmt: skip
NARROW = PathObstacle(kind=PathObstacle.KIND_BANDWIDTH, link=WAY.narrowest_link, available_bps=75 * 10**8)
RESERVATIONS = [
    Reservation(name="reservations/resnet50-imagenet-sweep-20261129-0017-1", source="sites/shanghai", path=WAY,
                target="sites/guiyang-northern-hub", placement="placements/p", party="parties/vision",
                rate_bps=25 * 10**8, state=Reservation.STATE_COMMITTED, create_time=NOON),
]  # fmt: skip
PARTIES = [
    Party(name="parties/guizhou-university-high-performance-computing", kind=Party.KIND_COMPUTE_PROVIDER,
          state=Party.STATE_PENDING, currency="CNY", display_name=EVIL, create_time=NOON,
          publishers=["sites/guiyang-northern-hub", "sites/hefei"]),
    Party(name="parties/vision", kind=Party.KIND_CONSUMER, state=Party.STATE_SUSPENDED, currency="CNY",
          display_name="视觉实验室", create_time=NOON),
]  # fmt: skip
TRUST = TrustBundle(node="demo", nodes=[
    NodeTrust(name=f"nodes/{name}", authorities=[CertificateAuthority(valid_from=NOON, valid_until=LATER)])
    for name in ("demo", "national-computing-hub-of-the-south-west")
])  # fmt: skip


def _pools() -> list[FoundPool]:
    free = Capacity(cpu_milli=12_500, memory_bytes=48 << 30)
    pools = [FoundPool(pool=Pool(name=name, architecture="x86_64", identifier=f"CN-{name}")) for name in
             (POOL, "sites/hefei/pools/gpu")]  # fmt: skip
    pools[0].state.free.CopyFrom(free)
    pools[0].pool.host_capacity.devices.add(**{"class": "gpu", "model": "A100-80G", "count": 8})
    pools[1].state.reason.code = "HEARTBEAT_LATE"
    limits = pools[0].pool.limits
    limits.parties.extend(["parties/guizhou-university", "parties/vision"])
    limits.hours.add(start_min=1080, end_min=1920)
    limits.refused_kinds.append(WORK_KIND_DATA)
    limits.party_share_milli = 250
    return pools


def _tasks() -> list[TaskResult]:
    tasks = [TaskResult(index=0, state=TaskResult.STATE_DONE, exit_status=0, start_time=NOON, end_time=LATER)]
    tasks.append(
        TaskResult(
            index=1, state=TaskResult.STATE_FAILED, exit_status=3, start_time=NOON, end_time=LATER, state_reason=FAILED
        )
    )
    return tasks


def answers() -> dict[str, Any]:
    """By method, for `Oracle.answers`."""
    tasks = _tasks()
    link = Link(name="links/shanghai-guiyang", source="sites/shanghai", target="sites/guiyang", capacity_bps=10**10,
                latency_us=10_700, owner="parties/backbone", price=CHARGES[0].price)  # fmt: skip
    link.state.reserved_bps = 25 * 10**8
    setattr(link, "class", 1)
    book = PriceBook(name="priceBooks/guiyang", version=3, party="parties/guizhou-cloud", currency="CNY",
                     effective_time=NOON, prices=[charge.price for charge in CHARGES] * 2)  # fmt: skip
    spans = [Span(span_id="1", name="suanmesh.scheduler.v1.SchedulerService/SubmitJobs", service="gateway")]
    spans[0].duration_us = 985_900
    spans.append(Span(span_id="2", parent_span_id="1", name="reserve path", service="network_orchestrator",
                      duration_us=3400, error=True, status_message="ABORTED BUSY"))  # fmt: skip
    for span in spans:
        span.start_time.CopyFrom(NOON)
    pools = _pools()
    replica = Replica(site="sites/guiyang-northern-hub", state=Replica.STATE_COMPLETE)
    dataset = Dataset(name="datasets/imagenet-2012-train", party="parties/vision", files=1_281_167, replicas=[replica],
                      bytes=147 << 30, digest=DIGEST, create_time=NOON)  # fmt: skip
    transfer = Transfer(name="transfers/8d1f0c6e-2b7a", dataset=dataset.name, source="sites/hefei", target=replica.site,
                        state=Transfer.STATE_FAILED, bytes=147 << 30, rate_bps=10**9, state_reason=WAITS)  # fmt: skip
    transfer.progress.bytes_done, transfer.progress.chunks, transfer.progress.chunks_done = 12 << 30, 588, 48
    sites = [Site(name="sites/guiyang-northern-hub", party="parties/guizhou-cloud", display_name="贵阳北部枢纽数据中心",
                  admission=Site.ADMISSION_DRAINING, admission_note="更换风扇",
                  liveness=Site.LIVENESS_ALIVE, city_code="520100", residency=["cn"],
                  data_endpoint="guiyang-northern-hub.example.net:7443"),
             Site(name="sites/hefei", party="parties/hefei", liveness=Site.LIVENESS_LOST,
                  display_name=EVIL)]  # fmt: skip
    return _more(link, book, transfer, pools[0].pool, sites[0]) | {
        "ListJobs": ListJobsResponse(jobs=JOBS),
        "GetJob": JOBS[2],
        "GetPlacement": Placement(name="placements/p", tasks=tasks),
        "ListTasks": ListTasksResponse(tasks=[Task(result=each, site="sites/hefei", attempt=1) for each in tasks]),
        "GetDecision": DECISION,
        "GetBill": Bill(account="accounts/demo", currency="CNY", charges=CHARGES, total_micros=123_456_789_017),
        "ListAccounts": ListAccountsResponse(accounts=ACCOUNTS),
        "ListPostings": ListPostingsResponse(postings=POSTINGS),
        "ListHolds": ListHoldsResponse(holds=HOLDS),
        "ListUsage": ListUsageResponse(usage=[StoredUsage(record=RECORD.SerializeToString(), record_time=LATER)]),
        "SummarizeCharges": SUMS,
        "ListSitePlacements": ListSitePlacementsResponse(placements=PLACEMENTS, total=1),
        "ListPriceBooks": ListPriceBooksResponse(price_books=[book]),
        "ListLinks": ListLinksResponse(links=[link]),
        "SearchPools": SearchPoolsResponse(pools=pools),
        "ListSites": ListSitesResponse(sites=sites),
        "ListDatasets": ListDatasetsResponse(datasets=[dataset]),
        "GetDataset": dataset,
        "ListTransfers": ListTransfersResponse(transfers=[transfer]),
        "GetTrace": Trace(name="traces/" + "ab" * 16, spans=spans, services=["gateway", "network_orchestrator"]),
    }


def _more(link: Link, book: PriceBook, transfer: Transfer, pool: Pool, site: Site) -> dict[str, Any]:
    """What is shown one by one, and what has a list of its own."""
    return {
        "GetAccount": ACCOUNTS[0],
        "GetLink": link,
        "GetPool": pool,
        "GetSite": site,
        "GetTransfer": transfer,
        "GetPriceBook": book,
        "GetReservation": RESERVATIONS[0],
        "ListReservations": ListReservationsResponse(reservations=RESERVATIONS),
        "FindPaths": FindPathsResponse(results=[PathResult(path=WAY)]),
        "ExplainPath": PathExplanation(found=PathResult(obstacle=NARROW), fastest=WAY, widest=WAY, links=[link]),
        "GetParty": PARTIES[0],
        "ListParties": ListPartiesResponse(parties=PARTIES),
        "GetTrustBundle": TRUST,
        "ListTraces": ListTracesResponse(traces=[
            TraceSummary(name="traces/" + "ab" * 16, root="suanmesh.scheduler.v1.SchedulerService/SubmitJobs",
                         start_time=NOON, duration_us=985_900, spans=156)]),
    }  # fmt: skip
