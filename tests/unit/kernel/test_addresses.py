"""What is listened on and what is told are two things: nobody is sent to an address that leads nowhere."""

from __future__ import annotations

import pytest

from suanmesh_chassis.settings import Common, load
from suanmesh_kernel.addresses import told_address
from suanmesh_kernel.refusals import InvalidArgument


@pytest.mark.parametrize(
    ("listens", "advertise", "told"),
    [
        ("127.0.0.1:7000", "", "127.0.0.1:7000"),
        ("0.0.0.0:7000", "mesh.example", "mesh.example:7000"),
        ("0.0.0.0:7000", "203.0.113.7:443", "203.0.113.7:443"),
        ("[::]:7000", "[2001:db8::1]", "[2001:db8::1]:7000"),
        ("[::]:7000", "[2001:db8::1]:443", "[2001:db8::1]:443"),
    ],
)
def test_others_are_told_what_they_can_reach(listens: str, advertise: str, told: str) -> None:
    """Behind a proxy, or with a listener on every address, whoever is told the listener's own calls in vain."""
    assert told_address(listens, advertise, field="advertise") == told


@pytest.mark.parametrize(
    ("listens", "advertise"), [("0.0.0.0:7000", ""), ("[::]:7000", ""), (":7000", ""), ("10.0.0.1:7000", "0.0.0.0")]
)
def test_every_address_of_a_machine_is_told_to_nobody(listens: str, advertise: str) -> None:
    """A service registered at 0.0.0.0 is found by all others on their own machines, where something else listens."""
    with pytest.raises(InvalidArgument, match="every address of this machine") as caught:
        told_address(listens, advertise, field="advertise")

    assert caught.value.facts["field"] == "advertise"


def test_a_service_does_not_start_with_such_an_address() -> None:
    """An operator learns it from the check of the settings, not from calls that fail elsewhere."""
    with pytest.raises(InvalidArgument, match="advertise"):
        load(Common, "SUANMESH_", {"SUANMESH_LISTEN": "0.0.0.0:7000"})

    assert load(Common, "SUANMESH_", {"SUANMESH_LISTEN": "0.0.0.0:7000", "SUANMESH_ADVERTISE": "mesh.example"})
