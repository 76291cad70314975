"""What a client promises to a program, on whatever mesh: `tests/service/client` runs it on the fake, `tests/mesh` on a
node of real processes. A module that imports all of it has a fixture `mesh`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from suanmesh_agent.domain.tasks import TaskSpec
from suanmesh_agent.engines.memory import Script
from suanmesh_client import Client, Input, Job, JobHandle, Output, sweep
from suanmesh_client.descriptions import to_message
from suanmesh_client.jobs import wait_all
from suanmesh_content import BLOCK_BYTES
from suanmesh_kernel.refusals import DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound, Refusal
from suanmesh_sdk.data import Existing

HALF_A_CORE, MEMORY = 0.5, 64 << 20
SUM = "import os; print('summed'); os.makedirs('out', exist_ok=True); open('out/sum', 'w').write('42')"
FAIL = "raise SystemExit(3)"
TELL = "import os; print(os.environ['SUANMESH_PARAM_LR'], os.environ['SUANMESH_PARAM_SEED'])"
NOTE = "print(open('note').read(), end=''); open('note', 'a').write('changed')"
LONG = "import time; time.sleep(300)"


def acts(task: TaskSpec) -> Script:
    """What the commands of this suite do, for a mesh that runs no processes."""
    given = dict(task.variables)
    return {
        SUM: Script(log="summed\n", write=(("out/sum", b"42"),)),
        FAIL: Script(exit=3),
        TELL: Script(log=f"{given.get('SUANMESH_PARAM_LR')} {given.get('SUANMESH_PARAM_SEED')}\n"),
        NOTE: Script(log="noted\n"),
        LONG: Script(seconds=300),
    }[task.command[-1]]


def job(code: str, **fields: object) -> Job:
    """A small job of Python code."""
    return Job(**{"command": ["python3", "-c", code], "cores": HALF_A_CORE, "memory_bytes": MEMORY, **fields})


async def test_a_job_is_run_delivered_and_charged(mesh: Client) -> None:
    """The first program anybody writes."""
    submitted = await mesh.jobs.submit(job(SUM, outputs=[Output("sum", "out")], display_name="sum"))
    seen: list[int] = []
    ended = await submitted.wait(60, check=True, on_change=lambda state: seen.append(state.state))

    assert (ended.state, ended.succeeded, ended.ended) == ("DONE", True, True)
    assert seen == sorted(seen)
    assert await ended.log() == "summed\n"
    dataset = ended.results()["sum"]
    assert b"".join([piece async for piece in mesh.data.read(dataset, "sum")]) == b"42"
    assert (await mesh.data.show(dataset)).files == 1
    (task,) = await ended.tasks()
    assert (task.result.exit_status, task.site.partition("/")[0], task.attempt) == (0, "sites", 1)
    assert {charge.job for charge in await ended.charges()} <= {ended.name}
    assert ended.name in [each.name async for each in mesh.jobs.list()]


async def test_a_log_is_followed_from_before_its_task_begins(mesh: Client) -> None:
    """A program that submits and follows would fail or not, by how fast a site takes work; so would a person."""
    described = to_message(job(SUM))
    assert described.account == "", "a message that names none is paid for like a description that names none"
    submitted = await mesh.jobs.submit(described)
    assert b"".join([piece async for piece in submitted.logs(follow=True)]) == b"summed\n"
    with pytest.raises(NotFound, match="its tasks are 0 to 0") as unknown:
        assert [piece async for piece in submitted.logs(7, follow=True)] == []
    assert unknown.value.reason == "TASK_UNKNOWN"
    with pytest.raises(NotFound, match="TASK_UNKNOWN"):
        assert [piece async for piece in (await submitted.wait(60)).logs(7)] == []


async def test_data_goes_in_and_results_come_out(mesh: Client, tmp_path: Path) -> None:
    """Code and numbers begin on one's own machine, and the answer is wanted there."""
    (tmp_path / "numbers" / "deep").mkdir(parents=True)
    (tmp_path / "numbers" / "deep" / "a").write_bytes(b"1\n2\n")
    brought = await mesh.data.put(tmp_path / "numbers", "client-numbers")
    assert (brought.manifest.size_bytes, brought.site.partition("/")[0]) == (4, "sites")

    ran = job(SUM, inputs=[Input(brought.dataset, "in")], outputs=[Output("sum", "out")])
    ended = await (await mesh.jobs.submit(ran)).wait(60, check=True)
    fetched = await ended.fetch("sum", tmp_path / "result")
    assert (fetched / "sum").read_bytes() == b"42"
    again = await mesh.data.get(brought.dataset, tmp_path / "again")
    assert (again / "deep" / "a").read_bytes() == b"1\n2\n"
    with pytest.raises(NotFound) as told:
        await ended.fetch("none", tmp_path / "none")
    assert told.value.reason == "OUTPUT_UNKNOWN"


async def test_ones_own_files_are_replaced_only_where_that_is_said(mesh: Client, tmp_path: Path) -> None:
    """Hours of editing in a fetched folder would be gone with the next fetch."""
    (tmp_path / "note").write_bytes(b"theirs")
    await mesh.data.put(tmp_path / "note", "client-own")
    target = await mesh.data.get("client-own", tmp_path / "target")
    await mesh.data.get("client-own", target)
    (target / "note").write_bytes(b"mine")
    with pytest.raises(FailedPrecondition) as told:
        await mesh.data.get("client-own", target)
    assert (told.value.reason, told.value.facts["files"]) == ("FILES_DIFFER", "1")
    await mesh.data.get("client-own", target, existing=Existing.SKIP)
    assert (target / "note").read_bytes() == b"mine"
    await mesh.data.get("client-own", target, existing=Existing.REPLACE)
    assert (target / "note").read_bytes() == b"theirs"
    assert os.listdir(target) == ["note"]  # noqa: PTH208


async def test_a_large_file_that_changed_in_part_is_sent_in_part(mesh: Client, tmp_path: Path) -> None:
    """A checkpoint of gigabytes of which a layer was trained would be sent whole with every version."""
    model = tmp_path / "model"
    model.write_bytes(os.urandom(12 * BLOCK_BYTES + 5))
    first = await mesh.data.put(model, "client-model")
    with model.open("r+b") as file:
        file.seek(3 * BLOCK_BYTES + 7)
        file.write(b"trained")
        file.seek(0, os.SEEK_END)
        file.write(os.urandom(BLOCK_BYTES))
    second = await mesh.data.put(model, "client-model")
    assert (first.sent_bytes, first.version, second.version) == (first.manifest.size_bytes, 1, 2)
    assert second.sent_bytes <= 3 * BLOCK_BYTES
    got = await mesh.data.get(second.pinned, tmp_path / "got")
    assert (got / "model").read_bytes() == model.read_bytes()
    shorter = model.read_bytes()[: 9 * BLOCK_BYTES + 1]
    model.write_bytes(shorter)
    assert (await mesh.data.put(model, "client-model")).sent_bytes <= BLOCK_BYTES


async def test_a_job_keeps_the_version_of_its_data(mesh: Client, tmp_path: Path) -> None:
    """Who corrects a file must not change what an earlier result was made of."""
    (tmp_path / "a").write_bytes(b"1")
    first = await mesh.data.put(tmp_path / "a", "client-versions", labels={"kept": "versions"})
    submitted = await mesh.jobs.submit(job(SUM, inputs=[Input("datasets/client-versions", "in")]))
    (tmp_path / "a").write_bytes(b"22")
    second = await mesh.data.put(tmp_path / "a", "client-versions")
    again = await mesh.data.put(tmp_path / "a", "client-versions")
    assert [each.version for each in (first, second, again)] == [1, 2, 2]
    assert [each.bytes async for each in mesh.data.versions("client-versions")] == [2, 1]
    assert (await mesh.data.show("client-versions")).version == 2
    assert [each.name async for each in mesh.data.list({"kept": "versions"})] == ["datasets/client-versions"]
    got = await mesh.data.get(first.pinned, tmp_path / "first")
    assert (got / "a").read_bytes() == b"1"

    ended = await submitted.wait(60, check=True)
    assert [each.dataset for each in ended.message.inputs] == [first.pinned]
    rerun = await (await mesh.jobs.submit(ended.message)).wait(60, check=True)
    assert [each.dataset for each in rerun.message.inputs] == [first.pinned]


async def test_a_folder_of_code_travels_by_its_content(mesh: Client, tmp_path: Path) -> None:
    """A project does not fit into a job, and must not be sent anew with each."""
    (tmp_path / "note").write_text("noted\n")
    (tmp_path / ".suanignore").write_text("*.bin\n")
    (tmp_path / "large.bin").write_bytes(b"0")
    coded = job(NOTE, workdir=tmp_path, tasks=2)
    first = await (await mesh.jobs.submit(coded)).wait(60, check=True)
    again = await (await mesh.jobs.submit(coded)).wait(60, check=True)
    assert [await each.log(task) for each in (first, again) for task in range(2)] == ["noted\n"] * 4
    (code,) = first.message.inputs
    assert [each.dataset for each in again.message.inputs] == [code.dataset]
    assert code.dataset.endswith("@1")
    assert (await mesh.data.show(code.dataset)).files == 1


async def test_data_is_removed_when_no_job_needs_it(mesh: Client, tmp_path: Path) -> None:
    """What one removes is gone; what a job needs is not taken from it."""
    (tmp_path / "a").write_bytes(b"1")
    brought = await mesh.data.put(tmp_path / "a", "client-removed")
    running = await mesh.jobs.submit(
        job(LONG, inputs=[Input(brought.dataset, "in")], max_duration=timedelta(minutes=10))
    )
    with pytest.raises(FailedPrecondition) as told:
        await mesh.data.remove("client-removed")
    assert (told.value.reason, running.name in told.value.facts["jobs"]) == ("DATASET_IN_USE", True)
    await running.cancel()
    await running.wait(60)
    assert await mesh.data.remove("client-removed") == 1
    with pytest.raises(NotFound) as gone:
        await mesh.data.show("client-removed")
    assert gone.value.reason == "DATASET_UNKNOWN"
    assert (await mesh.data.put(tmp_path / "a", "client-removed")).version == 2


async def test_a_job_that_fails_says_why(mesh: Client) -> None:
    """A script must be able to stop at it, and a person to read it."""
    ended = await (await mesh.jobs.submit(job(FAIL))).wait(60)

    assert (ended.state, ended.succeeded, ended.ended) == ("FAILED", False, True)
    assert "EXIT_STATUS" in ended.reason()
    assert ended.reason("zh") != ended.reason()
    with pytest.raises(FailedPrecondition) as told:
        await ended.wait(check=True)
    assert told.value.reason == "JOB_NOT_DONE"


async def test_a_sweep_gives_each_task_its_parameters(mesh: Client) -> None:
    """Whoever compares the results must know which came of what."""
    values = sweep(lr=[0.1, 0.01], seed=range(2))
    ended = await (await mesh.jobs.submit(job(TELL, parameters=values))).wait(60, check=True)

    told = await ended.tasks()
    assert [dict(task.parameters) for task in told[:2]] == [{"LR": "0.1", "SEED": "0"}, {"LR": "0.1", "SEED": "1"}]
    logs = [(await ended.log(task.result.index)).strip() for task in told]
    assert logs == ["0.1 0", "0.1 1", "0.01 0", "0.01 1"]


async def test_results_of_a_sweep_lie_by_their_parameters(mesh: Client) -> None:
    """Nobody knows by heart which learning rate task 4 had."""
    values = sweep(lr=[0.1, 0.01])
    swept = job(SUM, parameters=values, outputs=[Output("sum", "out")], result_folder="{job}-lr={lr}")
    ended = await (await mesh.jobs.submit(swept, job_id="by-rate")).wait(60, check=True)
    dataset = ended.results()["sum"]
    for lr in ("0.1", "0.01"):
        assert b"".join([piece async for piece in mesh.data.read(dataset, f"by-rate-lr={lr}/sum")]) == b"42"
    assert ended.message.log_dataset == "datasets/by-rate-log@1"
    with pytest.raises(InvalidArgument) as refused:
        await mesh.jobs.submit(job(SUM, parameters=values, result_folder="{epoch}"))
    assert refused.value.facts["field"] == "task.result_folder"
    assert "{epoch}, which stands for nothing" in refused.value.message


async def test_one_that_is_refused_keeps_no_other_away(mesh: Client) -> None:
    """Of a thousand jobs one is always wrong."""
    good, bad, other = await mesh.jobs.submit_many([job(SUM), job(SUM, memory_bytes=-1), job(SUM)])

    assert isinstance(bad, InvalidArgument)
    assert not isinstance(good, Refusal)
    assert not isinstance(other, Refusal)
    await wait_all([good, other], 60)
    assert good.succeeded
    assert other.succeeded


async def test_jobs_are_found_by_their_labels(mesh: Client) -> None:
    """Names are the mesh's, labels are one's own."""
    wanted = await mesh.jobs.submit(job(SUM, labels={"found_by": "label"}))
    await mesh.jobs.submit(job(SUM, labels={"found_by": "nobody"}))

    assert [each.name async for each in mesh.jobs.list('labels.found_by = "label"')] == [wanted.name]


async def test_whoever_stops_waiting_stops_no_job(mesh: Client) -> None:
    """The job is the mesh's; the program may end, and another may take it up."""
    submitted = await mesh.jobs.submit(job(LONG, max_duration=timedelta(minutes=10)))
    with pytest.raises(DeadlineExceeded) as told:
        await submitted.wait(0.5)
    assert told.value.reason == "STILL_RUNNING"

    again: JobHandle = await mesh.jobs.get(submitted.name)
    assert not again.ended
    await again.cancel()
    assert (await again.wait(60)).state == "CANCELLED"


async def test_a_decision_without_a_job_stores_nothing(mesh: Client) -> None:
    """Prices and places are compared before anything is begun."""
    before = [each.name async for each in mesh.jobs.list()]
    decision = await mesh.jobs.decide(job(SUM))

    assert decision.chosen.startswith("sites/")
    assert [each.name async for each in mesh.jobs.list()] == before


async def test_what_is_not_there_is_refused_by_its_name(mesh: Client) -> None:
    """A typing mistake must not read as an outage."""
    with pytest.raises(NotFound) as told:
        await mesh.jobs.get("nobody-submitted-this")
    assert told.value.reason == "JOB_UNKNOWN"
    with pytest.raises(NotFound):
        await mesh.sites.get("nowhere")


async def test_sites_accounts_and_pools_are_listed(mesh: Client) -> None:
    """What a program picks from."""
    assert await mesh.money.account() in [each.name async for each in mesh.money.accounts()]
    sites = {each.name async for each in mesh.sites.list()}
    assert sites
    assert {"/".join(each.pool.name.split("/")[:2]) async for each in mesh.sites.search()} <= sites
