"""How much of one process its callers may take: calls, streams, probes and bytes, and the refusal of one too many.

The shares that are kept for agents, operators and services are theirs whatever users do; probes, which are health
checks and reflection, are counted apart from everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NoReturn

from suanmesh_chassis.call import Caller
from suanmesh_chassis.occupancy import UNBOUNDED, Bounds, CallerClass, ExceededBound, Holder, Occupancy
from suanmesh_chassis.pace import Pace
from suanmesh_chassis.patience import Patience
from suanmesh_chassis.settings import Common
from suanmesh_chassis.turns import Turns
from suanmesh_kernel.refusals import ResourceExhausted, Unavailable

CALLER_DELAY_S = 0.25
"""When a caller who has all he may is asked to come again: about as long as a call takes."""
FULL_DELAY_S = 0.5
CORE_FACTOR = 1.25
"""gRPC's core takes messages larger than ours by so much, so that one a little too large is refused with the limit."""
REFUSALS_BURST = 64
REFUSALS_PER_S = 50.0
REFUSALS_WAITING_MAX = 2048
"""Of one caller. Refusals beyond the burst come at a pace; each that waits takes some 20 KiB and its window."""
PROBES_MAX = 64
PROBES_PER_CALLER_MAX = 8
PROBE_BYTES_MAX = 16 * 1024
PROBE_S_MAX = 1.0
"""How long the message of a probe may take to arrive, seconds."""

_CLASSES = (
    ("service", CallerClass.SERVICE),
    ("agent", CallerClass.AGENT),
    ("operator", CallerClass.OPERATOR),
    ("user", CallerClass.USER),
    ("peer", CallerClass.USER),
)
"""By role; whoever has several is counted by the first."""


class Pool(Enum):
    """What a call is counted among."""

    __hash__ = object.__hash__
    """As of `CallerClass`."""

    CALLS = "CALLS"
    """Answered once."""
    STREAMS = "STREAMS"
    """Answered many times: they may be open for days."""
    SENDING = "SENDING"
    """Streams that the caller sends on: of each a whole message may come that nobody asked for."""
    RELAYED = "RELAYED"
    """Such streams that carry calls to a site: no message of one is waited for before there is a call for it."""
    PROBES = "PROBES"
    """Health checks and reflection."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How messages are taken from callers with a certificate, or from those without."""

    message_bytes_max: int
    """Largest message that is let in."""
    message_bytes_core: int
    """Largest message that gRPC's core gathers before it breaks the call off: what is set aside before reading."""
    arrival: Patience
    """How long one message may take to arrive."""


class Limits:
    """What is taken of one process."""

    def __init__(self, common: Common) -> None:
        self.certified = reading(common.message_bytes_max, common.message_s_max)
        self.open = reading(common.open_message_bytes_max, common.open_message_s_max)
        self._pools = {
            Pool.CALLS: Occupancy(calls(common)),
            Pool.STREAMS: Occupancy(streams(common)),
            Pool.SENDING: Occupancy(streams(common, sending=True)),
            Pool.RELAYED: Occupancy(relayed(common)),
            Pool.PROBES: Occupancy(probes()),
        }
        self.probe = Reading(PROBE_BYTES_MAX, self.certified.message_bytes_core, Patience(PROBE_S_MAX))
        self._bytes = Turns(Occupancy(in_flight(common, self.certified)))
        self.pace = Pace(burst=REFUSALS_BURST, per_s=REFUSALS_PER_S, waiting_max=REFUSALS_WAITING_MAX)
        self._probe_bytes = Turns(Occupancy(probe_bytes(self.probe.message_bytes_core)))

    def admit(self, pool: Pool, holder: Holder) -> None:
        """One more call of `holder` begins. Raises ResourceExhausted or Unavailable where there are too many."""
        obstacle = self._pools[pool].take(holder)
        if obstacle is not None:
            bounds = self._pools[pool].bounds
            what = "CALLS" if pool in (Pool.CALLS, Pool.PROBES) else "STREAMS"
            _refuse(obstacle, holder, f"{what}_OF_CALLER_MAX", bounds, f"{what.lower()} under way")

    def reading(self, pool: Pool, holder: Holder) -> Reading:
        """How messages of `holder` are taken."""
        if pool is Pool.PROBES:
            return self.probe
        return self.open if holder.klass is CallerClass.ANYONE else self.certified

    def turns(self, pool: Pool) -> Turns:
        """Where the bytes of a call are counted."""
        return self._probe_bytes if pool is Pool.PROBES else self._bytes

    def leave(self, pool: Pool, holder: Holder) -> None:
        """One call of `holder` is over."""
        self._pools[pool].give_back(holder)

    def taken(self, pool: Pool) -> int:
        """How many calls of `pool` are under way."""
        return self._pools[pool].taken


def holder_of(caller: Caller, peer: str) -> Holder:
    """Whose share a call is taken from: the principal's, or without a certificate that of the address."""
    for role, klass in _CLASSES:
        if role in caller.roles:
            return Holder(klass, caller.principal, caller.party)
    return Holder(CallerClass.ANYONE, peer.rpartition(":")[0])


def reading(message_bytes_max: int, message_s_max: float) -> Reading:
    """How messages of at most `message_bytes_max` bytes are taken."""
    return Reading(message_bytes_max, round(message_bytes_max * CORE_FACTOR), Patience(message_s_max))


def calls(common: Common) -> Bounds:
    """Of calls that are answered once."""
    return _shared(common.calls_max, common.calls_per_caller_max, common.open_calls_max)


def streams(common: Common, *, sending: bool = False) -> Bounds:
    """Of streams, or of those that the caller sends on; half are kept for agents, which have a few each for good."""
    per_caller = common.sending_streams_per_caller_max if sending else common.streams_per_caller_max
    return _shared(common.streams_max, per_caller, common.open_calls_max, agents=0.5)


def relayed(common: Common) -> Bounds:
    """Of streams on which calls are carried to sites."""
    bounds, of_agent = streams(common, sending=True), common.relayed_streams_per_agent_max
    return replace(bounds, per_caller_of={**bounds.per_caller_of, CallerClass.AGENT: of_agent})


def probes() -> Bounds:
    """Of health checks and reflection."""
    reserved = {CallerClass.OPERATOR: PROBES_PER_CALLER_MAX, CallerClass.SERVICE: PROBES_PER_CALLER_MAX}
    return Bounds(PROBES_MAX, PROBES_PER_CALLER_MAX, PROBES_MAX // 2, reserved=reserved)


def in_flight(common: Common, certified: Reading) -> Bounds:
    """Of bytes; nobody is kept from the one message that everybody may send."""
    largest = certified.message_bytes_core
    per_caller = max(common.bytes_per_caller_max, largest)
    kept = dict.fromkeys((CallerClass.AGENT, CallerClass.OPERATOR, CallerClass.SERVICE), largest)
    anyone = kept[CallerClass.ANYONE] = common.open_calls_max * round(common.open_message_bytes_max * CORE_FACTOR)
    total = max(common.bytes_max, sum(kept.values()) + 4 * per_caller)
    per_party = max(2 * per_caller, (total - sum(kept.values())) // 2)
    return Bounds(total, per_caller, per_party, _of_one(anyone), kept, {CallerClass.ANYONE: anyone})


def probe_bytes(largest: int) -> Bounds:
    """Of the bytes of probes, so that whatever else is read they are: one message of each caller at a time."""
    reserved = {CallerClass.OPERATOR: largest, CallerClass.SERVICE: largest}
    return Bounds(PROBES_PER_CALLER_MAX * largest, largest, 2 * largest, reserved=reserved)


def refuse_bytes(obstacle: ExceededBound, holder: Holder, bounds: Bounds) -> NoReturn:
    """Raises what `obstacle` means for bytes in flight."""
    _refuse(obstacle, holder, "BYTES_OF_CALLER_MAX", bounds, "bytes under way")


def _shared(total: int, per_caller: int, anyone: int, *, agents: float = 0.25) -> Bounds:
    reserved = {
        CallerClass.AGENT: int(total * agents),
        CallerClass.SERVICE: total // 8,
        CallerClass.OPERATOR: total // 16,
        CallerClass.ANYONE: min(anyone, total // 16),
    }
    per_party = max(2 * per_caller, (total - sum(reserved.values())) // 2)
    return Bounds(total, per_caller, per_party, _of_one(anyone), reserved, {CallerClass.ANYONE: anyone})


def _of_one(anyone: int) -> dict[CallerClass, int]:
    """A service speaks for many, and one address is not to have all that callers without a certificate may."""
    return {CallerClass.SERVICE: UNBOUNDED, CallerClass.ANYONE: max(1, anyone // 2)}


def _refuse(obstacle: ExceededBound, holder: Holder, reason: str, bounds: Bounds, what: str) -> NoReturn:
    if obstacle in (ExceededBound.TOTAL, ExceededBound.CLASS):
        message = f"this instance has as many {what} as it takes"
        raise Unavailable("PROCESS_FULL", message, retry_delay_s=FULL_DELAY_S, of=holder.klass.value)
    of_party = obstacle is ExceededBound.PARTY
    limit, who = (bounds.per_party, holder.party) if of_party else (bounds.of_one(holder.klass), holder.caller)
    message = f"{who} has as many {what} as one may: {limit}"
    raise ResourceExhausted(reason, message, retry_delay_s=CALLER_DELAY_S, limit=limit, of=who)
