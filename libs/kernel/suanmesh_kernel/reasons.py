"""Why something stands where it stands: a code for programs, its facts, and what led to it; words come at the edge.

A sentence that one process writes is taken apart by the next, and comes to people in one language only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from suanmesh_kernel.refusals import Refusal

DETAIL = "detail"
"""The fact that only a person can make something of, such as the message of another system."""


@dataclass(frozen=True, slots=True)
class StateReason:
    """One reason; false where there is nothing to say."""

    code: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    cause: StateReason | None = None
    """What it came from."""

    @classmethod
    def of(cls, refusal: Refusal) -> StateReason:
        """Why something stands still, or came to an end, that was refused."""
        return cls(refusal.reason, {**refusal.facts, DETAIL: refusal.message})

    def after(self, cause: StateReason) -> StateReason:
        """The same with what it came from; nothing is not a cause."""
        return replace(self, cause=cause) if cause else self

    @property
    def chain(self) -> Iterator[StateReason]:
        """This, and what it came from, the nearest first."""
        at: StateReason | None = self
        while at is not None:
            yield at
            at = at.cause

    def names_any(self, codes: Collection[str]) -> bool:
        """Whether it, or something it came from, has one of these codes."""
        return any(each.code in codes for each in self.chain)

    def __bool__(self) -> bool:
        return bool(self.code)

    def __str__(self) -> str:
        """For logs: codes and facts, and no words of ours."""
        return "; ".join(each._alone() for each in self.chain)

    def _alone(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in sorted(self.facts.items()))
        return f"{self.code} ({facts})" if facts else self.code


NO_REASON = StateReason()
"""Nothing to say."""
