"""What a task finds of Python is what the owner of the site gave it, and nothing of what runs the site."""

from __future__ import annotations

import sys

import pytest

from suanmesh_client import Job
from suanmesh_client.client import Client
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

LOOK = """
import importlib.util, sys
names = "suanmesh suanmesh_agent suanmesh_kernel grpc structlog psutil click numpy".split()
print([name for name in names if importlib.util.find_spec(name)])
print([path for path in sys.path if path.startswith(PREFIX)])
"""


async def test_a_task_finds_nothing_of_the_agents_environment(node: Node, user: Mesh) -> None:
    """A program that imports what happens to lie there works today and breaks with the site's next upgrade."""
    look = LOOK.replace("PREFIX", repr(sys.prefix))
    client = Client(user, account="accounts/demo")
    job = await client.jobs.submit(Job(command=["python3", "-c", look], cores=0.1, memory_bytes=64 << 20))
    await job.wait(60, check=True)

    assert await job.log() == "['numpy']\n[]\n"
