"""The mesh without `async`: the same words, for scripts and notebooks.

    with connect() as mesh:
        job = mesh.jobs.submit(Job(command=["python3", "-c", "print(42)"]))
        job.wait()

A thread of its own runs the loop of the calls, so that it also works within a notebook that has a loop already. An
object of this module may be used from several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from suanmesh.accounting.v1 import account_pb2, usage_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry_pb
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.transport.v1 import dataset_pb2
from suanmesh_client import client, jobs
from suanmesh_client.descriptions import Input, Job, Output, Retry, Secret, Setup, sweep
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.data import Brought, Existing, Progress

__all__ = [
    "Client",
    "Input",
    "Job",
    "JobHandle",
    "Loop",
    "Output",
    "Retry",
    "Secret",
    "Setup",
    "connect",
    "sweep",
    "wait_all",
]

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="suanmesh", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Ctrl-C ends `work` too."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except (KeyboardInterrupt, CancelledError):
            future.cancel()
            raise

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items, each when it is asked for; whoever stops early lets go of the rest."""
        end = object()

        async def following() -> T | object:
            return await anext(items, end)

        try:
            while (item := self.run(following())) is not end:
                yield item  # type: ignore[misc]
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                self.run(close())

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def connect(context: str = "", *, environment: Mapping[str, str] | None = None, here: Path | None = None) -> Client:
    """As `suanmesh_client.connect`."""
    return Client(lambda: client.connect(context, environment=environment, here=here))


class Client:
    """As `suanmesh_client.Client`. Use it as a context manager, or `close` it."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[client.Client]]) -> None:
        """`opened` makes what is entered, and left by `close`; all on the loop of the calls."""
        self.loop = Loop()

        async def opening() -> client.Client:
            self._opened = opened()
            return await self._opened.__aenter__()

        try:
            self.behind = self.loop.run(opening())
        except BaseException:
            self.loop.close()
            raise
        self.jobs = Jobs(self)
        self.data = Datasets(self)
        self.money = Money(self)
        self.sites = Sites(self)

    def close(self) -> None:
        """Close every connection."""
        self.loop.run(self._opened.__aexit__(None, None, None))
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class JobHandle:
    """As `suanmesh_client.JobHandle`."""

    def __init__(self, of: Client, behind: jobs.JobHandle) -> None:
        self._loop = of.loop
        self.behind = behind

    def __repr__(self) -> str:
        return repr(self.behind)

    @property
    def message(self) -> job_pb2.Job:
        """The contract's job as it was last seen."""
        return self.behind.message

    @property
    def name(self) -> str:
        """`jobs/{id}`."""
        return self.behind.name

    @property
    def state(self) -> str:
        """Its state, without prefix."""
        return self.behind.state

    @property
    def ended(self) -> bool:
        """Whether it will change no more."""
        return self.behind.ended

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.behind.succeeded

    def reason(self, lang: str = "en") -> str:
        """Why it is in its state."""
        return self.behind.reason(lang)

    def refresh(self) -> None:
        """See it as it is now."""
        self._loop.run(self.behind.refresh())

    def changes(self) -> Iterator[job_pb2.Job]:
        """It as it is now, then at every change of its state, until it has ended."""
        return self._loop.each(self.behind.changes())

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        check: bool = False,
        on_change: Callable[[job_pb2.Job], None] | None = None,
    ) -> Self:
        """Itself, once it has ended. Ctrl-C ends the wait; the job goes on."""
        self._loop.run(self.behind.wait(timeout_s, check=check, on_change=on_change))
        return self

    def cancel(self) -> None:
        """Ask to end it."""
        self._loop.run(self.behind.cancel())

    def logs(self, task: int = 0, *, follow: bool = False) -> Iterator[bytes]:
        """What a task wrote, in pieces."""
        return self._loop.each(self.behind.logs(task, follow=follow))

    def log(self, task: int = 0) -> str:
        """All that a task wrote up to now."""
        return self._loop.run(self.behind.log(task))

    def tasks(self) -> Sequence[scheduler_pb.Task]:
        """What became of each task."""
        return self._loop.run(self.behind.tasks())

    def decision(self) -> decision_pb2.Decision:
        """Why it went where it went, or why it waits."""
        return self._loop.run(self.behind.decision())

    def results(self) -> dict[str, str]:
        """The datasets it has delivered, by the ids of its outputs."""
        return self.behind.results()

    def fetch(self, output_id: str, to: Path) -> Path:
        """Bring what it delivered as `output_id` into the folder `to`."""
        return self._loop.run(self.behind.fetch(output_id, to))

    def charges(self) -> Sequence[usage_pb2.Charge]:
        """What it has cost, charge by charge."""
        return self._loop.run(self.behind.charges())


class Jobs:
    """Your jobs."""

    def __init__(self, of: Client) -> None:
        self._of = of

    def submit(self, job: Job | job_pb2.Job, *, job_id: str = "") -> JobHandle:
        """Submit one job. Raises what refuses it."""
        return JobHandle(self._of, self._of.loop.run(self._of.behind.jobs.submit(job, job_id=job_id)))

    def submit_many(
        self, many: Sequence[Job | job_pb2.Job], *, job_ids: Sequence[str] = ()
    ) -> Sequence[JobHandle | Refusal]:
        """Submit any number; for each the job, or the refusal it met."""
        answered = self._of.loop.run(self._of.behind.jobs.submit_many(many, job_ids=job_ids))
        return [each if isinstance(each, Refusal) else JobHandle(self._of, each) for each in answered]

    def decide(self, job: Job | job_pb2.Job) -> decision_pb2.Decision:
        """Where it would go now; nothing is stored."""
        return self._of.loop.run(self._of.behind.jobs.decide(job))

    def get(self, name: str) -> JobHandle:
        """The job `name`."""
        return JobHandle(self._of, self._of.loop.run(self._of.behind.jobs.get(name)))

    def list(self, filter_: str = "") -> Iterator[JobHandle]:
        """Your jobs, the newest first."""
        return (JobHandle(self._of, each) for each in self._of.loop.each(self._of.behind.jobs.list(filter_)))


class Datasets:
    """Your datasets."""

    def __init__(self, of: Client) -> None:
        self._of = of

    def put(
        self,
        folder: Path,
        dataset_id: str,
        *,
        site: str = "",
        residency: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Brought:
        """Make a folder, or one file, the dataset `dataset_id`, or its next version."""
        return self._of.loop.run(
            self._of.behind.data.put(
                folder, dataset_id, site=site, residency=residency, labels=labels, progress=progress
            )
        )

    def get(
        self,
        name: str,
        to: Path,
        *,
        existing: Existing = Existing.REFUSE,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> Path:
        """Bring a dataset into the folder `to`; other content that lies there stays, unless `existing` says so."""
        return self._of.loop.run(self._of.behind.data.get(name, to, existing=existing, progress=progress))

    def show(self, name: str) -> dataset_pb2.Dataset:
        """The dataset `name`."""
        return self._of.loop.run(self._of.behind.data.show(name))

    def list(self, labels: Mapping[str, str] | None = None) -> Iterator[dataset_pb2.Dataset]:
        """Your datasets in their newest versions, by name."""
        return self._of.loop.each(self._of.behind.data.list(labels))

    def versions(self, name: str) -> Iterator[dataset_pb2.Dataset]:
        """The versions of a dataset, the newest first."""
        return self._of.loop.each(self._of.behind.data.versions(name))

    def label(self, name: str, labels: Mapping[str, str]) -> dataset_pb2.Dataset:
        """Give a version these labels and no others."""
        return self._of.loop.run(self._of.behind.data.label(name, labels))

    def remove(self, name: str) -> int:
        """Remove a dataset with all its versions, or one version."""
        return self._of.loop.run(self._of.behind.data.remove(name))

    def read(self, name: str, path: str | bytes) -> Iterator[bytes]:
        """One file of a dataset, in pieces."""
        return self._of.loop.each(self._of.behind.data.read(name, path))


class Money:
    """What you pay."""

    def __init__(self, of: Client) -> None:
        self._of = of

    def account(self) -> str:
        """The name of the account of the context, or of your only one."""
        return self._of.loop.run(self._of.behind.money.account())

    def accounts(self) -> Iterator[account_pb2.Account]:
        """Your accounts."""
        return self._of.loop.each(self._of.behind.money.accounts())

    def charges(
        self, account: str = "", *, job: str = "", start: datetime | None = None, end: datetime | None = None
    ) -> Iterator[usage_pb2.Charge]:
        """Every charge."""
        return self._of.loop.each(self._of.behind.money.charges(account, job=job, start=start, end=end))


class Sites:
    """Where jobs may run."""

    def __init__(self, of: Client) -> None:
        self._of = of

    def get(self, name: str) -> site_pb2.Site:
        """The site `name`."""
        return self._of.loop.run(self._of.behind.sites.get(name))

    def list(self) -> Iterator[site_pb2.Site]:
        """Every site, by name."""
        return self._of.loop.each(self._of.behind.sites.list())

    def search(self, filter_: str = "") -> Iterator[registry_pb.FoundPool]:
        """Pools that fit, the best first."""
        return self._of.loop.each(self._of.behind.sites.search(filter_))


def wait_all(many: Sequence[JobHandle], timeout_s: float | None = None) -> None:
    """Wait until all have ended. Raises DeadlineExceeded (`STILL_RUNNING`) for the first that has not."""
    if many:
        many[0]._loop.run(jobs.wait_all([each.behind for each in many], timeout_s))
