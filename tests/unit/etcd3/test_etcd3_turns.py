"""Which member of a cluster is asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_etcd3.endpoints import Endpoints, followed
from suanmesh_kernel.clock import HandClock


async def test_where_all_members_fail_each_is_asked_in_its_turn() -> None:
    """While members elect a leader, those that live fail too: whoever went on asking the dead one would miss it."""
    endpoints = Endpoints(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], None, HandClock())
    for endpoint in endpoints.all:
        endpoints.failed(endpoint)

    asked = [endpoints.pick() for _ in range(3)]
    await endpoints.close()

    assert {each.address for each in asked} == {each.address for each in endpoints.all}


MEMBERS = st.lists(st.sampled_from("abcdef"), unique=True)


@given(MEMBERS.filter(len), MEMBERS)
def test_whom_to_ask_are_the_members_that_there_are(known: list[str], told: list[str]) -> None:
    """Who knew only machines that were replaced would be without etcd once the last of them is gone, and one that
    comes by a port that is passed on would be sent where nothing reaches it."""
    asked = followed(known, told)

    if set(known) & set(told):
        assert set(asked) == set(told)
        assert asked[: len(set(known) & set(told))] == [each for each in known if each in told]
    else:
        assert asked == known


async def test_a_member_that_went_is_asked_no_more_and_one_that_came_is() -> None:
    """A service that was started before both machines goes on when all that it was told of at first are gone."""
    endpoints = Endpoints(["127.0.0.1:1", "127.0.0.1:2"], None, HandClock())
    stays = endpoints.all[1]

    endpoints.follow(["127.0.0.1:2", "127.0.0.1:3"])
    assert [each.address for each in endpoints.all] == ["127.0.0.1:2", "127.0.0.1:3"]
    assert endpoints.all[0] is stays, "streams on it go on, and so does what is known of its health"
    endpoints.failed(stays)
    assert endpoints.pick().address == "127.0.0.1:3"
    endpoints.follow(["127.0.0.1:3"])
    assert endpoints.pick().address == "127.0.0.1:3"
    await endpoints.close()
