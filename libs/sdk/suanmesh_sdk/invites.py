"""Joining a node with an invite: whom to believe, what to show, and keys that are made where they stay."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from suanmesh.registry.v1.join_token_pb2 import Invite
from suanmesh.registry.v1.registry_service_pb2 import JoinToken
from suanmesh_kernel.refusals import InvalidArgument, Unauthenticated, Unavailable
from suanmesh_sdk.mesh import Mesh, connect
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_sdk.tls import Tls

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PREFIX = "suan-invite-1."
CONNECT_S = 10.0
"""How long a handshake with the gateway may take."""
_HASH_DIGITS = 64


def invite_text(gateway: str, node: str, token: JoinToken) -> str:
    """The one string that somebody on another machine needs; it is a secret until it was used.

    `gateway` may be several addresses, separated by commas.
    """
    invite = Invite(gateway=gateway, node=node, token=token.token, certificate_der=token.certificate_der, key=token.key)
    return PREFIX + base64.urlsafe_b64encode(invite.SerializeToString()).decode().rstrip("=")


def read_invite(text: str) -> Invite:
    """Take an invite apart, line breaks and spaces in it left out.

    Raises InvalidArgument (`FIELD_INVALID`), which never repeats the text.
    """
    text = "".join(text.split())
    body = text.removeprefix(PREFIX)
    try:
        invite = Invite.FromString(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
    except (ValueError, DecodeError):
        invite = Invite()
    parts = invite.token.split(".")
    told = all(each.rpartition(":")[2].isdecimal() for each in invite.gateway.split(","))
    whole = told and invite.node and invite.certificate_der and invite.key
    if text == body or not whole or len(parts) != 4 or len(parts[3]) != _HASH_DIGITS:
        problem = f"it is no whole invite: one begins with {PREFIX} and is copied to its end"
        raise InvalidArgument("FIELD_INVALID", f"invite: {problem}", domain=MESH_DOMAIN, field="invite")
    return invite


async def trusted_ca(invite: Invite) -> bytes:
    """The certificate of the node's authority in PEM, when it is the one whose hash the invite carries.

    It is fetched without trust, from the first gateway that answers: the hash is what makes it trusted, before anything
    of the invite is sent anywhere.
    Raises Unavailable (`NOT_READY`) where the gateway is not reached, Unauthenticated (`HANDSHAKE_FAILED`) where
    somebody else is there.
    """
    try:
        chain = await asyncio.to_thread(_chain_of, invite.gateway.split(","))
    except ssl.SSLError as fault:
        raise _someone_else(invite, str(fault.reason or fault)) from fault
    except OSError as fault:
        problem = f"nothing answers at {invite.gateway} ({fault.strerror or fault}): open outgoing TCP to it"
        raise Unavailable("NOT_READY", problem, domain=MESH_DOMAIN, address=invite.gateway) from fault
    wanted = invite.token.rpartition(".")[2]
    for der in chain:
        if hmac.compare_digest(hashlib.sha256(der).hexdigest(), wanted):
            return ssl.DER_cert_to_PEM_cert(der).encode()
    raise _someone_else(invite, "it does not show the authority that the invite names")


def bearer_tls(ca_pem: bytes, certificate_der: bytes, key: bytes) -> Tls:
    """What the bearer of an invite shows the gateway, and trusts."""
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1())
    return Tls(ca_pem, ssl.DER_cert_to_PEM_cert(certificate_der).encode(), key_pem(private))


def mesh_of(invite: Invite, ca_pem: bytes) -> Mesh:
    """The node as the bearer of an invite calls it: it may enrol, and nothing else."""
    return connect(invite.gateway, tls=bearer_tls(ca_pem, invite.certificate_der, invite.key), node=invite.node)


def new_key() -> EllipticCurvePrivateKey:
    """A private key over P-256."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """A private key as it is kept in a file."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_of(pem: bytes) -> EllipticCurvePrivateKey:
    """The key that `key_pem` wrote. Raises ValueError where it is another one, or none."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError("it is no key over an elliptic curve")
    return key


def signing_request(key: EllipticCurvePrivateKey) -> bytes:
    """A PKCS#10 request in DER for a certificate of `key`; whose it becomes is the node's to say."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def _chain_of(addresses: Sequence[str]) -> list[bytes]:
    """What the first server shows that answers. Raises OSError as the last that did not."""
    *others, last = addresses
    for address in others:
        try:
            return _chain_at(address)
        except ssl.SSLError:
            raise
        except OSError:
            continue
    return _chain_at(last)


def _chain_at(address: str) -> list[bytes]:
    """Every certificate that a server shows, in DER, whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # the handshake is over before ours is asked for
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as raw, context.wrap_socket(raw) as secured:
        if hasattr(secured, "get_unverified_chain"):  # public only from Python 3.13 on
            return [bytes(der) for der in secured.get_unverified_chain()]
        inner: Any = secured._sslobj  # type: ignore[attr-defined]
        return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain()]


def _someone_else(invite: Invite, problem: str) -> Unauthenticated:
    message = f"{invite.gateway} is not the gateway of node {invite.node}: {problem}"
    return Unauthenticated("HANDSHAKE_FAILED", message, domain=MESH_DOMAIN, address=invite.gateway)
