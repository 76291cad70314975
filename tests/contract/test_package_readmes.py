"""The examples in the README of each package run as they stand there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_chassis.identity import user_id
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.etcd import EtcdCluster
from suanmesh_local.ports import free_ports
from suanmesh_sdk import Tls

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PACKAGES = sorted(path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("[ls]*/*/README.md"))
"""`libs/<library>` and `services/<area>`."""
WITHIN_S = 60


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def given(package: str, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What an example finds there: the names in capital letters."""
    found: dict[str, Any] = {"FOLDER": tmp_path, "__name__": package}
    if package == "libs/etcd3":
        cluster: EtcdCluster = request.getfixturevalue("etcd_cluster")
        found["ENDPOINTS"] = cluster.endpoints
    if package == "libs/sdk":
        found |= {"NOBODY": f"127.0.0.1:{free_ports(1)[0]}", "TLS": _a_users(tmp_path)}
    return found


async def test_the_example_runs(package: str, given: dict[str, Any]) -> None:
    """A newcomer types what is shown; an example that fails teaches that the rest is not true either."""
    page = ROOT / package / "README.md"
    examples = EXAMPLE.findall(page.read_text())

    assert examples
    async with asyncio.timeout(WITHIN_S):
        for example in examples:
            await _run(compile(example, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), given)


async def _run(code: Any, given: dict[str, Any]) -> None:
    made = eval(code, given)
    if inspect.isawaitable(made):
        await made


def _a_users(folder: Path) -> Tls:
    issued = NodeCa.create("demo", SystemClock()).issue(user_id("demo", "lab", "anna"))
    write_identity(folder, issued)
    return Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
