"""Tickets: the right to read one dataset here, checked without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from suanmesh_kernel.refusals import PermissionDenied


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says, once its signature has been found right."""

    transfer: str
    dataset: str
    digest: str
    source: str
    reader: str
    expire_time: datetime
    rate_bps: int


def require_ticket(ticket: Ticket, *, site: str, reader: str, now: datetime) -> None:
    """Raise PermissionDenied (`TICKET_INVALID`) unless `reader` may read the ticket's dataset at `site` at `now`."""
    if ticket.source != site:
        raise _invalid(f"is for {ticket.source}, this is {site}")
    if ticket.reader != reader:
        raise _invalid(f"is for {ticket.reader}, not for {reader}")
    if now >= ticket.expire_time:
        raise _invalid(f"expired at {ticket.expire_time.isoformat()}")


def _invalid(why: str) -> PermissionDenied:
    return PermissionDenied("TICKET_INVALID", f"the ticket {why}", field="ticket")
