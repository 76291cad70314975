"""What accounting needs from others."""

from __future__ import annotations

from typing import Protocol

from suanmesh_accounting.domain.ledger import Move, Standing


class Mesh(Protocol):
    """What the rest of the node knows of sites, transfers and placements."""

    def signing_key(self, site: str) -> bytes | None:
        """The raw Ed25519 public key registered for the site; None when the site is unknown."""

    async def move_of(self, transfer: str) -> Move | None:
        """From where to where the transfer goes, and for which placement; None when it is unknown."""

    async def standing(self, placement: str) -> Standing | None:
        """Where the placement stands; None when it was never committed.

        Its deliveries are those whose usage will be reported: what moved nothing, or is nobody's to pay, is not.
        """


class Tokens(Protocol):
    """The tokens that stand for holds; the store's `Holds` is one."""

    async def put(self, placement: str, index: int, value: bytes, attachment: str) -> str:
        """Put a hold's token with an attachment, or find the one that stands there.

        Raises FailedPrecondition (`LEASE_GONE`), Aborted (`CONFLICT`) where it stands with another attachment,
        InvalidArgument (`FIELD_INVALID`).
        """

    async def stands(self, placement: str, index: int) -> bool:
        """Whether the token is there."""

    async def drop(self, placement: str, index: int) -> None:
        """Delete the token; no harm when it is gone."""
