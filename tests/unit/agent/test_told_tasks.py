"""What of many tasks is told again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.placement_pb2 import TaskResult as Result
from suanmesh_agent.told_tasks import TOLD_WHOLE_MAX, ToldTasks

MANY = TOLD_WHOLE_MAX + 50
GOES_ON = {
    Result.STATE_PENDING: [Result.STATE_RUNNING],
    Result.STATE_RUNNING: [Result.STATE_DONE, Result.STATE_FAILED, Result.STATE_RETRYING],
    Result.STATE_RETRYING: [Result.STATE_RUNNING],
}


@given(st.data(), st.booleans())
def test_the_mesh_knows_of_every_task_though_it_is_told_of_few(data: st.DataObject, keep_going: bool) -> None:
    """Whoever watches must see what the site sees, also when a report is lost now and then."""
    stand = dict.fromkeys(range(MANY), Result.STATE_PENDING)
    told, known = ToldTasks(MANY, keep_going=keep_going), dict[int, Result.State.ValueType]()
    for _ in range(data.draw(st.integers(1, 12))):
        for index in data.draw(st.lists(st.integers(0, MANY - 1), max_size=9)):
            stand[index] = data.draw(st.sampled_from(GOES_ON.get(stand[index], [stand[index]])))
        begun = {index: state for index, state in stand.items() if state != Result.STATE_PENDING}
        looked = [Result(index=index, state=begun[index]) for index in sorted(begun) if index not in told.settled]
        report = told.report(looked)
        if report is None:
            assert known == begun
        elif data.draw(st.booleans(), label="taken"):
            known = (known if report.changes_only else {}) | {each.index: each.state for each in report.tasks}
            told.taken(report)
            assert known == begun
            if report.changes_only:
                assert sum(count.tasks for count in report.task_counts) == len(begun)
    assert all(stand[index] in (Result.STATE_DONE, Result.STATE_FAILED) for index in told.settled)


def test_ten_thousand_tasks_are_told_of_within_seconds() -> None:
    """An array that shows nothing for minutes is taken for hung, and cancelled."""
    assert ToldTasks(10_000, keep_going=True).every_s <= 5.0


def test_of_few_tasks_each_report_is_whole() -> None:
    """A report that needs no other before it survives whatever the mesh has forgotten."""
    told = ToldTasks(TOLD_WHOLE_MAX, keep_going=True)
    first = told.report([Result(index=0, state=Result.STATE_DONE)])
    assert first is not None
    told.taken(first)
    assert not told.settled
    second = told.report([Result(index=index, state=Result.STATE_DONE) for index in range(2)])
    assert second is not None
    assert (len(second.tasks), second.changes_only) == (2, False)
