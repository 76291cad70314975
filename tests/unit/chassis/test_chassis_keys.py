"""The node's authority, its identities and signatures."""

from __future__ import annotations

import stat
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_chassis.identity import Certificates, agent_id, caller_of, service_id, spiffe_ids, user_id
from suanmesh_chassis.signing import Signer, load_signer, new_signing_key, verify
from suanmesh_chassis.trust import Trust
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument, Unauthenticated


def request_over(curve: ec.EllipticCurve, name: str = "root") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = ec.generate_private_key(curve)
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def test_an_authority_survives_its_restart(tmp_path: Path) -> None:
    """A new authority after a restart would lock every agent out."""
    created = NodeCa.create("demo", HandClock())
    created.save(tmp_path)

    assert NodeCa.load(tmp_path, HandClock()).fingerprint == created.fingerprint
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


def test_a_certificate_carries_the_identity_we_give_and_not_the_one_asked_for() -> None:
    """An agent that could choose its name could be the registry."""
    ca = NodeCa.create("demo", HandClock())

    pem = ca.sign_request(
        request_over(ec.SECP256R1(), "registry"), agent_id("demo", "east"), ["agent.east.demo.suanmesh"]
    )

    certificate = x509.load_pem_x509_certificate(pem)
    assert spiffe_ids(certificate) == ["spiffe://demo/site/east/agent"]
    certificate.verify_directly_issued_by(ca.certificate)


@pytest.mark.parametrize("request_der", [b"nonsense", request_over(ec.SECP384R1())], ids=["malformed", "other curve"])
def test_a_signing_request_we_cannot_use_is_refused(request_der: bytes) -> None:
    """A certificate over another curve fails later, in a handshake that does not say why."""
    with pytest.raises(InvalidArgument) as caught:
        NodeCa.create("demo", HandClock()).sign_request(request_der, agent_id("demo", "east"))

    assert caught.value.reason == "CSR_INVALID"


@given(st.integers(0, 180), st.integers(1, 255))
def test_a_signing_request_with_a_broken_byte_is_refused_or_signed(at: int, flipped: int) -> None:
    """Whoever sends bytes that no library has thought of must not be told of a defect of ours."""
    broken = bytearray(request_over(ec.SECP256R1()))
    broken[at % len(broken)] ^= flipped
    with suppress(InvalidArgument):
        NodeCa.create("demo", HandClock()).sign_request(bytes(broken), agent_id("demo", "east"))


def test_writing_an_identity_anew_keeps_the_signing_key(tmp_path: Path) -> None:
    """Usage that was signed before a certificate was renewed must stay verifiable."""
    ca = NodeCa.create("demo", HandClock())
    identity = service_id("demo", "registry")
    write_identity(tmp_path, ca.issue(identity))
    first = load_signer(tmp_path / "signing.key", identity)
    write_identity(tmp_path, ca.issue(identity))

    assert load_signer(tmp_path / "signing.key", identity).key_id == first.key_id


@pytest.mark.parametrize(
    ("principal", "roles", "party", "site"),
    [
        (service_id("demo", "network_orchestrator"), {"service"}, "", ""),
        (agent_id("demo", "east-1"), {"agent"}, "", "sites/east-1"),
        (user_id("demo", "acme", "ann"), {"user"}, "parties/acme", ""),
        (user_id("demo", "operator", "olga"), {"user", "operator"}, "parties/operator", ""),
    ],
)
def test_a_spiffe_id_says_who_calls(principal: str, roles: set[str], party: str, site: str) -> None:
    """Every right in the mesh hangs on this reading."""
    caller = caller_of(principal, "demo")

    assert (caller.roles, caller.party, caller.site) == (frozenset(roles), party, site)


@pytest.mark.parametrize(
    "principal",
    [
        "",
        "demo/service/registry",
        "spiffe://demo",
        "spiffe://demo/service/",
        "spiffe://demo/service/registry/x",
        "spiffe://other/service/registry",
        "spiffe://demo.evil/service/registry",
        "spiffe://demo/site/../agent",
        "spiffe://demo/party//user/ann",
        "spiffe://demo/party/acme/user/",
    ],
)
def test_a_strange_spiffe_id_is_nobody(principal: str) -> None:
    """A name that is nearly right must not get nearly all rights."""
    with pytest.raises(Unauthenticated):
        caller_of(principal, "demo")


def test_a_certificate_that_expires_on_an_open_connection_ends_its_rights() -> None:
    """A connection may live for months; its certificate must not live as long."""
    clock = HandClock()
    ca = NodeCa.create("demo", clock)
    issued = ca.issue(user_id("demo", "acme", "ann"), days=1)
    trust = Trust("demo", ca.pem)
    certificates = Certificates("demo", lambda: trust, clock)
    presented = {"x509_pem_cert": [issued.certificate]}

    assert certificates.caller(presented).party == "parties/acme"
    clock.advance(timedelta(days=1).total_seconds())
    with pytest.raises(Unauthenticated):
        certificates.caller(presented)


def test_a_signature_holds_for_exactly_these_bytes() -> None:
    """Usage is money: one byte changed must not be paid."""
    signer = Signer(new_signing_key(), "spiffe://demo/site/east/agent")
    signed = signer.sign("suanmesh.accounting.v1.UsageBatch", b"4 seconds")

    assert verify(signed, signer.public_key)
    for changed in (
        signed_pb2.Signed(payload_type=signed.payload_type, payload=b"5 seconds", signature=signed.signature),
        signed_pb2.Signed(payload_type="other.Type", payload=signed.payload, signature=signed.signature),
        signed_pb2.Signed(payload_type=signed.payload_type, payload=signed.payload, signature=b"short"),
    ):
        assert not verify(changed, signer.public_key)
    assert not verify(signed, Signer(new_signing_key(), "x").public_key)
