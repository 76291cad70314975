"""Reasons of states on the wire, and as a person reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from string import Formatter

from suanmesh.type.v1 import state_reason_pb2 as pb
from suanmesh_kernel.figures import Figure
from suanmesh_kernel.reasons import DETAIL, StateReason
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.reasons import CHINESE

FACT_BYTES_MAX = 1000
FACTS_MAX = 16
CAUSES_MAX = 4
CODE_CHARS_MAX = 64
_NAME_CHARS_MAX = 64
_SHORT_CHARS = 16
"""A fact that is no longer is left out, not cut, where there is no room."""


def reason_to(reason: StateReason) -> pb.StateReason:
    """A reason as its contract allows: long facts are cut, and what no text on the wire may hold is left out."""
    first, *causes = reason.chain
    message = pb.StateReason(code=first.code[:CODE_CHARS_MAX], facts=facts_to(first.facts))
    for cause in causes[:CAUSES_MAX]:
        message.causes.add(code=cause.code[:CODE_CHARS_MAX], facts=facts_to(cause.facts))
    return message


def reason_from(message: pb.StateReason) -> StateReason:
    """A reason that was sent or stored."""
    cause: StateReason | None = None
    for each in reversed(message.causes):
        cause = StateReason(each.code, dict(each.facts), cause)
    return StateReason(message.code, dict(message.facts), cause)


def shorten(message: pb.StateReason, bytes_max: int) -> None:
    """Cut the longest facts, and then what is furthest away, until the reason has no more than so many bytes."""
    while message.ByteSize() > bytes_max and message.code:
        parts: list[pb.StateReason | pb.StateReason.Cause] = [message, *message.causes]
        facts = [(len(value), name, part) for part in parts for name, value in part.facts.items()]
        if facts:
            length, name, part = max(facts, key=lambda fact: fact[:2])
            _halve(part, name, length)
        elif message.causes:
            del message.causes[-1]
        else:
            return


def words(message: pb.StateReason, lang: str = "en") -> str:
    """Code and meaning of a reason and of what it came from, in English or Chinese; empty where it says nothing."""
    if not message.code:
        return ""
    parts: list[pb.StateReason | pb.StateReason.Cause] = [message, *message.causes]
    told = (filled(part.code, _meaning(part.code, lang), part.facts, lang) for part in parts)
    return ("；" if lang == "zh" else "; ").join(told)


def named(meaning: str) -> frozenset[str]:
    """The facts a text names in braces."""
    return frozenset(name for _, name, _, _ in Formatter().parse(meaning) if name)


def figures(facts: Mapping[str, str]) -> Mapping[str, Figure]:
    """The same facts, which a text may show as it says; `?` for one that is not there."""
    return defaultdict(lambda: Figure("?"), {name: Figure(value) for name, value in facts.items()})


def filled(code: str, meaning: str, facts: Mapping[str, str], lang: str) -> str:
    """A code and its text with the facts filled in; those that the text does not name stand behind it."""
    said = named(meaning)
    sentence = meaning.format_map(figures(facts)).rstrip("。.")
    rest = [value if name == DETAIL else f"{name} {value}" for name, value in sorted(facts.items()) if name not in said]
    comma, opens, closes = ("，", "（", "）") if lang == "zh" else (", ", " (", ")")
    beside = comma.join(rest)
    if sentence and beside:
        return f"{code}: {sentence}{opens}{beside}{closes}"
    return f"{code}: {sentence or beside}" if sentence or beside else code


def _meaning(code: str, lang: str) -> str:
    """A state's, or that of the refusal that led to it, which says in English what it means by itself."""
    if code in STATE_REASONS:
        return STATE_REASONS[code].of(lang)
    if lang == "zh":
        return next((texts[code] for texts in CHINESE.values() if code in texts), "")
    return ""


def facts_to(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts as the contract allows them."""
    return {name[:_NAME_CHARS_MAX]: _sendable(value) for name, value in list(facts.items())[:FACTS_MAX]}


def _sendable(value: str) -> str:
    """It may quote a path that a task has made, in any bytes."""
    text = value.encode(errors="replace")[:FACT_BYTES_MAX].decode(errors="ignore")
    return text.replace("\0", "\ufffd")


def _halve(part: pb.StateReason | pb.StateReason.Cause, name: str, length: int) -> None:
    if length <= _SHORT_CHARS:
        del part.facts[name]
    else:
        part.facts[name] = part.facts[name][: length // 2]
