"""What the launcher writes of secrets is its owner's alone."""

from __future__ import annotations

import stat

import pytest

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
