"""The agent of a site, its certificate and its signing key in order, sends usage of work that never was."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh_chassis.signing import Signer, load_signer
from suanmesh_kernel.merkle import leaf_hashes, root_hash
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.node import NODE, Node
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of
from tests.mesh.flooding import P99_S_MAX, mesh_of, under_attack

pytestmark = [pytest.mark.mesh, pytest.mark.attack]

SITE = "wuhu"
LASTS_S = 30.0
AT_ONCE = 4
BATCH = 500
MIB = 1 << 20
LEDGER_GROWTH_MAX = 8 * MIB
"""Room for the quarantine of one site, its indexes, and the log of writes."""
TEXT = 256


async def test_usage_of_placements_that_never_were(node: Node) -> None:
    """One agent grew the ledger by 211 MiB in two seconds; others' money, and the disk, are in the same file."""
    home = node.folder / "sites" / SITE / "identity"
    signer = load_signer(home / "signing.key", f"spiffe://{NODE}/site/{SITE}/agent")
    ledger = node.folder / "services" / "accounting"
    begun = _size(ledger)
    async with mesh_of(home, node.gateway) as mesh, node.mesh() as user:
        assert set(await _sent(mesh, signer, 0, text=2 * TEXT)) == {"FIELD_INVALID"}
        async with under_attack(node, "usage_flood") as measured:
            answers, seconds = await asyncio.gather(_flooded(mesh, signer), _asked_for_bills(user))
    grown = _size(ledger) - begun
    print(f'{{"name": "usage_flood.ledger_growth", "value": {grown / MIB:.1f}, "unit": "MiB"}}')
    slowest = sorted(seconds)[int(len(seconds) * 0.99)]
    print(f'{{"name": "usage_flood.accounting_p99", "value": {slowest * 1000:.0f}, "unit": "ms"}}')
    print(dict(answers))
    assert slowest <= P99_S_MAX
    assert answers["QUARANTINE_FULL"] > BATCH
    assert grown < LEDGER_GROWTH_MAX
    measured.require()


async def _flooded(mesh: Mesh, signer: Signer) -> Counter[str]:
    """Batches of records as large as they may be, one after the other in several rows; answers by reason."""
    answers: Counter[str] = Counter()
    until = time.monotonic() + LASTS_S

    async def row(number: int) -> None:
        count = 0
        while time.monotonic() < until:
            try:
                answers.update(await _sent(mesh, signer, number * 10**6 + count * BATCH))
            except Refusal as refusal:
                answers[f"call {refusal.reason}"] += 1
                await asyncio.sleep(0.1)  # as a hostile caller would, it keeps coming
            count += 1

    await asyncio.gather(*(row(number) for number in range(1, AT_ONCE + 1)))
    return answers


async def _asked_for_bills(user: Mesh) -> list[float]:
    """An honest customer looks at its account meanwhile; how long each answer took."""
    seconds: list[float] = []
    until = time.monotonic() + LASTS_S
    while time.monotonic() < until:
        begun = time.monotonic()
        await user.accounting.ListAccounts(pb.ListAccountsRequest(), timeout=10)
        seconds.append(time.monotonic() - begun)
        await asyncio.sleep(0.05)
    return seconds


async def _sent(mesh: Mesh, signer: Signer, first: int, *, text: int = TEXT) -> Counter[str]:
    records = [_record(first + number, text).SerializeToString() for number in range(1, BATCH + 1)]
    batch = usage_pb2.UsageBatch(site=f"sites/{SITE}", tree_size=BATCH, root_hash=root_hash(leaf_hashes(records)))
    batch.sign_time.GetCurrentTime()
    signed = signer.sign(usage_pb2.UsageBatch.DESCRIPTOR.full_name, batch.SerializeToString())
    answer = await mesh.accounting.RecordUsage(pb.RecordUsageRequest(batch=signed, records=records), timeout=30)
    reasons: Counter[str] = Counter()
    for refused in answer.refusals:
        reasons[refusal_of(refused.error).reason] += len(refused.records)
    return reasons + Counter(TAKEN=len(records) - reasons.total())


def _record(number: int, text: int) -> usage_pb2.UsageRecord:
    """Usage of a placement and a transfer nobody knows, with names as long as they may be."""
    name = f"{number:0>10}" + "x" * (text - 22)
    return usage_pb2.UsageRecord(
        site=f"sites/{SITE}",
        epoch="hostile",
        sequence=number,
        placement=f"placements/{name}",
        transfer=f"transfers/{name}"[:text],
        final=True,
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("ledger.sqlite*"))
