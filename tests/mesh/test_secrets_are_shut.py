"""What a node writes is its owner's alone, and what is secret it does not write."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.private import NOT_KEPT
from suanmesh_local import trials, world
from suanmesh_local.node import Node

pytestmark = pytest.mark.mesh


def test_tokens_and_keys_are_read_by_nobody_else(node: Node) -> None:
    """Another user of the machine could join as a site, or speak as one."""
    homes = sorted((node.folder / "sites").iterdir())
    secrets = [
        home / name for home in homes for name in ("invite", "agent.env", "identity/key.pem", "identity/signing.key")
    ]
    kept = [path for path in secrets if path.exists()]
    assert {path.name for path in kept} >= {"invite", "agent.env"}
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


SECRET = b"hf_c0ffee5eedfacade42"
JOB = """
name: {name}
account: {account}
command: [sh, -c, 'cat "$SUANMESH_SECRETS/TOKEN" | wc -c; printf %s "$TOKEN" | wc -c']
runtime: python3
cpu: 0.5
memory: 128Mi
max_duration: 1min
retry: {{times: 1}}
secrets: {{TOKEN: {{env: HF_TOKEN}}}}
"""


async def test_the_secret_of_a_job_is_in_nothing_that_a_node_writes(node: Node, tmp_path: Path) -> None:
    """Records, ledgers, journals, logs, traces and etcd are copied, kept and read by many: one of them is enough."""
    file = tmp_path / "job.yaml"
    file.write_text(JOB.format(name="with-a-secret", account=world.CONSUMER))
    environment = os.environ | {"SUANMESH_CONFIG": str(node.folder / "config.toml"), "HF_TOKEN": SECRET.decode()}
    told = await asyncio.to_thread(
        _said,
        [
            ["job", "submit", str(file), "--wait", "-o", "json"],
            ["job", "show", "with-a-secret", "-o", "json"],
            ["job", "explain", "with-a-secret", "-o", "json"],
            ["job", "logs", "with-a-secret"],
            ["trace", "show", "--job", "with-a-secret"],
        ],
        environment,
    )
    assert told[3].split() == [str(len(SECRET)).encode()] * 2
    assert not [each for each in told if SECRET in each]
    again = ["job", "rerun", "with-a-secret", "--id", "once-more"]
    refused = await asyncio.to_thread(_run, again, environment)
    assert b"SECRETS_MISSING" in refused.stderr
    await asyncio.to_thread(_said, [[*again, "--secret", "TOKEN=env:HF_TOKEN", "--wait"]], environment)
    found = _with(SECRET, [node.folder, Path("/dev/shm")])
    assert not found


def _run(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    suan = str(Path(sys.executable).with_name("suan"))
    return subprocess.run([suan, *words], env=environment, capture_output=True, check=False)


def _said(commands: list[list[str]], environment: dict[str, str]) -> list[bytes]:
    """What commands said that went well."""
    done = [_run(words, environment) for words in commands]
    assert not [each.stderr for each in done if each.returncode]
    return [each.stdout + each.stderr for each in done]


def _with(value: bytes, folders: Iterable[Path]) -> list[Path]:
    """The files in which a value stands."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        with suppress(FileNotFoundError, OSError):  # what a task leaves is being removed
            if path.is_file() and not path.is_symlink() and value in path.read_bytes():
                found.append(path)
    return found
