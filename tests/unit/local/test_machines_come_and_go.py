"""Which machines a node is on: what is added is known by every machine, and none goes that the node needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_local.check import machines_finding
from suanmesh_local.facts import NodeFacts, checked_facts, read_facts, write_facts
from suanmesh_local.machine_rules import (
    CannotChange,
    NodeMachine,
    Voter,
    facts_to_grow,
    facts_with,
    machines_of,
    with_machine,
    without_machine,
)

FOUNDED = checked_facts(
    "pilot", "a", 7443, machines=("a", "b"), etcd=("a", "b", "c"), sql="postgresql://suanmesh@db/suanmesh"
)
CHANGES = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from("abcdefgh"), st.sampled_from([(True, True), (True, False), (False, True)])
    ),
    max_size=30,
)


@given(CHANGES)
def test_a_member_keeps_its_name_and_none_gets_that_of_another(
    changes: list[tuple[bool, str, tuple[bool, bool]]],
) -> None:
    """A machine's member lies under its name: with another one it would come back empty, and vote."""
    machines = machines_of(FOUNDED)
    names = {each.host: each.etcd for each in machines if each.etcd}
    for adds, host, (services, etcd) in changes:
        try:
            if adds:
                machines = with_machine(machines, host, services=services, etcd=etcd)
            else:
                voters = [Voter(each.host, answers=True) for each in machines if each.etcd]
                machines = without_machine(machines, host, voters)
                names.pop(host, None)
        except CannotChange:
            continue
        standing = {each.host: each.etcd for each in machines if each.etcd}
        assert all(standing[host] == name for host, name in names.items())
        assert len(set(standing.values())) == len(standing)
        assert any(each.services for each in machines)
        assert machines_of(facts_with(FOUNDED, machines)) == tuple(
            sorted(machines, key=lambda each: (not each.services, machines.index(each)))
        )
        names = standing


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.data())
def test_no_machine_goes_whose_vote_etcd_needs(answers: list[bool], data: st.DataObject) -> None:
    """With too few members left that answer the node stands still, and nobody can take the step back."""
    voters = [Voter(f"m{at}", answers=each) for at, each in enumerate(answers)]
    machines = [
        NodeMachine("s", services=True, etcd=""),
        *(NodeMachine(v.host, False, f"etcd-{v.host}") for v in voters),
    ]
    host = data.draw(st.sampled_from(voters)).host
    left = [voter for voter in voters if voter.host != host]
    decides = sum(voter.answers for voter in left) * 2 > len(left)
    try:
        kept = without_machine(machines, host, voters)
    except CannotChange:
        assert not decides
    else:
        assert decides
        assert host not in {each.host for each in kept}


def test_the_last_machine_with_services_stays() -> None:
    """A node without a gateway is reached by nobody, its operator neither."""
    machines = [NodeMachine("a", services=True, etcd="etcd-0"), NodeMachine("b", services=False, etcd="etcd-1")]
    with pytest.raises(CannotChange, match="add another one first"):
        without_machine(machines, "a", [Voter("a", answers=True), Voter("b", answers=True)])


def test_what_a_machine_that_came_later_is_told_is_read_as_it_was_written(tmp_path: Path) -> None:
    """It begins with that alone, and a member that takes itself for a founder never joins the others."""
    machines = with_machine(machines_of(FOUNDED), "[2001:db8::4]", services=True, etcd=True)
    facts = facts_with(FOUNDED, machines)
    write_facts(tmp_path, facts)
    assert read_facts(tmp_path) == facts
    assert list(facts.members.items())[-1] == ("etcd-3", "[2001:db8::4]")


def test_a_machine_that_is_there_is_told_again_and_not_otherwise() -> None:
    """Whose bundle was lost gets another; one that is to run other things has data that would be in the way."""
    machines = machines_of(FOUNDED)
    assert with_machine(machines, "c", services=False, etcd=True) == machines
    with pytest.raises(CannotChange, match="remove it first"):
        with_machine(machines, "c", services=True, etcd=True)


def test_an_operator_is_told_which_machine_does_not_know_the_others() -> None:
    """What systemd starts there would look for etcd on machines that are gone."""
    founded = machines_of(FOUNDED)
    grown = with_machine(founded, "d", services=True, etcd=True)
    shrunk = [each for each in grown if each.host != "a"]
    folder = Path("pilot")

    assert machines_finding(FOUNDED, founded, folder).state == "ok"
    behind = machines_finding(FOUNDED, grown, folder)
    assert (behind.state, "suan node prepare pilot" in behind.detail) == ("warning", True)
    assert machines_finding(facts_with(FOUNDED, grown), grown, folder).state == "ok"
    gone = machines_finding(FOUNDED, shrunk, folder)
    assert (gone.state, "no machine of pilot any more" in gone.detail) == ("warning", True)


ALONE = checked_facts("pilot", "203.0.113.10", 7443)
DATABASE = "postgresql://suanmesh@db/suanmesh"


def test_a_node_of_one_machine_can_take_in_others_once_its_services_share_a_database() -> None:
    """Whoever began with one must not have to begin anew, nor get services that do not see each other's jobs."""
    grown = facts_to_grow(ALONE, services=True, sql=DATABASE)

    assert (grown.machines, grown.members, grown.sql) == ((ALONE.host,), {"etcd": ALONE.host}, DATABASE)
    assert facts_to_grow(grown, services=True, sql="") == grown, "done again it changes nothing"
    assert facts_to_grow(grown, services=True, sql=DATABASE) == grown
    assert facts_to_grow(FOUNDED, services=True, sql="") == FOUNDED
    in_files = facts_to_grow(ALONE, services=False, sql="")
    assert (in_files.is_spread, in_files.sql) == (True, "")
    assert facts_to_grow(in_files, services=True, sql=DATABASE) == grown
    with pytest.raises(CannotChange, match="--sql postgresql://"):
        facts_to_grow(in_files, services=True, sql="")


@pytest.mark.parametrize(
    ("facts", "sql", "why"),
    [
        (ALONE, "", "share a database"),
        (ALONE, "sqlite:///x", "says where a database is"),
        (checked_facts("pilot", "127.0.0.1", 7443), DATABASE, "this machine alone"),
        (FOUNDED, "postgresql://elsewhere/x", "cannot change"),
    ],
)
def test_what_cannot_grow_is_told_what_to_do(facts: NodeFacts, sql: str, why: str) -> None:
    """A node that stands still half way is worse than one that is refused."""
    with pytest.raises(CannotChange, match=why):
        facts_to_grow(facts, services=True, sql=sql)
