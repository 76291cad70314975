"""Who calls: SPIFFE ids, the roles they give, and what a client certificate proves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from suanmesh_chassis.call import Caller
from suanmesh_chassis.trust import CurrentTrust
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import ID_PATTERN
from suanmesh_kernel.refusals import Unauthenticated

NOBODY = Caller()
OPERATOR_PARTY = "parties/operator"
_KNOWN_CERTIFICATES_MAX = 4096


def service_id(node: str, area: str) -> str:
    """SPIFFE id of a service."""
    return f"spiffe://{node}/service/{area}"


def agent_id(node: str, site: str) -> str:
    """SPIFFE id of a site's agent; `site` is the last part of its name."""
    return f"spiffe://{node}/site/{site}/agent"


def user_id(node: str, party: str, user: str) -> str:
    """SPIFFE id of a user; `party` is the last part of its name."""
    return f"spiffe://{node}/party/{party}/user/{user}"


def invite_id(node: str, token: str) -> str:
    """SPIFFE id of who bears an invite, and is nobody else yet; `token` is the last part of its join token's name."""
    return f"spiffe://{node}/invite/{token}"


def service_area(principal: str, node: str) -> str:
    """The area of the service of `node` that a SPIFFE id names; empty where it names none."""
    kind, _, area = principal.removeprefix(f"spiffe://{node}/").partition("/")
    return area if principal.startswith("spiffe://") and kind == "service" and _is_area(area) else ""


def caller_of(principal: str, node: str, peers: Collection[str] = ()) -> Caller:
    """Who a SPIFFE id of `node`, or of a service of one of its `peers`, names.

    Raises Unauthenticated (`IDENTITY_MISSING`) where it names nobody.
    """
    trust_domain, _, path = principal.removeprefix("spiffe://").partition("/")
    if trust_domain in peers and service_area(principal, trust_domain):
        return Caller(principal, roles=frozenset(("peer",)))
    match path.split("/") if principal.startswith("spiffe://") and trust_domain == node else []:
        case ["service", area] if _is_area(area):
            return Caller(principal, roles=frozenset(("service",)))
        case ["site", site, "agent"] if ID_PATTERN.fullmatch(site):
            return Caller(principal, site=f"sites/{site}", roles=frozenset(("agent",)))
        case ["invite", token] if ID_PATTERN.fullmatch(token):
            return Caller(principal)
        case ["party", party, "user", user] if ID_PATTERN.fullmatch(party) and user:
            name = f"parties/{party}"
            roles = ("user", "operator") if name == OPERATOR_PARTY else ("user",)
            return Caller(principal, party=name, roles=frozenset(roles))
    raise Unauthenticated("IDENTITY_MISSING", f"{principal[:200]!r} names nobody of node {node}", node=node)


def _is_area(text: str) -> bool:
    return text.replace("_", "").isalpha()


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires: datetime


class Certificates:
    """Reads the caller off the certificate of a connection; each certificate is parsed once."""

    def __init__(self, node: str, trust: CurrentTrust, clock: Clock) -> None:
        self._node = node
        self._current = trust
        self._trust = trust()
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._last: tuple[bytes, _Known] | None = None
        """Most calls come over one or two connections, and to compare a certificate costs far less than to hash it."""

    def caller(self, auth_context: Mapping[str, Iterable[bytes]]) -> Caller:
        """Who is at the other end; NOBODY where no certificate was asked for.

        Raises Unauthenticated (`IDENTITY_MISSING`) where the certificate names nobody who is believed, is issued by
        another node's authority, or has expired since the connection was made.
        """
        pem = next(iter(auth_context.get("x509_pem_cert", ())), b"")
        if not pem:
            return NOBODY
        if (trust := self._current()) is not self._trust:
            self._trust = trust
            self._known.clear()
            self._last = None
        if self._last is not None and self._last[0] == pem:
            known = self._last[1]
        else:
            known = self._known.get(pem) or self._read(pem)
            self._last = pem, known
        if known.expires <= self._clock.now():
            raise Unauthenticated("IDENTITY_MISSING", "the certificate has expired", expired=known.expires.isoformat())
        return known.caller

    def _read(self, pem: bytes) -> _Known:
        certificate = x509.load_pem_x509_certificate(pem)
        ids = spiffe_ids(certificate)
        if len(ids) != 1:
            raise Unauthenticated("IDENTITY_MISSING", f"the certificate holds {len(ids)} SPIFFE ids, not one")
        caller = caller_of(ids[0], self._node, self._trust.peers)
        hosts = _hosts(certificate) if "service" in caller.roles else ()
        caller = replace(caller, hosts=hosts, since=certificate.not_valid_before_utc)
        known = _Known(caller, self._trust.until(certificate, caller.principal, self._clock.now()))
        if len(self._known) >= _KNOWN_CERTIFICATES_MAX:
            self._known.clear()
        self._known[pem] = known
        return known


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def spiffe_ids(certificate: x509.Certificate) -> Sequence[str]:
    """The SPIFFE ids among a certificate's alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [uri for uri in uris if uri.startswith("spiffe://")]
