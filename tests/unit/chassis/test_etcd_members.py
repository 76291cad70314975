"""What a process tells of the members of etcd."""

from __future__ import annotations

from suanmesh_chassis.etcd_members import EtcdMembers
from suanmesh_etcd3 import Unavailable
from suanmesh_etcd3.values import Status
from suanmesh_telemetry import names


def told(members: EtcdMembers) -> dict[tuple[str, ...], float]:
    return {(each.metric, *each.labels): each.value for each in members.readings()}


async def test_a_member_that_is_away_is_told_while_the_others_do_its_work() -> None:
    """A client goes on with those that answer: that one of three is gone was seen when the second went."""
    statuses: dict[str, Status | None] = {"a": Status(1, 1, "3.4", 7, 100), "b": None}

    async def ask(address: str) -> Status:
        if (status := statuses[address]) is None:
            raise Unavailable("UNAVAILABLE: nobody there")
        return status

    members = EtcdMembers(lambda: list(statuses), ask)
    assert told(members) == {}
    await members.look()
    assert told(members) == {
        (names.ETCD_MEMBER_UP, "a"): 1,
        (names.ETCD_BYTES, "a"): 100,
        (names.ETCD_MEMBER_UP, "b"): 0,
        (names.ETCD_LED,): 1,
    }
    statuses["a"] = Status(1, 0, "3.4", 7, 100)
    await members.look()
    assert told(members)[(names.ETCD_LED,)] == 0


async def test_a_member_that_was_taken_out_while_others_were_asked_is_not_asked() -> None:
    """It would count as one that is down, of a node that has just been mended."""
    there = ["a", "b"]

    async def ask(address: str) -> Status:
        assert address in there
        there[:] = ["a"]
        return Status(1, 1, "3.4", 7, 100)

    members = EtcdMembers(lambda: tuple(there), ask)
    await members.look()
    assert (names.ETCD_MEMBER_UP, "b") not in told(members)
