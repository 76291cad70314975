"""The clients of examples/ in other languages, as `make check-elsewhere` built them, against a living node."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
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


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_context_that_is_not_there_is_named(node: Node, tmp_path: Path, language: str) -> None:
    """Who mistypes it is told so, and nothing is sent."""
    command = built(language)
    config = {"SUANMESH_CONFIG": str(node.folder / "config.toml"), "SUANMESH_CONTEXT": "nobody"}

    status, told, complaints = await run(command, {"PATH": os.environ["PATH"], **config}, tmp_path)

    assert (status, told) == (1, "")
    assert "nobody" in complaints
