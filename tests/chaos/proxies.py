"""TCP proxies before every address of the node, so that what runs between any two processes can be held or cut.

Who connects is known by the port where a port is one process' own, and else found by who owns the other end of the
socket. `python -m chaos.proxies` serves them in a process of its own, told what to do by lines of JSON: beside clients
that keep one loop busy, a proxy would be so late that etcd has no leader.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from chaos.schedule import EVERYBODY, Mode

CHUNK_BYTES = 64 * 1024
DELAY_S = 0.3
OUTSIDER = "client"
"""Name of whoever is none of the node's processes."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""

_NETLINK_SOCK_DIAG = 4
_DIAG_BY_FAMILY = 20
_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_DIAG_REQUEST = struct.Struct("=BBBBI")
_HERE_TO_THERE = struct.Struct("!HH4s12x4s12x")
_LOOPBACK = socket.inet_aton("127.0.0.1")
_ANY_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_INODE_AT = _HEADER.size + 4 + 48 + 4 * 4
"""After family, state, timer, retransmits; the ends; expiry, both queues, the user."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to connections from `source` to `target`; EVERYBODY stands for anyone."""

    source: str
    target: str
    mode: Mode

    def meets(self, source: str, target: str) -> bool:
        """Whether a connection is one of those."""
        return self.source in (EVERYBODY, source) and self.target in (EVERYBODY, target)


@dataclass(frozen=True, slots=True)
class Front:
    """A proxy before the process `target`: what is sent to port `listen` goes to port `forward`.

    Where only `source` is told of the port, nobody need be looked for; otherwise it is empty.
    """

    target: str
    listen: int
    forward: int
    source: str = ""


@dataclass(eq=False, slots=True)
class Connection:
    """One connection through a proxy."""

    source: str
    target: str
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]

    def reset(self) -> None:
        """End it the hard way, both sides."""
        for writer in self.writers:
            _abort(writer)


@dataclass
class Network:
    """All proxies with the rules that stand; `owners` tells the pid of each process by its name."""

    owners: Callable[[], Mapping[str, int]]
    rules: list[Rule] = field(default_factory=list)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    """Connections opened so far, by who opened them to whom."""
    _servers: list[asyncio.Server] = field(default_factory=list)
    _open: set[Connection] = field(default_factory=set)
    _turn: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, front: Front) -> None:
        """Stand before a process."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.CancelledError):  # the run is over
                await self._serve(front, reader, writer)

        self._servers.append(await asyncio.start_server(accepted, "127.0.0.1", front.listen, limit=CHUNK_BYTES))

    def add(self, rule: Rule) -> None:
        """Let a rule stand from now on."""
        self.rules.append(rule)
        if rule.mode is Mode.RESET:
            for connection in [c for c in self._open if rule.meets(c.source, c.target)]:
                connection.reset()
        self._tell()

    def remove(self, rule: Rule) -> None:
        """Let it stand no more; what was held goes on its way."""
        with suppress(ValueError):
            self.rules.remove(rule)
        self._tell()

    async def close(self) -> None:
        """End every connection and every proxy."""
        for server in self._servers:
            server.close()
        for connection in list(self._open):
            connection.reset()
        self._tell()

    def modes(self, source: str, target: str) -> set[Mode]:
        """What stands for a connection now."""
        return {rule.mode for rule in self.rules if rule.meets(source, target)}

    def _tell(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()

    def replace(self, rules: Iterable[Rule]) -> None:
        """Let these rules stand and no others."""
        wanted = list(rules)
        for rule in [rule for rule in self.rules if rule not in wanted]:
            self.remove(rule)
        for rule in [rule for rule in wanted if rule not in self.rules]:
            self.add(rule)

    async def _serve(self, front: Front, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = front.target
        source = front.source or owner_of(writer.get_extra_info("peername")[1], front.listen, self.owners())
        self.counts[source, target] = self.counts.get((source, target), 0) + 1
        try:
            if Mode.RESET in self.modes(source, target):
                raise ConnectionResetError
            further, on = await asyncio.open_connection("127.0.0.1", front.forward, limit=CHUNK_BYTES)
        except OSError:
            _abort(writer)
            return
        connection = Connection(source, target, (writer, on))
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(connection, reader, on, Mode.HOLD_TO))
                tasks.create_task(self._pump(connection, further, writer, Mode.HOLD_FROM))
        except* OSError:
            connection.reset()
        finally:
            self._open.discard(connection)
            for each in connection.writers:
                each.close()

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way: Mode
    ) -> None:
        """Pass on what comes, when it may; the end of what comes is passed on too."""
        while True:
            chunk = await reader.read(CHUNK_BYTES)
            await self._may_pass(connection, one_way)
            if not chunk:
                if writer.can_write_eof() and not writer.transport.is_closing():
                    writer.write_eof()
                return
            writer.write(chunk)
            await writer.drain()

    async def _may_pass(self, connection: Connection, one_way: Mode) -> None:
        while True:
            turn = self._turn
            modes = self.modes(connection.source, connection.target)
            if Mode.RESET in modes:
                raise ConnectionResetError
            if Mode.HOLD not in modes and one_way not in modes:
                if Mode.DELAY in modes:
                    await asyncio.sleep(DELAY_S)
                return
            await turn.wait()


def owner_of(port: int, to_port: int, owners: Mapping[str, int]) -> str:
    """Name of the process that connected from 127.0.0.1:port; OUTSIDER where it is none of them."""
    inode = _inode_of(port, to_port)
    if inode:
        wanted = f"socket:[{inode}]"
        for name, pid in owners.items():
            if pid and _holds(pid, wanted):
                return name
    return OUTSIDER


def _inode_of(port: int, to_port: int) -> int:
    """Inode of the socket that is connected from one port of 127.0.0.1 to another, 0 where there is none.

    Asked of the kernel for this one (sock_diag(7)): its table of all sockets takes the longer to read the more there
    are, and whoever is answered too late connects anew.
    """
    ends = _HERE_TO_THERE.pack(port, to_port, _LOOPBACK, _LOOPBACK) + _ANY_COOKIE
    asked = _DIAG_REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + ends
    header = _HEADER.pack(_HEADER.size + len(asked), _DIAG_BY_FAMILY, _REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + asked)
        answer = kernel.recv(4096)
    kind = _HEADER.unpack_from(answer)[1]
    return int.from_bytes(answer[_INODE_AT : _INODE_AT + 4], sys.byteorder) if kind == _DIAG_BY_FAMILY else 0


def _holds(pid: int, wanted: str) -> bool:
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                if os.readlink(entry.path) == wanted:  # noqa: PTH115 - a hot loop
                    return True
    return False


def _abort(writer: asyncio.StreamWriter) -> None:
    bare = writer.get_extra_info("socket")
    if bare is not None:
        with suppress(OSError):
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def _obey() -> None:
    """Do what each line of the standard input says; end with it."""
    pids: dict[str, int] = {}
    network = Network(lambda: pids)
    lines = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        told = json.loads(line)
        for front in told.get("fronts", ()):
            await network.serve(Front(**front))
        pids.update(told.get("pids", {}))
        if "rules" in told:
            network.replace(Rule(source, target, Mode(mode)) for source, target, mode in told["rules"])
        print("done", flush=True)
    await network.close()


if __name__ == "__main__":
    asyncio.run(_obey())
