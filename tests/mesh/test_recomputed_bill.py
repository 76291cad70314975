"""The bill, recomputed by a script that shares no code with accounting."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import money_pb2
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "recompute_bill.py"
ADD_UP = """
import pathlib
total = sum(path.stat().st_size for path in pathlib.Path("in").rglob("*.bin"))
pathlib.Path("out/sum/total").write_text(str(total) * 100_000)
"""


@pytest.fixture
async def operator(node: Node) -> AsyncIterator[Mesh]:
    """The mesh as its operator."""
    async with node.mesh("operator") as mesh:
        yield mesh


async def test_a_job_fed_from_two_sites_pays_each_way_once(node: Node, operator: Mesh, tmp_path: Path) -> None:
    """Whoever brings data from two places pays each link for what went over it, and the books add up to the last one.

    The prices change afterwards, which must change nothing that was charged before.
    """
    await _publish(node, tmp_path, "shanghai", "east", 3 << 20)
    await _publish(node, tmp_path, "wuhu", "west", 2 << 20)
    described = trials.job(ADD_UP, inputs=["east", "west"], outputs=["sum"])
    described.constraints.allow_sites.append("sites/guiyang")
    described.outputs[0].deliver_to = "sites/shanghai"
    async with node.mesh() as mesh:
        name = await trials.submit(mesh, "fed-from-two", described)
        job = await trials.ended(mesh, name)
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    await _settled(operator, job.account)
    await _raise_a_price(operator)

    bill = await operator.accounting.GetBill(accounting.GetBillRequest(account=job.account, job=name))
    made = await operator.transport.GetDataset(transport.GetDatasetRequest(name=job.output_datasets[0]))
    moved = {(c.price_version, c.quantity) for c in bill.charges if c.meter == money_pb2.METER_TRANSFER_BYTES}
    assert moved == {
        ("links/shanghai-guiyang@declared", 3 << 20),
        ("links/wuhu-guiyang@declared", 2 << 20),
        ("links/guiyang-shanghai@declared", made.bytes),
    }
    said = await _recomputed(node)
    assert said.returncode == 0, said.stdout + said.stderr
    assert " 0 contradictions" in said.stdout
    print(said.stdout)


Damage = Callable[[Any], None]


def _too_much(books: Any) -> None:
    books.charges[0].amount_micros += 1


def _waived_in_vain(books: Any) -> None:
    books.charges[0].waived_micros += 1


def _less_than_waived(books: Any) -> None:
    books.charges[0].waived_micros += books.charges[0].amount_micros + 1
    books.charges[0].amount_micros = -1


def _beyond_the_hold(books: Any) -> None:
    spent = next(hold for hold in books.holds if hold.charged_micros)
    spent.amount_micros = spent.charged_micros - 1


def _twice(books: Any) -> None:
    books.charges.append(books.charges[0])


def _forgotten(books: Any) -> None:
    books.charges.remove(next(c for c in books.charges if c.price_version.startswith("priceBooks/")))


def _invented(books: Any) -> None:
    del books.records[books.charges[0].usage]


def _unsigned(books: Any) -> None:
    books.stored[0].record += usage_pb2.UsageRecord(task=1).SerializeToString()


def _of_another_batch(books: Any) -> None:
    books.stored[0].leaf_index += 1


def _posted_elsewhere(books: Any) -> None:
    books.charges[0].entry = "charges/none"


def _unbalanced(books: Any) -> None:
    books.postings[0].amount_micros += 1


@pytest.mark.parametrize(
    "damage",
    [
        _too_much,
        _waived_in_vain,
        _less_than_waived,
        _beyond_the_hold,
        _twice,
        _forgotten,
        _invented,
        _unsigned,
        _of_another_batch,
        _posted_elsewhere,
        _unbalanced,
    ],
)
async def test_the_script_sees_a_wrong_book(operator: Mesh, damage: Damage) -> None:
    """A check that never fails proves nothing."""
    books = _loaded().Books()
    await books.read(operator)
    assert not list(books.problems())
    damage(books)
    assert list(books.problems())


async def test_a_link_that_is_declared_anew_changes_no_bill_of_before(operator: Mesh) -> None:
    """Links have no versions of their prices: an auditor must not be told of contradictions where one was changed."""
    books = _loaded().Books()
    await books.read(operator)
    charged = {charge.price_version for charge in books.charges if charge.price_version in books.links}
    dearer, removed = sorted(charged)[:2]
    for meter in books.prices[dearer][1]:
        books.prices[dearer][1][meter] *= 2
    del books.prices[removed], books.links[removed]
    assert not list(books.problems())
    assert {c.name for c in books.charges if c.price_version in (dearer, removed)} == books.declared_anew
    of_link = next(charge for charge in books.charges if charge.price_version == dearer)
    of_link.price.amount_micros += 1
    assert list(books.problems())


async def _publish(node: Node, folder: Path, site: str, dataset: str, size_bytes: int) -> None:
    data = folder / dataset
    data.mkdir()
    (data / f"{dataset}.bin").write_bytes(os.urandom(size_bytes))
    await node.publish(site, dataset, "demo", data)


async def _settled(operator: Mesh, account: str) -> None:
    """Until every hold of the account has been given back: all usage has been charged then."""
    async with asyncio.timeout(60):
        while True:
            answer = await operator.accounting.ListHolds(accounting.ListHoldsRequest(account=account, page_size=1000))
            if all(hold.state == usage_pb2.Hold.STATE_RELEASED for hold in answer.holds):
                return
            await asyncio.sleep(trials.LOOK_AGAIN_S)


async def _raise_a_price(operator: Mesh) -> None:
    answer = await operator.accounting.ListPriceBooks(accounting.ListPriceBooksRequest())
    book = next(book for book in answer.price_books if book.name == "priceBooks/guiyang")
    for dearer in (2, 1):
        changed = type(book)()
        changed.CopyFrom(book)
        for price in changed.prices:
            price.amount_micros *= dearer
        request = accounting.PublishPriceBookRequest(price_book_id="guiyang", price_book=changed)
        await operator.accounting.PublishPriceBook(request)


async def _recomputed(node: Node) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "SUANMESH_CONFIG": str(node.folder / "config.toml"),
        "SUANMESH_CONTEXT": "operator",
    }
    command = [sys.executable, str(SCRIPT)]
    return await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recompute_bill", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
