"""What Slurm's programs say, taken apart, and what it means to us. Formats are given to them, so they do not drift."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from suanmesh_agent.engines.batched.port import THE_REST
from suanmesh_kernel.quantities import Device
from suanmesh_kernel.reasons import NO_REASON, StateReason

QUEUE_FORMAT = "%F|%K|%T|%r|%N|%k"
"""Array job, element, state, reason, nodes, comment."""
NODE_FORMAT = "%N|%c|%m|%T|%P|%G"
"""Node, processors, memory in MiB, state, partition, generic resources; the default partition has a `*`."""
GPU = "gpu"
"""The only generic resource that is a card; `mps` and `shard` are parts of one."""
UNTYPED = "unnamed"
"""Model of a card that Slurm was told no type of."""
_ENDED = frozenset(
    (
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "REVOKED", "TIMEOUT",
    )
)  # fmt: skip
_WAITING = frozenset(("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"))
_UNUSABLE = ("down", "drain", "fail", "maint", "unknown", "inval", "reboot", "future", "*", "!", "%")
"""Parts of the state of a node that no job is to be sent to; `*` is one that does not answer."""
_LIMITS = ("QOS", "Assoc", "Max", "JobArrayTaskLimit", "PartitionTimeLimit", "PartitionNodeLimit")
_NODES = ("ReqNodeNotAvail", "Nodes_required", "Nodes required", "NodeDown", "PartitionDown", "PartitionInactive")
_FOR_GOOD = (
    "configuration is not available", "can not be satisfied", "Invalid", "invalid", "denied", "violates accounting",
    "not permitted", "exceeds", "is not valid", "unrecognized option", "More processors requested",
)  # fmt: skip
"""Of what sbatch says that would be said again."""
_PASSING = ("Invalid authentication credential", "Invalid job credential")
"""The same of clocks that are apart, or a munge that is being restarted."""
_SLEEPS = ("sleeping and retrying",)
"""Of an sbatch that has been told to come again, as where MaxJobCount is reached: it would for two minutes."""
_CLOSED = (
    "Required partition not available", "Partition in DOWN state", "Required node not available",
    "Requested partition configuration not available now",
)  # fmt: skip
_SHUT = ("System submissions disabled", "Requested operation is presently disabled")
_SAID_MAX = 200
"""Characters of Slurm's own words that are passed on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of a job array as squeue lists it; its comment is its mark."""

    array: str
    element: int
    state: str
    reason: str
    nodes: str
    comment: str

    @property
    def mark(self) -> str:
        """As `Entry` of any queue."""
        return self.comment

    @property
    def ended(self) -> bool:
        """Whether Slurm will not run it any more."""
        return self.state in _ENDED

    @property
    def waits(self) -> bool:
        """Whether Slurm has not begun it."""
        return self.state in _WAITING

    @property
    def stopped(self) -> bool:
        """Whether somebody at the site has taken it out of the queue; one that had nodes failed to be launched."""
        return self.state == "CANCELLED" and not self.nodes

    @property
    def waits_for(self) -> StateReason:
        """Why it does not run, in our words."""
        return waits_for(self.reason) if self.waits else NO_REASON


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a partition."""

    name: str
    cpus: int
    memory_mib: int
    state: str
    devices: tuple[Device, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether jobs are sent to it."""
        return not any(part in self.state for part in _UNUSABLE)


def waits_for(reason: str) -> StateReason:
    """Slurm's reason of a pending job in our words, with its own beside them."""
    said = reason.strip("()").partition(",")[0].strip()
    if said in ("", "None"):
        return StateReason("QUEUE_SILENT")
    if said == "Priority":
        return StateReason("QUEUE_PRIORITY", {"said": said})
    if said == "Resources":
        return StateReason("QUEUE_RESOURCES", {"said": said})
    if said.startswith(_LIMITS):
        return StateReason("QUEUE_LIMIT", {"said": said})
    if said.startswith(_NODES):
        return StateReason("QUEUE_NODES", {"said": said})
    return StateReason("QUEUE_HELD", {"said": said})


def entries_of(text: str, prefix: str) -> list[Entry]:
    """The elements listed whose comment begins with `prefix`; others of the site's are nobody's business."""
    found = []
    for line in text.splitlines():
        array, index, state, reason, nodes, comment = (*line.split("|", 5), *[""] * 6)[:6]
        if comment.startswith(prefix):
            element = int(index) if index.isdecimal() else THE_REST
            found.append(Entry(array, element, state, reason, nodes, comment))
    return found


def nodes_of(text: str, partition: str = "") -> list[Node]:
    """The nodes listed of a partition, in their order; of the default one where none is named."""
    found: dict[str, Node] = {}
    for line in text.splitlines():
        name, cpus, memory, state, part, gres = (*line.split("|"), *[""] * 6)[:6]
        wanted = part.rstrip("*") == partition if partition else part.endswith("*")
        if wanted and cpus.isdecimal() and memory.rstrip("+").isdecimal():
            found[name] = Node(name, int(cpus), int(memory.rstrip("+")), state.lower(), devices_of(gres))
    return list(found.values())


def devices_of(gres: str) -> tuple[Device, ...]:
    """The cards of a node, by what Slurm calls their type; it does not know how much memory they have."""
    counts = Counter[str]()
    for each in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *model = each.strip().split(":")
        count = model.pop() if model else ""
        if kind == GPU and count.isdecimal():
            counts[":".join(model) or UNTYPED] += int(count)
    return tuple(Device(GPU, model, count) for model, count in sorted(counts.items()) if count)


def is_for_good(said: str) -> bool:
    """Whether what sbatch refused would be refused again; else it is tried again, since nothing may be lost."""
    return _has(said, _FOR_GOOD) and not _has(said, _PASSING)


def sleeps(said: str) -> bool:
    """Whether sbatch waits by itself for Slurm to take a job."""
    return _has(said, _SLEEPS)


def _has(said: str, any_of: tuple[str, ...]) -> bool:
    return any(words in said for words in any_of)


def is_too_long(said: str) -> bool:
    """Whether sbatch refused an array for its length, which the site bounds by MaxArraySize."""
    return "Invalid job array specification" in said


def full_by(said: str) -> StateReason | None:
    """Why Slurm takes no job for now: until others end, or its operator opens what is shut; None for any other no."""
    if found := re.search(r"(QOS|Assoc)\w*Submit\w*", said):
        return StateReason("QUEUE_LIMIT", {"said": found[0]})
    codes = ((_SLEEPS, "QUEUE_LIMIT"), (_CLOSED, "QUEUE_NODES"), (_SHUT, "QUEUE_HELD"))
    code = next((code for words, code in codes if _has(said, words)), "")
    return StateReason(code, {"said": said.rpartition("error: ")[2].strip()[:_SAID_MAX]}) if code else None
