"""Metering: from cumulative readings to the amounts of one interval."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_agent.domain.tasks import Usage

MEBIBYTE = 1024 * 1024


HELD_BACK_S_FIRST = 2.0
HELD_BACK_S_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one task holds from its start to its end, used or not."""

    memory_bytes: int
    device_milli: int


@dataclass(frozen=True, slots=True)
class Amounts:
    """Cumulative amounts in the meters' units; differences of two are what an interval is charged for."""

    cpu_us: int = 0
    memory_mib_s: int = 0
    device_milli_s: int = 0

    def since(self, earlier: Amounts) -> Amounts:
        """What has been added; never negative, because a reading may be repeated but not taken back."""
        return Amounts(
            max(0, self.cpu_us - earlier.cpu_us),
            max(0, self.memory_mib_s - earlier.memory_mib_s),
            max(0, self.device_milli_s - earlier.device_milli_s),
        )

    def plus(self, more: Amounts) -> Amounts:
        """Both together."""
        return Amounts(
            self.cpu_us + more.cpu_us,
            self.memory_mib_s + more.memory_mib_s,
            self.device_milli_s + more.device_milli_s,
        )

    def most(self, other: Amounts) -> Amounts:
        """The larger of each."""
        return Amounts(
            max(self.cpu_us, other.cpu_us),
            max(self.memory_mib_s, other.memory_mib_s),
            max(self.device_milli_s, other.device_milli_s),
        )


@dataclass(frozen=True, slots=True)
class MeterMark:
    """Up to where the usage of a task, or of a transfer, has been written down or charged."""

    amounts: Amounts
    end_ns: int
    final: bool


@dataclass(frozen=True, slots=True)
class Due:
    """What the mesh has not been told of a task: the amounts of one more interval, from `start_ns`, and its end."""

    amounts: Amounts
    start_ns: int
    final: bool


def set_back(epoch: str, sequence: int, *, last_epoch: str, last_sequence: int) -> bool:
    """Whether a meter at `sequence` of `epoch` knows less than the mesh, which has those last records of it.

    A meter that has written nothing yet has nothing to lose: its epoch is new.
    """
    return last_sequence > sequence or (sequence > 0 and last_epoch not in ("", epoch))


def squared(mark: MeterMark, charged: MeterMark | None, begun_ns: int) -> tuple[MeterMark, Due | None]:
    """Where a meter stands that remembers `mark` while the mesh has `charged`, and what is still to be told.

    Nothing that was charged is told again, and nothing that was measured is lost. `begun_ns` is where the first
    interval began that the mesh knows nothing of.
    """
    if charged is None:
        charged = MeterMark(Amounts(), begun_ns, False)
    end_ns, final = max(mark.end_ns, charged.end_ns), mark.final or charged.final
    after = MeterMark(mark.amounts.most(charged.amounts), end_ns, final)
    due = Due(after.amounts.since(charged.amounts), charged.end_ns, final and not charged.final)
    return after, None if due.amounts == Amounts() and not due.final else due


def amounts(usage: Usage, held: Allotment) -> Amounts:
    """Cumulative amounts of a task. Each is rounded down once over the whole run, so that intervals add up to it."""
    return Amounts(
        cpu_us=usage.cpu_us,
        memory_mib_s=held.memory_bytes * usage.elapsed_us // (MEBIBYTE * 1_000_000),
        device_milli_s=held.device_milli * usage.elapsed_us // 1_000_000,
    )


@dataclass(slots=True)
class HeldBack:
    """Up to where accounting had no room, and until when that is passed over, so that newer records get through."""

    sequence: int = 0
    until_s: float = 0.0
    pause_s: float = 0.0

    def passed_over(self, now_s: float) -> int:
        """Records up to this sequence are not sent now; 0 for none."""
        return self.sequence if now_s < self.until_s else 0

    def hold(self, sequence: int, now_s: float) -> None:
        """There was no room for `sequence`; the pause is longer after every time in a row."""
        self.sequence = max(self.sequence, sequence)
        if now_s < self.until_s:
            return
        in_a_row = now_s < self.until_s + 2 * self.pause_s
        self.pause_s = min(HELD_BACK_S_MAX, 2 * self.pause_s) if in_a_row else HELD_BACK_S_FIRST
        self.until_s = now_s + self.pause_s
