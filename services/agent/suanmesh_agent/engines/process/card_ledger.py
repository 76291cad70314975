"""Which task has which of the host's cards. It is read off the folders of tasks that run: an agent may come back."""

from __future__ import annotations

from suanmesh_agent.domain.cards import Card, assigned
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec, TaskState
from suanmesh_agent.engines.process.task_folders import TaskFolders, read_facts
from suanmesh_agent.ports import Cards, TaskNotStarted


class CardLedger:
    """Gives each task its cards, and no card to two tasks that run."""

    def __init__(self, cards: Cards, tasks: TaskFolders) -> None:
        self._cards = cards
        self._tasks = tasks
        self._given: dict[TaskKey, tuple[str, ...]] | None = None
        self._starting: set[TaskKey] = set()

    def give(self, spec: TaskSpec) -> tuple[Card, ...]:
        """The cards of a task that is about to start; `started` says that it has, or has not. Raises TaskNotStarted."""
        if not spec.devices:
            return ()
        sound = [look.card for look in self._cards.look() if not look.fault]
        cards = assigned(sound, self._taken(), spec.devices)
        if cards is None:
            asked = ", ".join(f"{ask.count} {ask.device_class}" for ask in spec.devices)
            raise TaskNotStarted(f"of the site's cards too few are free and sound for {asked}")
        self._starting.add(spec.key)
        self._held()[spec.key] = tuple(card.id for card in cards)
        return cards

    def started(self, key: TaskKey) -> None:
        """The task runs, or has ended, or will not start: from now on its folder says which."""
        self._starting.discard(key)

    def _taken(self) -> set[str]:
        """Ids of the cards of tasks that run or are about to."""
        held = self._held()
        for key in [key for key in held if key not in self._starting and not self._runs(key)]:
            del held[key]
        return {card for cards in held.values() for card in cards}

    def _held(self) -> dict[TaskKey, tuple[str, ...]]:
        if self._given is None:
            keys = [key for name in self._tasks.placements() for key in self._tasks.keys(name) if self._runs(key)]
            specs = {key: read_facts(self._tasks.home(key) / "shim" / "spec.json") or {} for key in keys}
            self._given = {key: tuple(spec["cards"]) for key, spec in specs.items() if spec.get("cards")}
        return self._given

    def _runs(self, key: TaskKey) -> bool:
        return self._tasks.look(key).state is TaskState.RUNNING
