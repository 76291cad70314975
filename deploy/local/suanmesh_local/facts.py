"""What is said of a node when it is founded, and stays: `node.toml` in its folder."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from suanmesh_kernel.addresses import host_of, is_everywhere, is_loopback
from suanmesh_kernel.money import is_currency
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.private import write_private
from suanmesh_kernel.refusals import InvalidArgument

FILE = "node.toml"
LOOPBACK = "127.0.0.1"
CURRENCY = "CNY"
USER_OF_OPERATOR = ("operator", "operator")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node's name, and where it is reached: at its gateway alone, all else of it stays on the loopback."""

    name: str
    host: str = LOOPBACK
    """Where users and sites reach the gateway: a name or an address of this machine, or of what passes on to it."""
    gateway_port: int = 0
    """Port of the gateway; 0 where the node is tried out, whose ports are whatever is free."""
    currency: str = CURRENCY
    """ISO 4217 code of what the operator's party accounts in."""
    users: tuple[tuple[str, str], ...] = (USER_OF_OPERATOR,)
    """Party and user of each person whose key is made here."""

    @property
    def listens_on_loopback(self) -> bool:
        """Whether the node is for this machine alone."""
        return is_loopback(self.host.strip("[]"))

    @property
    def gateway_listens(self) -> str:
        """The host the gateway listens on."""
        if self.listens_on_loopback:
            return self.host
        return "[::]" if self.host.startswith("[") else "0.0.0.0"

    @property
    def ports_stay(self) -> bool:
        """Whether others know the node's ports, so that it never takes others than it had."""
        return self.gateway_port != 0


def checked_facts(name: str, host: str, gateway_port: int, currency: str = CURRENCY) -> NodeFacts:
    """The facts of a node that others are to reach. Raises InvalidArgument (`FIELD_INVALID`)."""
    checked_id(name, field="name")
    bare = host_of(f"{host}:1")
    if is_everywhere(bare) or any(each.isspace() or each == "/" for each in bare):
        problem = f"advertise: {host[:80]!r} is no host that others can reach"
        raise InvalidArgument("FIELD_INVALID", problem, field="advertise")
    if not is_currency(currency):
        raise InvalidArgument("FIELD_INVALID", f"currency: {currency[:20]!r} is not an ISO 4217 code", field="currency")
    return NodeFacts(name, f"[{bare}]" if ":" in bare else bare, gateway_port, currency)


def write_facts(folder: Path, facts: NodeFacts) -> None:
    """Keep them in the node's folder. Raises OSError."""
    lines = [
        f"name = {json.dumps(facts.name)}",
        f"advertise = {json.dumps(facts.host)}",
        f"port = {facts.gateway_port}",
        f"currency = {json.dumps(facts.currency)}",
    ]
    write_private(folder / FILE, ("\n".join(lines) + "\n").encode())


def read_facts(folder: Path) -> NodeFacts:
    """What `write_facts` kept. Raises OSError, and ValueError where the file says something else."""
    told = tomllib.loads((folder / FILE).read_text())
    try:
        currency = str(told.get("currency", CURRENCY))
        return checked_facts(str(told["name"]), str(told["advertise"]), int(told["port"]), currency)
    except (KeyError, TypeError, InvalidArgument) as fault:
        raise ValueError(f"{folder / FILE} is not as it was written: {fault}") from fault
