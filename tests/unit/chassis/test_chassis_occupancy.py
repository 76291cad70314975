"""What is shared out among callers: the bounds hold whatever comes, in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_chassis.call import Caller
from suanmesh_chassis.identity import agent_id, caller_of, service_id, user_id
from suanmesh_chassis.limits import Limits, Pool, calls, holder_of, in_flight, streams
from suanmesh_chassis.occupancy import UNBOUNDED, Bounds, CallerClass, ExceededBound, Holder, Occupancy
from suanmesh_chassis.settings import Common
from suanmesh_chassis.share import Share
from suanmesh_kernel.refusals import ResourceExhausted, Unavailable

NODE = "test"
KIB = 1024
ANN = holder_of(caller_of(user_id(NODE, "acme", "ann"), NODE), "")
BOB = holder_of(caller_of(user_id(NODE, "acme", "bob"), NODE), "")
OLGA = holder_of(caller_of(user_id(NODE, "operator", "olga"), NODE), "")
AGENT = holder_of(caller_of(agent_id(NODE, "wuhu"), NODE), "")
SERVICE = holder_of(caller_of(service_id(NODE, "registry"), NODE), "")
STRANGER = holder_of(Caller(), "ipv4:10.0.0.1:4711")

holders = st.builds(
    Holder,
    st.sampled_from(CallerClass),
    st.sampled_from(("a", "b", "c", "d")),
    st.sampled_from(("", "parties/x", "parties/y")),
)
steps = st.lists(st.tuples(st.booleans(), holders, st.integers(0, 4)), max_size=60)


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    total = draw(st.integers(1, 20))
    left, reserved = total, {}
    for klass in CallerClass:
        reserved[klass] = draw(st.integers(0, left))
        left -= reserved[klass]
    most = draw(st.dictionaries(st.sampled_from(CallerClass), st.integers(0, 10)))
    return Bounds(total, draw(st.integers(1, 10)), draw(st.integers(1, 10)), reserved=reserved, most=most)


@given(bounds(), steps)
def test_no_bound_is_ever_passed_and_all_is_given_back(bounds: Bounds, steps: list[tuple[bool, Holder, int]]) -> None:
    """A count that drifts either locks everybody out for good or lets memory run out."""
    occupancy = Occupancy(bounds)
    held: list[tuple[Holder, int]] = []
    for taking, holder, amount in steps:
        if taking or not held:
            if occupancy.take(holder, amount) is None:
                held.append((holder, amount))
        else:
            occupancy.give_back(*held.pop(0))
        assert occupancy.taken == sum(amount for _, amount in held) <= bounds.total
        for klass in CallerClass:
            of_class = sum(amount for holder, amount in held if holder.klass is klass)
            assert occupancy.held_by_class(klass) == of_class <= bounds.most.get(klass, UNBOUNDED)
        for caller in "abcd":
            of_caller = sum(amount for holder, amount in held if holder.caller == caller)
            assert occupancy.held_by(caller) == of_caller
    for each in held:
        occupancy.give_back(*each)
    assert (occupancy.taken, occupancy.held_by("a")) == (0, 0)


@given(bounds(), steps)
def test_what_is_kept_for_a_class_is_there_for_it(bounds: Bounds, steps: list[tuple[bool, Holder, int]]) -> None:
    """An agent that cannot get in because users are busy loses its site."""
    occupancy = Occupancy(bounds)
    for _, holder, amount in steps:
        occupancy.take(holder, amount)
    for klass, reserved in bounds.reserved.items():
        room = min(reserved, bounds.most.get(klass, UNBOUNDED)) - occupancy.held_by_class(klass)
        for number in range(max(0, room)):
            assert occupancy.take(Holder(klass, f"{klass.value} {number}")) is None


@given(steps)
def test_one_caller_and_one_party_have_their_bounds(steps: list[tuple[bool, Holder, int]]) -> None:
    """One who takes all he can must leave room for the others."""
    occupancy = Occupancy(Bounds(1000, per_caller=5, per_party=8))
    held: list[tuple[Holder, int]] = []
    for _, holder, amount in steps:
        user = holder._replace(klass=CallerClass.USER)
        obstacle = occupancy.take(user, amount)
        mine = sum(taken for other, taken in held if other.caller == user.caller)
        ours = sum(taken for other, taken in held if user.party and other.party == user.party)
        assert (obstacle is None) == (mine + amount <= 5 and (not user.party or ours + amount <= 8))
        if obstacle is None:
            held.append((user, amount))


def test_nobody_gives_back_what_he_has_not() -> None:
    """A call counted out twice would make room that is not there."""
    occupancy = Occupancy(Bounds(4, per_caller=4))
    occupancy.take(ANN)
    with pytest.raises(ValueError, match="gives back"):
        occupancy.give_back(BOB)
    with pytest.raises(ValueError, match="reserved"):
        Bounds(4, per_caller=4, reserved={CallerClass.AGENT: 5})


def test_callers_are_counted_as_who_they_are() -> None:
    """An operator who is counted as a user is locked out with the users."""
    classes = [holder.klass.value for holder in (ANN, OLGA, AGENT, SERVICE, STRANGER)]
    assert classes == ["user", "operator", "agent", "service", "anyone"]
    assert (ANN.party, ANN.caller) == ("parties/acme", user_id(NODE, "acme", "ann"))
    assert holder_of(Caller(), "ipv4:10.0.0.1:4712") == STRANGER
    assert holder_of(Caller(), "ipv6:%5B::1%5D:4711").caller != STRANGER.caller


@pytest.mark.parametrize("pool", [Pool.CALLS, Pool.STREAMS])
def test_users_together_leave_room_for_everybody_else(pool: Pool) -> None:
    """Whatever users do, sites report, operators look and services talk to each other."""
    limits = Limits(Common())
    refused = ""
    for party in range(1000):
        user = Holder(CallerClass.USER, f"user of {party}", f"parties/{party}")
        try:
            for _ in range(8):
                limits.admit(pool, user)
        except Unavailable as refusal:
            refused = refusal.reason
            break
    assert refused == "PROCESS_FULL"
    for holder, times in ((OLGA, 16), (AGENT, 16), (SERVICE, 64), (STRANGER, 8)):
        for _ in range(times):
            limits.admit(pool, holder)


def test_one_too_many_is_told_what_and_when() -> None:
    """A bare no sends the caller back at once, and to the wrong place for the reason."""
    limits = Limits(Common(calls_max=32, calls_per_caller_max=2, streams_max=32, streams_per_caller_max=1))
    limits.admit(Pool.CALLS, ANN)
    limits.admit(Pool.CALLS, ANN)
    limits.admit(Pool.STREAMS, ANN)
    with pytest.raises(ResourceExhausted) as calls_max:
        limits.admit(Pool.CALLS, ANN)
    with pytest.raises(ResourceExhausted) as streams_max:
        limits.admit(Pool.STREAMS, ANN)
    assert (calls_max.value.reason, streams_max.value.reason) == ("CALLS_OF_CALLER_MAX", "STREAMS_OF_CALLER_MAX")
    assert calls_max.value.facts == {"limit": "2", "of": ANN.caller}
    assert calls_max.value.retry_delay_s > 0
    limits.leave(Pool.CALLS, ANN)
    limits.admit(Pool.CALLS, ANN)


@given(st.integers(1, 1 << 26), st.integers(1, 1 << 28), st.integers(1, 1 << 28), st.integers(1, 4096))
def test_whatever_is_set_everybody_can_send_one_message(message: int, total: int, caller: int, calls_max: int) -> None:
    """A limit set too low must not make the limit of a message one that nobody can use."""
    common = Common(message_bytes_max=message, bytes_max=total, bytes_per_caller_max=caller, calls_max=calls_max)
    limits = Limits(common)
    occupancy = Occupancy(in_flight(common, limits.certified))
    for holder in (ANN, OLGA, AGENT, SERVICE, STRANGER):
        reading = limits.reading(Pool.CALLS, holder)
        assert reading.message_bytes_max <= reading.message_bytes_core
        assert occupancy.obstacle(holder, reading.message_bytes_core) is None
    for made in (calls(common), streams(common)):
        assert Occupancy(made).obstacle(ANN) in (None, ExceededBound.TOTAL)


def test_answers_that_nobody_reads_are_bounded() -> None:
    """Who asks for much and reads nothing would have the process keep it all until the deadlines come."""
    limits = Limits(Common(message_bytes_max=32 * KIB, bytes_max=1, bytes_per_caller_max=64 * KIB))
    first, second, third = (Share(limits, Pool.CALLS, ANN) for _ in range(3))
    first.add(30 * KIB)
    second.add(30 * KIB)
    with pytest.raises(ResourceExhausted) as caught:
        third.add(30 * KIB)
    assert (caught.value.reason, caught.value.retry_delay_s > 0) == ("BYTES_OF_CALLER_MAX", True)
    Share(limits, Pool.CALLS, BOB).add(30 * KIB)
    first.leave()
    third.add(30 * KIB)
    for share in (second, third):
        share.leave()
    assert limits.taken(Pool.CALLS) == 1


def test_only_calls_to_a_site_give_its_agent_many_streams_to_send_on() -> None:
    """On each a whole message may come unasked: a site that was taken over would fill the memory of the registry."""
    common = Common()
    limits = Limits(common)
    for pool, most in (
        (Pool.SENDING, common.sending_streams_per_caller_max),
        (Pool.RELAYED, common.relayed_streams_per_agent_max),
    ):
        for _ in range(most):
            limits.admit(pool, AGENT)
        with pytest.raises(ResourceExhausted, match="STREAMS_OF_CALLER_MAX"):
            limits.admit(pool, AGENT)
