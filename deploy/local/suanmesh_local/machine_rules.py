"""Which machines a node is on, which may come, and which may go without the node standing still."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from suanmesh_local.facts import ALONE, SQL, NodeFacts

MACHINES_MAX = 64
_FIRST = "etcd-"


class CannotChange(Exception):
    """A machine cannot come or go; says on one line why, and what to do."""


@dataclass(frozen=True, slots=True)
class NodeMachine:
    """One machine of a node."""

    host: str
    """Where it is reached, as it stands before a port."""
    services: bool
    """Whether it runs every service and a gateway."""
    etcd: str
    """Name of its member of etcd; empty where it has none."""


@dataclass(frozen=True, slots=True)
class Voter:
    """A member of etcd that has a vote."""

    host: str
    answers: bool


def machines_of(facts: NodeFacts) -> tuple[NodeMachine, ...]:
    """The machines that a node's facts tell of, in the order in which they came."""
    members = facts.members
    hosts = dict.fromkeys((*facts.machines, *members.values()))
    names = {host: name for name, host in members.items()}
    return tuple(NodeMachine(host, host in facts.machines, names.get(host, "")) for host in hosts)


def facts_with(facts: NodeFacts, machines: Sequence[NodeMachine]) -> NodeFacts:
    """A machine's facts, of a node that is on these machines."""
    etcd = [each for each in machines if each.etcd]
    return replace(
        facts,
        machines=tuple(each.host for each in machines if each.services),
        etcd=tuple(each.host for each in etcd),
        etcd_names=tuple(each.etcd for each in etcd),
    )


def facts_to_grow(facts: NodeFacts, *, services: bool, sql: str) -> NodeFacts:
    """The facts with which a node can take in another machine, with `services` or without; the same where it can.

    `sql` is where its stores are to lie that are files of this machine. Raises CannotChange.
    """
    if facts.listens_on_loopback:
        problem = f"{facts.name} is told to be reached at {facts.host}, which is this machine alone"
        raise CannotChange(f"{problem}: bring a backup back with --advertise and an address that others reach")
    if sql and facts.sql and sql != facts.sql:
        raise CannotChange("its stores lie in another database already, which --sql cannot change")
    if sql and not sql.startswith(SQL):
        raise CannotChange(f"--sql says where a database is, as {SQL}user@host/database")
    if services and not (facts.sql or sql):
        problem = "services on several machines share a database, and those of this one keep theirs in files"
        move = f"say with --sql {SQL}user@host/database into which empty one they are to be moved"
        raise CannotChange(f"{problem}: {move}, or add a machine that runs etcd alone (--no-services)")
    wanted = replace(facts, sql=facts.sql or sql)
    if facts.is_spread:
        return wanted
    return replace(wanted, machines=(facts.host,), etcd=(facts.host,), etcd_names=(ALONE,))


def with_machine(machines: Sequence[NodeMachine], host: str, *, services: bool, etcd: bool) -> tuple[NodeMachine, ...]:
    """The machines with one more; the same where it is there already. Raises CannotChange."""
    for each in machines:
        if each.host == host:
            if (each.services, bool(each.etcd)) != (services, etcd):
                raise CannotChange(f"{host} is a machine of the node already, and runs other things: remove it first")
            return tuple(machines)
    if len(machines) >= MACHINES_MAX:
        raise CannotChange(f"a node is on {MACHINES_MAX} machines at most")
    return (*machines, NodeMachine(host, services, _next_name(machines) if etcd else ""))


def require_all_answer(voters: Collection[Voter]) -> None:
    """Raise CannotChange where a member of etcd is silent: until it is back or removed etcd takes no other in."""
    if silent := sorted(each.host for each in voters if not each.answers):
        raise CannotChange(f"etcd takes no member in while one is silent: start {silent[0]} again, or remove it first")


def without_machine(machines: Sequence[NodeMachine], host: str, voters: Collection[Voter]) -> tuple[NodeMachine, ...]:
    """The machines without one. Raises CannotChange where nobody would serve, or etcd could decide nothing."""
    left = tuple(each for each in machines if each.host != host)
    if not any(each.services for each in left):
        raise CannotChange(f"{host} is the last machine that runs the services: add another one first")
    require_quorum(host, voters)
    return left


def require_quorum(host: str, voters: Collection[Voter]) -> None:
    """Raise CannotChange unless more than half of etcd's members answer once that of `host` is out."""
    left = [each for each in voters if each.host != host]
    answering = sum(each.answers for each in left)
    if not left:
        raise CannotChange(f"{host} has the last member of etcd: add another one first")
    if answering < len(left) // 2 + 1:
        silent = ", ".join(sorted(each.host for each in left if not each.answers))
        problem = f"without {host} only {answering} of {len(left)} members of etcd would answer, too few to decide"
        raise CannotChange(f"{problem}: start {silent} again, or remove that one first")


def _next_name(machines: Sequence[NodeMachine]) -> str:
    """One that no member has; numbers only grow."""
    numbers = [int(text) for each in machines if (text := each.etcd.removeprefix(_FIRST)).isdecimal()]
    return f"{_FIRST}{max(numbers, default=0) + 1}"
