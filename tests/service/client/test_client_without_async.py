"""The client without async says what the one with it says, in threads that have no loop of their own."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suanmesh_client.sync import Client, Job, JobHandle, Output, wait_all
from suanmesh_fake import Script, fake_mesh
from suanmesh_kernel.refusals import NotFound, Refusal

FORKED = 7


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


def test_what_is_called_back_does_not_wait_for_itself(plain: Client) -> None:
    """The call would wait for its own thread, and the program for ever."""
    job = plain.jobs.submit(Job(command=["sum"]))
    with pytest.raises(RuntimeError, match=r"job\.changes"):
        job.wait(60, on_change=lambda seen: job.refresh())
    assert job.wait(60).succeeded


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_worker_is_told_to_connect_anew(plain: Client) -> None:
    """It has not got the thread that makes the calls, and would wait for it."""
    job = plain.jobs.submit(Job(command=["sum"]))
    if not (child := os.fork()):
        signal.alarm(60)
        try:
            job.refresh()
        except RuntimeError as told:
            plain.close()
            os._exit(FORKED if "forked" in str(told) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == FORKED
    assert job.wait(60).succeeded


def test_what_cannot_be_sent_says_what_to_send_in_its_place(plain: Client) -> None:
    """A pool of workers said that it cannot pickle a future of asyncio, of which the program knows nothing."""
    job = plain.jobs.submit(Job(command=["sum"]))
    for each, way in ((job, "name"), (job.behind, "name"), (plain, "connect anew"), (plain.behind, "connect anew")):
        with pytest.raises(TypeError, match=way):
            pickle.dumps(each)


def test_a_client_that_is_closed_lets_go_of_who_waits() -> None:
    """A service that is told to stop would hang on the job that it follows in another thread."""
    with fake_mesh(lambda task: Script(seconds=3600)) as client, ThreadPoolExecutor(1) as threads:
        running = client.jobs.submit(Job(command=["sum"]))
        follows = running.changes()
        next(follows)
        waits = threads.submit(running.wait)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            waits.result()
    with pytest.raises(RuntimeError, match="closed"):
        running.refresh()
    client.close()
