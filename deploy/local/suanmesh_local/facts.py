"""What is said of a node when it is founded, and stays: `node.toml` in its folder."""

from __future__ import annotations

import errno
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suanmesh_kernel.addresses import host_of, is_everywhere, is_loopback
from suanmesh_kernel.money import is_currency
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.private import replace_private
from suanmesh_kernel.refusals import InvalidArgument

FILE = "node.toml"
NO_NODE = "holds no node: `suan node init` founds one, `suan node join-machine` makes this machine one of another's"
LOOPBACK = "127.0.0.1"
CURRENCY = "CNY"
SQL = "postgresql://"
ETCD_MEMBERS = (1, 3, 5)
ALONE = "etcd"
"""What the member is called that a node was founded with, if that was one."""
USER_OF_OPERATOR = ("operator", "operator")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node's name, and where it is reached: at its gateways; all else is for its own machines alone."""

    name: str
    host: str = LOOPBACK
    """Where users and sites reach the gateway: a name or an address of this machine, or of what passes on to it."""
    gateway_port: int = 0
    """Port of the gateway; 0 where the node is tried out, whose ports are whatever is free."""
    currency: str = CURRENCY
    """ISO 4217 code of what the operator's party accounts in."""
    users: tuple[tuple[str, str], ...] = (USER_OF_OPERATOR,)
    """Party and user of each person whose key is made here."""
    machines: tuple[str, ...] = ()
    """Hosts of the machines that run the services, the one that founds the node first; empty: this one alone."""
    etcd: tuple[str, ...] = ()
    """Hosts of the machines that run a member of etcd; empty where the node is on one machine."""
    etcd_names: tuple[str, ...] = ()
    """What those members are called; empty: as they were when the node was founded."""
    came_later: bool = False
    """Whether this machine was added to a node that was there."""
    sql: str = ""
    """Where the services keep records and the ledger, as `postgresql://...`; empty: in files of this machine."""

    @property
    def listens_on_loopback(self) -> bool:
        """Whether the node is for this machine alone."""
        return is_loopback(self.host.strip("[]"))

    @property
    def is_spread(self) -> bool:
        """Whether the node is on several machines, of which this is one."""
        return bool(self.etcd)

    @property
    def members(self) -> dict[str, str]:
        """Host of each member of etcd, by its name."""
        founding = [ALONE] if len(self.etcd) == 1 else [f"etcd-{index}" for index in range(len(self.etcd))]
        return dict(zip(self.etcd_names or founding, self.etcd, strict=True))

    @property
    def founds(self) -> bool:
        """Whether the node's authority is made on this machine."""
        return not self.is_spread or self.host == self.machines[0]

    @property
    def runs_services(self) -> bool:
        """Whether this machine has the services and a gateway, not a member of etcd alone."""
        return not self.is_spread or self.host in self.machines

    @property
    def gateway_listens(self) -> str:
        """The host the gateway listens on."""
        return everywhere_of(self.host)

    @property
    def ports_stay(self) -> bool:
        """Whether others know the node's ports, so that it never takes others than it had."""
        return self.gateway_port != 0


def everywhere_of(host: str) -> str:
    """What to listen on to be reached at `host`: every address, but for a host that this machine alone reaches."""
    if is_loopback(host.strip("[]")):
        return host
    return "[::]" if host.startswith("[") else "0.0.0.0"


def checked_facts(
    name: str,
    host: str,
    gateway_port: int,
    currency: str = CURRENCY,
    *,
    machines: Sequence[str] = (),
    etcd: Sequence[str] = (),
    sql: str = "",
) -> NodeFacts:
    """The facts of a node that is founded, and that others are to reach. Raises InvalidArgument (`FIELD_INVALID`)."""
    facts = _checked(name, host, gateway_port, currency, machines=machines, etcd=etcd, sql=sql)
    _require_whole(facts.machines, facts.etcd, sql)
    return facts


def _checked(
    name: str, host: str, gateway_port: int, currency: str, *, machines: Sequence[str], etcd: Sequence[str], sql: str
) -> NodeFacts:
    """As far as each is right by itself."""
    checked_id(name, field="name")
    told = checked_host(host, "advertise")
    runs = tuple(checked_host(each, "advertise") for each in machines)
    members = tuple(checked_host(each, "etcd") for each in etcd)
    if not is_currency(currency):
        raise InvalidArgument("FIELD_INVALID", f"currency: {currency[:20]!r} is not an ISO 4217 code", field="currency")
    return NodeFacts(name, told, gateway_port, currency, machines=runs, etcd=members, sql=sql)


def checked_host(host: str, field: str) -> str:
    """A host as it stands before a port. Raises InvalidArgument (`FIELD_INVALID`)."""
    bare = host_of(f"{host}:1")
    if is_everywhere(bare) or any(each.isspace() or each in "/," for each in bare):
        problem = f"{field}: {host[:80]!r} is no host that others can reach"
        raise InvalidArgument("FIELD_INVALID", problem, field=field)
    return f"[{bare}]" if ":" in bare else bare


def _require_whole(machines: Sequence[str], etcd: Sequence[str], sql: str) -> None:
    """Raise InvalidArgument unless what is said of several machines makes a node that outlives one of them."""
    if len(set(machines)) != len(machines) or (len(machines) > 1 and not etcd):
        problem = "advertise: of several machines, name each once, and with --etcd those that run etcd"
        raise InvalidArgument("FIELD_INVALID", problem, field="advertise")
    if etcd and (len(set(etcd)) != len(etcd) or len(etcd) not in ETCD_MEMBERS):
        problem = "etcd: name one, three or five different machines; an even number outlives no more deaths"
        raise InvalidArgument("FIELD_INVALID", problem, field="etcd")
    if (sql and not sql.startswith(SQL)) or (len(machines) > 1 and not sql):
        problem = f"sql: services on several machines share a database: say where it is, as {SQL}user@host/database"
        raise InvalidArgument("FIELD_INVALID", problem, field="sql")


def write_facts(folder: Path, facts: NodeFacts) -> None:
    """Keep them in the node's folder. Raises OSError."""
    replace_private(folder / FILE, facts_text(facts).encode())


def facts_text(facts: NodeFacts) -> str:
    """What the file says."""
    lines = [
        f"name = {json.dumps(facts.name)}",
        f"advertise = {json.dumps(facts.host)}",
        f"port = {facts.gateway_port}",
        f"currency = {json.dumps(facts.currency)}",
        f"machines = {json.dumps(facts.machines)}",
        f"etcd = {json.dumps(facts.etcd)}",
        f"etcd_names = {json.dumps(facts.etcd_names)}",
        f"came_later = {json.dumps(facts.came_later)}",
        f"sql = {json.dumps(facts.sql)}",
    ]
    return "\n".join(lines) + "\n"


def read_facts(folder: Path) -> NodeFacts:
    """What `write_facts` kept. Raises OSError, and ValueError where the file says something else."""
    try:
        told = tomllib.loads((folder / FILE).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, NO_NODE, str(folder)) from None
    try:
        facts = _checked(
            str(told["name"]),
            str(told["advertise"]),
            int(told["port"]),
            str(told.get("currency", CURRENCY)),
            machines=[str(each) for each in told.get("machines", ())],
            etcd=[str(each) for each in told.get("etcd", ())],
            sql=str(told.get("sql", "")),
        )
        names = tuple(str(each) for each in told.get("etcd_names", ()))
        if names and len(names) != len(facts.etcd):
            raise ValueError(f"{folder / FILE} is not as it was written: etcd_names are not as many as etcd")
        return replace(facts, etcd_names=names, came_later=bool(told.get("came_later", False)))
    except (KeyError, TypeError, InvalidArgument) as fault:
        raise ValueError(f"{folder / FILE} is not as it was written: {fault}") from fault


def other_machines(folder: Path) -> tuple[str, ...]:
    """Hosts of the other machines that run services of the node in a folder; none where that cannot be read."""
    try:
        facts = read_facts(folder)
    except (OSError, ValueError):
        return ()
    return tuple(host for host in facts.machines if host != facts.host)
