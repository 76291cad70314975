"""The node's certificate authority and everybody's identity, as files."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from suanmesh_chassis.authorities import Authorities, forget, rotate
from suanmesh_chassis.ca import LEAF_DAYS, USER_DAYS, NodeCa, common_name, server_name, write_identity
from suanmesh_chassis.identity import service_id, user_id
from suanmesh_etcd3 import Tls as EtcdClientTls
from suanmesh_etcd3 import User as EtcdUser
from suanmesh_kernel.clock import Clock, SystemClock
from suanmesh_kernel.private import replace_private
from suanmesh_kernel.rotations import Rotation
from suanmesh_local.etcd import EtcdTls
from suanmesh_local.facts import NodeFacts
from suanmesh_sdk.renewal import life_of
from suanmesh_store import layout

SEALING_KEYS = "sealing-keys.json"
SEALING_KEY_LASTS = timedelta(days=3650)
ETCD = "etcd"
ETCD_ROOT_DIR = "etcd-root"
ETCD_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Where the node's etcd members are reached, by each other too."""
AREAS = ("registry", "scheduler", "network_orchestrator", "transport", "accounting", "gateway")


@dataclass(frozen=True, slots=True)
class Identities:
    """Where everybody's files are."""

    folder: Path
    node: str

    @property
    def ca_dir(self) -> Path:
        """Key and certificate of the authority."""
        return self.folder / "ca"

    def of(self, who: str) -> Path:
        """Certificate, key and CA of one identity."""
        return self.folder / who

    @property
    def sealing_keys(self) -> Path:
        """The keys of secrets of jobs, which the schedulers of several machines share."""
        return self.of("scheduler") / SEALING_KEYS

    @property
    def etcd_server(self) -> EtcdTls:
        """What etcd's members show their clients and each other."""
        home = self.of("etcd")
        peer_name = common_name(service_id(self.node, "etcd"))
        return EtcdTls(home / "cert.pem", home / "key.pem", home / "ca.pem", peer_name)

    def etcd_client(self, who: str) -> EtcdClientTls:
        """What a service, or etcd's root, shows etcd."""
        home = self.of(who)
        parts = ((home / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem"))
        ca, certificate, key = parts
        return EtcdClientTls(ca, certificate, key, server_name(self.node, "etcd"))

    def etcd_users(self) -> list[EtcdUser]:
        """The services, each with what it may write; no site and no person is among them.

        With what etcd itself shows its machine reads on which machines the node is.
        """
        reads = (f"{layout.ROOT}/",)
        own = [EtcdUser(common_name(service_id(self.node, area)), reads, layout.written_by(area)) for area in AREAS]
        return [*own, EtcdUser(self.etcd_server.peer_name, (layout.NODE_MACHINES.prefix,), ())]


@dataclass(frozen=True, slots=True)
class Lives:
    """How long certificates are good that are issued here, days."""

    days: float = LEAF_DAYS
    """Those of services and of etcd."""
    user_days: float = USER_DAYS


def found_identities(folder: Path, facts: NodeFacts, lives: Lives | None = None) -> Identities:
    """Create the authority and all identities, or find those that are there; what is due is issued anew.

    The gateway's certificate also names where others reach it, for programs that know nothing of our server names. Of a
    node on several machines they are founded on one, and brought to the others; such a one issues what has lapsed anew,
    since nobody renews it any more, and only where it has the authority.
    """
    identities, lives = Identities(folder, facts.name), lives or Lives()
    clock = SystemClock()
    if facts.founds:
        if not (identities.ca_dir / "ca.pem").exists():
            NodeCa.create(facts.name, clock).save(identities.ca_dir)
        forget(identities.ca_dir, clock)
        _issue(identities, facts, lives, _due)
    elif identities.ca_dir.exists():
        _issue(identities, facts, lives, _lapsed)
    return identities


def issue_for_machine(target: Path, identities: Identities, facts: NodeFacts, lives: Lives) -> Identities:
    """All that another machine of the node needs, in the folder `target`; what names hosts names its own.

    Issued here, where the authority is: what this machine renews meanwhile is nobody else's. Raises OSError.
    """
    others = Identities(target, facts.name)
    shutil.copytree(identities.ca_dir, others.ca_dir)
    _issue(others, facts, lives, _due)
    if identities.sealing_keys.exists():
        shutil.copyfile(identities.sealing_keys, others.sealing_keys)
    return others


def _issue(identities: Identities, facts: NodeFacts, lives: Lives, wanting: Callable[[Path, Clock], bool]) -> None:
    """Whatever is wanting."""
    clock = SystemClock()
    ca = Authorities.load(identities.ca_dir, clock)
    for area in (*AREAS, ETCD):
        if wanting(identities.of(area), clock):
            issued = ca.issue(service_id(facts.name, area), _hosts_of(area, facts), days=lives.days)
            write_identity(identities.of(area), issued)
    for party, user in facts.users:
        if wanting(identities.of(user), clock):
            issued = ca.issue(user_id(facts.name, party, user), days=lives.user_days)
            write_identity(identities.of(user), issued)
    keep_etcd_root(identities, lives)


def issue_etcd(identities: Identities, facts: NodeFacts, lives: Lives) -> None:
    """Have etcd's members show that they are reached where the facts say. Raises OSError."""
    ca = Authorities.load(identities.ca_dir, SystemClock())
    issued = ca.issue(service_id(facts.name, ETCD), _hosts_of(ETCD, facts), days=lives.days)
    write_identity(identities.of(ETCD), issued)


def _hosts_of(area: str, facts: NodeFacts) -> list[str]:
    """The names in the certificate of a service, or of etcd."""
    gateways, members = (
        [host.strip("[]") for host in hosts] for hosts in (facts.machines or (facts.host,), facts.etcd)
    )
    further = {ETCD: (*ETCD_HOSTS, *members), "gateway": gateways}
    return [server_name(facts.name, area), *further.get(area, ())]


def write_sealing_key(file: Path, before: Path | None = None) -> None:
    """The key that all schedulers of the node open secrets of jobs with, as the scheduler keeps it.

    It is not renewed by itself, since a new one would be known on one machine alone. Those in the file `before` still
    open what was sealed for them. Raises OSError.
    """
    older = json.loads(before.read_text()) if before is not None and before.exists() else []
    key = base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()
    since = (SystemClock().now() + SEALING_KEY_LASTS).timestamp()
    replace_private(file, json.dumps([*older, {"key": key, "since": since}]).encode())


def rotate_authority(identities: Identities, overlap: timedelta) -> Rotation:
    """Make the next authority, and have all who lie here trust it. Raises UnderWay, OSError."""
    clock = SystemClock()
    turn = rotate(identities.ca_dir, identities.node, clock, overlap)
    trusted = Authorities.load(identities.ca_dir, clock).pem
    for home in identities.folder.iterdir():
        if home != identities.ca_dir and (home / "ca.pem").exists():
            replace_private(home / "ca.pem", trusted)
    return turn


def keep_etcd_root(identities: Identities, lives: Lives) -> None:
    """Have a good certificate of etcd's root, where the authority is at hand; elsewhere it stays what was brought."""
    home, clock = identities.of(ETCD_ROOT_DIR), SystemClock()
    if _due(home, clock) and identities.ca_dir.exists():
        write_identity(home, Authorities.load(identities.ca_dir, clock).issue_etcd_root(days=lives.days))


def etcd_root_is_good(identities: Identities) -> bool:
    """Whether etcd would hear its root here."""
    certificate = identities.of(ETCD_ROOT_DIR) / "cert.pem"
    return SystemClock().now() < life_of(certificate.read_bytes()).end


def _due(home: Path, clock: Clock) -> bool:
    """Whether a certificate is missing, or past the time at which whoever runs would have renewed it."""
    certificate = home / "cert.pem"
    return not certificate.exists() or clock.now() >= life_of(certificate.read_bytes()).due


def _lapsed(home: Path, clock: Clock) -> bool:
    """Whether a certificate is missing, or good for nothing any more."""
    certificate = home / "cert.pem"
    return not certificate.exists() or clock.now() >= life_of(certificate.read_bytes()).end
