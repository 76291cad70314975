"""Where a node is reached is said once, when it is founded."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_local.facts import checked_facts, read_facts, write_facts
from suanmesh_local.identities import found_identities


@pytest.mark.parametrize(
    ("host", "kept", "listens"),
    [
        ("mesh.example", "mesh.example", "0.0.0.0"),
        ("203.0.113.7", "203.0.113.7", "0.0.0.0"),
        ("2001:db8::1", "[2001:db8::1]", "[::]"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]", "[::1]"),
    ],
)
def test_a_node_is_found_again_as_it_was_founded(tmp_path: Path, host: str, kept: str, listens: str) -> None:
    """A gateway that listened elsewhere after a restart would be lost to everybody who joined."""
    write_facts(tmp_path, checked_facts("pilot", host, 7443))

    found = read_facts(tmp_path)
    assert (found.host, found.gateway_listens, found.gateway_port) == (kept, listens, 7443)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "a host", "https://mesh.example"])
def test_a_host_that_leads_nowhere_is_refused(host: str) -> None:
    """It would stand in every invitation."""
    with pytest.raises(InvalidArgument, match="advertise"):
        checked_facts("pilot", host, 7443)


def test_the_gateways_certificate_names_where_it_is_reached(tmp_path: Path) -> None:
    """Programs of others, which know nothing of our server names, must be able to check whom they reach."""
    identities = found_identities(tmp_path, checked_facts("pilot", "203.0.113.7", 7443))

    certificate = x509.load_pem_x509_certificate((identities.of("gateway") / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["203.0.113.7"]
    assert names.get_values_for_type(x509.DNSName) == ["gateway.pilot.suanmesh"]
