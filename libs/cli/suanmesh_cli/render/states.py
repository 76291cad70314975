"""Why something stands where it stands, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suanmesh.type.v1.state_reason_pb2 import StateReason


def because(reason: str | StateReason, lang: str = "en") -> str:
    """`CODE: sentence`; where a service wrote the sentence, in Chinese with the meaning of the code before it."""
    if not isinstance(reason, str):
        from suanmesh_sdk.state_reasons import words

        return words(reason, lang)
    code, colon, sentence = reason.partition(": ")
    meaning = _meaning(code) if lang == "zh" and code.isupper() else ""
    if not meaning:
        return reason
    return f"{code}: {meaning}（{sentence}）" if colon else f"{code}: {meaning}"


def _meaning(code: str) -> str:
    """The first known meaning: a state's, or that of the refusal that led to it."""
    from suanmesh_sdk.advice import STATE_REASONS
    from suanmesh_sdk.reasons import CHINESE

    if code in STATE_REASONS:
        return STATE_REASONS[code].zh.rstrip("。")
    return next((texts[code] for texts in CHINESE.values() if code in texts), "")
