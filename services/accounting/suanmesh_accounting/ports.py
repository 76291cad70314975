"""What accounting needs from others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from suanmesh_accounting.domain.commands import Command
from suanmesh_accounting.domain.ledger import Move, PlacementStatus
from suanmesh_accounting.domain.queries import Query
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.refusals import Refusal
from suanmesh_store.holds import NewHold, Place

R = TypeVar("R")


class LedgerReads(Protocol):
    """What can be asked of the ledger. Raises Unavailable (`NOT_READY`, `PROCESS_FULL`), DataLoss (`STORE_CORRUPT`)."""

    async def page(self, query: Query[R]) -> R:
        """What the query asks for, of one moment that is no older than what any `apply` returned before the call."""


class Ledger(LedgerReads, Protocol):
    """Accounts, prices, holds, usage, charges and the answers to requests. Several processes may write at once.

    `apply` raises Unavailable (`NOT_READY`, `DISK_FULL`, `PROCESS_FULL`) and DataLoss (`STORE_CORRUPT`).
    """

    async def apply(self, commands: Sequence[Command[R]]) -> list[R | Refusal]:
        """Carry out commands in their order and in one transaction; each stands or falls by itself.

        Durable when it returns; what other callers apply at the same time shares the wait for the disk. A caller that
        is cancelled while it waits leaves no trace, unless the transaction was being committed by then. Raises Aborted
        (`CONFLICT`) where others keep changing what the commands need.
        """


class Mesh(Protocol):
    """What the rest of the node knows of sites, transfers and placements."""

    async def signing_keys(self, site: str, wanted: Collection[str]) -> Mapping[str, KeyWindow]:
        """The signing keys of a site with their times, by key id; none when the site is unknown.

        Those `wanted` are there if they were registered before the call, however lately.
        """

    async def move_of(self, transfer: str) -> Move | None:
        """From where to where the transfer goes, and for which placement; None when it is unknown."""

    async def standing(self, placements: Collection[str]) -> Mapping[str, PlacementStatus]:
        """Where placements stand; one that was never committed is left out.

        Its deliveries are those whose usage will be reported: what moved nothing, or is nobody's to pay, is not.
        """


class HoldTokens(Protocol):
    """The tokens that stand for holds; the store's `Holds` is one."""

    async def put_many(self, holds: Sequence[NewHold]) -> list[str | Refusal]:
        """Put the tokens of holds with their attachments, or find those that stand there, in order.

        Each is refused by itself: FailedPrecondition (`HOLD_LAPSED`), Aborted (`CONFLICT`) where it stands with another
        attachment, InvalidArgument (`FIELD_INVALID`), Unavailable (`NOT_READY`, `NOT_LEADER`, `OUTCOME_UNKNOWN`).
        """

    async def standing(self, places: Collection[Place]) -> frozenset[Place]:
        """Those of some tokens that are there."""

    async def drop(self, places: Iterable[Place]) -> None:
        """Delete tokens; no harm when one is gone."""


def accepted(result: R | Refusal) -> R:
    """The result of one command. Raises its refusal where it was refused."""
    if isinstance(result, Refusal):
        raise result
    return result
