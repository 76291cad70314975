"""What became of one job, read back through the public API, as plain JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh.gateway.v1 import trace_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2, reason_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.refusals import NotFound
from suanmesh_sdk import Mesh
from suanmesh_sdk.state_reasons import words

AREAS = ("accounting", "agent", "gateway", "network_orchestrator", "registry", "scheduler", "transport")


async def report_of(operator: Mesh, name: str, *, spans_s_max: float) -> dict[str, Any]:
    """Everything about the job; waits up to `spans_s_max` for the spans of all seven areas to arrive."""
    job = await operator.scheduler.GetJob(scheduler.GetJobRequest(name=name))
    placement = await operator.scheduler.GetPlacement(scheduler.GetPlacementRequest(name=job.placement))
    decision = await operator.scheduler.GetDecision(scheduler.GetDecisionRequest(name=job.decision))
    transfers = [
        await operator.transport.GetTransfer(transport.GetTransferRequest(name=transfer))
        for transfer in (*placement.input_transfers, *placement.output_transfers)
    ]
    bill = await operator.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=name))
    accounts = await operator.accounting.ListAccounts(accounting.ListAccountsRequest(page_size=1000))
    trace = await _trace(operator, job.trace_id, spans_s_max)
    moved_ms = sum(transfer.receipt.elapsed_ms for transfer in transfers)
    ran_s = max((_seconds(t.start_time, t.end_time) for t in placement.tasks), default=0.0)
    total_s = _seconds(job.create_time, job.end_time)
    return {
        "job": {
            "id": job.name,
            "state": job_pb2.Job.State.Name(job.state),
            "accuracy": await _accuracy(operator, job),
            "submit_to_delivered_s": round(total_s, 3),
            "task_s": round(ran_s, 3),
            "transfer_s": round(moved_ms / 1000, 3),
            "mesh_s": round(total_s - ran_s - moved_ms / 1000, 3),
        },
        "decision": _decision(decision),
        "transfer": _transfer(transfers),
        "charges": [_charge(charge) for charge in bill.charges],
        "ledger": {
            "accounts": [{"name": a.name, "balance_micros": a.balance_micros} for a in accounts.accounts],
            "balance_micros": sum(account.balance_micros for account in accounts.accounts),
        },
        "trace": {"id": job.trace_id, "services": list(trace.services), "spans": len(trace.spans)},
    }


async def _trace(operator: Mesh, trace_id: str, seconds: float) -> trace_pb2.Trace:
    """The trace once every area's spans and its last step are in it; what is there when the time is up."""
    trace = trace_pb2.Trace()
    deadline = asyncio.get_running_loop().time() + seconds
    settled = -1
    while asyncio.get_running_loop().time() < deadline:
        try:
            trace = await operator.gateway.GetTrace(gateway.GetTraceRequest(name=f"traces/{trace_id}"))
        except NotFound:
            await asyncio.sleep(0.2)
            continue
        if set(AREAS) <= set(trace.services) and len(trace.spans) == settled:
            break
        settled = len(trace.spans)
        await asyncio.sleep(1.5)
    return trace


async def _accuracy(operator: Mesh, job: job_pb2.Job) -> float:
    request = transport.ReadFileRequest(dataset=job.output_datasets[0], path=b"metrics.json")
    content = b"".join([piece.content async for piece in operator.transport.ReadFile(request)])
    return float(json.loads(content)["accuracy"])


def _decision(decision: decision_pb2.Decision) -> dict[str, Any]:
    return {
        "chosen": decision.chosen,
        "runner_up": decision.runner_up,
        "reason": words(decision.reason),
        "candidates": [
            {
                "site": candidate.site,
                "cost_micros": candidate.cost_micros if candidate.HasField("cost_micros") else None,
                "transfer_bytes": candidate.transfer_bytes,
                "path": list(candidate.path),
                "obstacle": reason_pb2.ObstacleCode.Name(candidate.obstacle.code).removeprefix("OBSTACLE_CODE_")
                if candidate.HasField("obstacle")
                else None,
            }
            for candidate in decision.candidates
        ],
    }


def _transfer(transfers: list[transfer_pb2.Transfer]) -> dict[str, Any]:
    """The input's transfer; the results' are counted beside it."""
    first = next((t for t in transfers if "-in-" in t.name), transfer_pb2.Transfer())
    return {
        "bytes": first.bytes,
        "digest": first.receipt.digest,
        "verified": bool(first.digest) and first.receipt.digest == first.digest,
        "transfers": len(transfers),
    }


def _charge(charge: usage_pb2.Charge) -> dict[str, Any]:
    meter = money_pb2.Meter.Name(charge.meter).removeprefix("METER_").lower()
    return {
        "quantity": charge.quantity,
        "unit": meter,
        "price": {"amount_micros": charge.price.amount_micros, "per_quantity": charge.price.per_quantity},
        "amount_micros": charge.amount_micros,
        "waived_micros": charge.waived_micros,
        "trace_id": charge.trace_id,
        "usage": charge.usage,
    }


def _seconds(start: Timestamp, end: Timestamp) -> float:
    return (end.ToNanoseconds() - start.ToNanoseconds()) / 1e9
