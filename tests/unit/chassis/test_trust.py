"""Whom a process believes, by node, authority and time: no authority speaks for another node, and none for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf import json_format

from suanmesh.type.v1 import signed_pb2, trust_pb2
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import Certificates, agent_id, service_id, user_id
from suanmesh_chassis.signing import Signer, new_signing_key, window_to
from suanmesh_chassis.testing import lasting_key
from suanmesh_chassis.trust import LOOK_S, TRUST_FILE, Trust, TrustFile, load_trust
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import Unauthenticated
from suanmesh_sdk.values import timestamp

DAY = timedelta(days=1)


class Nodes:
    """This node `here`, the node `there` that it believes for ten days, and one that it does not know."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.here, self.there, self.elsewhere = (NodeCa.create(n, self.clock) for n in ("here", "there", "elsewhere"))
        self.signer = Signer(new_signing_key(), service_id("there", "registry"))
        self.entry = trust_pb2.NodeTrust(
            name="nodes/there",
            authorities=[authority(self.there, self.clock.now(), 10 * DAY)],
            signing_keys=[window_to(lasting_key(self.signer))],
        )

    def trust(self) -> Trust:
        return Trust("here", self.here.pem, [self.entry])

    def roles(self, ca: NodeCa, identity: str) -> frozenset[str]:
        """The roles of whoever shows a certificate of `ca` for `identity`."""
        shown = {"x509_pem_cert": [ca.issue(identity).certificate]}
        return Certificates("here", self.trust, self.clock).caller(shown).roles


def authority(ca: NodeCa, begin: datetime, time: timedelta) -> trust_pb2.CertificateAuthority:
    der = ca.certificate.public_bytes(Encoding.DER)
    return trust_pb2.CertificateAuthority(
        certificate_der=der, valid_from=timestamp(begin), valid_until=timestamp(begin + time)
    )


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_services_of_a_believed_node_are_peers_and_nobody_else_of_it_is(nodes: Nodes) -> None:
    """Another node answers for its users and sites itself; here they would be strangers with rights."""
    assert nodes.roles(nodes.there, service_id("there", "scheduler")) == {"peer"}
    assert nodes.roles(nodes.here, service_id("here", "scheduler")) == {"service"}
    for stranger in (user_id("there", "operator", "o"), agent_id("there", "a"), service_id("elsewhere", "scheduler")):
        with pytest.raises(Unauthenticated, match="IDENTITY_MISSING"):
            nodes.roles(nodes.there, stranger)


def test_no_authority_speaks_for_another_node(nodes: Nodes) -> None:
    """Whoever runs a node that is believed could otherwise make itself our scheduler, or our operator."""
    for identity in (service_id("here", "scheduler"), user_id("here", "operator", "o"), agent_id("here", "a")):
        for ca in (nodes.there, nodes.elsewhere):
            with pytest.raises(Unauthenticated, match="IDENTITY_MISSING"):
                nodes.roles(ca, identity)
    with pytest.raises(Unauthenticated, match="IDENTITY_MISSING"):
        nodes.roles(nodes.here, service_id("there", "scheduler"))


def test_an_authority_is_believed_in_its_time(nodes: Nodes) -> None:
    """A node that is no longer believed must lose its rights, on open connections too."""
    trust = nodes.trust()
    certificates = Certificates("here", lambda: trust, nodes.clock)
    shown = {"x509_pem_cert": [nodes.there.issue(service_id("there", "registry")).certificate]}
    assert certificates.caller(shown).roles == {"peer"}
    nodes.clock.advance((10 * DAY).total_seconds())
    with pytest.raises(Unauthenticated):
        certificates.caller(shown)
    with pytest.raises(Unauthenticated, match="past its time"):
        nodes.roles(nodes.there, service_id("there", "registry"))


def test_an_authority_is_replaced_without_a_gap(nodes: Nodes) -> None:
    """Two are believed while certificates of the old one are still about."""
    new = NodeCa.create("there", nodes.clock)
    nodes.entry.authorities.append(authority(new, nodes.clock.now(), 100 * DAY))
    for ca in (nodes.there, new):
        assert nodes.roles(ca, service_id("there", "registry")) == {"peer"}


def test_what_is_said_of_the_own_node_changes_nothing(nodes: Nodes) -> None:
    """A bundle that came from elsewhere must not bring in an authority over this node."""
    nodes.entry.name = "nodes/here"
    assert nodes.trust().peers == frozenset()
    with pytest.raises(Unauthenticated):
        nodes.roles(nodes.there, service_id("here", "scheduler"))


def test_keys_of_other_nodes_are_found_by_their_id(nodes: Nodes) -> None:
    """What another node signs, such as a hold, is checked with the key that its bundle names."""
    assert nodes.trust().key(nodes.signer.key_id) == lasting_key(nodes.signer)
    assert nodes.trust().key("spiffe://there/service/registry#0") is None


@pytest.mark.parametrize("days", [(-30, 10), (0, 10_000), (5, -1)])
def test_an_authority_has_no_more_time_than_its_certificate(nodes: Nodes, days: tuple[int, int]) -> None:
    """An entry would say what does not hold."""
    nodes.entry.authorities[0].CopyFrom(authority(nodes.there, nodes.clock.now() + days[0] * DAY, days[1] * DAY))
    with pytest.raises(ValueError, match="time"):
        nodes.trust()


def test_a_certificate_of_a_service_is_no_authority(nodes: Nodes) -> None:
    """Whoever stole one could issue others with it."""
    leaf = x509.load_pem_x509_certificate(nodes.there.issue(service_id("there", "registry")).certificate)
    nodes.entry.authorities[0].certificate_der = leaf.public_bytes(Encoding.DER)
    with pytest.raises(ValueError, match="none of an authority"):
        nodes.trust()


def test_a_process_reads_the_bundle_beside_its_certificate(nodes: Nodes, tmp_path: Path) -> None:
    """What the registry gives is what a process takes; without it there is the own node alone."""
    assert load_trust(tmp_path, "here", nodes.here.pem).peers == frozenset()
    bundle = trust_pb2.TrustBundle(node="here", nodes=[nodes.entry])
    (tmp_path / TRUST_FILE).write_text(json_format.MessageToJson(bundle))
    found = load_trust(tmp_path, "here", nodes.here.pem)
    assert found.peers == {"there"}
    assert len(x509.load_pem_x509_certificates(found.roots_of_peers())) == 1
    (tmp_path / TRUST_FILE).write_text(json.dumps({"nodes": 7}))
    with pytest.raises(ValueError, match="no trust bundle"):
        load_trust(tmp_path, "here", nodes.here.pem)


def test_a_changed_bundle_is_taken_while_the_process_runs(nodes: Nodes, tmp_path: Path) -> None:
    """A node that is no longer believed would keep its rights until the last process was started anew."""
    path = tmp_path / TRUST_FILE
    trust = TrustFile(tmp_path, "here", lambda: nodes.here.pem, nodes.clock)
    certificates = Certificates("here", trust, nodes.clock)
    shown = {"x509_pem_cert": [nodes.there.issue(service_id("there", "registry")).certificate]}

    def written(text: str) -> None:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        nodes.clock.advance(LOOK_S)

    written(json_format.MessageToJson(trust_pb2.TrustBundle(node="here", nodes=[nodes.entry])))
    assert certificates.caller(shown).roles == {"peer"}
    assert trust() is trust(), "what has not changed is not read again"
    written("{")
    assert certificates.caller(shown).roles == {"peer"}, "the one before is believed on"
    path.unlink()
    nodes.clock.advance(LOOK_S)
    with pytest.raises(Unauthenticated):
        certificates.caller(shown)
    assert trust().roots_of_peers() == b""


def test_a_window_of_a_key_is_kept_as_it_is() -> None:
    """A bundle is copied from node to node; a key must not gain time on its way."""
    window = lasting_key(Signer(new_signing_key(), service_id("there", "registry")))
    kept: signed_pb2.SigningKey = window_to(window)
    assert kept.valid_until.ToDatetime(UTC) == window.valid_until
