"""A node of real processes keeps what the client promises, as the fake mesh does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from client_contract import *  # noqa: F403 - the suite itself

from suanmesh_client import Client
from suanmesh_local import world
from suanmesh_local.node import Node

pytestmark = pytest.mark.mesh


@pytest.fixture
async def mesh(node: Node) -> AsyncIterator[Client]:
    async with Client(node.mesh(), account=f"accounts/{world.CONSUMER}") as client:
        yield client
