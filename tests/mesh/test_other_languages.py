"""The clients of examples/ in other languages, as `make check-elsewhere` built them, against a living node."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

BUILT = Path(__file__).resolve().parents[2] / "build" / "elsewhere"
CLIENTS = {
    "cpp": [str(BUILT / "cpp" / "first_job")],
    "go": [str(BUILT / "go" / "first_job")],
    "typescript": ["node", str(BUILT / "typescript" / "build" / "first_job.js")],
}


def built(language: str) -> list[str]:
    """The client as it is started."""
    command = CLIENTS[language]
    if not Path(command[-1]).exists():
        pytest.skip(f"{command[-1]} is not there: make check-elsewhere")
    return command


async def run(command: list[str], environment: dict[str, str], folder: Path) -> tuple[int | None, str, str]:
    """Status, answer and complaints of a client."""
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(*command, env=environment, cwd=folder, stdout=pipe, stderr=pipe)
    try:
        told, complaints = await client.communicate()
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    return client.returncode, told.decode(), complaints.decode()


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_job_is_submitted_and_its_bill_read(node: Node, user: Mesh, tmp_path: Path, language: str) -> None:
    """Who writes no Python has the whole mesh from the contracts, with the certificate that `suan` uses."""
    command = built(language)
    environment = {"PATH": os.environ["PATH"], "SUANMESH_CONFIG": str(node.folder / "config.toml")}
    status, told, complaints = await run(command, environment, tmp_path)

    assert (status, complaints) == (0, "")
    job, state, account, micros, currency = told.split()
    bill = await user.accounting.GetBill(accounting.GetBillRequest(account=account, job=job))
    assert (state, micros, currency) == ("STATE_DONE", str(bill.total_micros), bill.currency)
    assert bill.charges
    assert re.fullmatch("jobs/[a-z0-9-]+", job)


class Passing:
    """Stands before a gateway and passes on what comes, until it dies with all that it has open."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._writers: list[asyncio.StreamWriter] = []
        self.served = 0

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        host, _, port = self._gateway.rpartition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        self.served += 1
        self._writers += [writer, ours]
        await asyncio.gather(_copied(reader, ours), _copied(theirs, writer))

    def die(self) -> None:
        """What a process that is killed leaves: connections that are reset."""
        for writer in self._writers:
            writer.transport.abort()


async def _copied(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    except ConnectionError:
        return
    finally:
        target.close()


@asynccontextmanager
async def dying_gateway(gateway: str) -> AsyncIterator[tuple[Passing, asyncio.Server]]:
    """A gateway that can die."""
    passing = Passing(gateway)
    server = await asyncio.start_server(passing.pass_on, "127.0.0.1", 0)
    try:
        yield passing, server
    finally:
        server.close()
        passing.die()
        await server.wait_closed()


async def jobs_of(user: Mesh) -> set[str]:
    """The names of all."""
    answer = await user.scheduler.ListJobs(scheduler.ListJobsRequest(page_size=1000))
    return {job.name for job in answer.jobs}


@pytest.mark.parametrize("language", CLIENTS)
async def test_of_several_gateways_one_that_answers_is_enough(
    node: Node, user: Mesh, tmp_path: Path, language: str
) -> None:
    """A node has several so that one may die, whatever its users program in: the first here was dead before they
    called, and the second dies while they wait for their job."""
    command = built(language)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    async with dying_gateway(node.gateway) as (passing, server):
        second = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = (node.folder / "config.toml").read_text()
        (tmp_path / "config.toml").write_text(config.replace(node.gateway, f"{dead},{second},{node.gateway}"))
        before = await jobs_of(user)
        environment = {"PATH": os.environ["PATH"], "SUANMESH_CONFIG": str(tmp_path / "config.toml")}
        running = asyncio.create_task(run(command, environment, tmp_path))
        while not running.done() and await jobs_of(user) == before:
            await asyncio.wait([running], timeout=0.02)
        server.close()
        passing.die()
        status, told, complaints = await running

    assert (status, complaints) == (0, "")
    assert passing.served >= 1 or language == "go"  # whose calls go to whichever is ready
    assert told.split()[1] == "STATE_DONE"
    assert len(await jobs_of(user) - before) == 1


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_context_that_is_not_there_is_named(node: Node, tmp_path: Path, language: str) -> None:
    """Who mistypes it is told so, and nothing is sent."""
    command = built(language)
    config = {"SUANMESH_CONFIG": str(node.folder / "config.toml"), "SUANMESH_CONTEXT": "nobody"}

    status, told, complaints = await run(command, {"PATH": os.environ["PATH"], **config}, tmp_path)

    assert (status, told) == (1, "")
    assert "nobody" in complaints
