"""`suan party` against a server: consent is read, changed and sent back with the etag it was read by."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import SetPublishersRequest
from suanmesh_cli.main import suan


@pytest.mark.parametrize("name", ["acme", "parties/acme"])
async def test_a_site_is_named_without_losing_the_others(serve: Any, tls: Any, name: str) -> None:
    """Two people who each allow a site must not undo each other's word."""
    oracle = await serve()
    oracle.answers["GetParty"] = Party(name="parties/acme", publishers=["sites/a", "sites/b"], etag="e1")
    oracle.answers["SetPublishers"] = Party(name="parties/acme", publishers=["sites/b", "sites/c"])
    environment = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": "demo", "SUANMESH_CONFIG": "/dev/null"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}
    arguments = ["party", "publishers", name, "--add", "c", "--remove", "sites/a"]

    done = await asyncio.to_thread(CliRunner().invoke, suan, arguments, obj=environment)

    assert (done.exit_code, "sites/b, sites/c" in done.stdout) == (0, True)
    sent = SetPublishersRequest.FromString(oracle.asked[-1][1])
    assert sent == SetPublishersRequest(name="parties/acme", publishers=["sites/b", "sites/c"], etag="e1")
    shown = await asyncio.to_thread(CliRunner().invoke, suan, ["party", "show", name], obj=environment)
    assert "sites/a, sites/b" in shown.stdout
