"""TLS passthrough to sites' data planes: connections are joined by the server name that their client asks for.

The handshake is between caller and agent, which checks certificate and ticket as ever; a gateway that passes on can
read nothing and pretend nothing. What it has to see to is that nobody reaches anything but agents through it.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import suppress

import structlog

from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.domain.client_hello import HELLO_BYTES_MAX, NotClientHello, server_name
from suanmesh_gateway.settings import GatewaySettings
from suanmesh_gateway.splicing import Joined
from suanmesh_kernel.addresses import host_of, told_address
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry.metrics import PASSED_BYTES

log = structlog.get_logger()

CONNECTIONS_MAX = 1024
CONNECTIONS_OF_ADDRESS_MAX = 128
"""At a time, of all callers and of one address."""
HELLO_S_MAX = 5.0
"""How long a caller may take to say where it wants to go, and the site to be connected to, seconds together."""
IDLE_S_MAX = 120.0
"""How long nothing may come on either side; clients connect anew when they want something again."""
UNKNOWN_NAME = bytes((21, 3, 3, 0, 2, 2, 112))
"""A fatal alert, `unrecognized_name`."""


def passthrough(settings: GatewaySettings, node: str, planes: DataPlanes) -> Passthrough | None:
    """The one that the settings ask for, or None. Raises OSError where its address is taken."""
    listen = settings.passthrough_listen
    return Passthrough(listen, settings.passthrough_advertise, node, planes) if listen else None


class Passthrough:
    """One listener."""

    def __init__(self, listen: str, advertise: str, node: str, planes: DataPlanes) -> None:
        """Listen on `host:port`, port 0 for a free one. Raises OSError where it is taken."""
        host, port = host_of(listen), int(listen.rpartition(":")[2])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=CONNECTIONS_OF_ADDRESS_MAX)
        self._listener.setblocking(False)
        taken = f"{listen.rpartition(':')[0]}:{self._listener.getsockname()[1]}"
        self.endpoint = told_address(taken, advertise, field="passthrough_advertise")
        """`host:port` users reach it at."""
        self._suffix = f".{node}.suanmesh"
        self._planes = planes
        self._of_address: Counter[str] = Counter()
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take connections until cancelled; then those that are passed on are broken off."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    caller, address = await loop.sock_accept(self._listener)
                except OSError as fault:  # no descriptor is left, or the caller is gone again
                    log.warning("connection not taken", message=str(fault))
                    await asyncio.sleep(0.1)
                    continue
                self._take(caller, str(address[0]))
        finally:
            self._listener.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def _take(self, caller: socket.socket, address: str) -> None:
        if len(self._serving) >= CONNECTIONS_MAX or self._of_address[address] >= CONNECTIONS_OF_ADDRESS_MAX:
            caller.close()
            return
        self._of_address[address] += 1
        task = asyncio.get_running_loop().create_task(self._serve(caller))
        self._serving.add(task)
        task.add_done_callback(lambda _: self._left(task, address))

    def _left(self, task: asyncio.Task[None], address: str) -> None:
        self._serving.discard(task)
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    async def _serve(self, caller: socket.socket) -> None:
        """One connection, from its first byte to its last."""
        with caller:
            try:
                async with asyncio.timeout(HELLO_S_MAX):
                    site = await self._connected(caller)
            except (NotClientHello, Refusal, TimeoutError, OSError) as problem:
                log.debug("connection not passed on", message=str(problem)[:200])  # strangers write no log
                with suppress(OSError):
                    caller.send(UNKNOWN_NAME)
                return
            with site:
                await Joined(caller, site, PASSED_BYTES.inc).pass_on(IDLE_S_MAX)

    async def _connected(self, caller: socket.socket) -> socket.socket:
        """The data plane that a caller asks for, which was told what has come so far."""
        loop = asyncio.get_running_loop()
        hello = b""
        while (name := server_name(hello)) is None:
            piece = await loop.sock_recv(caller, HELLO_BYTES_MAX - len(hello))
            if not piece:
                raise NotClientHello("it has ended")
            hello += piece
        address = await self._planes.checked_address(self._site_of(name))
        site = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        try:
            site.setblocking(False)
            for each in (caller, site):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(site, address)
            await loop.sock_sendall(site, hello)
        except BaseException:
            site.close()
            raise
        return site

    def _site_of(self, name: str) -> str:
        """`sites/{site}` for `agent.{site}.{node}.suanmesh`. Raises NotClientHello and InvalidArgument."""
        if not (name.startswith("agent.") and name.endswith(self._suffix)):
            raise NotClientHello("the server it names is no agent of this node")
        return checked_name(f"sites/{name.removeprefix('agent.').removesuffix(self._suffix)}", "sites", field="site")
