"""What a connection keeps of the calls that went over it."""

from __future__ import annotations

from typing import Any

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh_sdk.connections import Connection
from suanmesh_sdk.streams import StreamStream, UnaryStream

READ = "/suanmesh.agent.v1.AgentService/ReadFiles"
WRITE = "/suanmesh.agent.v1.AgentService/WriteFiles"


class Line:
    """A channel over which nothing goes."""

    def unary_stream(self, *_: Any) -> Any:
        return lambda *_, **__: None

    stream_stream = unary_unary = stream_unary = unary_stream

    async def close(self) -> None:
        """Nothing is under way."""


def test_stubs_that_come_and_go_leave_nothing_behind() -> None:
    """A gateway passes on calls to the same site for months, each by a stub of its own, and must not grow by that."""
    connection, route = Connection("a:1", Line(), Line), Any
    for _ in range(3):
        for made in (
            UnaryStream(route, READ, pb.ReadFilesRequest.SerializeToString, pb.ReadFilesResponse.FromString),
            UnaryStream(route, READ, None, None),
            StreamStream(route, WRITE, None, None),
        ):
            made.opened(connection, None, 1.0, ())
    assert len(connection.callables) == 3
