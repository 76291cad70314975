"""Why something stands where it stands, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suanmesh.type.v1.state_reason_pb2 import StateReason


def because(reason: StateReason, lang: str = "en") -> str:
    """`CODE: sentence`, and of what led to it the same."""
    from suanmesh_sdk.state_reasons import words

    return words(reason, lang)
