"""Clients: seeded users that submit, cancel, read, publish and move, and note down what was acknowledged.

A call that may have had its effect is made again with the same `request_id` until there is a final answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from chaos.records import Answered, Asked, CallError, Cancelled, Journal, Moving, Published, Seen
from chaos.tasks import KINDS, task_job
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_content import read_folder
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.node import Node, NotReady
from suanmesh_sdk import Mesh
from suanmesh_sdk.status import refusal_of

T = TypeVar("T")

CALL_S = 8.0
"""How long one call may take, its repeats by the SDK included."""
AGAIN_S = 0.7
PAUSES_S = (0.2, 1.6)
LIVE_MAX = 8
"""Jobs of one client that have not ended, as far as it knows; with more it only reads."""
PASSING = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"))
"""Codes after which the same call may be made again."""
PASSING_REASONS = frozenset(("HANDSHAKE_FAILED",))
"""Reasons that a server which is just being killed gives as well as one that does not know the caller."""
NEVER = frozenset(("INTERNAL", "UNKNOWN", "DATA_LOSS"))
"""Codes nobody may ever be answered with."""
ACTS = {"submit": 10, "batch": 3, "cancel": 3, "read": 6, "list": 1, "log": 2, "publish": 1, "move": 2, "rest": 2}
STATE_OF = {value.number: value.name.removeprefix("STATE_") for value in job_pb2.Job.State.DESCRIPTOR.values}
ENDS = ("DONE", "FAILED", "CANCELLED")


class OutOfTime(Exception):
    """There was no final answer before the run was over."""


class Client:
    """One user with a seed of its own."""

    def __init__(
        self, name: str, party: str, seed: int, mesh: Mesh, node: Node, journal: Journal, folder: Path
    ) -> None:
        self.name = name
        self.party = party
        self._chance = random.Random(f"{seed} {name}")
        self._mesh = mesh
        self._node = node
        self._journal = journal
        self._folder = folder
        self._sites = [place.site for place in node.places]
        self._jobs: dict[str, str] = {}
        """Own jobs with the state last seen."""
        self._dear: list[str] = []
        self._datasets: list[Published] = []
        self._made = 0
        self._until = 0.0

    async def run(self, until: float, answer_until: float) -> None:
        """Act until the one moment (monotonic clock); unanswered calls are made again until the other."""
        self._until = answer_until
        while time.monotonic() < until:
            act = self._chance.choices(list(ACTS), list(ACTS.values()))[0]
            try:
                await self._act(act)
            except OutOfTime:
                self._journal.unanswered[act] += 1
            await asyncio.sleep(self._chance.uniform(*PAUSES_S))

    async def give_up(self, until: float) -> None:
        """Cancel what can never be placed, so that everything ends."""
        self._until = until
        for name in self._dear:
            try:
                await self._cancel(name)
            except OutOfTime:
                self._journal.unanswered["cancel"] += 1

    async def close(self) -> None:
        """Close the connections."""
        await self._mesh.close()

    async def _act(self, act: str) -> None:
        live = [name for name, state in self._jobs.items() if state not in ENDS]
        match act:
            case "submit" if len(live) < LIVE_MAX:
                await self._submit(1)
            case "batch" if len(live) < LIVE_MAX:
                await self._submit(self._chance.randint(3, 6))
            case "cancel" if live:
                await self._cancel(self._chance.choice(live))
            case "log" if live:
                await self._log(self._chance.choice(live))
            case "publish":
                await self._publish()
            case "move" if self._datasets:
                await self._move()
            case "list":
                await self._list()
            case "rest":
                await asyncio.sleep(self._chance.uniform(0.0, 2.0))
            case _:
                for name in live:
                    await self._read(name)

    async def _submit(self, count: int) -> None:
        items, asked = [], []
        request_id = self._next("request")
        for _ in range(count):
            kind = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
            marker = self._next("job")
            job, tasks, output_bytes = task_job(
                self._chance, kind, marker, f"accounts/{self.party}", self._shuffled(), self._deliver_to()
            )
            # With a name of its own or with one the scheduler gives: both must be made once.
            items.append(scheduler.SubmitJob(job_id=marker if self._chance.random() < 0.6 else "", job=job))
            asked.append(Asked(marker, kind, self.name, tasks, output_bytes))
        self._journal.asked += asked
        request = scheduler.SubmitJobsRequest(items=items, request_id=request_id)
        try:
            answer = await self._final("submit", lambda: self._submitted(request))
        except Refusal as refusal:
            self._journal.answered += [Answered(each.marker, time.time(), refused=refusal.reason) for each in asked]
            return
        for each, result in zip(asked, answer.results, strict=True):
            self._answered(each, result)

    async def _submitted(self, request: scheduler.SubmitJobsRequest) -> scheduler.SubmitJobsResponse:
        """The answer when that to every item is final; a repeat asks for the others anew."""
        answer = await self._mesh.scheduler.SubmitJobs(request, timeout=CALL_S)
        for result in answer.results:
            if result.HasField("error") and (refusal := refusal_of(result.error)).code in PASSING:
                raise refusal
        return answer

    def _answered(self, asked: Asked, result: scheduler.SubmitJobResult) -> None:
        if result.HasField("error"):
            refusal = refusal_of(result.error)
            self._note(refusal, "submit")
            self._journal.refusals[f"submit {refusal.reason}"] += 1
            self._journal.answered.append(Answered(asked.marker, time.time(), refused=refusal.reason))
            return
        self._journal.answered.append(Answered(asked.marker, time.time(), name=result.job.name))
        self._jobs[result.job.name] = "PENDING"
        if asked.kind == "dear":
            self._dear.append(result.job.name)

    async def _cancel(self, name: str) -> None:
        request = scheduler.CancelJobRequest(name=name)
        try:
            await self._final("cancel", lambda: self._mesh.scheduler.CancelJob(request, timeout=CALL_S))
        except Refusal:
            return
        self._journal.cancelled.append(Cancelled(name, time.time()))

    async def _read(self, name: str) -> None:
        try:
            call = self._mesh.scheduler.GetJob(scheduler.GetJobRequest(name=name), timeout=CALL_S)
            self._saw(await call)
        except Refusal as refusal:
            self._note(refusal, "read")

    async def _list(self) -> None:
        try:
            answer = await self._mesh.scheduler.ListJobs(scheduler.ListJobsRequest(page_size=100), timeout=CALL_S)
        except Refusal as refusal:
            self._note(refusal, "list")
            return
        for job in answer.jobs:
            self._saw(job)

    def _saw(self, job: job_pb2.Job) -> None:
        state = STATE_OF[job.state]
        if job.name in self._jobs:
            self._jobs[job.name] = state
        self._journal.seen.append(Seen(job.name, state, time.time()))

    async def _log(self, name: str) -> None:
        """Follow a log for as long as it may take; that there is none yet is an answer."""
        request = scheduler.ReadJobLogsRequest(name=name, follow=True)
        try:
            async for _ in self._mesh.scheduler.ReadJobLogs(request, timeout=CALL_S):
                pass
        except Refusal as refusal:
            self._note(refusal, "log")

    async def _publish(self) -> None:
        dataset, site = self._next("data"), self._chance.choice(self._sites)
        content = self._chance.randbytes(self._chance.randint(10, 1_500_000))
        folder = self._folder / dataset
        folder.mkdir(parents=True)
        (folder / "bytes").write_bytes(content)
        digest = (await asyncio.to_thread(read_folder, folder)).digest
        while time.monotonic() < self._until:
            try:
                said = await self._node.publish(site, dataset, self.party, folder)
            except NotReady:
                self._journal.repeats["publish"] += 1
                await asyncio.sleep(AGAIN_S)
                continue
            self._journal.published.append(
                Published(f"datasets/{dataset}", digest, hashlib.sha256(content).hexdigest(), time.time())
            )
            self._datasets.append(self._journal.published[-1])
            if digest not in said:
                self._note(Refusal("DIGEST_OTHER", f"{dataset} has {digest}, and was published as {said}"), "publish")
            return
        raise OutOfTime

    async def _move(self) -> None:
        dataset = self._chance.choice(self._datasets)
        target = f"sites/{self._chance.choice(self._sites)}"
        source = f"sites/{self._chance.choice(self._sites)}"
        ask = transport.TransferAsk(transfer_id=self._next("move"), dataset=dataset.name, source=source, target=target)
        request = transport.CreateTransfersRequest(items=[ask], request_id=self._next("request"))
        try:
            answer = await self._final("move", lambda: self._mesh.transport.CreateTransfers(request, timeout=CALL_S))
        except Refusal:
            return
        if answer.results[0].HasField("error"):
            self._note(refusal_of(answer.results[0].error), "move")
            self._journal.refusals[f"move {refusal_of(answer.results[0].error).reason}"] += 1
            return
        self._journal.moving.append(Moving(answer.results[0].transfer.name, dataset.name, target, time.time()))

    async def _final(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """The final answer. Raises Refusal for a final one, OutOfTime."""
        while True:
            try:
                return await call()
            except Refusal as refusal:
                self._note(refusal, what)
                if refusal.code not in PASSING and refusal.reason not in PASSING_REASONS:
                    self._journal.refusals[f"{what} {refusal.reason}"] += 1
                    raise
                self._journal.repeats[f"{what} {refusal.reason}"] += 1
            if time.monotonic() > self._until:
                raise OutOfTime
            await asyncio.sleep(AGAIN_S)

    def _note(self, refusal: Refusal, what: str) -> None:
        if refusal.code in NEVER:
            error = CallError(self.name, what, refusal.code, refusal.reason, refusal.message[:300], time.time())
            self._journal.errors.append(error)

    def _next(self, what: str) -> str:
        self._made += 1
        return f"{self.name}-{what}-{self._made}"

    def _shuffled(self) -> list[Published]:
        """Own datasets in some order."""
        return self._chance.sample(self._datasets, len(self._datasets))

    def _deliver_to(self) -> list[str]:
        return [f"sites/{site}" for site in self._sites]
