"""etcd members as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from suanmesh_etcd3 import EtcdError, Tls, connect
from suanmesh_kernel.private import private_folder
from suanmesh_local.facts import LOOPBACK, everywhere_of
from suanmesh_local.ports import free_ports, is_free
from suanmesh_local.processes import Process
from suanmesh_local.tools import cache_dir
from suanmesh_local.tools import etcd as find_etcd

START_S_MAX = 60.0
STOP_S_MAX = 5.0
RESTORE_S_MAX = 600.0
HEARTBEAT_MS = 70
ELECTION_MS = 700
"""How long members hear nothing of their leader before they elect another, up to twice that by chance: all writes wait
for it. Ten heartbeats, as etcd advises; a leader whose disk takes longer for one write loses its lead for nothing."""
QUOTA_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """Files for mutual TLS with clients and between members: certificate, key, and the CA of all sides."""

    certificate: Path
    """Names the hosts members are reached at: a member turns away a peer whose address its certificate lacks."""
    key: Path
    ca: Path
    peer_name: str
    """Common name of the members' certificates; no other certificate of the authority opens a peer port."""


class EtcdServer:
    """One member of a cluster."""

    def __init__(
        self,
        name: str,
        folder: Path,
        client_port: int,
        peer_port: int,
        cluster: str,
        tls: EtcdTls | None = None,
        *,
        announced_peer_port: int = 0,
        host: str = LOOPBACK,
        comes_later: bool = False,
    ) -> None:
        """`cluster` is etcd's `--initial-cluster`; others reach it at `host`, and `announced_peer_port` if given.

        One that `comes_later` joins members that are there, which have taken it in.
        """
        self.name = name
        self.folder = folder
        self.endpoint = f"{host}:{client_port}"
        listens = everywhere_of(host)
        self._listens = f"{listens}:{client_port}"
        self._peer = peer_url(peer_port, tls, listens)
        self._announced = peer_url(announced_peer_port or peer_port, tls, host)
        self._cluster = cluster
        self._state = "existing" if comes_later else "new"
        self._tls = tls
        self._trusted = b""
        self.process = Process(name, [], {}, folder / "etcd.log")

    def command(self) -> list[str]:
        """The member's command line; the limits are those the client packs its transactions for."""
        scheme = "https" if self._tls else "http"
        command = [
            str(find_etcd(cache_dir()).path),
            f"--name={self.name}",
            f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={scheme}://{self._listens}",
            f"--advertise-client-urls={scheme}://{self.endpoint}",
            f"--listen-peer-urls={self._peer}",
            f"--initial-advertise-peer-urls={self._announced}",
            f"--initial-cluster={self._cluster}",
            f"--initial-cluster-state={self._state}",
            f"--heartbeat-interval={HEARTBEAT_MS}",
            f"--election-timeout={ELECTION_MS}",
            "--max-txn-ops=4096",
            f"--quota-backend-bytes={QUOTA_BYTES}",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=10m",
            "--experimental-initial-corrupt-check=true",
            "--enable-grpc-gateway=false",  # nobody calls it, and it acts with the server's own certificate
            "--logger=zap",
            "--log-level=warn",
        ]
        if self._tls:
            command += [
                f"--cert-file={self._tls.certificate}",
                f"--key-file={self._tls.key}",
                f"--trusted-ca-file={self._tls.ca}",
                "--client-cert-auth",
                f"--peer-cert-file={self._tls.certificate}",
                f"--peer-key-file={self._tls.key}",
                f"--peer-trusted-ca-file={self._tls.ca}",
                "--peer-client-cert-auth",
                f"--peer-cert-allowed-cn={self._tls.peer_name}",
            ]
        return command

    def restore(self, restorer: Path, copy: Path) -> None:
        """Make the member's data out of a copy of the store, for a cluster that begins. Raises OSError, ValueError."""
        private_folder(self.folder)
        done = subprocess.run(
            [
                str(restorer),
                "snapshot",
                "restore",
                str(copy),
                f"--data-dir={self.folder / 'data'}",
                f"--name={self.name}",
                f"--initial-cluster={self._cluster}",
                f"--initial-advertise-peer-urls={self._announced}",
            ],
            env=os.environ | {"ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            timeout=RESTORE_S_MAX,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            raise ValueError(f"{restorer.name} ended with {done.returncode}: {said}")

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return self.process.pid

    @property
    def place_is_taken(self) -> bool:
        """Whether somebody else listens where it would."""
        host, _, port = self._listens.rpartition(":")
        return not self.pid and not is_free(int(port), host)

    def start(self) -> None:
        """Start the process; it is not healthy yet. Raises ToolMissing, OSError."""
        private_folder(self.folder)
        self._trusted = self._trusts()
        self.process.command = self.command()
        self.process.start()

    @property
    def trusts_others(self) -> bool:
        """Whether other authorities lie in its file than when it was started, which is the only time it reads them."""
        return self._trusted != self._trusts()

    def _trusts(self) -> bytes:
        return self._tls.ca.read_bytes() if self._tls else b""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        self.process.signal(number)

    def kill(self) -> None:
        """End the process with kill -9 and wait for it."""
        self.process.kill()

    def stop(self) -> None:
        """Ask the process to end, and make it after a while."""
        self.process.end(STOP_S_MAX)


class EtcdCluster:
    """One or three members on loopback; an async context manager that leaves no process behind."""

    def __init__(self, folder: Path, members: int = 1, tls: EtcdTls | None = None, client: Tls | None = None) -> None:
        """`client` is what the health check connects with when the members ask for certificates."""
        ports = free_ports(2 * members)
        names = [f"m{i}" for i in range(members)]
        cluster = ",".join(f"{name}={peer_url(ports[2 * i + 1], tls)}" for i, name in enumerate(names))
        self.members = [
            EtcdServer(name, folder / name, ports[2 * i], ports[2 * i + 1], cluster, tls)
            for i, name in enumerate(names)
        ]
        self._client = client
        self.peer_ports = ports[1::2]

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of every member."""
        return [member.endpoint for member in self.members]

    async def __aenter__(self) -> Self:
        try:
            for member in self.members:
                member.start()
            await self.healthy()
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop every member, in reverse."""
        for member in reversed(self.members):
            member.stop()

    async def healthy(self, only: int | None = None) -> None:
        """Wait until a write succeeds, through one member or any. Raises TimeoutError."""
        endpoints = self.endpoints if only is None else [self.endpoints[only]]
        async with asyncio.timeout(START_S_MAX), connect(endpoints, tls=self._client, timeout_s=1.0) as client:
            while True:
                with suppress(EtcdError):
                    await client.delete("/suanmesh/health")
                    return
                await asyncio.sleep(0.05)

    def kill(self, index: int) -> None:
        """End a member with kill -9."""
        self.members[index].kill()

    def pause(self, index: int) -> None:
        """Stop a member's clock (SIGSTOP)."""
        self.members[index].signal(signal.SIGSTOP)

    def resume(self, index: int) -> None:
        """Let a paused member go on."""
        self.members[index].signal(signal.SIGCONT)

    async def restart(self, index: int) -> None:
        """Start a member that ended, and wait until it takes part."""
        self.members[index].start()
        await self.healthy(index)


def peer_url(port: int, tls: EtcdTls | None, host: str = LOOPBACK) -> str:
    """Where a member is reached by the others."""
    return f"{'https' if tls else 'http'}://{host}:{port}"
