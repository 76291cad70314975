"""What is written down of tasks that were handed to the cluster: `queued.json` beside each, before it is asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.engines.kubernetes.jobs import Needs
from suanmesh_agent.engines.process.task_folders import QUEUED, TaskFolders, read_facts, write_facts


@dataclass(frozen=True, slots=True)
class Handed:
    """What a task needs, and how often it has been handed over, this time included."""

    needs: Needs
    times: int = 1

    def again(self) -> Handed:
        """Once more."""
        return replace(self, times=self.times + 1)


class HandedTasks:
    """All of one site; what is read once is kept until it is of no use."""

    def __init__(self, tasks: TaskFolders) -> None:
        self._tasks = tasks
        self._known: dict[TaskKey, Handed] = {}

    def of(self, key: TaskKey) -> Handed | None:
        """How it was handed over last; None where it never was."""
        if key not in self._known and (facts := read_facts(self._tasks.home(key) / "shim" / QUEUED)):
            self._known[key] = Handed(_needs(facts["needs"]), facts["times"])
        return self._known.get(key)

    def times(self, key: TaskKey) -> int:
        """How often it was handed over; 0 where it never was. Keeps nothing in mind."""
        known = self._known.get(key)
        facts = None if known else read_facts(self._tasks.home(key) / "shim" / QUEUED)
        return known.times if known else int(facts["times"]) if facts else 0

    def keep(self, key: TaskKey, handed: Handed) -> None:
        """Raises OSError."""
        write_facts(self._tasks.home(key) / "shim" / QUEUED, asdict(handed))
        self._known[key] = handed

    def take_back(self, key: TaskKey) -> None:
        """It was not handed over. Raises OSError."""
        (self._tasks.home(key) / "shim" / QUEUED).unlink(missing_ok=True)
        self.let_go(key)

    def let_go(self, key: TaskKey) -> None:
        """Do not keep in mind what can be read again."""
        self._known.pop(key, None)


def _needs(facts: dict[str, Any]) -> Needs:
    """Lists back to what they were."""
    pairs = {name: tuple(tuple(each) for each in facts[name]) for name in ("mounts", "devices")}
    return Needs(**facts | pairs | {"models": tuple(facts["models"])})
