"""A reason crosses the wire as code and facts, and becomes words once, in the reader's language."""

from __future__ import annotations

from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.type.v1 import state_reason_pb2 as pb
from suanmesh_chassis.bounds import require_within
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import NotFound
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.state_reasons import CAUSES_MAX, reason_from, reason_to, shorten, words

codes = st.sampled_from([*STATE_REASONS, "BANDWIDTH_EXHAUSTED", "X" * 80])
facts = st.dictionaries(st.sampled_from(["site", "detail", "free_bytes", "n" * 70]), st.text(max_size=20))


def reasons(code: st.SearchStrategy[str]) -> st.SearchStrategy[StateReason]:
    alone = st.builds(StateReason, code, facts)
    return st.recursive(alone, lambda cause: st.builds(StateReason, code, facts, cause), max_leaves=8)


@given(reasons(st.sampled_from(sorted(STATE_REASONS))))
def test_a_reason_is_read_as_it_was_written(reason: StateReason) -> None:
    """A program that acts on a code or a fact must find what was meant."""
    short = StateReason(reason.code, {k: v.replace("\0", "") for k, v in reason.facts.items() if len(k) < 64})
    assert reason_from(reason_to(short)) == short


@given(reasons(codes), st.text(st.characters(), min_size=1, max_size=3000))
def test_any_reason_fits_its_contract(reason: StateReason, detail: str) -> None:
    """A report that quotes what a task has called its files would be refused, and the placement would never end."""
    message = reason_to(StateReason(reason.code, {**reason.facts, "detail": detail}, reason))
    require_within(message)
    assert pb.StateReason.FromString(message.SerializeToString()) == message
    assert len(message.causes) <= CAUSES_MAX


@given(reasons(codes), st.integers(0, 400))
def test_a_shortened_reason_keeps_its_codes_as_long_as_they_fit(reason: StateReason, most: int) -> None:
    """Whether a run counts as an attempt is told from the codes; no detail is worth one of them."""
    message = reason_to(reason)
    before = [message.code, *(cause.code for cause in message.causes)]
    shorten(message, most)
    after = [message.code, *(cause.code for cause in message.causes)]
    assert message.ByteSize() <= most or not (message.causes or message.facts)
    assert after == before[: len(after)]
    if len(after) < len(before):
        assert not message.facts
        assert not any(cause.facts for cause in message.causes)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("code", STATE_REASONS)
def test_every_text_is_made_of_facts_alone(code: str, lang: str) -> None:
    """A text with a slip in it would break `suan job list` for whoever has such a job."""
    wanted = [name for _, name, _, _ in Formatter().parse(STATE_REASONS[code].of(lang)) if name is not None]
    assert all(name.isidentifier() for name in wanted)
    told = words(reason_to(StateReason(code, dict.fromkeys(wanted, "THIS"))), lang)
    assert told.startswith(f"{code}: ")
    assert told.count("THIS") == len(wanted)


def test_both_languages_say_what_led_to_it() -> None:
    """The last link of the chain is what somebody has to mend."""
    refusal = NotFound("DATASET_UNKNOWN", "no dataset datasets/d", name="datasets/d")
    message = reason_to(StateReason("JOURNAL_FAULT").after(StateReason.of(refusal)).after(StateReason()))
    assert words(message) == (
        "JOURNAL_FAULT: The site's agent cannot write its journal; "
        "DATASET_UNKNOWN: no dataset datasets/d, name datasets/d"
    )
    assert words(message, "zh") == (
        "JOURNAL_FAULT: 站点代理无法写入日志簿；"
        "DATASET_UNKNOWN: 输入所指的数据集不存在（no dataset datasets/d，name datasets/d）"
    )
    assert words(pb.StateReason()) == ""


def test_what_led_to_a_reason_is_part_of_it() -> None:
    """A site whose disk is full under a transfer is at fault as much as one that says so itself."""
    reason = StateReason(
        "TRANSFER_FAILED", {"transfer": "transfers/t"}, StateReason("DISK_FULL", {"missing_bytes": "7"})
    )
    assert reason.names_any({"DISK_FULL"})
    assert not reason.names_any({"DISK_FAULT"})
    assert str(reason) == "TRANSFER_FAILED (transfer transfers/t); DISK_FULL (missing_bytes 7)"
    assert not StateReason()
