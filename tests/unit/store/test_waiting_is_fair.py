"""Who waits for the ledger, and for how long: holds for no usage, no site for another one's flood."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_store.fair_queue import IN_TURN_MAX, URGENT, URGENT_MAX, FairQueue

Item = tuple[str, int, int]
"""Whose it is, its number, and its commands."""

puts = st.lists(
    st.tuples(st.sampled_from([URGENT, "a", "b", "c"]), st.integers(1, IN_TURN_MAX + 50), st.booleans()), max_size=60
)


def test_a_hold_is_in_the_next_transaction_whatever_waits() -> None:
    """A job would not start for as long as a hostile site sends usage."""
    queue: FairQueue[str] = FairQueue()
    for number in range(20):
        queue.put(f"usage {number}", "hostile", IN_TURN_MAX)
    queue.put("hold", URGENT, 1)

    assert queue.take() == ["hold", "usage 0"]


def test_a_site_waits_for_one_turn_of_each_other_one() -> None:
    """An honest site's usage must be taken though another one keeps a thousand records waiting."""
    queue: FairQueue[str] = FairQueue()
    for number in range(20):
        queue.put(f"hostile {number}", "hostile", IN_TURN_MAX)
    queue.put("honest", "honest", 3)

    assert "honest" in [*queue.take(), *queue.take()]


def test_usage_is_taken_though_holds_keep_coming() -> None:
    """Who is never paid because others buy without a pause would leave the mesh."""
    queue: FairQueue[str] = FairQueue()
    queue.put("usage", "a", 10)
    for number in range(3):
        queue.put(f"holds {number}", URGENT, URGENT_MAX)

    assert queue.take() == ["holds 0", "usage"]


@given(puts)
def test_everything_is_taken_once_in_order_and_in_bounded_groups(happening: list[tuple[str, int, bool]]) -> None:
    """A command that is lost, doubled or overtaken by its own caller's next one makes a wrong balance."""
    queue: FairQueue[Item] = FairQueue()
    put: dict[str, list[Item]] = defaultdict(list)
    taken: dict[str, list[Item]] = defaultdict(list)

    def take() -> None:
        waits = {name for name in put if len(put[name]) > len(taken[name])}
        group = queue.take()
        for item in group:
            taken[item[0]].append(item)
        _require_bounded(group)
        assert bool(group) == bool(waits)
        assert URGENT not in waits or group[0][0] == URGENT
        assert waits <= {URGENT} or any(item[0] != URGENT for item in group)

    for number, (name, commands, then_take) in enumerate(happening):
        item = (name, number, commands)
        put[name].append(item)
        queue.put(item, name, commands)
        if then_take:
            take()
    while queue.commands:
        take()
    take()
    assert {name: items for name, items in taken.items() if items} == dict(put)


def _require_bounded(group: list[Item]) -> None:
    urgent = [commands for name, _, commands in group if name == URGENT]
    in_turn = [commands for name, _, commands in group if name != URGENT]
    assert sum(urgent) <= URGENT_MAX or len(urgent) == 1
    assert sum(in_turn) <= IN_TURN_MAX or len(in_turn) == 1


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=50))
def test_nobody_has_two_turns_before_another_has_one(names: list[str]) -> None:
    """The share of a site must not depend on how many calls it has open."""
    queue: FairQueue[str] = FairQueue()
    for name in names:
        queue.put(name, name, IN_TURN_MAX)
    left = Counter(names)
    while queue.commands:
        waits = set(+left)
        turns = [queue.take()[0] for _ in waits]
        assert set(turns) == waits
        left.subtract(turns)
