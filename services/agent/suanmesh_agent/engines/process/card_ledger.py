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
        looks, taken = self._cards.look(), self._taken()
        if before := self._held().get(spec.key):  # it was told to start by an agent that is gone, and starts with these
            return tuple(look.card for look in looks if look.card.id in before)
        cards = assigned([look.card for look in looks if not look.fault], taken, spec.devices)
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
        for key in [key for key in held if key not in self._starting and not self._tasks.is_going_on(key)]:
            del held[key]
        return {card for cards in held.values() for card in cards}

    def _held(self) -> dict[TaskKey, tuple[str, ...]]:
        if self._given is None:
            keys = [key for name in self._tasks.placements() for key in self._tasks.keys(name) if not self._over(key)]
            specs = {key: read_facts(self._tasks.home(key) / "shim" / "spec.json") or {} for key in keys}
            given = {key: tuple(spec["cards"]) for key, spec in specs.items() if spec.get("cards")}
            self._given = {key: cards for key, cards in given.items() if self._tasks.is_going_on(key)}
        return self._given

    def _over(self, key: TaskKey) -> bool:
        return self._tasks.look(key).state in (TaskState.ENDED, TaskState.LOST)
