"""The site's data plane, as it is called."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2
from suanmesh_agent.data_plane import Logs, Reader, Tickets
from suanmesh_agent.domain.log_view import LogView, run_again
from suanmesh_agent.domain.tasks import TaskKey, setup_key
from suanmesh_agent.uploads import Requests, Uploads
from suanmesh_chassis import Call, Served
from suanmesh_content import PACK_BYTES, Chunk, Run, byte_chunks, manifest_to, parts_of
from suanmesh_kernel.names import ID_PATTERN
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.read_ahead import ReadAhead

RANGES_MAX = 1000
ECHO_BYTES_MAX = 1024
_TASKS_MAX = 100_000
_RETRIES_MAX = 100
_RESUME_TOKEN = re.compile(r"(\d{1,3})\.(\d{1,18})", re.ASCII)
_TAIL_LINES_MAX = 100_000
"""Where more of the last lines are asked for, so many are sent."""


class AgentService:
    """Serves `suanmesh.agent.v1.AgentService`."""

    def __init__(self, tickets: Tickets, reader: Reader, logs: Logs, uploads: Uploads, gateway: str) -> None:
        """`gateway` is the identity of those that pass users on, and see to it that tickets are theirs."""
        self._tickets = tickets
        self._reader = reader
        self._logs = logs
        self._uploads = uploads
        self._gateway = gateway

    async def GetManifest(self, request: pb.GetManifestRequest, call: Call) -> dataset_pb2.Manifest:
        """The manifest of the ticket's dataset."""
        ticket = await self._tickets.checked(request.ticket, call.principal)
        return manifest_to(await asyncio.to_thread(self._reader.manifest, ticket))

    async def FetchChunks(self, request: pb.FetchChunksRequest, call: Call) -> AsyncIterator[pb.FetchChunksResponse]:
        """The ranges, in order, paced."""
        ticket = await self._tickets.checked(request.ticket, call.principal)
        if not 1 <= len(request.ranges) <= RANGES_MAX:
            raise InvalidArgument("RANGE_INVALID", f"ranges: 1 to {RANGES_MAX} are wanted", field="ranges")
        wanted = [Chunk(i, each.file, each.offset, each.bytes) for i, each in enumerate(request.ranges)]
        del request
        async with aclosing(self._reader.read(ticket, wanted)) as pieces:
            async for piece in pieces:
                yield pb.FetchChunksResponse(range=piece.chunk.index, content=piece.content, digest=piece.digest)

    async def ReadFiles(self, request: pb.ReadFilesRequest, call: Call) -> AsyncIterator[pb.ReadFilesResponse | bytes]:
        """The manifest, where it is wanted, and files in packs."""
        ticket = await self._tickets.checked(request.ticket, self._holder(call))
        if request.manifest:
            content = await asyncio.to_thread(self._reader.canonical, ticket)
            for offset, size in byte_chunks(len(content), PACK_BYTES):
                yield pb.ReadFilesResponse(manifest=content[offset : offset + size])
        runs = [Run(run.first, run.count, run.offset) for run in request.runs]
        ahead = ReadAhead(self._reader.files(ticket, runs, pb.ReadFilesResponse.PARTS_FIELD_NUMBER))
        try:
            async for message in ahead:
                yield message
        finally:
            ahead.close()

    async def WriteFiles(self, requests: Requests, call: Call) -> AsyncIterator[pb.WriteFilesResponse]:
        """Take in what a user brings."""
        first = await anext(requests, None)
        if not isinstance(first, pb.WriteFilesRequest):
            raise InvalidArgument("MANIFEST_INVALID", "nothing was sent", field="ticket")
        claim = await self._tickets.checked_upload(first.ticket, self._holder(call))
        async with aclosing(self._uploads.take(first.ticket, claim, requests, first.in_place_of)) as answers:
            async for answer in answers:
                yield answer

    def _holder(self, call: Call) -> str:
        """Who must hold the ticket; nobody where a gateway has seen to it that its caller does."""
        return "" if call.principal == self._gateway else call.principal

    async def ReadLog(self, request: pb.ReadLogRequest, call: Call) -> AsyncIterator[pb.ReadLogResponse]:
        """What a task wrote."""
        area, _, placement = request.placement.partition("/")
        if area != "placements" or not ID_PATTERN.fullmatch(placement):
            raise InvalidArgument("RANGE_INVALID", "placement is not of the form placements/{id}", field="placement")
        if not (0 <= request.task < _TASKS_MAX and request.offset >= 0):
            raise InvalidArgument("RANGE_INVALID", "task and offset are not negative", field="task")
        if request.tail_lines < 0 or not 0 <= request.retry <= _RETRIES_MAX:
            raise InvalidArgument("RANGE_INVALID", "tail_lines and retry are not negative", field="tail_lines")
        key = setup_key(placement) if request.setup else TaskKey(placement, request.task, request.retry)
        offset = request.offset
        if request.resume_token:
            retry, offset = _resumed(request.resume_token)
            key = key if request.setup else TaskKey(placement, request.task, retry)
            request = pb.ReadLogRequest(follow=request.follow, timestamps=request.timestamps)
        elif not (request.HasField("retry") or request.setup):
            key = await self._logs.newest(key)
        since_ms = request.since.ToMilliseconds() if request.HasField("since") else 0
        view = LogView(min(request.tail_lines, _TAIL_LINES_MAX), since_ms, request.timestamps)
        goes_on = request.follow and not request.HasField("retry")
        while True:
            async with aclosing(self._logs.read(key, offset, follow=request.follow, view=view)) as pieces:
                async for piece, end in pieces:
                    yield pb.ReadLogResponse(content=piece, resume_token=f"{key.retry}.{end}")
            again = await self._logs.next_run(key) if goes_on else None
            if again is None:
                return
            key, offset, view = again, 0, LogView(0, 0, request.timestamps)
            yield pb.ReadLogResponse(content=run_again(key.retry), resume_token=f"{key.retry}.0")

    async def Echo(self, request: pb.EchoRequest, call: Call) -> pb.EchoResponse:
        """The same bytes."""
        if len(request.payload) > ECHO_BYTES_MAX:
            raise InvalidArgument("RANGE_INVALID", f"payload: at most {ECHO_BYTES_MAX} bytes", field="payload")
        return pb.EchoResponse(payload=request.payload)


def served(servicer: AgentService) -> Served:
    """With what reads the files that are brought."""
    field = pb.WriteFilesRequest.PARTS_FIELD_NUMBER
    readers = {"WriteFiles": partial(parts_of, field=field)}
    return Served(pb.DESCRIPTOR.services_by_name["AgentService"], servicer, reads_ahead=True, readers=readers)


def _resumed(token: str) -> tuple[int, int]:
    """The run of the task and the offset that a token stands for."""
    matched = _RESUME_TOKEN.fullmatch(token)
    if matched is None:
        raise InvalidArgument("RANGE_INVALID", "resume_token is of no answer", field="resume_token")
    return int(matched[1]), int(matched[2])
