"""How much one party may have: nothing that is kept grows without end."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.refusals import ResourceExhausted


@dataclass(frozen=True, slots=True)
class Caps:
    """The most of each."""

    party_datasets: int = 20_000
    party_transfers: int = 5_000
    party_bytes: int = 10 * 2**40


def require_datasets(party: str, count: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`DATASETS_TOO_MANY`) where a party has `count` datasets, and may have no more."""
    if count >= caps.party_datasets:
        message = f"{party} has {count} datasets, at most {caps.party_datasets} are allowed"
        raise ResourceExhausted("DATASETS_TOO_MANY", message, name=party, most=caps.party_datasets)


def require_transfers(party: str, count: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`TRANSFERS_TOO_MANY`) where a party has `count` of its own, and may have no more."""
    if count >= caps.party_transfers:
        message = f"{party} has {count} transfers that are not archived, at most {caps.party_transfers} are allowed"
        raise ResourceExhausted("TRANSFERS_TOO_MANY", message, name=party, most=caps.party_transfers)


def require_bytes(party: str, size_bytes: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`DATA_TOO_MUCH`) where a party's datasets would have `size_bytes` in all."""
    if size_bytes > caps.party_bytes:
        message = f"the datasets of {party} would have {size_bytes} bytes, at most {caps.party_bytes} are allowed"
        raise ResourceExhausted("DATA_TOO_MUCH", message, name=party, most_bytes=caps.party_bytes)
