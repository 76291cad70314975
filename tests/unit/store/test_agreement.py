"""Which store a node may be led with: whatever was brought back alone, neither side goes on with half of the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_store.agreement import LAYOUT, Belonging, Claimed, Mark, Node, marked, next_mark, refusal_to_lead

CLAIMED = Claimed("accounting", "the ledger", "home")
NODE = Node("id", "g1")


@dataclass
class Pair:
    """An etcd and a store, written as their keeper does it; either may be put back to what it was."""

    node: Node = NODE
    own: Belonging = field(default_factory=lambda: Belonging("l0"))
    mark: Mark = field(default_factory=Mark)

    def change(self) -> None:
        self.own = replace(self.own, sequence=self.own.sequence + 1)

    def leave_mark(self, *, cut_off: bool = False) -> None:
        """`cut_off`: the process dies after etcd has it and before the store does."""
        self.mark = next_mark(self.own, self.node)
        if not cut_off:
            self.own = marked(self.own, CLAIMED, self.node, self.mark)

    def reason(self) -> str:
        refusal = refusal_to_lead(CLAIMED, self.own, self.node, self.mark)
        return refusal.reason if refusal else ""


STEPS = st.lists(st.sampled_from(["change", "mark", "die"]), min_size=1, max_size=30)


def played(pair: Pair, steps: list[str]) -> Pair:
    for step in steps:
        pair.change() if step == "change" else pair.leave_mark(cut_off=step == "die")
    return pair


@given(STEPS)
def test_a_pair_that_nobody_put_back_leads_however_often_it_died(steps: list[str]) -> None:
    """A node that refuses its own money after a crash is down for nothing."""
    assert played(Pair(), steps).reason() == ""


@given(STEPS, STEPS)
def test_an_older_etcd_beside_a_newer_store_is_refused(before: list[str], after: list[str]) -> None:
    """Jobs that are charged would be placed again, and nobody would be told that etcd had forgotten them."""
    older = played(Pair(), [*before, "mark"])
    newer = played(Pair(older.node, older.own, older.mark), [*after, "mark"])
    assert Pair(newer.node, newer.own, older.mark).reason() == "STORES_DISAGREE"


@given(STEPS, STEPS)
def test_an_older_store_beside_a_newer_etcd_is_refused(before: list[str], after: list[str]) -> None:
    """Money that was paid in would vanish, and what was charged would be charged again."""
    older = played(Pair(), [*before, "mark"])
    newer = played(Pair(older.node, older.own, older.mark), [*after, "change", "mark"])
    assert Pair(newer.node, older.own, newer.mark).reason() == "STORES_DISAGREE"


def test_what_was_restored_together_leads_and_what_came_by_hand_does_not() -> None:
    """A restore of all pieces must be enough; one piece of another day beside it must be noticed."""
    backed_up = played(Pair(), ["change", "mark"])
    later = played(Pair(NODE, backed_up.own, backed_up.mark), ["change", "mark", "mark"])
    restored = Node("id", "g2", follows={"l0": later.own.number})
    assert Pair(restored, later.own, backed_up.mark).reason() == "", "the store was copied after etcd"
    assert Pair(restored, backed_up.own, backed_up.mark).reason() == "STORES_DISAGREE"
    together = Pair(restored, later.own, backed_up.mark)
    together.leave_mark()
    assert together.reason() == ""
    assert Pair(NODE, together.own, backed_up.mark).reason() == "STORES_DISAGREE", "etcd of before the restore"
    assert Pair(Node("id", "g3"), together.own).reason() == "STORES_DISAGREE", "etcd was begun anew"
    assert Pair(Node(), together.own).reason() == "STORES_DISAGREE", "etcd was begun anew by hand"


def test_a_store_of_a_node_of_the_same_name_is_refused_whatever_the_operator_says() -> None:
    """Two pilots that keep one ledger sell the same money twice."""
    pair = played(Pair(), ["mark"])
    forced = replace(CLAIMED, lead_with="l0")
    refusal = refusal_to_lead(forced, pair.own, Node("other", "g1"), Mark())
    assert refusal is not None
    assert refusal.reason == "STORE_OF_ANOTHER_NODE"
    assert "home" in refusal.text.zh


def test_an_operator_may_go_on_with_one_half() -> None:
    """Where no backup is left, the choice is theirs, once it was made in so many words."""
    older, forced = played(Pair(), ["mark"]), replace(CLAIMED, lead_with="l0")
    newer = played(Pair(NODE, older.own, older.mark), ["mark"])
    assert refusal_to_lead(forced, newer.own, NODE, older.mark) is None


def test_an_etcd_of_a_newer_layout_is_left_alone() -> None:
    """An older service would write keys that the newer one can no longer read."""
    refusal = refusal_to_lead(CLAIMED, Belonging("l0"), replace(NODE, layout=LAYOUT + 1), Mark())
    assert refusal is not None
    assert refusal.reason == "STORE_TOO_NEW"


def test_a_store_of_an_earlier_version_joins_the_node_it_is_at() -> None:
    """Whoever upgrades has a ledger that knows its node by name alone."""
    pair = Pair(own=Belonging("l0", "home", sequence=7), mark=Mark("l0"))
    assert pair.reason() == ""
    pair.leave_mark()
    assert pair.own == Belonging("l0", "home", "id", "g1", 1, 7)
