"""What is collected after the faults, as plain values that the books are judged by."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaos.records import Journal


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands at the end; times are seconds since 1970."""

    name: str
    marker: str
    state: str
    reason: str
    history: tuple[str, ...]
    placement: str
    end_at: float
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A placement as it was written, at one revision of etcd; `state` is empty where it moved to the archive."""

    revision: int
    placement: str
    job: str
    site: str
    state: str


@dataclass(frozen=True, slots=True)
class Run:
    """A task's run at a site, by what the task itself told: seconds since boot and since 1970."""

    placement: str
    task: int
    site: str
    begin: float
    last: float
    begin_wall: float
    begins: int = 1


@dataclass(frozen=True, slots=True)
class Hold:
    """Money promised to a placement."""

    name: str
    placement: str
    state: str
    amount_micros: int
    charged_micros: int


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry."""

    entry: str
    account: str
    amount_micros: int
    currency: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account with what it says of itself."""

    name: str
    currency: str
    balance_micros: int
    held_micros: int


@dataclass(frozen=True, slots=True)
class Charge:
    """A rated line."""

    name: str
    usage: str
    meter: str
    price_version: str
    placement: str
    amount_micros: int
    account: str
    payee: str
    entry: str


@dataclass(frozen=True, slots=True)
class Usage:
    """A usage record as stored; times are microseconds since 1970."""

    reference: str
    placement: str
    transfer: str
    task: int
    start_us: int
    end_us: int
    final: bool
    ratable: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """What accounting has written down."""

    accounts: tuple[Account, ...] = ()
    postings: tuple[Posting, ...] = ()
    holds: tuple[Hold, ...] = ()
    charges: tuple[Charge, ...] = ()
    usage: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the node at one moment."""

    name: str
    pid: int
    rss_mib: int
    fds: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that must be there, and what became of reading it; `sha256` is that of its content."""

    name: str
    digest: str
    sha256: str
    error: str = ""


@dataclass
class Facts:
    """Everything the books are judged by."""

    journal: Journal
    jobs: list[Job] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """What has not been given back when all is quiet: holds, keys of holds, reservations, links, capacity."""
    ledger: Ledger = field(default_factory=Ledger)
    expected_outputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 by the dataset a DONE job must have left."""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    transfers: dict[str, str] = field(default_factory=dict)
    """State by name."""
    transfer_reasons: list[str] = field(default_factory=list)
    """Why transfers failed."""
    before: list[Process] = field(default_factory=list)
    after: list[Process] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What is still there when the node has stopped: processes, mounts, loop devices, control groups."""
    tasks_left: list[str] = field(default_factory=list)
    """Task processes that run though all is quiet."""
    deaths: list[str] = field(default_factory=list)
    """Processes that ended by themselves."""
    log_defects: list[str] = field(default_factory=list)
    """Lines of logs that tell of a defect."""
    unquiet: list[str] = field(default_factory=list)
    """What had not come to rest when the patience was over."""
