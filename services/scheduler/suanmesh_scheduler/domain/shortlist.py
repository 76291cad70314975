"""What is kept of a decision's candidates: a short list, and how many have which obstacle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from suanmesh_scheduler.domain.values import Candidate


def shortlist(candidates: Sequence[Candidate], most: int) -> Sequence[Candidate]:
    """At most so many of a verdict's candidates, in its order: those that fit first, then one a code, then others."""
    if len(candidates) <= most:
        return candidates
    seen: set[str] = set()
    examples: list[int] = []
    others: list[int] = []
    for index, candidate in enumerate(candidates):
        code = candidate.obstacle.code if candidate.obstacle else ""
        (others if code in seen else examples).append(index)
        if code:
            seen.add(code)
    return [candidates[index] for index in sorted([*examples[:most], *others[: max(0, most - len(examples))]])]


def obstacle_counts(candidates: Sequence[Candidate]) -> list[tuple[str, int]]:
    """How many candidates have which obstacle, the commonest first, then by code."""
    counts = Counter(candidate.obstacle.code for candidate in candidates if candidate.obstacle is not None)
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
