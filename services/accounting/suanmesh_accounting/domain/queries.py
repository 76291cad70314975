"""What can be asked of the ledger. A query sees one moment of it; its answer has the type R."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from suanmesh_accounting.domain.commands import LedgerIdentity, Request
from suanmesh_accounting.domain.ledger import Account, AccountKind, Finals, Hold, HoldState, PartyBudget, Posted
from suanmesh_kernel import pages

DAY_US = 86_400_000_000
R = TypeVar("R")
T = TypeVar("T")


class Query(Generic[R]):
    """One of the queries below. Moments are microseconds since 1970, amounts 10^-6 of a currency."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list: `size` items beyond the place `after`; `scope` is what its page tokens are good for."""

    size: int
    after: str
    scope: str


def cut_of(page_size: int, page_token: str, scope: str) -> Cut:
    """Check what was asked; `scope` is the method and whatever else chose the items.

    Raises InvalidArgument (`FIELD_INVALID`, `PAGE_TOKEN_INVALID`).
    """
    return Cut(pages.checked_size(page_size), pages.after(page_token, scope), scope)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list in order, and the token of the next; empty on the last page."""

    items: tuple[T, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class AccountNamed(Query[Account]):
    """One account. Raises NotFound (`ACCOUNT_UNKNOWN`)."""

    name: str


@dataclass(frozen=True, slots=True)
class Accounts(Query[Page[Account]]):
    """Accounts by name; an empty party means all."""

    cut: Cut
    party: str


@dataclass(frozen=True, slots=True)
class BoundedAccounts(Query[Page[tuple[Account, PartyBudget | None]]]):
    """`Accounts`, each with the budget that its party has over all its accounts of the currency."""

    cut: Cut
    party: str


@dataclass(frozen=True, slots=True)
class BoundedAccount(Query[tuple[Account, PartyBudget | None]]):
    """One account with the budget that its party has over all its accounts. Raises NotFound (`ACCOUNT_UNKNOWN`)."""

    name: str


@dataclass(frozen=True, slots=True)
class PartyBudgets(Query[Page[PartyBudget]]):
    """Budgets of parties by party and currency; an empty party means all."""

    cut: Cut
    party: str


@dataclass(frozen=True, slots=True)
class StoredBook:
    """One version of a price book; `document` is a PriceBook, whose own version says nothing."""

    name: str
    version: int
    document: bytes


@dataclass(frozen=True, slots=True)
class BooksInForce(Query[Mapping[str, StoredBook]]):
    """The version in force of each of those books that there are."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Books(Query[Page[StoredBook]]):
    """Price books by name: those in force, or every version there has been by age; an empty name means all books."""

    cut: Cut
    all_versions: bool
    name: str = ""


@dataclass(frozen=True, slots=True)
class ProvedUsage:
    """A record, the signed batch it came in (`type.v1.Signed`), its way to the batch's root hash, and when it came."""

    record: bytes
    signed: bytes
    leaf_index: int
    audit_path: Sequence[bytes]
    record_us: int


@dataclass(frozen=True, slots=True)
class Usage(Query[Page[ProvedUsage]]):
    """Usage records in the order they came; an empty job or party means all."""

    cut: Cut
    job: str
    party: str


@dataclass(frozen=True, slots=True)
class BillPage:
    """Some charges (each a `Charge`), what all of them come to, and what is still held, all of one moment."""

    account: Account
    charges: Page[bytes]
    charge_count: int
    total_micros: int
    waived_micros: int
    held_micros: int


@dataclass(frozen=True, slots=True)
class Bill(Query[BillPage]):
    """The charges of an account rated from `start_us` on and before `end_us`; an empty job means all.

    Raises NotFound (`ACCOUNT_UNKNOWN`), also where the account is not of `party`, unless that is empty.
    """

    cut: Cut
    account: str
    party: str
    job: str
    start_us: int
    end_us: int


class ChargeGroup(StrEnum):
    """What charges are summed by."""

    JOB = "JOB"
    DAY = "DAY"
    SITE = "SITE"
    METER = "METER"
    DATASET = "DATASET"
    """What moved, and beside it `NOT_RECORDED` and `NO_DATASET`, so that the sums come to all there is."""


NOT_RECORDED = "~1"
"""What sums by dataset have as the key of transfers whose charges name none, such as those of older versions."""
NO_DATASET = "~2"
"""What they have as the key of all that is no transfer. Both come after every name."""


@dataclass(frozen=True, slots=True)
class ChargeSum:
    """Charges that have something in common: a job, a site, a dataset, a meter's number, or a day since 1970."""

    key: str | int
    charges: int
    amount_micros: int
    waived_micros: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class ChargeSums:
    """Some sums, and what all of them come to, all of one moment."""

    account: Account
    sums: Page[ChargeSum]
    charges: int
    total_micros: int
    waived_micros: int


@dataclass(frozen=True, slots=True)
class SummedCharges(Query[ChargeSums]):
    """The charges of an account rated from `start_us` on and before `end_us`, summed by their group in its order.

    Days begin `offset_us` before those of UTC. Raises NotFound (`ACCOUNT_UNKNOWN`) as `Bill` does.
    """

    cut: Cut
    account: str
    party: str
    group: ChargeGroup
    start_us: int
    end_us: int
    offset_us: int


@dataclass(frozen=True, slots=True)
class Postings(Query[Page[Posted]]):
    """Postings in the order they were made; an empty account or party means all."""

    cut: Cut
    account: str
    party: str = ""


@dataclass(frozen=True, slots=True)
class Holds(Query[Page[Hold]]):
    """Holds, those that stand first; an empty account or party means all."""

    cut: Cut
    account: str
    party: str


@dataclass(frozen=True, slots=True)
class StandingHolds(Query[tuple[Hold, ...]]):
    """Holds that have not been given back, the oldest first: of some placements, or all where none is named."""

    placements: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BookSums:
    """What the whole ledger comes to: by currency, by currency and kind of account, and by state of holds."""

    postings_micros: Mapping[str, int]
    """0 in every currency, since every entry is."""
    balances_micros: Mapping[tuple[str, AccountKind], int]
    """0 in every currency, all kinds together."""
    held_micros: Mapping[str, int]
    standing_holds: Mapping[HoldState, int]


@dataclass(frozen=True, slots=True)
class SummedBooks(Query[BookSums]):
    """All of that, of one moment; it reads the whole ledger."""


@dataclass(frozen=True, slots=True)
class HoldStates(Query[Mapping[str, HoldState]]):
    """Where the hold of each of those placements stands that has one."""

    placements: frozenset[str]


@dataclass(frozen=True, slots=True)
class FinalUsage(Query[Mapping[str, Finals]]):
    """Of which work of placements the final record has been charged; of those that have any."""

    placements: frozenset[str]


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """A record in quarantine."""

    id: int
    record: bytes


@dataclass(frozen=True, slots=True)
class PayableQuarantine(Query[tuple[QuarantinedRecord, ...]]):
    """Records in quarantine whose placement has been committed by now, by id beyond `after`."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class QuarantineSize(Query[int]):
    """How many records are in quarantine, of all sites."""


@dataclass(frozen=True, slots=True)
class MeterUsage:
    """What is stored of a site's meter: its newest epoch, the last sequence of one, and records of some works."""

    last_epoch: str
    last_sequence: int
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class UsageOfMeter(Query[MeterUsage]):
    """What is stored of a site's meter; `works` are placements and transfers."""

    site: str
    epoch: str
    works: frozenset[str]


@dataclass(frozen=True, slots=True)
class OwnIdentity(Query[LedgerIdentity | None]):
    """What the ledger says of itself; None where it has not led yet."""


@dataclass(frozen=True, slots=True)
class AnswerTo(Query[bytes | None]):
    """The record of the answer once given to a request; None where there is none."""

    request: Request
