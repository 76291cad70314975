"""`suan` against a server: what is printed, what is asked, what the exit status says."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import blake3
import pytest
import yaml
from click.testing import CliRunner, Result

from suanmesh.accounting.v1.account_pb2 import Account
from suanmesh.accounting.v1.accounting_service_pb2 import (
    CreditAccountRequest,
    ListAccountsResponse,
)
from suanmesh.accounting.v1.usage_pb2 import Bill, Charge
from suanmesh.agent.v1.agent_service_pb2 import FilePart, ReadFilesRequest, ReadFilesResponse
from suanmesh.gateway.v1.trace_pb2 import Span, Trace
from suanmesh.registry.v1.pool_pb2 import Pool
from suanmesh.registry.v1.registry_service_pb2 import (
    CreateJoinTokenRequest,
    FoundPool,
    JoinToken,
    ListPartiesResponse,
    ListSitesRequest,
    ListSitesResponse,
    SearchPoolsRequest,
    SearchPoolsResponse,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.decision_pb2 import Decision
from suanmesh.scheduler.v1.job_pb2 import Job, Output, TaskSpec
from suanmesh.scheduler.v1.placement_pb2 import TaskResult
from suanmesh.scheduler.v1.scheduler_service_pb2 import (
    ListJobsRequest,
    ListJobsResponse,
    ListTasksRequest,
    ListTasksResponse,
    ReadJobLogsRequest,
    ReadJobLogsResponse,
    SubmitJobResult,
    SubmitJobsRequest,
    SubmitJobsResponse,
    Task,
)
from suanmesh.transport.v1.dataset_pb2 import Dataset, Manifest, ManifestFile
from suanmesh.transport.v1.transport_service_pb2 import OpenDatasetResponse, ReadFileRequest, ReadFileResponse
from suanmesh.type.v1.state_reason_pb2 import StateReason
from suanmesh_cli.main import suan
from suanmesh_kernel.refusals import BY_CODE, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from suanmesh_sdk.invites import read_invite
from suanmesh_sdk.status import status_of

Run = Callable[..., Awaitable[Result]]

JOB_FILE = "account: accounts/a\nask: {cpu_milli: 1000}\npackage: {variants: [{command: [python3]}]}\n"


async def test_a_table_and_its_data_say_the_same(oracle: Any, run: Run) -> None:
    """A script that was written after looking at the table must find the same things."""
    sites = [Site(name=f"sites/{name}", party="parties/p") for name in ("a", "b", "c")]
    oracle.answers["ListSites"] = ListSitesResponse(sites=sites)
    table, names, data, text = [
        (await run("site", "list", "-o", form)).stdout for form in ("table", "name", "json", "yaml")
    ]
    expected = ["sites/a", "sites/b", "sites/c"]
    assert [line.split()[0] for line in table.splitlines()[1:]] == expected
    assert names.split() == expected
    assert [each["name"] for each in json.loads(data)["sites"]] == expected
    assert yaml.safe_load(text) == json.loads(data)
    assert "\x1b" not in table


async def test_a_long_list_is_read_to_its_end(oracle: Any, run: Run) -> None:
    """A list that stops at the first page hides what somebody looks for."""

    async def paged(body: bytes, context: Any) -> bytes:
        request = ListSitesRequest.FromString(body)
        page = int(request.page_token or 0)
        answer = ListSitesResponse(
            sites=[Site(name=f"sites/{page}")], next_page_token="" if page == 2 else f"{page + 1}"
        )
        return answer.SerializeToString()

    oracle.answer = paged
    assert (await run("site", "list", "-o", "name")).stdout.split() == ["sites/0", "sites/1", "sites/2"]


async def test_a_search_passes_its_filter_on(oracle: Any, run: Run) -> None:
    """The README's own command."""
    oracle.answers["SearchPools"] = SearchPoolsResponse(pools=[FoundPool(pool=Pool(name="sites/a/pools/p"))])
    done = await run("pool", "search", 'architecture = "x86_64" AND free.cpu_milli >= 1000')
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].startswith("a/p ")
    assert SearchPoolsRequest.FromString(oracle.asked[0][1]).filter.startswith('architecture = "x86_64"')


@pytest.mark.parametrize("kind", BY_CODE.values())
async def test_every_refusal_has_its_exit_status(oracle: Any, run: Run, kind: Any) -> None:
    """Scripts branch on the status; the text goes where it does not disturb the data."""
    oracle.answers["GetJob"] = kind("FIELD_INVALID", "no", field="x")
    done = await run("job", "show", "x", "--timeout", "3")
    expected = {"INVALID_ARGUMENT": 2, "NOT_FOUND": 3, "UNAUTHENTICATED": 4, "PERMISSION_DENIED": 4}
    expected |= {"ALREADY_EXISTS": 5, "FAILED_PRECONDITION": 5, "ABORTED": 5, "RESOURCE_EXHAUSTED": 6}
    expected |= {"DEADLINE_EXCEEDED": 7, "UNAVAILABLE": 8}
    assert done.exit_code == expected.get(kind.code, 1)
    assert done.stdout == ""
    assert f"error: {kind.code}" in done.stderr


async def test_a_job_is_submitted_as_the_file_says(oracle: Any, run: Run, tmp_path: Path) -> None:
    """What is asked for is what is paid for."""
    (tmp_path / "job.yaml").write_text(JOB_FILE)
    oracle.answers["SubmitJobs"] = SubmitJobsResponse(results=[SubmitJobResult(job=Job(name="jobs/x"))])
    done = await run("job", "submit", str(tmp_path / "job.yaml"), "--id", "x", "-o", "name")
    request = SubmitJobsRequest.FromString(oracle.asked[0][1])
    assert (done.exit_code, done.stdout) == (0, "jobs/x\n")
    assert (request.items[0].job_id, request.items[0].job.ask.cpu_milli) == ("x", 1000)
    assert request.request_id
    assert not request.validate_only


async def test_a_refused_item_is_a_refused_command(oracle: Any, run: Run, tmp_path: Path) -> None:
    """A batch of one that answers "no" inside must not exit 0."""
    (tmp_path / "job.yaml").write_text(JOB_FILE)
    error = status_of(InvalidArgument("FIELD_INVALID", "task.count: too many", field="task.count"), area="scheduler")
    oracle.answers["SubmitJobs"] = SubmitJobsResponse(results=[SubmitJobResult(error=error)])
    done = await run("job", "submit", str(tmp_path / "job.yaml"), "--lang", "zh")
    assert done.exit_code == 2
    assert "作业的字段缺失或不合规定" in done.stderr
    assert "field = task.count" in done.stderr


async def test_a_bad_file_is_not_sent(oracle: Any, run: Run, tmp_path: Path) -> None:
    """Mistakes cost nothing but the time to read about them."""
    (tmp_path / "job.yaml").write_text("ask:\n  cpu_milli: -1\n")
    done = await run("job", "submit", str(tmp_path / "job.yaml"))
    assert done.exit_code == 2
    assert "job.yaml:2: ask.cpu_milli: -1 is negative" in done.stderr
    assert oracle.asked == []


@pytest.mark.parametrize(("chosen", "status"), [("sites/a/pools/p", 0), ("", 6)])
async def test_a_dry_run_says_whether_it_would_fit(
    oracle: Any, run: Run, tmp_path: Path, chosen: str, status: int
) -> None:
    """A script asks first and submits then."""
    (tmp_path / "job.yaml").write_text(JOB_FILE)
    oracle.answers["SubmitJobs"] = SubmitJobsResponse(results=[SubmitJobResult(decision=Decision(chosen=chosen))])
    done = await run("job", "submit", str(tmp_path / "job.yaml"), "--dry-run", "-o", "json")
    assert done.exit_code == status
    assert json.loads(done.stdout).get("chosen", "") == chosen
    assert SubmitJobsRequest.FromString(oracle.asked[0][1]).validate_only


@pytest.mark.parametrize(("state", "status"), [(Job.STATE_DONE, 0), (Job.STATE_FAILED, 1)])
async def test_waiting_ends_with_the_job(oracle: Any, run: Run, tmp_path: Path, state: Any, status: int) -> None:
    """`submit --wait && next` must not go on after a failure."""
    (tmp_path / "job.yaml").write_text(JOB_FILE)
    oracle.answers["SubmitJobs"] = SubmitJobsResponse(results=[SubmitJobResult(job=Job(name="jobs/x"))])
    oracle.answers["WatchJob"] = [Job(name="jobs/x", state=Job.STATE_RUNNING), Job(name="jobs/x", state=state)]
    done = await run("job", "submit", str(tmp_path / "job.yaml"), "--wait", "-o", "name")
    assert (done.exit_code, done.stdout) == (status, "jobs/x\n")
    assert "jobs/x RUNNING" in done.stderr


async def test_a_wait_that_is_too_short_says_that_it_still_runs(oracle: Any, run: Run) -> None:
    """Exit status 7 tells "slow" from "broken"."""
    oracle.answers["WatchJob"] = [Job(name="jobs/x", state=Job.STATE_RUNNING)]
    done = await run("job", "wait", "x", "--timeout", "0.3")
    assert done.exit_code == 7
    assert "STILL_RUNNING" in done.stderr


async def test_a_log_is_found_after_the_job_has_ended(oracle: Any, run: Run) -> None:
    """People read the log when it is too late for the site to have it."""
    manifest = Manifest(files=[ManifestFile(path=b"task-0.log", bytes=3)])

    def file(body: bytes) -> list[ReadFileResponse]:
        path = ReadFileRequest.FromString(body).path
        return [ReadFileResponse(content=b"hi\n" if path else manifest.SerializeToString())]

    oracle.answers["ReadJobLogs"] = [FailedPrecondition("LOG_NOT_READY", "gone")]
    made = ["datasets/x-model", "datasets/x-log--2"]
    oracle.answers["GetJob"] = Job(name="jobs/x", outputs=[Output(output_id="model")], output_datasets=made)
    oracle.answers["ReadFile"] = file
    assert (await run("job", "logs", "x")).stdout == "hi\n"
    oracle.answers["ReadFile"] = lambda body: [ReadFileResponse(content=part) for part in (b"1\n2", b"2\n3")]
    done = await run("job", "logs", "x", "--tail", "2", "--timestamps")
    assert done.stdout == "22\n3"
    assert "no longer known" in done.stderr
    assert (await run("job", "logs", "x", "--attempt", "1")).exit_code != 0, "what was delivered is of the newest run"
    bodies: list[ReadJobLogsRequest] = []

    def live(body: bytes) -> list[ReadJobLogsResponse]:
        bodies.append(ReadJobLogsRequest.FromString(body))
        return [ReadJobLogsResponse(content=b"live\n")]

    oracle.answers["ReadJobLogs"] = live
    assert (await run("job", "logs", "x")).stdout == "live\n"
    oracle.answers["GetJob"] = Job(name="jobs/x", state=Job.STATE_RUNNING, task=TaskSpec(count=2))
    not_yet = [NotFound("LOG_UNKNOWN", "no log of task 1")]
    oracle.answers["ReadJobLogs"] = lambda body: [not_yet.pop()] if not_yet else live(body)
    assert (await run("job", "logs", "x", "1", "-f")).stdout == "live\n", "a task of a later wave is waited for"
    oracle.answers["ReadJobLogs"] = live
    done = await run("job", "logs", "x", "3", "--previous", "--since", "2026-01-31T00:00:00Z")
    assert done.exit_code == 0, done.stderr
    asked = bodies[-1]
    assert (asked.task, asked.previous, asked.since.seconds) == (3, True, 1_769_817_600)
    oracle.answers["GetJob"] = Job(name="jobs/x", task=TaskSpec(count=2))
    assert (await run("job", "logs", "x", "--all-tasks")).stdout == "[0] live\n[1] live\n"
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=[Job(name="jobs/y"), Job(name="jobs/x")])
    assert (await run("job", "logs", "x", "--label", "a=b", "1")).stdout == "[x] live\n[y] live\n"
    assert [(body.name, body.task) for body in bodies[-2:]] == [("jobs/x", 1), ("jobs/y", 1)]
    followed = (await run("job", "logs", "x", "--all-tasks", "-f")).stdout
    assert sorted(followed.splitlines()) == ["[0] live", "[1] live"], "whichever writes first is shown first"


@pytest.mark.parametrize(("sent", "status"), [(b"weights", 0), (b"weighty", 1)])
async def test_a_dataset_arrives_whole_or_not_at_all(
    oracle: Any, run: Run, tmp_path: Path, sent: bytes, status: int
) -> None:
    """A damaged model that looks whole is worse than none."""
    manifest = Manifest(files=[ManifestFile(path=b"m/model.bin", bytes=7, digest=blake3.blake3(b"weights").digest())])

    def files(body: bytes) -> list[ReadFilesResponse]:
        if ReadFilesRequest.FromString(body).manifest:
            return [ReadFilesResponse(manifest=manifest.SerializeToString())]
        return [ReadFilesResponse(parts=[FilePart(file=0, content=sent)])]

    digest = blake3.blake3(manifest.SerializeToString()).hexdigest()
    oracle.answers["OpenDataset"] = OpenDatasetResponse(
        dataset=Dataset(name="datasets/x", digest=digest), site="sites/a"
    )
    oracle.answers["ReadFiles"] = files
    done = await run("data", "get", "x", "--to", str(tmp_path / "out"))
    assert done.exit_code == status
    there = [path.read_bytes() for path in (tmp_path / "out").rglob("model.bin")]
    assert there == ([b"weights"] if status == 0 else [])


async def test_a_credit_is_exact(oracle: Any, run: Run) -> None:
    """Money is credited to the micro-unit, once."""
    oracle.answers["CreditAccount"] = Account(name="accounts/a", balance_micros=12_500_000, currency="CNY")
    done = await run("account", "credit", "a", "12.50", "--request-id", "r1")
    request = CreditAccountRequest.FromString(oracle.asked[0][1])
    assert done.exit_code == 0
    assert (request.name, request.amount_micros, request.request_id) == ("accounts/a", 12_500_000, "r1")


async def test_a_bill_finds_its_account(oracle: Any, run: Run) -> None:
    """Most parties have one account; they must not have to name it."""
    oracle.answers["ListAccounts"] = ListAccountsResponse(accounts=[Account(name="accounts/mine")])
    oracle.answers["GetBill"] = Bill(account="accounts/mine", currency="CNY", total_micros=7)
    assert "0.000007 CNY" in (await run("bill", "show")).stdout
    oracle.answers["GetJob"] = Job(name="jobs/x", account="accounts/other")
    assert (await run("bill", "show", "--job", "x", "-o", "json")).exit_code == 0
    assert b"accounts/other" in oracle.asked[-1][1]


async def test_a_bill_as_data_says_that_nothing_was_waived(oracle: Any, run: Run) -> None:
    """A script that recomputes bills must not have to guess whether a missing number is zero."""
    charge = Charge(name="charges/c", amount_micros=7)
    oracle.answers["GetBill"] = Bill(account="accounts/mine", charges=[charge], total_micros=7)
    shown = json.loads((await run("bill", "show", "--account", "mine", "-o", "json")).stdout)
    assert [(c["amount_micros"], c["waived_micros"]) for c in shown["charges"]] == [("7", "0")]


async def test_the_ledger_fails_when_it_does_not_add_up(oracle: Any, run: Run) -> None:
    """A cron job can watch over the books."""
    accounts = [Account(name="accounts/a", currency="CNY", balance_micros=5)]
    oracle.answers["ListParties"] = ListPartiesResponse()
    oracle.answers["ListAccounts"] = ListAccountsResponse(accounts=accounts)
    done = await run("ledger", "show", "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)["balance_micros"]) == (1, {"CNY": "5"})
    accounts.append(Account(name="accounts/b", currency="CNY", balance_micros=-5))
    oracle.answers["ListAccounts"] = ListAccountsResponse(accounts=accounts)
    assert (await run("ledger", "show")).exit_code == 0
    oracle.answers["ListParties"] = PermissionDenied("ROLE_DENIED", "for operator")
    assert (await run("ledger", "show")).exit_code == 4


async def test_a_jobs_trace_is_one_command_away(oracle: Any, run: Run) -> None:
    """Whoever has a job's name must not have to look for an id."""
    oracle.answers["GetJob"] = Job(name="jobs/x", trace_id="ab" * 16)
    oracle.answers["GetTrace"] = Trace(
        name="traces/t", spans=[Span(span_id="1" * 16, name="submit", service="gateway")], services=["gateway"]
    )
    done = await run("trace", "show", "--job", "x")
    assert "submit" in done.stdout
    assert ("traces/" + "ab" * 16).encode() in oracle.asked[-1][1]


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (("site", "invite", "acme"), CreateJoinTokenRequest(party="parties/acme", ttl_s=3600)),
        (("user", "invite", "acme/bob"), CreateJoinTokenRequest(party="parties/acme", user="bob", ttl_s=3600)),
    ],
)
async def test_an_invite_is_all_there_is_on_standard_output(
    oracle: Any, run: Run, command: tuple[str, ...], asked: CreateJoinTokenRequest
) -> None:
    """It goes into a file by redirection, and whoever reads that needs nothing else."""
    token = f"sjt1.a.b.{'c' * 64}"
    oracle.answers["CreateJoinToken"] = JoinToken(token=token, certificate_der=b"certificate", key=b"k" * 32)
    done = await run(*command)
    (line,) = done.stdout.splitlines()
    assert read_invite(line) == read_invite(f" {line[:50]}\n{line[50:]}\n")  # as a mail folds it
    assert (read_invite(line).token, read_invite(line).gateway) == (token, oracle.address)
    told = CreateJoinTokenRequest.FromString(oracle.asked[-1][1])
    told.ClearField("request_id")
    assert told == asked


async def test_a_list_of_jobs(oracle: Any, run: Run) -> None:
    """The command typed most."""
    jobs = [Job(name="jobs/x", state=Job.STATE_PENDING, state_reason=StateReason(code="DONE"))]
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=jobs)
    line = (await run("job", "list")).stdout.splitlines()[1]
    assert line.split()[:4] == ["jobs/x", "PENDING", "DONE:", "Everything"]
    jobs[0].state = Job.STATE_DONE
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=jobs)
    assert (await run("job", "list")).stdout.splitlines()[1].split() == ["jobs/x", "DONE"]
    await run("job", "list", "labels.team = x")
    assert ListJobsRequest.FromString(oracle.asked[-1][1]).filter == "labels.team = x"


async def test_several_jobs_are_explained_and_their_tasks_listed_at_once(oracle: Any, run: Run) -> None:
    """Who looks after a study of ten jobs would type ten commands, and lose the one that is refused among them."""
    oracle.answers["ListTasks"] = ListTasksResponse()
    oracle.answers["GetDecision"] = Decision(name="jobs/a/decisions/1", job="jobs/a")
    shown = await run("job", "tasks", "a", "b")
    assert (shown.exit_code, [line for line in shown.stdout.splitlines() if line.startswith("jobs/")]) == (
        0, ["jobs/a", "jobs/b"],
    )  # fmt: skip
    assert (await run("job", "explain", "a", "b")).exit_code == 0
    assert [method for method, _ in oracle.asked] == ["ListTasks"] * 2 + ["GetDecision"] * 2


async def test_the_tasks_of_a_job(oracle: Any, run: Run) -> None:
    """Of a thousand tasks somebody looks for the one that failed."""
    failed = TaskResult(index=1, exit_status=3, state=TaskResult.STATE_FAILED, retries=2)
    failed.state_reason.code = "EXIT_STATUS"
    failed.state_reason.facts.update(task="1", exit_status="3")
    well = TaskResult(index=0, exit_status=0, state=TaskResult.STATE_DONE)
    tasks = [Task(result=result, site="sites/hefei", attempt=1) for result in (well, failed)]
    oracle.answers["ListTasks"] = ListTasksResponse(tasks=tasks)
    lines = (await run("job", "tasks", "x", "--state", "failed")).stdout.splitlines()
    assert lines[0].split() == ["TASK", "STATE", "EXIT", "SITE", "ATTEMPT", "RETRIES", "STARTED", "ENDED", "BECAUSE"]
    assert lines[1].split() == ["0", "DONE", "0", "hefei", "1"]
    said = "EXIT_STATUS: Task 1 ended with status 3; read its log"
    assert lines[2].split(maxsplit=6) == ["1", "FAILED", "3", "hefei", "1", "2", said]
    asked = ListTasksRequest.FromString(oracle.asked[-1][1])
    assert (asked.job, list(asked.states)) == ("jobs/x", [TaskResult.STATE_FAILED])
    for task, seed in zip(oracle.answers["ListTasks"].tasks, ("5", "8"), strict=True):
        task.parameters["SEED"] = seed
    lines = (await run("job", "tasks", "x")).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["PARAMETERS", "SEED=5", "SEED=8"]


def test_help_is_there_for_every_command() -> None:
    """A verb without help is found by nobody, and one that cannot be imported works for nobody."""
    runner = CliRunner()
    pending = [[name] for name in suan.list_commands(None)]  # type: ignore[arg-type]
    seen = 0
    while pending:
        path = pending.pop()
        shown = runner.invoke(suan, [*path, "--help"])
        assert shown.exit_code == 0, path
        command: Any = suan
        for name in path:
            command = command.get_command(None, name)
        assert command.help, path
        pending += [[*path, name] for name in getattr(command, "commands", {})]
        seen += 1
    assert seen >= 40
