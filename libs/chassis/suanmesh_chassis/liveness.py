"""Whether a process says anything: a machine that froze, or was cut off, ends no connection and refuses none."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

PING_MS = 1_000
"""gRPC sends pings no oftener."""
PONG_MS = 700
"""How long the other side's transport may take to answer a ping: it does so while the process itself is busy. It must
hold for every ping, or one that gRPC sends for itself would be waited for a minute."""
CONFIRM_S = 0.6
"""How long a health check may take over a new connection then: together more than a busy machine keeps a process
from running, and less than a lease lasts."""
LOOK_AGAIN_S = 0.1
_HEALTH = "/grpc.health.v1.Health/"
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", PING_MS),
    ("grpc.keepalive_timeout_ms", PONG_MS),
    ("grpc.http2.ping_timeout_ms", PONG_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_retries", 0),
)


async def until_silent(address: str, server_name: str, credentials: grpc.ChannelCredentials) -> None:
    """Return once the process at `address`, that was heard before, neither answers pings nor a new connection."""
    names = (("grpc.ssl_target_name_override", server_name), ("grpc.default_authority", server_name))
    while True:
        async with grpc.aio.secure_channel(address, credentials, options=[*_OPTIONS, *names]) as channel:
            met = await _heard_while_it_lasts(channel)
        if met:
            async with grpc.aio.secure_channel(address, credentials, options=[*_OPTIONS, *names]) as channel:
                if await _says_nothing(channel):
                    return
        await asyncio.sleep(LOOK_AGAIN_S)


async def _heard_while_it_lasts(channel: grpc.aio.Channel) -> bool:
    """Keep a stream open on which pings are sent; whether anything was heard before it broke."""
    watch: Any = channel.unary_stream(_HEALTH + "Watch", None, health_pb2.HealthCheckResponse.FromString)
    met = False
    try:
        async for _ in watch(b""):
            met = True
    except grpc.aio.AioRpcError:
        pass
    return met


async def _says_nothing(channel: grpc.aio.Channel) -> bool:
    """Whether not even a refusal comes, of the connection or of the call."""
    check: Any = channel.unary_unary(_HEALTH + "Check", None, None)
    try:
        await check(b"", timeout=CONFIRM_S)
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return False
