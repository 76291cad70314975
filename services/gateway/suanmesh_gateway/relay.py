"""Calls to sites that only dial out: each is joined with a stream that the site's agent opens for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count

import structlog

from suanmesh.gateway.v1 import relay_service_pb2 as pb
from suanmesh_gateway.pipe import Pipe
from suanmesh_kernel.refusals import NotFound, Refusal, ResourceExhausted, Unavailable
from suanmesh_sdk.relayed import pieces
from suanmesh_sdk.status import MESH_DOMAIN, refusal_of_call
from suanmesh_telemetry.metrics import RELAYED_BYTES

log = structlog.get_logger()

CALLS_OF_SITE_MAX = 48
"""Carried at a time; the agent opens as many streams. Their frames together are fewer bytes than one caller may have
under way, so that none of them waits for another."""
TAKEN_S_MAX = 5.0
"""How long an agent may take to open a stream for a call."""
FULL_DELAY_S = 0.25
_REPLACED = "replaced"
"""In the place of a call, which is a number: another stream of the site tells of calls from here on."""


class Relay:
    """All of one gateway. What it holds of a call is one frame of each direction."""

    def __init__(self) -> None:
        self._lines: dict[str, asyncio.Queue[str]] = {}
        self._calls: dict[str, _Carried] = {}
        self._under_way: Counter[str] = Counter()
        self._opening: Counter[str] = Counter()
        self._ids = count(1)

    async def awaited(self, site: str) -> AsyncGenerator[str, None]:
        """The calls to `site` from now on, for its agent to take, after an empty one.

        Raises Unavailable (`SITE_NOT_CONNECTED`) once the agent has opened another of these.
        """
        line: asyncio.Queue[str] = asyncio.Queue()
        older = self._lines.get(site)
        self._lines[site] = line
        if older is not None:
            while not older.empty():
                line.put_nowait(older.get_nowait())
            older.put_nowait(_REPLACED)
        log.info("site connected", site=site)
        try:
            yield ""
            while (call := await line.get()) != _REPLACED:
                yield call
            raise _not_connected(site, "its agent has opened a newer stream")
        finally:
            if self._lines.get(site) is line:
                del self._lines[site]
                log.info("site not connected any more", site=site)

    @contextmanager
    def opening(self, site: str) -> Iterator[None]:
        """A block in which an agent says which call it takes: there is room for as many as wait for it.

        Raises NotFound (`CALL_UNKNOWN`): of a stream that nobody has asked for no message is waited for.
        """
        waiting = sum(call.site == site and not call.taken.is_set() for call in self._calls.values())
        if self._opening[site] >= waiting:
            raise NotFound("CALL_UNKNOWN", f"no call to {site} waits here", name=site)
        self._opening[site] += 1
        try:
            yield
        finally:
            self._opening[site] -= 1
            if not self._opening[site]:
                del self._opening[site]

    async def served(
        self, site: str, call_id: str, answers: AsyncIterator[pb.ServeCallRequest]
    ) -> AsyncGenerator[pb.ServeCallResponse, None]:
        """What the agent of `site` is to serve, while it gives its `answers`; ends with the call.

        Raises NotFound (`CALL_UNKNOWN`).
        """
        call = self._calls.get(call_id)
        if call is None or call.site != site or call.taken.is_set():
            raise NotFound("CALL_UNKNOWN", f"no call {call_id} to {site} waits here", name=call_id)
        call.taken.set()
        taking = _beside(call.take(answers))
        try:
            async for frame in call.requests:
                yield frame
        finally:
            taking.cancel()
            call.answers.close()

    async def carry(
        self, site: str, head: pb.RelayedHead, messages: AsyncIterator[bytes]
    ) -> AsyncGenerator[pb.ServeCallRequest, None]:
        """Call `site`: the frames of its answers. Closing it breaks the call off.

        Raises Unavailable (`SITE_NOT_CONNECTED`) where its agent is not there, or goes away meanwhile,
        ResourceExhausted (`CALLS_OF_CALLER_MAX`), and what the site refuses.
        """
        line = self._lines.get(site)
        if line is None:
            raise _not_connected(site, "its agent has no stream open to this gateway")
        if self._under_way[site] >= CALLS_OF_SITE_MAX:
            message = f"{CALLS_OF_SITE_MAX} calls to {site} are carried, as many as may be"
            raise ResourceExhausted("CALLS_OF_CALLER_MAX", message, domain=MESH_DOMAIN, retry_delay_s=FULL_DELAY_S)
        call, call_id = _Carried(site), str(next(self._ids))
        self._calls[call_id] = call
        self._under_way[site] += 1
        giving = _beside(call.give(head, messages))
        try:
            line.put_nowait(call_id)
            await call.until_taken()
            async for frame in call.answers:
                if frame.HasField("status"):
                    _require_good_end(frame.status)
                    return
                RELAYED_BYTES.labels("from_site").inc(len(frame.content))
                yield frame
            raise _not_connected(site, "its agent broke the call off")
        finally:
            giving.cancel()
            call.requests.close()
            del self._calls[call_id]
            self._under_way[site] -= 1
            if not self._under_way[site]:
                del self._under_way[site]


class _Carried:
    """One call, between its caller and the agent that serves it."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.taken = asyncio.Event()
        self.requests: Pipe[pb.ServeCallResponse] = Pipe()
        self.answers: Pipe[pb.ServeCallRequest] = Pipe()

    async def until_taken(self) -> None:
        """Wait for the agent. Raises Unavailable (`SITE_NOT_CONNECTED`)."""
        try:
            async with asyncio.timeout(TAKEN_S_MAX):
                await self.taken.wait()
        except TimeoutError:
            raise _not_connected(self.site, f"its agent has not taken the call within {TAKEN_S_MAX:g} s") from None

    async def give(self, head: pb.RelayedHead, messages: AsyncIterator[bytes]) -> None:
        """Give the agent what the caller sends."""
        try:
            await self.requests.give(pb.ServeCallResponse(head=head))
            async for message in messages:
                for content, whole in pieces(message):
                    RELAYED_BYTES.labels("to_site").inc(len(content))
                    await self.requests.give(pb.ServeCallResponse(content=content, whole=whole))
            await self.requests.give(pb.ServeCallResponse(ends=True))
        except Refusal as refusal:
            self.answers.close(refusal)

    async def take(self, answers: AsyncIterator[pb.ServeCallRequest]) -> None:
        """Give the caller what the agent sends."""
        try:
            async for frame in answers:
                await self.answers.give(frame)
        except Refusal as refusal:
            self.answers.close(refusal)
        self.answers.close()


def _beside(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """`work` in a task that is cancelled by whoever began it; how it ended the pipes tell."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda over: over.cancelled() or over.exception())
    return task


def _require_good_end(status: pb.RelayedStatus) -> None:
    if status.code != "OK":
        raise refusal_of_call(status.code, status.message, status.details)


def _not_connected(site: str, why: str) -> Unavailable:
    message = f"{site} is not connected to this gateway: {why}"
    return Unavailable("SITE_NOT_CONNECTED", message, domain="gateway.suanmesh", site=site)
