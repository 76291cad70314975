"""What is kept of documents as they change must be what a walk through all of them would find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_store import Changed, Create, Delete, Groups, Held, MemoryStore, Mirror, Tally, Update, open_mirror
from suanmesh_store.layout import Kind
from suanmesh_store.projections import MERGE_MIN, SortedNames

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""

NAMES = st.sampled_from([f"jobs/{letter}" for letter in "abcdef"])
STEPS = st.lists(st.tuples(NAMES, st.sampled_from(["", "x", "y", None])), max_size=30)


@given(STEPS)
async def test_a_mirror_and_its_projections_tell_what_a_walk_would(steps: list[tuple[str, str | None]]) -> None:
    """A count or a group that drifts from its documents refuses the right caller, or lets the wrong one in."""
    store = MemoryStore("scheduler")
    mirror = Mirror(store, JOBS)
    tally, groups = Tally[Job](lambda job: job.account), Groups[Job](lambda held: held.message.account)
    mirror.project(tally)
    mirror.project(groups)
    for name, account in steps:
        held = await store.get(JOBS, name)
        if account is not None:
            job = Job(name=name, account=account)
            await store.commit(Create(JOBS, name, job) if held is None else Update(held, job))
        elif held is not None:
            await store.commit(Delete(held))
        await mirror.load()

    standing = {held.name: held for held in (await store.snapshot(JOBS)).held}
    assert mirror.values() == list(standing.values())
    for account in ("x", "y"):
        mine = {name: held for name, held in standing.items() if held.message.account == account}
        assert (groups[account], tally[account]) == (mine, len(mine))
    assert groups[""] == {}


@pytest.mark.parametrize("size", [3, MERGE_MIN + 3])
def test_names_stay_in_order_however_many_come_and_go(size: int) -> None:
    """A page that begins at the wrong place tells a name twice or never."""
    names = [f"sites/{number:04}" for number in range(2 * size)]
    kept = SortedNames()
    kept.update(names[::-2], [])
    kept.update(names[::2], names[1::4])

    left = sorted(set(names) - set(names[1::4]))
    assert list(kept.after()) == left
    assert list(kept.after(left[2])) == left[3:]
    assert list(kept.after("sites/0003", under="sites/000")) == [n for n in left if "sites/0003" < n < "sites/001"]


async def test_a_projection_is_fed_before_anybody_is_told() -> None:
    """A reader that waits for its own write and then searches must find it."""
    store = MemoryStore("scheduler")
    mirror = await open_mirror(store, JOBS)
    seen: list[str] = []

    class Watching:
        def apply(self, changes: list[Changed[Job]]) -> None:
            assert len(queue) == 0
            seen.extend(change.name for change in changes)

    with mirror.following() as queue:
        mirror.project(Watching())
        held: Held[Job] = (await store.commit(Create(JOBS, "jobs/a", Job(name="jobs/a")))).held[0]
        await mirror.load()
        await mirror.wait_for(held.mod_revision)

        assert (seen, queue.take_many(9)) == (["jobs/a"], ["jobs/a"])
