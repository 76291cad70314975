"""Usage from the signed record to the bill, behind the real wrapper."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.usage_pb2 import Hold, UsageBatch, UsageRecord
from suanmesh.type.v1.money_pb2 import METER_TRANSFER_BYTES, Price
from suanmesh_chassis.signing import verify
from suanmesh_kernel import merkle
from suanmesh_kernel.refusals import InvalidArgument, Refusal

MIB = 1 << 20
COMMITTED, RELEASED = Hold.STATE_COMMITTED, Hold.STATE_RELEASED


def reason(told: str | Refusal) -> str:
    return told.reason if isinstance(told, Refusal) else ""


async def stored(books: Any, **facts: str) -> list[UsageRecord]:
    answer = await books.operator.accounting.ListUsage(pb.ListUsageRequest(page_size=1000, **facts))
    return [UsageRecord.FromString(each.record) for each in answer.usage]


async def test_a_charge_names_all_that_stands_behind_it(books: Any) -> None:
    """Whoever checks a bill must come from a line to the measurement, the price, the decision and the trace."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    await books.place("p", 100, decision="jobs/p/decisions/1", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    assert await books.use("a", "p", 40) == "OUTCOME_STORED"
    bill = await books.bill()
    [charge] = bill.charges
    assert charge.name == charge.entry == "charges/a-e1-1-0"
    assert (charge.account, charge.payee, charge.usage) == (
        "accounts/acme",
        "accounts/a-power-income-cny",
        "sites/a/e1/1",
    )
    assert (charge.job, charge.decision, charge.trace_id) == ("jobs/p", "jobs/p/decisions/1", trace)
    assert (charge.quantity, charge.amount_micros, charge.waived_micros) == (40, 40, 0)
    assert (bill.total_micros, bill.currency) == (40, "CNY")
    assert (await books.account("a-power-income-cny")).balance_micros == 40
    assert (await books.account()).balance_micros == 960
    await books.assert_balanced()


async def test_a_site_that_reports_too_much_is_paid_the_hold_and_no_more(books: Any) -> None:
    """A user was told the most a job can cost; a meter that lies, or errs, must not make that untrue."""
    await books.place("p", 100)
    for used in (70, 10**9, 50):
        assert reason(await books.use("a", "p", used)) == ""
    bill = await books.bill()
    assert [(c.quantity, c.amount_micros, c.waived_micros) for c in bill.charges] == [
        (70, 70, 0),
        (10**9, 30, 10**9 - 30),
        (50, 0, 50),
    ]
    assert bill.total_micros == 100
    assert (await books.holds())["p"].charged_micros == 100
    account = await books.account()
    assert (account.balance_micros, account.held_micros) == (900, 0)
    assert [record.readings[0].quantity for record in await stored(books)] == [70, 10**9, 50]
    await books.assert_balanced()


async def test_a_payee_is_paid_though_the_name_of_its_account_is_taken(books: Any) -> None:
    """An account opened under that name must not keep a provider from earning, or a customer from paying in."""
    for taken in ("a-power-income-cny", "operator-funding-eur"):
        await books.open_account(taken)
    await books.place("p", 100)
    assert reason(await books.use("a", "p", 40)) == ""
    assert (await books.account("a-power-income-cny-2")).balance_micros == 40
    assert (await books.open_account("euro", currency="EUR", credit=5)).balance_micros == 5
    await books.assert_balanced()


async def test_late_usage_is_charged_from_what_is_still_free(books: Any) -> None:
    """A site that was cut off is paid when it is back, but not with the money of a job that runs by then."""
    await books.place("late", 400)
    await books.until("late", COMMITTED)
    await books.end("late")
    books.clock.advance(31)
    await books.until("late", RELEASED)
    await books.use("a", "late", 100)
    assert (await books.account()).balance_micros == 900

    await books.place("next", 850)
    await books.use("a", "late", 100)

    assert [(c.amount_micros, c.waived_micros) for c in (await books.bill()).charges] == [(100, 0), (50, 50)]
    account = await books.account()
    assert (account.balance_micros, account.held_micros) == (850, 850)
    assert (await books.holds())["late"].charged_micros == 150


async def test_what_was_moved_pays_the_links_of_its_own_way(books: Any) -> None:
    """Data from two places, and results, must not pay each other's carriers; a way without a price is free."""
    ways = [
        pb.LinkPrice(
            link=f"links/{source}-{target}",
            party=f"parties/{source}-{target}-net",
            source=f"sites/{source}",
            target=f"sites/{target}",
            price=Price(meter=METER_TRANSFER_BYTES, amount_micros=price, per_quantity=MIB),
        )
        for source, target, price in (("b", "a", 20), ("c", "a", 30), ("a", "b", 10))
    ]
    await books.place("p", 500, link_prices=ways)
    await books.move("in-b", "b", "a", "p")
    await books.move("in-c", "c", "a", "p")
    await books.move("out-b", "a", "b", "p")
    await books.move("out-free", "a", "a-b", "p")
    moved = (("a", "in-b", 3), ("a", "in-c", 1), ("b", "out-b", 9), ("a-b", "out-free", 5))
    for site, transfer, size in ((site, transfer, mib * MIB) for site, transfer, mib in moved):
        assert reason(await books.moved(site, "p", transfer, size)) == ""
    assert [(c.price_version, c.payee, c.amount_micros) for c in (await books.bill()).charges] == [
        ("links/b-a@declared", "accounts/b-a-net-income-cny", 60),
        ("links/c-a@declared", "accounts/c-a-net-income-cny", 30),
        ("links/a-b@declared", "accounts/a-b-net-income-cny", 90),
    ]


async def test_a_record_sent_again_counts_once(books: Any) -> None:
    """An agent that lost the answer sends the record again, for days if need be."""
    await books.place("p", 100)
    record = books.record("a", "p", 40)
    assert await books.send("a", record) == ["OUTCOME_STORED"]
    assert await books.send("a", record, record) == ["OUTCOME_DUPLICATE"] * 2
    assert (await books.bill()).total_micros == 40
    assert len(await stored(books)) == 1


async def test_other_content_under_the_same_number_is_refused(books: Any) -> None:
    """A meter that counts twice under one number is broken or lies; the first word stands."""
    await books.place("p", 100)
    await books.use("a", "p", 40)
    result = await books.use("a", "p", 50, sequence=1)
    assert (result.code, result.reason) == ("ALREADY_EXISTS", "USAGE_CONFLICT")
    assert (await books.bill()).total_micros == 40


async def test_no_site_can_take_the_name_of_anothers_charge(books: Any) -> None:
    """The other's meter would send the same record for ever, and nothing after it would be paid."""
    await books.place("mine", 100)
    await books.place("theirs", 100, site="sites/a-b")
    squatting = await books.use("a", "mine", 5, epoch="b-e1")
    assert (reason(squatting), squatting.facts["field"]) == ("FIELD_INVALID", "records.epoch")
    assert reason(await books.use("a-b", "theirs", 5)) == ""


async def test_every_record_of_a_batch_stands_or_falls_by_itself(books: Any) -> None:
    """One bad record must not keep the others of a site from being paid, nor shift their answers."""
    await books.place("p", 100)
    good = [books.record("a", "p", used) for used in (1, 2)]
    foreign = books.record("b", "p", 4)
    unnumbered = books.record("a", "p", 6, sequence=0)
    negative = books.record("a", "p", -7)
    doubled = books.record("a", "p", 8)
    doubled.readings.add(meter=doubled.readings[0].meter, quantity=8)
    beyond = books.record("a", "p", 2**62)
    long = books.record("a", "p" * 300, 9)

    wrongs = (unnumbered, negative, doubled, beyond, b"\xff", long)
    results = await books.send("a", good[0], foreign, *wrongs, good[1])

    assert [reason(result) for result in results] == [
        "", "USAGE_SIGNATURE_INVALID", *["FIELD_INVALID"] * len(wrongs), "",
    ]  # fmt: skip
    assert {result.code for result in results if reason(result)} == {"INVALID_ARGUMENT"}
    assert (await books.bill()).total_micros == 3
    assert len(await stored(books)) == 2


async def test_nothing_is_taken_of_a_batch_that_its_site_has_not_signed(books: Any) -> None:
    """Whoever gets between a site and its bill could else add, leave out, alter or reorder what is paid."""
    await books.place("p", 100)
    first, second, third = (books.record("a", "p", used) for used in (1, 2, 3))
    right = books.batch("a", first, second)
    altered = [books.batch("a", first, second) for _ in range(5)]
    altered[0].records.append(third.SerializeToString(deterministic=True))
    del altered[1].records[1:]
    altered[2].records[0] += UsageRecord(final=True).SerializeToString()
    altered[3].records.reverse()
    altered[4].batch.payload_type = UsageRecord.DESCRIPTOR.full_name
    forged = [books.batch("a", first, by="b"), books.batch("b", first), pb.RecordUsageRequest(records=right.records)]

    for request in (*altered, *forged):
        with pytest.raises(InvalidArgument, match="USAGE_SIGNATURE_INVALID"):
            await books.agent("a").accounting.RecordUsage(request)

    assert await stored(books) == []
    answer = await books.agent("a").accounting.RecordUsage(right)
    assert list(answer.outcomes) == [pb.RecordUsageResponse.OUTCOME_STORED] * 2
    assert (await books.bill()).total_micros == 3


async def test_a_customer_can_prove_its_own_usage_and_sees_no_others(books: Any) -> None:
    """Who pays must be able to show that the site has signed for it, without learning what the site's others did."""
    await books.place("p", 100)
    await books.open_account("rival", party="rival", credit=100)
    await books.place("q", 100, account="accounts/rival")
    records = [books.record("a", placement, 1) for placement in "pqqqp"]
    await books.send("a", *records[:3])
    await books.send("a", *records)

    mine = (await books.user.accounting.ListUsage(pb.ListUsageRequest())).usage

    assert [UsageRecord.FromString(each.record).sequence for each in mine] == [1, 5]
    for each, index, size in zip(mine, (0, 4), (3, 5), strict=True):
        batch = UsageBatch.FromString(each.batch.payload)
        assert verify(each.batch, books.signers["a"].public_key)
        assert (batch.site, batch.tree_size, each.leaf_index) == ("sites/a", size, index)
        [leaf] = merkle.leaf_hashes([each.record])
        assert merkle.root_of_path(leaf, index, size, each.audit_path) == batch.root_hash
    assert b"placements/q" not in b"".join(each.SerializeToString() for each in mine)


async def test_a_batch_of_any_size_is_answered_in_order(books: Any) -> None:
    """An agent that was cut off for a day comes back with all it has, and forgets what is answered as taken."""
    await books.place("p", 1000)
    records = [books.record("a", "p", 1) for _ in range(120)]
    await books.send("a", *records[:40:2])
    told = await books.send("a", *records)
    assert told == ["OUTCOME_DUPLICATE", "OUTCOME_STORED"] * 20 + ["OUTCOME_STORED"] * 80
    bill = await books.bill()
    assert bill.total_micros == 120
    assert {charge.usage for charge in bill.charges} == {f"sites/a/e1/{n}" for n in range(1, 121)}
    assert len({charge.entry for charge in bill.charges}) == 2
    await books.assert_balanced()


async def test_what_no_hold_pays_for_is_kept_and_charged_to_nobody(books: Any) -> None:
    """An operator must be able to look into it; a customer must not pay a site that its job never ran at."""
    await books.place("p", 100)
    await books.hold("uncommitted", 100, await books.lease())
    await books.move("elsewhere", "a", "b", "p")
    await books.move("other", "b", "a", "q")
    results = [
        await books.use("b", "p", 5),
        await books.use("a", "unknown", 5),
        await books.use("a", "uncommitted", 5),
        await books.moved("a", "p", "elsewhere", MIB),
        await books.moved("a", "p", "other", MIB),
        await books.moved("a", "p", "unknown", MIB),
    ]
    assert {(refusal.code, refusal.reason) for refusal in results} == {("FAILED_PRECONDITION", "USAGE_NOT_RATABLE")}
    assert (await books.bill()).total_micros == 0
    assert len(await stored(books)) == len(results)


async def test_usage_that_comes_before_the_commit_was_noticed_is_charged(opened: Any) -> None:
    """A task may end before accounting has looked again; its site is to be paid all the same."""
    async with opened() as books:
        await books.open_account(credit=1000)
        await books.publish()
        await books.place("p", 100)
        assert reason(await books.use("a", "p", 40)) == ""
        assert (await books.holds())["p"].state == COMMITTED
        assert (await books.bill()).total_micros == 40


async def test_a_bill_is_cut_by_job_and_by_time(books: Any) -> None:
    """A month's bill has no line of the next, and no line is between two months."""
    marks = []
    for placement in ("p", "q"):
        await books.place(placement, 100)
        for used in (1, 2):
            stamp = Timestamp()
            stamp.FromDatetime(books.clock.now())
            marks.append(stamp)
            await books.use("a", placement, used * (10 if placement == "q" else 1))
            books.clock.advance(60)

    async def total(**facts: Any) -> int:
        return (await books.bill(**facts)).total_micros

    assert await total() == 33
    assert (await total(job="jobs/p"), await total(job="jobs/q"), await total(job="jobs/none")) == (3, 30, 0)
    assert await total(start_time=marks[1], end_time=marks[3]) == 12
    assert await total(end_time=marks[0]) + await total(start_time=marks[0]) == 33
    assert await total(start_time=marks[2], job="jobs/p") == 0
    assert marks[0].ToDatetime(UTC) == (await books.bill()).charges[0].create_time.ToDatetime(UTC)


async def test_a_bill_says_what_holds_still_promise(books: Any) -> None:
    """Whoever keeps a job to its budget must know what its last attempt may yet be charged."""
    await books.place("p", 100, job="jobs/j")
    await books.place("other", 300)
    await books.use("a", "p", 40)

    async def standing(**facts: Any) -> tuple[int, int]:
        bill = await books.bill(**facts)
        return bill.total_micros, bill.held_micros

    assert (await standing(job="jobs/j"), await standing(job="jobs/none")) == ((40, 60), (0, 0))
    assert await standing() == (40, 360)
    await books.use("a", "p", 100, final=True)
    assert await standing(job="jobs/j") == (100, 0)
    await books.place("again", 50, job="jobs/j")
    assert await standing(job="jobs/j") == (100, 50)
    await books.use("a", "again", 20, final=True)
    await books.end("again")
    await books.until("again", RELEASED)
    assert (await standing(job="jobs/j"), await standing()) == ((120, 0), (120, 300))


async def test_a_long_bill_comes_in_pages_with_the_whole_sum(books: Any) -> None:
    """The bill of a busy month is larger than any message; its sum must not depend on how much of it is shown."""
    await books.place("p", 500)
    for quantity in (10, 20, 30):
        await books.use("a", "p", quantity)
    first = await books.bill(page_size=2)
    rest = await books.bill(page_size=2, page_token=first.next_page_token)

    assert [[c.amount_micros for c in page.charges] for page in (first, rest)] == [[10, 20], [30]]
    assert (first.total_micros, rest.total_micros, rest.next_page_token) == (60, 60, "")
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        await books.bill(job="jobs/other", page_token=first.next_page_token)
