"""Parties: who takes part, and whether they may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from suanmesh_kernel.money import is_currency
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument

DISPLAY_NAME_LENGTH_MAX = 200


class PartyKind(Enum):
    """What a party does in the mesh."""

    CONSUMER = "CONSUMER"
    COMPUTE_PROVIDER = "COMPUTE_PROVIDER"
    NETWORK_PROVIDER = "NETWORK_PROVIDER"
    OPERATOR = "OPERATOR"


class PartyState(Enum):
    """Where a party stands."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class Party:
    """A legal person that takes part."""

    name: str
    kind: PartyKind
    display_name: str
    currency: str
    state: PartyState
    create_time: datetime


def registered(party_id: str, kind: PartyKind | None, display_name: str, currency: str, now: datetime) -> Party:
    """A new party, APPROVED because only the operator registers parties.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    name = f"parties/{checked_id(party_id, field='party_id')}"
    if kind is None:
        raise InvalidArgument("FIELD_INVALID", "party.kind: say what the party does", field="party.kind")
    if not is_currency(currency):
        raise InvalidArgument(
            "FIELD_INVALID", f"party.currency: {currency[:20]!r} is not an ISO 4217 code", field="party.currency"
        )
    checked_display_name(display_name, field="party.display_name")
    return Party(name, kind, display_name, currency, PartyState.APPROVED, now)


def must_be_approved(party: Party) -> None:
    """Raise FailedPrecondition (`PARTY_NOT_APPROVED`) unless the party may do new things."""
    if party.state is not PartyState.APPROVED:
        raise FailedPrecondition(
            "PARTY_NOT_APPROVED", f"{party.name} is {party.state.value}", name=party.name, state=party.state.value
        )


def checked_display_name(text: str, *, field: str) -> str:
    """Return `text` if it can be shown to people: short, and without control characters.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    if len(text) > DISPLAY_NAME_LENGTH_MAX or not text.isprintable():
        raise InvalidArgument(
            "FIELD_INVALID", f"{field}: at most {DISPLAY_NAME_LENGTH_MAX} printable characters", field=field
        )
    return text
