"""What every command of `suan` does alike: forms, columns, several names, contexts, waiting, completion."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from suanmesh.registry.v1.registry_service_pb2 import ListSitesResponse
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import (
    CancelJobRequest,
    GetJobRequest,
    ListJobsRequest,
    ListJobsResponse,
    SubmitJobResult,
    SubmitJobsRequest,
    SubmitJobsResponse,
)
from suanmesh.transport.v1.transport_service_pb2 import OpenUploadResponse
from suanmesh_cli import watching
from suanmesh_cli.main import suan
from suanmesh_kernel.refusals import NotFound, Unavailable

Run = Callable[..., Awaitable[Result]]
SUAN = str(Path(sys.executable).parent / "suan")


def asked(oracle: Any, kind: Any, method: str) -> list[Any]:
    """The requests of a method, in order."""
    return [kind.FromString(body) for name, body in oracle.asked if name == method]


async def test_options_of_the_list_are_one_filter_for_the_service(oracle: Any, run: Run) -> None:
    """Ten thousand jobs must not travel to find the three that failed."""
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=[Job(name="jobs/x")])
    options = ["--state", "failed", "--state", "CANCELLED", "--label", 'team=a"b', "--label", "stage"]
    done = await run("job", "list", "priority > 1", *options, "--account", "demo", "--since", "2026-11-29T08:00:00Z")
    assert done.exit_code == 0, done.output
    (request,) = asked(oracle, ListJobsRequest, "ListJobs")
    assert request.filter == (
        '(priority > 1) AND (state = FAILED OR state = CANCELLED) AND labels.team = "a\\"b" AND labels.stage:*'
        ' AND account = "accounts/demo" AND create_time >= "2026-11-29T08:00:00Z"'
    )
    assert request.page_size == 100


async def test_a_list_says_what_it_left_out(oracle: Any, run: Run) -> None:
    """Whoever counts failures must know that there are more."""
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=[Job(name="jobs/x"), Job(name="jobs/y")], next_page_token="t")
    done = await run("job", "list", "--limit", "2", "-o", "name")
    assert done.stdout.split() == ["jobs/x", "jobs/y"]
    assert "the first 2 are shown, there are more: --limit shows more" in done.stderr


async def test_the_same_answer_in_every_form(oracle: Any, run: Run) -> None:
    """A spreadsheet, a script and a person look at the same list."""
    oracle.answers["ListSites"] = ListSitesResponse(sites=[Site(name="sites/b", party="p,q"), Site(name="sites/a")])
    rows = list(csv.reader(io.StringIO((await run("site", "list", "-o", "csv", "--sort", "site")).stdout)))
    assert [row[:2] for row in rows] == [["site", "party"], ["sites/a", ""], ["sites/b", "p,q"]]
    lines = (await run("site", "list", "-o", "jsonl", "--sort", "-site")).stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["sites/b", "sites/a"]
    assert (await run("site", "list", "--query", "sites[?party].name | [0]")).stdout == "sites/b\n"
    assert (await run("site", "list", "--columns", "name,site", "--no-headers")).stdout.split() == [
        "sites/b",
        "sites/a",
    ]
    assert (await run("site", "list", "--query", "sites[")).exit_code == 2
    assert "Did you mean 'party'" in (await run("site", "list", "--columns", "prty")).stderr
    assert (await run("site", "list", "--columns", "site", "-o", "json")).exit_code == 2


async def test_one_that_is_refused_keeps_no_other_away(oracle: Any, run: Run) -> None:
    """Of a hundred jobs to cancel one has always ended already."""

    async def answer(body: bytes, context: Any) -> bytes:
        name = CancelJobRequest.FromString(body).name
        if name == "jobs/gone":
            raise NotFound("JOB_UNKNOWN", "jobs/gone does not exist", name="jobs/gone")
        return Job(name=name).SerializeToString()

    oracle.answer = answer
    done = await run("job", "cancel", "a", "gone", "b", "-o", "name")
    assert (done.exit_code, done.stdout.split()) == (3, ["jobs/a", "jobs/b"])


async def test_between_several_there_is_a_line_and_nothing_else(oracle: Any, run: Run) -> None:
    """A script that reads what was removed, or what could be shown, took the empty lines of the others for answers."""

    async def answer(body: bytes, context: Any) -> bytes:
        name = GetJobRequest.FromString(body).name
        if "gone" in name:
            raise NotFound("JOB_UNKNOWN", f"{name} does not exist", name=name)
        return Job(name=name).SerializeToString()

    oracle.answer = answer
    assert (await run("job", "show", "gone", "gone-too")).stdout == ""
    shown = (await run("job", "show", "gone", "a", "gone-too", "b", "gone")).stdout
    assert [line.split()[1] if line else "" for line in shown.splitlines() if not line.startswith("state")] == [
        "jobs/a",
        "",
        "jobs/b",
    ]
    assert (await run("data", "rm", "a", "b")).stdout == ""


async def test_a_name_that_is_nearly_right_is_said(oracle: Any, run: Run) -> None:
    """People mistype, and long names are not typed twice with pleasure."""
    oracle.answers["GetJob"] = NotFound("JOB_UNKNOWN", "jobs/digist does not exist", name="jobs/digist")
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=[Job(name="jobs/digits"), Job(name="jobs/other")])
    done = await run("job", "show", "digist")
    assert done.exit_code == 3
    assert "  did you mean: jobs/digits\n  fix: Correct the name: `suan job list` shows your jobs" in done.stderr


async def test_a_job_again_asks_for_the_same(oracle: Any, run: Run) -> None:
    """What the service made of the first must not be sent as a wish."""
    before = Job(
        name="jobs/x", account="accounts/a", state=Job.STATE_FAILED, attempt=2, labels={"team": "v"}, party="p"
    )
    oracle.answers["GetJob"] = before
    oracle.answers["SubmitJobs"] = SubmitJobsResponse(results=[SubmitJobResult(job=Job(name="jobs/y"))])
    done = await run("job", "rerun", "x", "--id", "y", "-o", "name")
    assert done.stdout == "jobs/y\n"
    (request,) = asked(oracle, SubmitJobsRequest, "SubmitJobs")
    assert (request.items[0].job_id, request.items[0].job) == ("y", Job(account="accounts/a", labels={"team": "v"}))


async def test_two_jobs_differ_where_they_differ(oracle: Any, run: Run) -> None:
    """One failed and the other did not: what else is not the same?"""
    jobs = {name: Job(name=name, account="accounts/a", trace_id=name) for name in ("jobs/x", "jobs/y")}
    jobs["jobs/y"].task.count = 4
    jobs["jobs/y"].ask.cpu_milli = 500

    async def answer(body: bytes, context: Any) -> bytes:
        return jobs[GetJobRequest.FromString(body).name].SerializeToString()

    oracle.answer = answer
    done = await run("job", "diff", "x", "y")
    assert done.exit_code == 1
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["FIELD", "jobs/x", "jobs/y"],
        ["task.count", "4"],
        ["ask.cpu_milli", "500"],
    ]
    assert (await run("job", "diff", "x", "x")).exit_code == 0


async def test_an_outage_while_waiting_is_two_lines(oracle: Any, run: Run) -> None:
    """A service that restarts must not fill the log of a night."""
    calls = iter(range(100))

    def watched(_: bytes) -> list[Any]:
        number = next(calls)
        running, ended = (Job(name="jobs/x", state=state) for state in (Job.STATE_RUNNING, Job.STATE_DONE))
        return [running, Unavailable("NOT_READY", "restarts")] if number < 4 else [ended]

    oracle.answers["WatchJob"] = watched
    done = await run("job", "wait", "x", "-o", "name")
    assert done.exit_code == 0
    lines = done.stderr.splitlines()
    assert lines.count("NOT_READY: no answer; asking on") == lines.count("it answers again") <= 4
    assert lines[0].startswith("jobs/x RUNNING")


async def test_whoever_stops_waiting_is_told_how_to_come_back(oracle: Any, environment: dict[str, str]) -> None:
    """Ctrl-C ends the waiting, not the job, and nobody should have to guess that."""
    oracle.answers["WatchJob"] = [Job(name="jobs/x", state=Job.STATE_RUNNING)]
    process = await asyncio.create_subprocess_exec(
        SUAN, "job", "wait", "x", env={**os.environ, **environment}, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stderr is not None
    first = await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = (await process.stderr.read()).decode()
    assert first.startswith(b"jobs/x RUNNING")
    assert "jobs/x goes on; come back with `suan job wait x`" in rest
    assert await process.wait() == 130


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("transfer watch x", "transfers/x goes on; come back with `suan transfer watch x`"),
        ("site drain hefei", "sites/hefei goes on; come back with `suan site jobs hefei`"),
        ("data put FOLDER", "what has been moved is kept: the same command goes on where it was"),
        ("data get d --to FOLDER", "what has been moved is kept: the same command goes on where it was"),
    ],
)
async def test_whoever_leaves_is_told_what_goes_on(
    oracle: Any, environment: dict[str, str], tmp_path: Path, command: str, said: str
) -> None:
    """Somebody who does not know that it goes on waits beside the machine, or begins from the beginning."""
    reached = asyncio.Event()

    async def stand_still(body: bytes, context: Any) -> bytes:
        reached.set()
        await asyncio.Event().wait()
        return b""

    oracle.answer = stand_still
    oracle.answers["SetSiteAdmission"] = Site(name="sites/hefei")
    (tmp_path / "folder").mkdir()
    arguments = command.replace("FOLDER", str(tmp_path / "folder")).split()
    process = await asyncio.create_subprocess_exec(
        SUAN, *arguments, env={**os.environ, **environment}, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    await reached.wait()
    process.send_signal(signal.SIGINT)
    _, told = await process.communicate()
    assert said in told.decode()
    assert process.returncode == 130


async def test_a_quiet_put_says_which_version_it_made(oracle: Any, run: Run, tmp_path: Path) -> None:
    """`VERSION=$(suan data put -q FOLDER)` is how a script hands what it brought to the next job."""
    oracle.answers["OpenUpload"] = OpenUploadResponse(dataset="datasets/d", version=3, site="sites/hefei")
    (tmp_path / "file").write_text("here already")
    os.mkfifo(tmp_path / "pipe")
    done = await run("data", "put", str(tmp_path), "--name", "d", "--quiet")
    assert (done.exit_code, done.stdout) == (0, "datasets/d@3\n")
    assert done.stderr.splitlines() == ["left out 'pipe': neither a file, a folder nor a link"]


async def test_time_that_runs_out_says_the_same(oracle: Any, run: Run) -> None:
    """One meaning of --timeout: how long the command may take, whatever it does."""
    oracle.answers["WatchJob"] = [Job(name="jobs/x", state=Job.STATE_RUNNING)]
    done = await run("job", "wait", "x", "--timeout", "300ms")
    assert done.exit_code == 7
    assert "come back with `suan job wait x`" in done.stderr
    assert "error: DEADLINE_EXCEEDED STILL_RUNNING: not ended after 0.3 s" in done.stderr


async def test_shells_complete_names_that_there_are(oracle: Any, environment: dict[str, str]) -> None:
    """Nobody types a job's name by hand twice."""
    oracle.answers["ListJobs"] = ListJobsResponse(jobs=[Job(name="jobs/digits"), Job(name="jobs/other")])
    for shell in ("bash", "zsh", "fish"):
        asking = {"_SUAN_COMPLETE": f"{shell}_complete", "COMP_WORDS": "suan job show di", "COMP_CWORD": "3"}
        if shell == "fish":
            asking["COMP_CWORD"] = "di"
        process = await asyncio.create_subprocess_exec(
            SUAN, env={**os.environ, **environment, **asking}, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        out, err = await process.communicate()
        assert "digits" in out.decode().replace(",", "\n").split(), (shell, out, err)
        assert b"other" not in out


async def test_a_watch_shows_what_changed_and_ends_by_time(
    oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has not changed need not be read again."""
    monkeypatch.setattr(watching, "EVERY_S", 0.1)
    calls = iter(range(100_000))

    async def answer(body: bytes, context: Any) -> bytes:
        sites = [Site(name="sites/a")] if next(calls) < 2 else [Site(name="sites/a"), Site(name="sites/b")]
        return ListSitesResponse(sites=sites).SerializeToString()

    oracle.answer = answer
    done = await run("site", "list", "--watch", "-o", "name", "--timeout", "2")
    assert done.exit_code == 7
    assert done.stdout.split() == ["sites/a", "sites/a", "sites/b"]


def test_contexts_are_added_used_and_removed(tmp_path: Path, tls: Any) -> None:
    """Whoever works on two meshes changes between them all day, and keeps comments in the file."""
    path = tmp_path / "c.toml"
    path.write_text("# mine\n")
    environment = {"SUANMESH_CONFIG": str(path)}

    def suan_(*arguments: str) -> Result:
        return CliRunner().invoke(suan, ["ctx", *arguments], obj=dict(environment))

    mesh = ["--gateway", "h:1", "--node", "n", "--ca", str(tls.ca)]
    assert suan_("add", "one", *mesh).exit_code == 0
    assert suan_("add", "two", *mesh, "--account", "accounts/a").exit_code == 0
    assert "CONTEXT_EXISTS" in suan_("add", "two", *mesh).stderr
    assert suan_("-o", "name").stdout == "one\n"
    assert suan_("use", "two").exit_code == 0
    assert suan_("show", "-o", "name").stdout == "two\n"
    assert [line.split()[:2] for line in suan_("list").stdout.splitlines()[1:]] == [["one", "h:1"], ["*", "two"]]
    assert suan_("use", "three").exit_code == 5
    assert suan_("rm", "two").exit_code == 5
    assert suan_("rm", "one").exit_code == 0
    assert suan_("list", "-o", "name").stdout == "two\n"
    assert "# mine" in path.read_text()
    done = CliRunner().invoke(suan, ["--context", "nine", "ctx", "show"], obj=dict(environment))
    assert "no context 'nine'" in done.stderr


def test_the_version_is_at_the_top() -> None:
    """It is the first question of whoever is to help."""
    assert CliRunner().invoke(suan, ["--version"]).stdout == CliRunner().invoke(suan, ["version"]).stdout
