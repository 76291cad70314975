"""The schedule of faults: the same for a seed, healed at the end, and never so much that nothing could be learned."""

from __future__ import annotations

from chaos.schedule import CONCURRENT_MAX, MEMBER_S_MAX, Actors, Kind, schedule
from hypothesis import given, settings
from hypothesis import strategies as st

ACTORS = Actors(
    services=("registry", "scheduler", "transport"),
    standbys=("registry-2", "scheduler-2"),
    gateway="gateway",
    agents=("site-a", "site-b", "site-c"),
    members=("etcd-0", "etcd-1", "etcd-2"),
    disks=("services/scheduler",),
)
SEEDS = st.integers(0, 10_000)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_a_seed_is_a_schedule(seed: int) -> None:
    """Whoever replays a failure must meet the same faults at the same times."""
    assert schedule(seed, 120, ACTORS) == schedule(seed, 120, ACTORS)


def test_seeds_differ() -> None:
    """A second seed that strikes like the first finds nothing new."""
    assert schedule(1, 120, ACTORS) != schedule(2, 120, ACTORS)


@given(SEEDS, st.floats(10, 300))
@settings(max_examples=60, deadline=None)
def test_every_fault_is_healed_when_the_run_ends(seed: int, seconds: float) -> None:
    """Books that are judged while something is still cut would blame the mesh for the nemesis."""
    faults = schedule(seed, seconds, ACTORS)

    assert all(0 < fault.begin_s < fault.end_s <= seconds + 0.01 for fault in faults)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_few_faults_stand_at_once_and_members_come_back_soon(seed: int) -> None:
    """A node that is down all the time answers nothing, and no book of it can be wrong."""
    faults = schedule(seed, 300, ACTORS)

    for fault in faults:
        assert sum(other.begin_s <= fault.begin_s < other.end_s for other in faults) <= CONCURRENT_MAX
        if fault.target in ACTORS.members:
            assert fault.end_s - fault.begin_s <= MEMBER_S_MAX + 0.01


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_process_is_hurt_by_one_fault_of_its_own_at_a_time(seed: int) -> None:
    """A process that is killed while it is frozen would be started twice when both are healed."""
    own = [fault for fault in schedule(seed, 300, ACTORS) if fault.kind is not Kind.CUT]

    for index, one in enumerate(own):
        for other in own[index + 1 :]:
            assert one.target != other.target or one.end_s < other.begin_s


def test_every_kind_and_every_process_is_struck() -> None:
    """A kind of fault that never comes about is promised for nothing."""
    faults = [fault for seed in range(20) for fault in schedule(seed, 300, ACTORS)]

    assert {fault.kind for fault in faults} == set(Kind)
    assert {fault.target for fault in faults} == {*ACTORS.processes, *ACTORS.disks}


def test_without_root_no_disk_is_filled() -> None:
    """Whoever may not mount must get the other faults, not an error."""
    actors = Actors(ACTORS.services, (), "gateway", ACTORS.agents, ACTORS.members, ())

    assert Kind.FILL_DISK not in {fault.kind for seed in range(10) for fault in schedule(seed, 300, actors)}
