"""Parties: who takes part, and whether they may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from suanmesh_kernel.money import is_currency
from suanmesh_kernel.names import checked_id, checked_name
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from suanmesh_kernel.texts import first_unshowable

DISPLAY_NAME_LENGTH_MAX = 200
PUBLISHERS_MAX = 100


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
    publishers: tuple[str, ...] = ()
    """Sites of others that may publish datasets for it."""
    default_site: str = ""
    """Where data goes that its users bring without naming a site; empty where that is chosen."""


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


def with_publishers(party: Party, sites: Sequence[str]) -> Party:
    """The party with `sites` for its publishers, by name. Raises InvalidArgument (`FIELD_INVALID`)."""
    if len(sites) > PUBLISHERS_MAX:
        raise InvalidArgument("FIELD_INVALID", f"publishers: at most {PUBLISHERS_MAX} sites", field="publishers")
    names = {checked_name(site, "sites", field="publishers") for site in sites}
    return replace(party, publishers=tuple(sorted(names)))


def with_default_site(party: Party, site: str) -> Party:
    """The party with that default, none where it is empty. Raises InvalidArgument (`FIELD_INVALID`)."""
    return replace(party, default_site=checked_name(site, "sites", field="default_site") if site else "")


def require_owner(name: str, caller: str, *, operator: bool) -> None:
    """Raise PermissionDenied (`NOT_OWNER`) unless a user of `caller` may decide for the party `name`."""
    if not operator and caller != name:
        raise PermissionDenied("NOT_OWNER", f"{name} is not the caller's party", name=name)


def require_visible(name: str, caller: str, *, sees_all: bool) -> None:
    """Raise NotFound (`PARTY_UNKNOWN`) unless the party `name` is shown to a caller of the party `caller`."""
    if not sees_all and caller != name:
        raise unknown(name)


def checked_state(state: PartyState | None) -> PartyState:
    """What the operator may set. Raises InvalidArgument (`FIELD_INVALID`)."""
    if state not in (PartyState.APPROVED, PartyState.SUSPENDED):
        raise InvalidArgument("FIELD_INVALID", "state: a party is set APPROVED or SUSPENDED", field="state")
    return state


def unknown(name: str) -> NotFound:
    """The answer about a party that is not there, or not there for the caller."""
    return NotFound("PARTY_UNKNOWN", f"there is no party {name}", name=name)


def require_approved(party: Party) -> None:
    """Raise FailedPrecondition (`PARTY_NOT_APPROVED`) unless the party may do new things."""
    if party.state is not PartyState.APPROVED:
        raise FailedPrecondition(
            "PARTY_NOT_APPROVED", f"{party.name} is {party.state.value}", name=party.name, state=party.state.value
        )


def checked_display_name(text: str, *, field: str) -> str:
    """Return `text` if it can be shown to people: short, and without control or invisible characters.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    if len(text) > DISPLAY_NAME_LENGTH_MAX or first_unshowable(text) is not None:
        raise InvalidArgument(
            "FIELD_INVALID", f"{field}: at most {DISPLAY_NAME_LENGTH_MAX} printable characters", field=field
        )
    return text
