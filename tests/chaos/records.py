"""What clients note down: what they asked for, what was acknowledged, what they saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Asked:
    """A job somebody asked for; `marker` is its display name, which no other job has."""

    marker: str
    kind: str
    client: str
    tasks: int
    output_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The final answer to a job's submission: its name, or the reason of a refusal."""

    marker: str
    at: float
    name: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancellation that was acknowledged."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A job's state as some client read it, by the clock of this process."""

    name: str
    state: str
    at: float


@dataclass(frozen=True, slots=True)
class Published:
    """A dataset whose publishing was acknowledged, with what it must hold."""

    name: str
    digest: str
    sha256: str
    at: float


@dataclass(frozen=True, slots=True)
class Moving:
    """A transfer that was acknowledged."""

    name: str
    dataset: str
    target: str
    at: float


@dataclass(frozen=True, slots=True)
class CallError:
    """An answer that no client may ever get."""

    client: str
    what: str
    code: str
    reason: str
    message: str
    at: float


@dataclass
class Journal:
    """Everything all clients noted, in order."""

    asked: list[Asked] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    cancelled: list[Cancelled] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    moving: list[Moving] = field(default_factory=list)
    errors: list[CallError] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    """Calls made again, by the reason of the refusal before."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Final refusals by what was asked and the reason."""
    unanswered: Counter[str] = field(default_factory=Counter)
    """Calls that had no final answer when time was up."""

    def facts(self) -> dict[str, object]:
        """As plain JSON."""
        return {
            own.name: [asdict(each) for each in value] if isinstance(value, list) else dict(value)
            for own in fields(self)
            for value in [getattr(self, own.name)]
        }
