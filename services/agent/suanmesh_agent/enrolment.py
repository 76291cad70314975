"""Joining a node: a one-time token, keys that never leave the folder, a certificate signed by the node's CA."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis.private import private_folder, write_private
from suanmesh_chassis.signing import load_signer, new_signing_key, private_pem
from suanmesh_kernel.refusals import InvalidArgument, Unauthenticated
from suanmesh_sdk import Mesh, Tls, connect

HANDSHAKE_S = 10.0


def is_enrolled(folder: Path) -> bool:
    """Whether the folder holds a whole identity."""
    return all((folder / name).exists() for name in ("cert.pem", "key.pem", "ca.pem", "signing.key"))


async def enrol(settings: AgentSettings, node: str, folder: Path) -> site_pb2.Site:
    """Spend the join token; the identity lies in `folder` afterwards.

    Keys are made once, so that a repeat after a lost answer is answered the same way. Raises Unauthenticated
    (`JOIN_TOKEN_INVALID`) where the server cannot show the CA the token names, and what EnrolSite refuses with.
    """
    ca_hash = _ca_hash(settings.join_token)
    ca_pem = await asyncio.to_thread(_fetch_ca, settings.enrol, ca_hash)
    async with connect(settings.enrol, tls=Tls(ca=ca_pem), node=node) as mesh:
        return await spend_token(mesh, settings, folder)


async def spend_token(mesh: Mesh, settings: AgentSettings, folder: Path) -> site_pb2.Site:
    """Have the registry behind `mesh` certify the keys in `folder`, which are made where there are none."""
    key = _kept_key(folder)
    request = pb.EnrolSiteRequest(
        token=settings.join_token,
        site_id=settings.site,
        site=_site(settings),
        csr_der=_signing_request(key, settings.site),
        signing_key=load_signer(folder / "signing.key", "").public_key,
    )
    answer = await mesh.registry.EnrolSite(request)
    write_private(folder / "ca.pem", answer.ca_pem)
    write_private(folder / "cert.pem", answer.certificate_pem)
    return answer.site


def _ca_hash(token: str) -> str:
    parts = token.split(".")
    if len(parts) != 4 or parts[0] != "sjt1" or len(parts[3]) != 64:
        raise InvalidArgument("FIELD_INVALID", "the join token is not of the form sjt1.id.secret.hash", field="token")
    return parts[3]


def _fetch_ca(address: str, ca_hash: str) -> bytes:
    """The CA certificate the server shows, when it is the one whose hash the token carries.

    The chain is fetched without trust: the hash is what makes it trusted, before the token is sent anywhere.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), HANDSHAKE_S) as raw, context.wrap_socket(raw) as secured:
        chain = _chain(secured)
    for der in chain:
        if hmac.compare_digest(hashlib.sha256(der).hexdigest(), ca_hash):
            return ssl.DER_cert_to_PEM_cert(der).encode()
    message = f"{address} does not show the CA that the join token names"
    raise Unauthenticated("JOIN_TOKEN_INVALID", message, domain="registry.suanmesh")


def _chain(secured: ssl.SSLSocket) -> list[bytes]:
    """Every certificate the server showed, in DER; public only from Python 3.13 on."""
    if hasattr(secured, "get_unverified_chain"):
        return [bytes(der) for der in secured.get_unverified_chain()]
    inner: Any = secured._sslobj  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain()]


def _kept_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of this agent, made once; the signing key beside it."""
    private_folder(folder)
    if not (folder / "signing.key").exists():
        write_private(folder / "signing.key", private_pem(new_signing_key()))
    path = folder / "key.pem"
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        write_private(path, made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidArgument("FIELD_INVALID", f"{path} does not hold a P-256 key", field="key.pem")
    return key


def _signing_request(key: ec.EllipticCurvePrivateKey, site: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"site {site}"[:64])])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def _site(settings: AgentSettings) -> site_pb2.Site:
    site = site_pb2.Site(
        display_name=settings.display_name,
        city_code=settings.city_code,
        latitude_microdegrees=settings.latitude_microdegrees,
        longitude_microdegrees=settings.longitude_microdegrees,
        residency=settings.residency,
    )
    if settings.pue_milli:
        site.pue_milli = settings.pue_milli
    return site
