"""What a decision is made from and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.owner_limits import OwnerLimits
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.reasons import NO_REASON, StateReason

NUMBER_MAX = 1 << 61
"""Micros or milliseconds beyond any account or lifetime; what is reckoned larger is told as this, so that it and the
sum of two still fit the contract's 64 bits."""

NOTHING = Capacity()


def told(number: int) -> int:
    """A reckoned amount or time as it is told and compared."""
    return min(number, NUMBER_MAX)


BACKOFF_S_MAX = 3600
"""Longest wait before a task that failed is run again."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one task needs."""

    cpu_milli: int
    memory_bytes: int
    scratch_bytes: int = 0
    devices: tuple[DeviceAsk, ...] = ()
    min_capability: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """Where one form of the package runs; empty means anywhere."""

    architecture: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """A dataset the job reads, and the sites that have it whole."""

    dataset: str
    bytes: int
    sites: frozenset[str]
    residency: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """An output that is wanted at a site, and the most bytes it may have."""

    target: str
    bytes: int


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a decision needs to know of a job."""

    ask: Ask
    account: str
    count: int = 1
    gang: bool = False
    variants: tuple[Variant, ...] = (Variant(),)
    needs: tuple[Need, ...] = ()
    results: tuple[Result, ...] = ()
    allow_sites: frozenset[str] = frozenset()
    deny_sites: frozenset[str] = frozenset()
    refused_by: frozenset[str] = frozenset()
    """Sites that did not take it, and are not tried again yet."""
    setbacks: Mapping[str, int] = field(default_factory=dict, hash=False)
    """By site: how often it did not take or lost the job."""
    residency: frozenset[str] = frozenset()
    max_latency_us: int = 0
    min_bandwidth_bps: int = 1_000_000
    budget_micros: int = 0
    deadline: datetime | None = None
    second_value_micros: int = 0
    max_duration_s: int = 3600
    party: str = ""
    runs: int = 1
    """How often a task may be run, where it fails."""
    pauses_s: int = 0
    """How long it waits then, in all."""
    setup: bool = False
    """Whether something is made ready before the tasks, which may take as long as one."""
    priority: int = field(default=0, compare=False)
    """It changes nothing of how a pool is weighed, only when the job's turn is."""

    @property
    def longest_s(self) -> int:
        """How long a task may take, with all its runs."""
        return self.runs * self.max_duration_s + self.pauses_s


@dataclass(frozen=True, slots=True)
class Host:
    """A host with what it has in all and what is not booked."""

    name: str
    capacity: Capacity
    free: Capacity


@dataclass(frozen=True, slots=True)
class Offer:
    """Terms under which a pool can be had."""

    name: str
    price_book: str
    max_duration_s: int = 0


@dataclass(frozen=True, slots=True)
class Failing:
    """A site that failed `faults` runs in a row before they began, the last for `reason`."""

    faults: int
    retry_time: datetime
    reason: StateReason


@dataclass(frozen=True, slots=True)
class OwnersTerms:
    """What the owner of a pool refuses to others."""

    owner: str
    limits: OwnerLimits
    opens: datetime | None = None
    """When work is taken again; None while it is."""
    whole: Capacity = NOTHING
    """All of the pool."""
    held: Mapping[str, Capacity] = field(default_factory=dict)
    """By party, what its work holds of the pool, where that has a bound."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as it can be placed on now."""

    name: str
    site: str
    architecture: str
    hosts: tuple[Host, ...]
    offers: tuple[Offer, ...]
    runtimes: frozenset[str] = frozenset()
    capabilities: Mapping[str, int] = field(default_factory=dict)
    residency: frozenset[str] = frozenset()
    active: bool = True
    alive: bool = True
    trouble: StateReason = NO_REASON
    """What its agent says is wrong with the site."""
    failing: Failing | None = None
    on_trial: Failing | None = None
    """Set where its site has failed and may be sent one run to see: what it is once that one is on its way."""
    closed: StateReason = NO_REASON
    """Why nothing new comes to its site: CORDONED or DRAINING, with what was noted."""
    terms: OwnersTerms | None = None
    """What its owner refuses; None where that is nothing."""

    def with_hosts(self, hosts: tuple[Host, ...]) -> Pool:
        """The pool with other hosts; as `replace`, at a third of its time."""
        return Pool(
            self.name,
            self.site,
            self.architecture,
            hosts,
            self.offers,
            self.runtimes,
            self.capabilities,
            self.residency,
            self.active,
            self.alive,
            self.trouble,
            self.failing,
            self.on_trial,
            self.closed,
            self.terms,
        )


@dataclass(frozen=True, slots=True)
class Path:
    """A way from the data to the compute, within the job's bounds."""

    links: tuple[str, ...]
    latency_us: int
    available_bps: int
    price_micros_per_mib: int = 0


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why there is no such way: `kind` is disconnected, bandwidth or latency."""

    kind: str
    link: str = ""
    available_bps: int = 0
    least_latency_us: int = 0
    most_bps: int = NUMBER_MAX
    """What any way there could carry were nothing reserved on it, as far as is known."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One bound of the job set to `value`, and the paths to one site as they are then: some that were blocked open."""

    field: str
    value: int
    paths: Mapping[tuple[str, str], Path | Blocked]


@dataclass(frozen=True, slots=True)
class Quote:
    """What running the job under an offer costs at most, without the transfers."""

    compute_micros: int


@dataclass(frozen=True, slots=True)
class MonthBudget:
    """What an account may spend in a month, and when another one begins."""

    amount_micros: int
    renews: datetime


@dataclass(frozen=True, slots=True)
class PartyBudget:
    """What a party may spend in a month over all its accounts of a currency, and what of that new holds may take."""

    party: str
    currency: str
    amount_micros: int
    left_micros: int
    renews: datetime
    """When another month begins."""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other budgets."""
        return self.party, self.currency


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything outside the job that a decision is made from."""

    pools: tuple[Pool, ...]
    now: datetime
    free_micros: int
    """What the account's balance, and its budget of the month, leave for new holds."""
    paths: Mapping[tuple[str, str], Path | Blocked] = field(default_factory=dict)
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    """By offer; an offer without one has no price."""
    held_micros: int = 0
    """What other holds keep of the account's balance."""
    month: MonthBudget | None = None
    """The account's budget of the month, where that leaves less than the balance."""
    party_budget: PartyBudget | None = None
    """The hard budget of its party, where there is one."""
    spent_micros: int = 0
    """What earlier attempts of the job were charged, and may still be by what is held for them."""
    openings: Mapping[str, tuple[Opening, ...]] = field(default_factory=dict)
    """By site: how paths there would open."""
    homes: Mapping[tuple[str, str], Path | Blocked] = field(default_factory=dict)
    """Ways results could take, from where they are made to where they are wanted; no bound of the job is on them."""


@dataclass(frozen=True, slots=True)
class PlannedTransfer:
    """How the inputs from one source reach a candidate, or results one target: `end` is that other site."""

    end: str
    path: Path
    bytes: int
    rate_bps: int

    @property
    def transfer_ms(self) -> int:
        """How long the bytes take at the rate, in milliseconds."""
        return told(-(-self.bytes * 8000 // self.rate_bps))


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why one candidate cannot serve: a code with its facts, with numbers where numbers say it."""

    code: str
    needed: int | None = None
    available: int | None = None
    resource: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else its sentence names."""
    cause: StateReason = NO_REASON
    """What it came from."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pool weighed as a place for the job."""

    pool: str
    site: str
    offer: str = ""
    price_book: str = ""
    variant: int = 0
    slots: tuple[tuple[str, int], ...] = ()
    """How many tasks run at a time on which host."""
    routes: tuple[PlannedTransfer, ...] = ()
    """How the inputs get there."""
    homes: tuple[PlannedTransfer, ...] = ()
    """How the results get to where they are wanted."""
    compute_micros: int | None = None
    transfer_micros: int | None = None
    score_micros: int | None = None
    finish_ms: int = 0
    obstacle: Obstacle | None = None
    setbacks: int = 0
    """How often its site did not take or lost the job."""

    @property
    def cost_micros(self) -> int | None:
        """Compute and transfers together; None when it could not be reckoned."""
        if self.compute_micros is None or self.transfer_micros is None:
            return None
        return self.compute_micros + self.transfer_micros

    @property
    def latency_us(self) -> int:
        """Latency of the longest route."""
        return max((route.path.latency_us for route in self.routes), default=0)

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """By what it is compared with others that fit: setbacks, then score, then distance, then name."""
        return (self.setbacks, self.score_micros or 0, self.latency_us, self.pool)


@dataclass(frozen=True, slots=True)
class AdmittingChange:
    """The smallest single change that admits the job."""

    field: str
    before: str
    after: str
    pool: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision: all candidates, best first, then those with an obstacle."""

    candidates: tuple[Candidate, ...]
    reason: StateReason = NO_REASON
    change: AdmittingChange | None = None

    @property
    def chosen(self) -> Candidate | None:
        """The winner; None when nothing fits."""
        first = self.candidates[0] if self.candidates else None
        return first if first is not None and first.obstacle is None else None

    @property
    def runner_up(self) -> Candidate | None:
        """The second; None when at most one fits."""
        second = self.candidates[1] if len(self.candidates) > 1 else None
        return second if second is not None and second.obstacle is None else None
