"""Which jobs a list has to look at: as few as its filter allows."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.filter_terms import And, Comparison, Expression, Or, parsed
from suanmesh_scheduler.domain.job_fields import PARTIES
from suanmesh_scheduler.domain.states import JOB_ENDS, JobState

ALL = frozenset(JobState)


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of a party, those that have not ended or all; where the party is empty those of everybody."""

    party: str = ""
    live: bool = False


def part_of(text: str, party: str) -> Part:
    """The jobs among which are all that a sound filter keeps, for somebody who sees those of `party`, or all."""
    if not text:
        return Part(party)
    term = parsed(text)
    party = party or _party(term)
    return Part(party, bool(party) and not _states(term) & JOB_ENDS)


def _party(term: Expression) -> str:
    """The one party whose jobs are kept; empty where others' may be."""
    match term:
        case And(parts):
            return next(filter(None, map(_party, parts)), "")
        case Comparison("party", "=", value) if "*" not in value:
            return value if "/" in value else f"{PARTIES}/{value}"
    return ""


def _states(term: Expression) -> frozenset[str]:
    """The states among which are those of all that are kept."""
    match term:
        case And(parts):
            return frozenset(ALL).intersection(*map(_states, parts))
        case Or(parts):
            return frozenset[str]().union(*map(_states, parts))
        case Comparison("state", "=", value):
            return frozenset({value})
        case Comparison("state", "!=", value):
            return ALL - {value}
    return ALL
