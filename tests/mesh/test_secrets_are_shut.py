"""What a node writes is its owner's alone."""

from __future__ import annotations

import stat
from contextlib import suppress

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_chassis.private import NOT_KEPT
from suanmesh_local import trials
from suanmesh_local.node import Node

pytestmark = pytest.mark.mesh


def test_tokens_and_keys_are_read_by_nobody_else(node: Node) -> None:
    """Another user of the machine could join as a site, or speak as one."""
    homes = sorted((node.folder / "sites").iterdir())
    secrets = [
        home / name
        for home in homes
        for name in ("join.token", "agent.env", "identity/key.pem", "identity/signing.key")
    ]
    kept = [path for path in secrets if path.exists()]
    assert {path.name for path in kept} >= {"join.token", "agent.env"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


async def test_nothing_of_a_node_that_has_run_a_job_is_open_to_others(node: Node) -> None:
    """Ledgers, traces, logs, results and keys tell a stranger on the machine everything, and open the rest."""
    async with node.mesh() as mesh:
        described = trials.job("print('kept'); open('out/kept/x', 'w').write('kept')", outputs=["kept"])
        name = await trials.submit(mesh, "leaves-files", described)
        job = await trials.ended(mesh, name)
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    found = {}
    for path in (node.folder, *node.folder.rglob("*")):
        with suppress(FileNotFoundError):  # what a task leaves is being removed
            found[path.relative_to(node.folder)] = path.lstat()
    told = {str(path): oct(facts.st_mode) for path, facts in found.items() if not stat.S_ISLNK(facts.st_mode)}
    open_to_others = {path: mode for path, mode in told.items() if int(mode, 8) & NOT_KEPT}
    assert not {path: mode for path, mode in open_to_others.items() if "/work" not in path}
    names = {path.name for path in found}
    assert names >= {"agent.db", "ledger.sqlite", "records.sqlite", "ports.json", "config.toml", "manifest.pb"}
