"""The stages of a placement at its agent, and which may follow which.

A stage is written down before the work that follows it begins, so that an agent that comes back knows what to do.
"""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """How far the agent is with a placement."""

    SEEN = "seen"
    """Read off the watch, not answered."""
    ACCEPTED = "accepted"
    """Taken: its capacity is kept free for it."""
    STARTED = "started"
    """Every input is here, verified: its tasks may run from here on."""
    METERED = "metered"
    """Its tasks are over, whatever came of them, and their final usage is written down."""
    REPORTED = "reported"
    """The mesh knows its end; nothing is left to do but to clear up."""


_FOLLOWING: dict[Stage, frozenset[Stage]] = {
    Stage.SEEN: frozenset({Stage.ACCEPTED, Stage.STARTED, Stage.REPORTED}),
    Stage.ACCEPTED: frozenset({Stage.STARTED, Stage.REPORTED}),
    Stage.STARTED: frozenset({Stage.METERED, Stage.REPORTED}),
    Stage.METERED: frozenset({Stage.REPORTED}),
    Stage.REPORTED: frozenset(),
}
"""From everywhere to REPORTED: a defect of the agent's own may end a placement at any stage. What needs no inputs is
STARTED as soon as it is taken."""


def follows(now: Stage, then: Stage) -> bool:
    """Whether a placement at `now` may go on to `then`."""
    return then in _FOLLOWING[now]


HOLDING = frozenset({Stage.ACCEPTED, Stage.STARTED})
"""Stages in which a placement's capacity is taken."""
