"""What can be done to the ledger. One is carried out whole, or refused without a trace; R is its result's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from suanmesh_accounting.domain.ledger import Account, AccountKind, Hold, HoldState, Move, PartyBudget
from suanmesh_accounting.domain.prices import Reading
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_kernel.refusals import Refusal

R = TypeVar("R")


class Command(Generic[R]):
    """One of the commands below. Moments are microseconds since 1970, amounts 10^-6 of a currency."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class OpenAccount(Command[Account]):
    """Open an account with nothing in it.

    Refused with AlreadyExists (`ACCOUNT_EXISTS`) and ResourceExhausted (`ACCOUNTS_TOO_MANY`).
    """

    name: str
    party: str
    currency: str
    kind: AccountKind
    create_us: int


@dataclass(frozen=True, slots=True)
class CreditAccount(Command[Account]):
    """Credit money paid in from outside, against the funding account that `operator` keeps in its currency.

    Refused with NotFound (`ACCOUNT_UNKNOWN`) and InvalidArgument (`FIELD_INVALID`).
    """

    name: str
    amount_micros: int
    entry: str
    operator: str
    post_us: int


@dataclass(frozen=True, slots=True)
class CloseAccount(Command[Account]):
    """Pay out what an account has left, against the funding account of its currency, and close it for good.

    Refused with NotFound (`ACCOUNT_UNKNOWN`), InvalidArgument (`FIELD_INVALID`: a funding account), and
    FailedPrecondition (`ACCOUNT_CLOSED`, `ACCOUNT_IN_USE`).
    """

    name: str
    entry: str
    operator: str
    post_us: int


@dataclass(frozen=True, slots=True)
class SetBudget(Command[Account]):
    """Set what an account may spend in a month, NO_BUDGET for as much as it has; `party` asks, empty for the operator.

    Refused with NotFound (`ACCOUNT_UNKNOWN`), InvalidArgument (`FIELD_INVALID`: an account that pays for no jobs) and
    FailedPrecondition (`ACCOUNT_CLOSED`).
    """

    name: str
    party: str
    amount_micros: int
    hard: bool
    now_us: int


@dataclass(frozen=True, slots=True)
class SetPartyBudget(Command[PartyBudget]):
    """Set what a party may spend in a month over all its accounts of a currency, NO_BUDGET for as much as they have.

    Refused with NotFound (`ACCOUNT_UNKNOWN`) where it has no account in the currency.
    """

    party: str
    currency: str
    amount_micros: int
    hard: bool
    now_us: int


class Published(NamedTuple):
    """A version of a price book that came into force; `document` is a PriceBook whose own version says nothing."""

    version: int
    document: bytes


@dataclass(frozen=True, slots=True)
class PublishBook(Command[Published]):
    """Put the next version of a price book into force. `document` is a PriceBook.

    Refused with ResourceExhausted (`PRICE_BOOKS_TOO_MANY`) and, where what is kept makes no book of it, with
    InvalidArgument (`FIELD_INVALID`).
    """

    name: str
    document: bytes
    keep_others: bool = False
    """Whether what the document does not say stays as in the version in force."""


@dataclass(frozen=True, slots=True)
class PlaceHold(Command[Hold]):
    """Promise money to a placement, or give the hold that stands for it.

    One that was given back before its commit is made anew. Refused with FailedPrecondition (`HOLD_LAPSED`) for one that
    was committed: its placement is over, and what it was charged counts against what it held. Else with NotFound
    (`ACCOUNT_UNKNOWN`, `PRICE_UNKNOWN`), FailedPrecondition (`CURRENCY_MISMATCH`) and ResourceExhausted
    (`BALANCE_INSUFFICIENT`, `BUDGET_EXHAUSTED`, `PARTY_BUDGET_EXHAUSTED`).
    """

    name: str
    account: str
    placement: str
    position: int
    job: str
    site: str
    amount_micros: int
    price_book: str
    ask: bytes
    trace_id: str
    create_us: int


@dataclass(frozen=True, slots=True)
class MoveHold(Command[None]):
    """Bring a hold that is known to be there to its next state; one that is there already stays.

    Where `seen` is given and the hold is in another state, it has been moved meanwhile: it stays, to be judged anew.
    """

    name: str
    to: HoldState
    seen: HoldState | None = None


class Measured(NamedTuple):
    """What a usage record says; `site`, `epoch` and `sequence` identify it. `record` is it verbatim."""

    site: str
    epoch: str
    sequence: int
    placement: str
    transfer: str
    task: int
    final: bool
    readings: tuple[Reading, ...]
    record: bytes
    leaf_index: int
    """Which leaf of its batch it is."""

    @property
    def reference(self) -> str:
        """`{site}/{epoch}/{sequence}`."""
        return f"{self.site}/{self.epoch}/{self.sequence}"


class Recorded(NamedTuple):
    """A record that is charged: in how many lines, and whether it was before it came."""

    lines: int
    again: bool


Outcome = Recorded | Refusal
"""What became of a record."""


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """What a site has signed (`type.v1.Signed` of a UsageBatch), and the hashes of all leaves, one after the other."""

    signed: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True)
class RecordUsage(Command[tuple[Outcome, ...]]):
    """Store the records of a batch that a site has signed, each once, and charge each to the hold that pays for it.

    Each record stands or falls by itself. Where no hold pays for one, it is kept in quarantine as `room` allows, and
    refused with FailedPrecondition (`USAGE_NOT_RATABLE`), or with ResourceExhausted (`QUARANTINE_FULL`) where there is
    no room. Other content under its number is refused with AlreadyExists (`USAGE_CONFLICT`), what no book can hold with
    InvalidArgument (`FIELD_INVALID`).
    """

    site: str
    measured: tuple[Measured, ...]
    batch: SignedBatch | None
    """None for records that are in quarantine already."""
    moves: Mapping[str, Move | None]
    """What is known of their transfers."""
    committed: frozenset[str]
    """Those of their placements that are known to be committed."""
    room: Room
    record_us: int


@dataclass(frozen=True, slots=True)
class ExpireUsage(Command[Mapping[str, int]]):
    """Drop records that came to quarantine before a moment, the oldest first; gives how many of each site."""

    before_us: int
    limit: int


@dataclass(frozen=True, slots=True)
class ForgetAnswers(Command[None]):
    """Forget answers given before a moment, the oldest first."""

    before_us: int
    limit: int


@dataclass(frozen=True, slots=True)
class LedgerIdentity:
    """What a ledger says of itself: the node it was made for, and a name that no other ledger has."""

    node: str
    ledger: str
    node_id: str = ""
    generation: str = ""
    number: int = 0
    """These three as of `agreement.Belonging`."""
    postings: int = 0
    """Number of its last posting."""


@dataclass(frozen=True, slots=True)
class ClaimLedger(Command[LedgerIdentity]):
    """Give a ledger that has none its identity; gives the one it has."""

    node: str
    name: str


@dataclass(frozen=True, slots=True)
class MarkLedger(Command[None]):
    """Keep what a ledger is to say of itself; a number that is not greater than that of before changes nothing."""

    node_id: str
    generation: str
    number: int


@dataclass(frozen=True, slots=True)
class Request:
    """Which request of whom an answer was given to."""

    principal: str
    method: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A request that was answered before, and the record of that answer."""

    record: bytes


@dataclass(frozen=True, slots=True)
class Once(Command[R | Replayed], Generic[R]):
    """Carry out a command and keep the answer to its request in the same transaction, unless it was answered before."""

    request: Request
    command: Command[R]
    answer: Callable[[R], bytes]
    """The record of the answer, made of the command's result."""
    create_us: int
