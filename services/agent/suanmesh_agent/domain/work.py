"""What a site takes, and how the tasks of a placement are cut out of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath

from suanmesh_agent.domain.retrying import NO_RETRY, Retrying
from suanmesh_agent.domain.tasks import Artefact
from suanmesh_kernel.cards import DeviceAsk, picked
from suanmesh_kernel.owner_limits import NO_LIMITS, OwnerLimits, closed_until, kinds_of
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_kernel.reasons import NO_REASON, StateReason


@dataclass(frozen=True, slots=True)
class Work:
    """What a placement asks of its site."""

    placement: str
    task_capacity: Capacity
    count: int
    command: tuple[str, ...]
    artefacts: tuple[Artefact, ...]
    inputs: tuple[tuple[str, str], ...]
    """Dataset and mount of each."""
    outputs: tuple[tuple[str, str], ...]
    """Id and mount of each."""
    runtime: str
    max_duration_s: int
    at_once: int
    """How many tasks the placement has room for at a time; more of them run in waves."""
    keep_going: bool = False
    """Whether a task that fails leaves the others alone."""
    retrying: Retrying = NO_RETRY
    devices: tuple[DeviceAsk, ...] = ()
    """Cards one task asks for; `with_cards` says which kinds those are here."""
    secrets: bool = False
    """Whether it brings any."""

    @property
    def capacity(self) -> Capacity:
        """What the tasks that run at a time need together."""
        return self.task_capacity.times(min(self.count, self.at_once))


def with_cards(work: Work, *, capacity: Capacity, taken: Capacity) -> Work:
    """The same with the kinds of cards its tasks take here: of what is left where that suffices, else of all there are.

    Where even those do not, the cards are as they were asked for: whoever compares finds them short.
    """
    if not work.devices:
        return work
    asked = tuple(Device(ask.device_class, "".join(ask.any_of_models[:1]), ask.count) for ask in work.devices)
    kinds = picked(work.devices, capacity.minus(taken).devices) or picked(work.devices, capacity.devices) or asked
    return replace(work, task_capacity=replace(work.task_capacity, devices=kinds))


@dataclass(frozen=True, slots=True)
class Admission:
    """Whose tasks a site runs: everybody's behind walls, else its own party's, unless its owner has said otherwise.

    `limits` are what the owner refuses to others.
    """

    walled: bool
    own_party: str = ""
    strangers_unsandboxed: bool = False
    limits: OwnerLimits = NO_LIMITS
    as_root: bool = False
    """Whether a task is the superuser of its host: to allow strangers without a sandbox does not allow them that."""
    strangers_as_root: bool = False
    keeps_secrets: bool = True

    def objection(self, party: str, *, secrets: bool = False) -> StateReason:
        """Why it does not run tasks of `party`; nothing when it does."""
        if secrets and not self.keeps_secrets:
            return StateReason("SECRETS_UNKEPT")
        allowed = self.strangers_as_root if self.as_root else self.strangers_unsandboxed
        if self.walled or allowed or (party and party == self.own_party):
            return NO_REASON
        return StateReason("SANDBOX_MISSING", {"party": party})

    def limit(self, work: Work, party: str, now: datetime, *, capacity: Capacity, held: Capacity) -> StateReason:
        """What the owner's limits say against work of a party that holds `held` of `capacity` here already."""
        if party and party == self.own_party:
            return NO_REASON
        kinds = kinds_of(tasks=work.count, devices=bool(work.devices), inputs=bool(work.inputs))
        if no := self.limits.objection(party, kinds):
            return no
        if (opens := self.limits.opens(now)) is not None:
            return closed_until(opens)
        room = self.limits.room(work.task_capacity, capacity, held)
        if room is not None and room < min(work.count, work.at_once):
            return StateReason("PARTY_SHARE", {"party": party, "share_milli": str(self.limits.party_share_milli)})
        return NO_REASON


def objection(work: Work, *, capacity: Capacity, taken: Capacity, runtimes: Iterable[str]) -> StateReason:
    """Why a site with `capacity`, of which `taken` is taken, does not take `work`; nothing when it does."""
    if not work.command:
        return StateReason("COMMAND_MISSING")
    if work.runtime and work.runtime not in runtimes:
        return StateReason("RUNTIME_MISSING", {"runtime": work.runtime})
    for path in (*(each.path for each in work.artefacts), *(m for _, m in work.inputs), *(m for _, m in work.outputs)):
        if not is_inner_path(path):
            return StateReason("PATH_INVALID", {"path": path})
    left = capacity.minus(taken).minus(work.capacity)
    for unit, missing in (
        ("cpu_milli", left.cpu_milli),
        ("memory_bytes", left.memory_bytes),
        ("scratch_bytes", left.scratch_bytes),
    ):
        if missing < 0:
            return StateReason("CAPACITY_TAKEN", {"quantity": unit, "missing": str(-missing)})
    short = next((device for device in left.devices if device.count < 0), None)
    if short:
        return StateReason("CAPACITY_TAKEN", {"quantity": short.device_class, "missing": str(-short.count)})
    return NO_REASON


def is_inner_path(path: str) -> bool:
    """Whether `path` stays within the folder it is relative to, and is not that folder itself."""
    parts = PurePosixPath(path).parts
    return bool(parts) and path[0] != "/" and "\0" not in path and all(part not in ("..", ".") for part in parts)
