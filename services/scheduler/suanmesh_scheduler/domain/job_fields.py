"""The fields of jobs that a filter may name."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.filter_fields import ANY_KEY, Field, FieldKind
from suanmesh_scheduler.domain.states import JobState

LABELS = "labels"
PARTIES = "parties"
NAMES: Final = {"name": "jobs", "party": PARTIES, "account": "accounts", "placement": "placements"}
FIELDS: Final[dict[str, Field]] = {
    **{name: Field(FieldKind.TEXT) for name in ("display_name", "queue", "inputs")},
    **{name: Field(FieldKind.TEXT, collection=collection) for name, collection in NAMES.items()},
    **{name: Field(FieldKind.NUMBER) for name in ("priority", "attempt")},
    **{name: Field(FieldKind.TIME) for name in ("create_time", "end_time")},
    "state": Field(FieldKind.CHOICE, choices=frozenset(JobState)),
    "state_reason.code": Field(FieldKind.TEXT),
    LABELS + ANY_KEY: Field(FieldKind.TEXT),
}
"""By path. A text that is empty is absent; `inputs` are the names of all datasets read, one behind another."""
