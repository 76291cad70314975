"""A node whose files were damaged: what may be lost begins anew, what may not is named on one line."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh_chassis.run import EXIT_DAMAGED
from suanmesh_local.node import Node
from suanmesh_local.processes import Process
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh
END_S_MAX = 60.0


async def ended(process: Process) -> int:
    """Its exit status, once it has one."""
    async with asyncio.timeout(END_S_MAX):
        while process.status is None:  # noqa: ASYNC110 - a process of the system
            await asyncio.sleep(0.05)
    return process.status


async def checked(folder: Path) -> tuple[int, str]:
    """What `suan node check` says of a folder."""
    suan = Path(sys.executable).with_name("suan")
    child = await asyncio.create_subprocess_exec(suan, "node", "check", folder, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    return child.returncode or 0, said.decode()


async def test_a_damaged_trace_store_keeps_nobody_out(node: Node, user: Mesh) -> None:
    """Traces are for looking back; a gateway that dies of them again and again shuts the whole node."""
    traces = node.folder / "services" / "gateway" / "traces.sqlite"
    node.services["gateway"].kill()
    for path in traces.parent.glob("traces.sqlite-*"):
        path.unlink()
    traces.write_bytes(b"\xff" * 8192)
    node.services["gateway"].start()
    await node.ready("gateway")

    await user.registry.SearchPools(registry.SearchPoolsRequest())
    async with node.mesh("operator") as operator:
        await operator.gateway.ListTraces(gateway.ListTracesRequest())

    assert traces.with_name("traces.sqlite.damaged").exists()
    assert node.services["gateway"].log.read_text(errors="replace").count("trace store begun anew") == 1


async def test_a_damaged_ledger_is_named_and_a_copy_brings_it_back(node: Node, user: Mesh, tmp_path: Path) -> None:
    """Whoever is on call must read what is broken and what to do; money must not go on from half a file."""
    accounting = node.services["accounting"]
    ledger = node.folder / "services" / "accounting" / "ledger.sqlite"
    accounting.end(END_S_MAX)
    shutil.copy(ledger, tmp_path / "copy")
    assert (await checked(node.folder))[0] == 0
    ledger.write_bytes(b"\xff" * 8192)
    try:
        accounting.start()

        assert await ended(accounting) == EXIT_DAMAGED
        (said,) = [line for line in accounting.log.read_text().splitlines() if line.startswith("suanmesh-accounting: ")]
        assert f"bring back a copy of {ledger}" in said
        status, findings = await checked(node.folder)
        assert status == 1
        assert [line.split()[2] for line in findings.splitlines() if line.startswith("damaged")] == [
            "services/accounting/ledger.sqlite:"
        ]
    finally:
        shutil.copy(tmp_path / "copy", ledger)
        accounting.start()
        await node.ready("accounting")
    assert (await checked(node.folder))[0] == 0
