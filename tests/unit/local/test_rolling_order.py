"""In which order the processes of a node are renewed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_local.rolling import order

AREAS = ("registry", "scheduler", "accounting")


@given(st.integers(1, 4), st.data())
def test_each_lead_is_handed_over_once_and_never_to_an_older_process(replicas: int, data: st.DataObject) -> None:
    """A lead that goes to a process that is not renewed yet is lost twice, and an older one may not know its store."""
    further = [f"{area}-{n}" for n in range(2, replicas + 1) for area in AREAS]
    names = ["gateway", *AREAS, *further]
    leading = {data.draw(st.sampled_from([n for n in names if n.partition("-")[0] == area])) for area in AREAS}
    ordered = order(data.draw(st.permutations(names)), leading)
    assert sorted(ordered) == sorted(names)
    assert ordered[-1] == "gateway"
    assert set(ordered[-1 - len(leading) : -1]) == leading
