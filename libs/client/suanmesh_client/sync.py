"""The mesh without `async`: the same words, for scripts and notebooks.

    with connect() as mesh:
        job = mesh.jobs.submit(Job(command=["python3", "-c", "print(42)"]))
        job.wait()

A thread of its own runs the loop of the calls, so that it also works within a notebook that has a loop already. An
object of this module may be used from several threads, but neither by a process that was forked afterwards, nor by
what is called back, such as `on_change`: both are told so instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager
from functools import wraps
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Self, TypeVar

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_client import client, datasets, jobs, money, sites
from suanmesh_client.descriptions import Input, Job, Output, Retry, Secret, Setup, sweep
from suanmesh_kernel.refusals import Refusal

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

_CLOSED = "this client has been closed"
_CALLED_BACK = "what is called back cannot call the mesh: follow a job by `for seen in job.changes()`"
T = TypeVar("T")
B = TypeVar("B")
P = ParamSpec("P")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="suanmesh", daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether anything can be done on it: it has not been closed, and is this process's own."""
        return not self._closed and self._process == os.getpid()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Ctrl-C ends `work` too.

        Raises RuntimeError where it would never end: after `close`, in a process that was forked since, and within
        what is called back.
        """
        if wrong := self._obstacle():
            work.close()
            raise RuntimeError(wrong)
        with self._closing:
            if self._closed:
                work.close()
                raise RuntimeError(_CLOSED)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            if self._closed:
                raise RuntimeError(_CLOSED) from None
            raise
        except KeyboardInterrupt:
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
            if close is not None and self.runs:
                self.run(close())

    def close(self, last: Callable[[], Coroutine[Any, Any, object]] | None = None) -> None:
        """Do what is `last`, and end the thread; whoever waits in another gets a RuntimeError. Again, nothing."""
        if self._process != os.getpid():
            return  # it is the other process's to close
        if threading.current_thread() is self._thread:
            raise RuntimeError(_CALLED_BACK)
        with self._closing:
            if self._closed:
                return
            self._closed = True
        try:
            if last is not None:
                asyncio.run_coroutine_threadsafe(last(), self._loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _obstacle(self) -> str:
        if self._process != os.getpid():
            return "this client was made before the process was forked: connect anew in the child"
        if self._closed:
            return _CLOSED
        return _CALLED_BACK if threading.current_thread() is self._thread else ""


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


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
        self.jobs = Jobs(self.loop, self.behind.jobs)
        self.data = Datasets(self.loop, self.behind.data)
        self.money = Money(self.loop, self.behind.money)
        self.sites = Sites(self.loop, self.behind.sites)

    def close(self) -> None:
        """Close every connection; a second time nothing."""
        self.loop.close(lambda: self._opened.__aexit__(None, None, None))

    def __repr__(self) -> str:
        return repr(self.behind)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client belongs to its process: connect anew in the other")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _On(Generic[B]):
    """Something of the client that has `async`, and the loop that it is used on."""

    def __init__(self, loop: Loop, behind: B) -> None:
        self.loop = loop
        self.behind = behind

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} belongs to its client: send the name of a job, and `jobs.get` it there")


def _called(method: Callable[Concatenate[B, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[_On[B], P], T]:
    """A method with the parameters of a coroutine function, that returns what is awaited there."""

    @wraps(method)
    def call(self: _On[B], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.loop.run(method(self.behind, *args, **kwargs))

    return call


def _each(method: Callable[Concatenate[B, P], AsyncIterator[T]]) -> Callable[Concatenate[_On[B], P], Iterator[T]]:
    """A method with the parameters of an async iterator's, that iterates."""

    @wraps(method)
    def iterate(self: _On[B], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self.loop.each(method(self.behind, *args, **kwargs))

    there = signature(method)
    returned = str(there.return_annotation).removeprefix("Async")
    iterate.__signature__ = there.replace(return_annotation=returned)  # type: ignore[attr-defined] # help() shows it
    return iterate


class JobHandle(_On[jobs.JobHandle]):
    """As `suanmesh_client.JobHandle`."""

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

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        check: bool = False,
        on_change: Callable[[job_pb2.Job], None] | None = None,
    ) -> Self:
        """Itself, once it has ended. Ctrl-C ends the wait; the job goes on."""
        self.loop.run(self.behind.wait(timeout_s, check=check, on_change=on_change))
        return self

    def results(self) -> dict[str, str]:
        """The datasets it has delivered, by the ids of its outputs."""
        return self.behind.results()

    refresh = _called(jobs.JobHandle.refresh)
    changes = _each(jobs.JobHandle.changes)
    cancel = _called(jobs.JobHandle.cancel)
    logs = _each(jobs.JobHandle.logs)
    log = _called(jobs.JobHandle.log)
    tasks = _called(jobs.JobHandle.tasks)
    decision = _called(jobs.JobHandle.decision)
    fetch = _called(jobs.JobHandle.fetch)
    charges = _called(jobs.JobHandle.charges)


class Jobs(_On[jobs.Jobs]):
    """Your jobs."""

    def submit(self, job: Job | job_pb2.Job, *, job_id: str = "") -> JobHandle:
        """Submit one job. Raises what refuses it."""
        return JobHandle(self.loop, self.loop.run(self.behind.submit(job, job_id=job_id)))

    def submit_many(
        self, many: Sequence[Job | job_pb2.Job], *, job_ids: Sequence[str] = ()
    ) -> Sequence[JobHandle | Refusal]:
        """Submit any number; for each the job, or the refusal it met."""
        answered = self.loop.run(self.behind.submit_many(many, job_ids=job_ids))
        return [each if isinstance(each, Refusal) else JobHandle(self.loop, each) for each in answered]

    def get(self, name: str) -> JobHandle:
        """The job `name`."""
        return JobHandle(self.loop, self.loop.run(self.behind.get(name)))

    def list(self, filter_: str = "") -> Iterator[JobHandle]:
        """Your jobs, the newest first."""
        return (JobHandle(self.loop, each) for each in self.loop.each(self.behind.list(filter_)))

    decide = _called(jobs.Jobs.decide)


class Datasets(_On[datasets.Datasets]):
    """Your datasets."""

    put = _called(datasets.Datasets.put)
    get = _called(datasets.Datasets.get)
    show = _called(datasets.Datasets.show)
    list = _each(datasets.Datasets.list)
    versions = _each(datasets.Datasets.versions)
    label = _called(datasets.Datasets.label)
    remove = _called(datasets.Datasets.remove)
    read = _each(datasets.Datasets.read)


class Money(_On[money.Money]):
    """What you pay."""

    account = _called(money.Money.account)
    accounts = _each(money.Money.accounts)
    charges = _each(money.Money.charges)


class Sites(_On[sites.Sites]):
    """Where jobs may run."""

    get = _called(sites.Sites.get)
    list = _each(sites.Sites.list)
    search = _each(sites.Sites.search)


def wait_all(many: Sequence[JobHandle], timeout_s: float | None = None) -> None:
    """Wait until all have ended. Raises as `JobHandle.wait` does for the first that has not."""
    if many:
        many[0].loop.run(jobs.wait_all([each.behind for each in many], timeout_s))
