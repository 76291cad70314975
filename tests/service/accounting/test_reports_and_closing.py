"""What finance asks of accounting: sums by what was paid for, the history of a price, accounts that are closed."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.usage_pb2 import Hold
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import refusal_of

Ask = pb.SummarizeChargesRequest


async def summed(books: Any, group_by: int, caller: Any = None, **more: Any) -> pb.SummarizeChargesResponse:
    request = Ask(account="accounts/acme", group_by=group_by, **more)
    answer: pb.SummarizeChargesResponse = await (caller or books.user).accounting.SummarizeCharges(request)
    return answer


async def test_a_bill_is_summed_by_what_was_paid_for(books: Any) -> None:
    """Whoever pays for a team must see which job, site and day the money went to, and that it adds up."""
    for placement in ("p", "q"):
        await books.place(placement, 100)
    for placement, used in (("p", 10), ("q", 20), ("q", 5)):
        await books.use("a", placement, used)
    jobs = await summed(books, Ask.GROUP_BY_JOB)
    assert [(each.job, each.charges, each.amount_micros) for each in jobs.sums] == [
        ("jobs/p", 1, 10), ("jobs/q", 2, 25),
    ]  # fmt: skip
    assert (jobs.account, jobs.currency, jobs.charges, jobs.total_micros) == ("accounts/acme", "CNY", 3, 35)
    assert [each.site for each in (await summed(books, Ask.GROUP_BY_SITE)).sums] == ["sites/a"]
    assert [each.meter for each in (await summed(books, Ask.GROUP_BY_METER)).sums] == [1]
    [day] = (await summed(books, Ask.GROUP_BY_DAY, utc_offset_min=480)).sums
    assert (day.day.seconds + 480 * 60) % 86_400 == 0
    assert day.day.seconds <= day.first_time.seconds <= day.last_time.seconds < day.day.seconds + 86_400
    before = Timestamp(seconds=day.first_time.seconds)
    assert (await summed(books, Ask.GROUP_BY_JOB, end_time=before)).total_micros == 0


async def test_sums_are_for_the_partys_own_users(books: Any) -> None:
    """What a competitor spends is nobody else's business, not even that there is an account."""
    with pytest.raises(Refusal, match="ACCOUNT_UNKNOWN"):
        await summed(books, Ask.GROUP_BY_DAY, books.stranger)
    assert (await summed(books, Ask.GROUP_BY_DAY, books.operator)).account == "accounts/acme"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"group_by": 0}, "group_by"),
        ({"group_by": 99}, "group_by"),
        ({"group_by": 1, "utc_offset_min": 1081}, "utc_offset_min"),
        ({"group_by": 1, "start_time": Timestamp(seconds=-(10**15))}, "start_time"),
        ({"group_by": 1, "page_size": 1001}, "page_size"),
    ],
)
async def test_a_wrong_question_is_refused_with_its_field(books: Any, asked: dict[str, Any], field: str) -> None:
    """A report over something else than was meant is taken for the right one."""
    with pytest.raises(Refusal) as refused:
        await summed(books, **asked)
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", field)


async def test_a_page_token_fits_its_own_period(books: Any) -> None:
    """A script that goes on with another month's token would leave out jobs."""
    for placement in ("p", "q"):
        await books.place(placement, 100)
        await books.use("a", placement, 10)
    first = await summed(books, Ask.GROUP_BY_JOB, page_size=1)
    second = await summed(books, Ask.GROUP_BY_JOB, page_size=1, page_token=first.next_page_token)
    assert [first.sums[0].job, second.sums[0].job, second.next_page_token] == ["jobs/p", "jobs/q", ""]
    with pytest.raises(Refusal, match="PAGE_TOKEN_INVALID"):
        await summed(books, Ask.GROUP_BY_DAY, page_token=first.next_page_token)


async def test_the_history_of_one_price_is_asked_for_by_name(books: Any) -> None:
    """Whoever disputes a charge wants the versions of one book, not of ten thousand."""
    await books.publish(cpu=3)
    await books.publish("b", cpu=7)
    request = pb.ListPriceBooksRequest(price_book="priceBooks/a", all_versions=True)
    assert [book.version for book in (await books.user.accounting.ListPriceBooks(request)).price_books] == [1, 2]
    request = pb.ListPriceBooksRequest(price_book="priceBooks/b")
    assert [book.name for book in (await books.user.accounting.ListPriceBooks(request)).price_books] == ["priceBooks/b"]


async def test_an_account_is_closed_once_and_its_bill_stays(books: Any) -> None:
    """A customer who leaves is paid out once, however often the answer is lost; the tax office asks for years."""
    await books.place("p", 100)
    await books.use("a", "p", 10, final=True)
    close = pb.CloseAccountRequest(name="accounts/acme", request_id="close")
    with pytest.raises(Refusal, match="ACCOUNT_IN_USE"):
        await books.operator.accounting.CloseAccount(close)
    await books.end("p")
    await books.until("p", Hold.STATE_RELEASED)
    close.request_id = "again"
    closed = await books.operator.accounting.CloseAccount(close)
    assert (closed.balance_micros, closed.HasField("close_time")) == (0, True)
    assert await books.operator.accounting.CloseAccount(close) == closed
    assert (await books.account("operator-funding-cny")).balance_micros == -10
    assert refusal_of((await books.hold("q", 1, await books.lease())).error).reason == "ACCOUNT_CLOSED"
    assert (await books.bill()).total_micros == 10
    await books.assert_balanced()
