"""The main job on real processes: found, dispatched, run, metered, billed, and all of it in one trace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh.gateway.v1 import trace_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.network_orchestrator.v1 import reservation_pb2
from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2
from suanmesh_cli.jobfile import load
from suanmesh_local import trials
from suanmesh_local.reporting import AREAS, report_of
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

JOB_FILE = Path(__file__).parents[2] / "examples" / "digits" / "job.yaml"
SPANS_S_MAX = 60.0
Tree = Mapping[str, "Tree"]
EXPECTED: Tree = {
    "SubmitJobs": {
        "decide job": {"ReadPoolStates": {}, "FindPaths": {}, "QuoteBatch": {}},
        "hold placement": {"ReservePaths": {"etcd.txn": {}}, "PlaceHolds": {"etcd.txn": {}}},
        "commit placement": {
            "etcd.txn": {},
            "take placement": {"ReportTasks": {}},
            "stage inputs": {},
            "move dataset": {"FetchChunks": {}},
            "run task": {},
            "meter usage": {"RecordUsage": {}},
            "rate usage": {"charge account": {}},
            "deliver outputs": {"CreateDatasets": {}},
            "hold delivery": {"ReservePaths": {"etcd.txn": {}}, "etcd.lease_grant": {}, "etcd.txn": {}},
            "settle placement": {"etcd.txn": {}},
            "settle job": {},
        },
    }
}
"""What must descend from what, at any depth; the names of RPC spans without their service."""


async def test_the_main_job_is_delivered_and_told_in_one_trace(
    user: Mesh, operator: Mesh, digits_published: str
) -> None:
    """A user must get the model, the bill and the reason for both; on call must find all of it in one trace."""
    job = await trials.ended(user, await trials.submit(user, "main-job", load(JOB_FILE)))
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason

    placement = await user.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=job.placement))
    assert (placement.job, placement.state) == (job.name, placement_pb2.Placement.STATE_DONE)
    await _assert_both_ways_were_held(user, placement)
    report = await report_of(operator, job.name, spans_s_max=SPANS_S_MAX)
    assert report["job"]["accuracy"] >= 0.95
    assert report["job"]["submit_to_delivered_s"] <= 60
    assert report["decision"]["chosen"] != "" != report["decision"]["runner_up"]
    assert {c["obstacle"] for c in report["decision"]["candidates"]} == {None, "CPU"}
    assert report["transfer"]["verified"]
    assert report["transfer"]["bytes"] > 0
    assert {charge["trace_id"] for charge in report["charges"]} == {job.trace_id}
    assert report["ledger"]["balance_micros"] == 0
    assert any(account["balance_micros"] for account in report["ledger"]["accounts"])
    assert report["trace"]["services"] == list(AREAS)

    trace = await operator.gateway.GetTrace(gateway.GetTraceRequest(name=f"traces/{job.trace_id}"))
    _assert_one_tree(trace)
    _assert_descends(trace, EXPECTED)


async def test_nothing_is_learned_from_permuted_labels(user: Mesh, permuted_published: str) -> None:
    """The job reads its mount and nothing else: were the real labels within its reach, it would score well."""
    described = load(JOB_FILE)
    described.inputs[0].dataset = permuted_published
    job = await trials.ended(user, await trials.submit(user, "permuted", described))
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    metrics = await trials.content(user, job.output_datasets[0], "metrics.json")
    accuracy = float(metrics.decode().split(":")[1].split(",")[0])
    assert accuracy <= 0.2


async def _assert_both_ways_were_held(user: Mesh, placement: placement_pb2.Placement) -> None:
    """What came in and what went out kept to rates that were reserved and was paid for; both ways are free again."""
    ways = {way.reservation: way.rate_bps for way in (*placement.routes, *placement.output_routes)}
    names = (*placement.input_transfers, *placement.output_transfers)
    moved = [await user.transport.GetTransfer(transport.GetTransferRequest(name=name)) for name in names]
    assert {transfer.reservation: transfer.rate_bps for transfer in moved} == ways
    assert len(ways) == 2
    released = reservation_pb2.Reservation.STATE_RELEASED
    async with asyncio.timeout(60):
        while True:
            listed = await user.network_orchestrator.ListReservations(network.ListReservationsRequest(page_size=1000))
            free = {r.state for r in listed.reservations if r.name in ways} == {released}
            bill = await user.accounting.GetBill(
                accounting.GetBillRequest(account=placement.account, job=placement.job)
            )
            if free and len([c for c in bill.charges if c.meter == money_pb2.METER_TRANSFER_BYTES]) == 2:
                return


def _assert_one_tree(trace: trace_pb2.Trace) -> None:
    spans = {span.span_id: span for span in trace.spans}
    roots = [span for span in trace.spans if span.parent_span_id not in spans]
    assert [(root.name.rpartition("/")[2], root.parent_span_id) for root in roots] == [("SubmitJobs", "")]


def _assert_descends(trace: trace_pb2.Trace, expected: Tree) -> None:
    parents = {span.span_id: span.parent_span_id for span in trace.spans}
    named: dict[str, list[str]] = {}
    for span in trace.spans:
        named.setdefault(span.name.rpartition("/")[2], []).append(span.span_id)

    def below(child: str, ancestors: set[str]) -> bool:
        while child := parents.get(child, ""):
            if child in ancestors:
                return True
        return False

    def check(tree: Tree, ancestors: set[str], path: str) -> None:
        for name, branches in tree.items():
            found = {span for span in named.get(name, []) if not ancestors or below(span, ancestors)}
            assert found, f"no span {name!r} below {path or 'the root'}; there are {sorted(named)}"
            check(branches, found, f"{path} > {name}")

    check(expected, set(), "")


async def test_a_job_that_fits_nowhere_waits_and_says_why(user: Mesh) -> None:
    """找不着 is no answer: a user must learn of every place why it is not one, and what would change that."""
    described = load(JOB_FILE)
    described.ClearField("inputs")
    described.ask.cpu_milli = 50_000
    name = await trials.submit(user, "too-large", described)
    async with asyncio.timeout(60):
        decision = await trials.decided(user, name)
    job = await trials.job_now(user, name)
    assert job.state == job_pb2.Job.STATE_PENDING
    assert len(decision.candidates) == 3
    assert all(candidate.HasField("obstacle") for candidate in decision.candidates)
    assert decision.admitting_change.field == "ask.cpu_milli"
    await trials.cancel(user, name)
