"""Gateways that came later are known by whoever is told of one that was there before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.refusals import Unavailable
from suanmesh_sdk.kept_gateways import KeptGateways, in_order

ADDRESSES = st.lists(st.sampled_from(["a:1", "b:1", "c:1", "d:1"]), unique=True, max_size=4)


@given(ADDRESSES.filter(bool), ADDRESSES)
def test_every_gateway_is_tried_and_what_has_gone_last(told: list[str], learned: list[str]) -> None:
    """A caller whose first gateway was removed must not begin each program with waiting for it."""
    order = in_order(told, learned)
    assert sorted(order) == sorted({*told, *learned})
    gone = [each for each in told if each not in learned]
    if len(gone) < len(told):
        assert order[len(order) - len(gone) :] == gone
    else:
        assert order[: len(told)] == told, "who comes by another way than the gateway knows goes on to do so"


async def test_what_was_learned_is_known_to_the_next_program(tmp_path: Path) -> None:
    """A user who is away while all that they were told of is replaced comes in nevertheless."""

    async def now() -> Sequence[str]:
        return ["new:1", "old:1"]

    async def silent() -> Sequence[str]:
        raise Unavailable("NOT_READY", "nobody answers")

    first = KeptGateways("old:1", tmp_path / "gateways")
    await first.learn(silent)
    assert first.addresses == ["old:1"]
    await first.learn(now)
    assert first.addresses == ["old:1", "new:1"]
    later = KeptGateways("old:1", tmp_path / "gateways")
    await later.learn_if_stale(silent)
    assert later.addresses == ["old:1", "new:1"]


async def test_the_gateway_in_use_stays_in_use(tmp_path: Path) -> None:
    """Who looks for a trace must not find half of it at another gateway, because a third one came."""

    async def more() -> Sequence[str]:
        return ["zero:1", "a:1", "b:1"]

    known = KeptGateways("a:1,b:1", tmp_path / "gateways")
    known.ways.unanswered("a:1")
    assert known.ways.instances("registry")[0].address == "b:1"
    await known.learn(more)
    assert known.ways.instances("registry")[0].address == "b:1"
    known.ways.unanswered("b:1")
    assert known.ways.instances("registry")[0].address == "zero:1"
