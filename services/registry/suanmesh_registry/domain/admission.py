"""Admission: whether new work may come to a site, as its owner says."""

from __future__ import annotations

from enum import Enum

from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, PermissionDenied
from suanmesh_registry.domain.parties import checked_display_name


class Admission(Enum):
    """Whether new work may come to a site."""

    OPEN = "OPEN"
    CORDONED = "CORDONED"
    DRAINING = "DRAINING"
    REMOVED = "REMOVED"


SETTABLE = (Admission.OPEN, Admission.CORDONED, Admission.DRAINING)


def checked_admission(asked: Admission | None, note: str) -> Admission:
    """What an owner may set, with a note for people. Raises InvalidArgument (`FIELD_INVALID`)."""
    if asked not in SETTABLE:
        said = "nothing" if asked is None else asked.value
        raise InvalidArgument("FIELD_INVALID", f"admission: {said} cannot be set", field="admission")
    checked_display_name(note, field="note")
    return asked


def require_owner(site: str, party: str, caller: str, *, operator: bool) -> None:
    """Raise PermissionDenied (`NOT_OWNER`) unless a user of `caller` may decide for a site of `party`."""
    if not operator and caller != party:
        raise PermissionDenied("NOT_OWNER", f"{site} is not a site of the caller's party", name=site)


def require_there(site: str, admission: Admission) -> None:
    """Raise FailedPrecondition (`SITE_REMOVED`) where the site has left for good."""
    if admission is Admission.REMOVED:
        raise FailedPrecondition("SITE_REMOVED", f"{site} has left for good", name=site)


def require_removable(site: str, admission: Admission, placements: int) -> None:
    """Raise FailedPrecondition (`SITE_IN_USE`) while work may come to the site, or lives there."""
    if admission is Admission.OPEN:
        raise FailedPrecondition("SITE_IN_USE", f"{site} takes new work: drain it first", name=site)
    if placements:
        message = f"{placements} placements live at {site}: wait until it is drained"
        raise FailedPrecondition("SITE_IN_USE", message, name=site, placements=placements)
