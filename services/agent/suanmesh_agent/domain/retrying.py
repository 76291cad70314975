"""Which tasks are run again, when, and what all runs of one come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from suanmesh_agent.domain.endings import FENCED
from suanmesh_agent.domain.starts import UNSTARTABLE
from suanmesh_agent.domain.tasks import TaskLook, TaskState, Usage

BACKOFF_S_MAX = 3600
_NOT_AGAIN = frozenset({"CANCELLED", FENCED, "SITE_STOPPED", "TASK_NOT_STARTED", *UNSTARTABLE.values()})


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often a task that fails is run again, after how long, and after which exit statuses: none named is any."""

    times: int = 0
    backoff_s: int = 0
    exit_statuses: frozenset[int] = frozenset()

    def pause_s(self, look: TaskLook, retry: int) -> float | None:
        """How long to wait before a task that stands so after `retry` retries is run again; None where it is not."""
        if retry >= self.times or look.state is not TaskState.ENDED or look.succeeded or look.failure in _NOT_AGAIN:
            return None
        if self.exit_statuses and (look.failure or look.exit_status not in self.exit_statuses):
            return None
        return float(min(BACKOFF_S_MAX, self.backoff_s * 2**retry))


NO_RETRY = Retrying()


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of one task, the first first; at least one, which may be absent."""

    looks: tuple[TaskLook, ...]

    @classmethod
    def of(cls, looks: Sequence[TaskLook]) -> Runs:
        """Of the looks at all that there may be."""
        begun = tuple(look for look in looks if look.state is not TaskState.ABSENT)
        return cls(begun or (TaskLook(TaskState.ABSENT),))

    @property
    def newest(self) -> TaskLook:
        """The last that has begun."""
        return self.looks[-1]

    @property
    def retries(self) -> int:
        """How often it has been run again."""
        return len(self.looks) - 1

    def metered(self, *, again: bool) -> TaskLook:
        """What is metered: what all have used, since the first began; not over where it will be run `again`."""
        used = Usage(sum(each.usage.cpu_us for each in self.looks), sum(each.usage.elapsed_us for each in self.looks))
        state = TaskState.RUNNING if again else self.newest.state
        return replace(self.newest, state=state, usage=used, start_time=self.looks[0].start_time)


def with_setup(first: TaskLook, setup: TaskLook, *, over: bool) -> TaskLook:
    """What is metered of the first task, with what the setup before it has used, whether the task came to start or not;
    nothing more comes of it where all is `over`.
    """
    if setup.start_time is None:
        return first
    used = Usage(first.usage.cpu_us + setup.usage.cpu_us, first.usage.elapsed_us + setup.usage.elapsed_us)
    if first.state is TaskState.ABSENT:
        first = replace(setup, state=TaskState.ENDED if over else TaskState.RUNNING)
    return replace(first, usage=used, start_time=setup.start_time)
