"""The client without async says what the one with it says, in threads that have no loop of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_client.sync import Client, Job, JobHandle, Output, wait_all
from suanmesh_fake import Script, fake_mesh
from suanmesh_kernel.refusals import NotFound, Refusal


@pytest.fixture
def plain() -> Iterator[Client]:
    with fake_mesh(lambda task: Script(log=f"{task.key.index}\n", write=(("out/sum", b"42"),))) as client:
        yield client


def test_without_async_it_says_the_same(plain: Client) -> None:
    """Scripts and notebooks have no loop of their own."""
    one = plain.jobs.submit(Job(command=["sum"], outputs=[Output("sum", "out")], tasks=2), job_id="one")
    assert one.wait(60, check=True).succeeded
    assert [one.log(index) for index in range(2)] == ["0\n", "1\n"]
    assert b"".join(one.logs(1)) == b"1\n"
    assert [task.result.exit_status for task in one.tasks()] == [0, 0]
    assert b"".join(plain.data.read(one.results()["sum"], "task-0/sum")) == b"42"
    assert [each.name for each in plain.jobs.list()] == ["jobs/one"] == [plain.jobs.get("one").name]
    assert plain.jobs.decide(Job(command=["sum"])).chosen.startswith("sites/")
    assert one.decision().chosen.startswith("sites/")
    assert {charge.job for charge in plain.money.charges()} <= {"jobs/one"}


def test_without_async_data_goes_in_and_out(plain: Client, tmp_path: Path) -> None:
    """A notebook fetches its results beside it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"1")
    assert plain.data.put(tmp_path / "in", "in").dataset == "datasets/in"
    assert (plain.data.get("in", tmp_path / "again") / "a").read_bytes() == b"1"
    job = plain.jobs.submit(Job(command=["sum"], outputs=[Output("sum", "out")])).wait(60, check=True)
    assert (job.fetch("sum", tmp_path / "out") / "sum").read_bytes() == b"42"


def test_without_async_many_are_submitted_and_waited_for(plain: Client) -> None:
    """A loop over single calls would take as long as all of them together."""
    answered = plain.jobs.submit_many([Job(command=["sum"])] * 3)
    jobs = [each for each in answered if not isinstance(each, Refusal)]
    wait_all(jobs, 60)
    assert [job.state for job in jobs] != []
    assert all(isinstance(job, JobHandle) and job.succeeded for job in map(_seen_anew, jobs))
    with pytest.raises(Refusal, match="2 names for 1 jobs"):
        plain.jobs.submit_many([Job(command=["sum"])], job_ids=["one", "two"])


def test_a_list_may_be_left_early(plain: Client) -> None:
    """Whoever wants the newest job breaks off the loop, and asks on."""
    plain.jobs.submit_many([Job(command=["sum"])] * 2)
    for _ in plain.jobs.list():
        break
    with pytest.raises(NotFound):
        plain.jobs.get("none")


def _seen_anew(job: JobHandle) -> JobHandle:
    job.refresh()
    return job
