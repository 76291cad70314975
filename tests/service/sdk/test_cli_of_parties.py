"""`suan party` against a server: consent is read, changed and sent back with the etag it was read by."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import SetPublishersRequest


@pytest.mark.parametrize("name", ["acme", "parties/acme"])
async def test_a_site_is_named_without_losing_the_others(oracle: Any, run: Any, name: str) -> None:
    """Two people who each allow a site must not undo each other's word."""
    oracle.answers["GetParty"] = Party(name="parties/acme", publishers=["sites/a", "sites/b"], etag="e1")
    oracle.answers["SetPublishers"] = Party(name="parties/acme", publishers=["sites/b", "sites/c"])

    done = await run("party", "publishers", name, "--add", "c", "--remove", "sites/a")

    assert (done.exit_code, "sites/b, sites/c" in done.stdout) == (0, True)
    sent = SetPublishersRequest.FromString(oracle.asked[-1][1])
    assert sent == SetPublishersRequest(name="parties/acme", publishers=["sites/b", "sites/c"], etag="e1")
    shown = await run("party", "show", name)
    assert "sites/a, sites/b" in shown.stdout
