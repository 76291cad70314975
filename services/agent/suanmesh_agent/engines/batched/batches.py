"""What is handed to the site's scheduler at a time: tasks with equal needs, with their files in a folder.

    <folder>/<placement>/<batch>/tasks     the shims' folders, in the order of the batch's elements
    <folder>/<placement>/<batch>/<n>.out   what went wrong before a shim ran

Beside each task lies `queued.json`, which says in which batch it was handed over last, and how often before: it is
written before the scheduler is asked, so that whoever comes back knows what to look for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.engines.batched import in_job
from suanmesh_agent.engines.batched.port import Batch, Needs
from suanmesh_agent.engines.process.task_folders import QUEUED, TaskFolders, read_facts, write_facts
from suanmesh_agent.trees import remove_tree

BATCH_MAX = 1000
"""Elements of one batch: Slurm's own bound of an array where nothing else is set."""
_ROOT = Path(__file__).parents[3]
_START = f"import sys; sys.path.append(sys.argv.pop(1)); from {in_job.__name__} import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Handed:
    """Where a task was handed over last."""

    batch: str
    element: int
    times: int
    """How often it has been handed over, this time included."""
    needs: Needs


class Batches:
    """All of one site."""

    def __init__(
        self, folder: Path, tasks: TaskFolders, site: str, *, settle_s: float, apart: bool, dev_folder: Path
    ) -> None:
        self._folder = folder
        self._tasks = tasks
        self._words = (str(settle_s), "apart" if apart else "beside", str(dev_folder))
        self.batch_max = BATCH_MAX
        """Elements of one batch: less where the scheduler has said so."""
        self.prefix = f"suanmesh/{site}/"
        """What the marks of all begin with."""

    def mark(self, placement: str, batch: str) -> str:
        """Our own key of a batch."""
        return f"{self.prefix}{placement}/{batch}"

    def make(self, ordered: Mapping[TaskKey, Needs], most: int) -> Batch:
        """Write down that the first of the tasks are handed over, whether for the first time or again.

        They are as `in_order` has put them. Raises OSError.
        """
        (placement, needs), group = next(groupby(ordered.items(), key=lambda each: (each[0].placement, each[1])))
        return self._made(placement, needs, tuple(key for key, _ in islice(group, most)))

    def uncount(self, keys: Iterable[TaskKey]) -> None:
        """They wait to be handed over, and have not been this time. Raises OSError."""
        for key in keys:
            if (handed := self.handed(key)) is not None:
                write_facts(self._mark(key), asdict(replace(handed, times=handed.times - 1)))

    def handed(self, key: TaskKey) -> Handed | None:
        """Where a task was handed over last; None where it never was."""
        facts = read_facts(self._mark(key))
        return Handed(**facts | {"needs": _needs_from(facts["needs"])}) if facts else None

    def take_back(self, keys: Sequence[TaskKey]) -> None:
        """They have not been handed over. Raises OSError."""
        for key in keys:
            self._mark(key).unlink(missing_ok=True)

    def trouble(self, key: TaskKey) -> str:
        """What the last element wrote that did not come to run the task."""
        handed = self.handed(key)
        path = self._folder / key.placement / handed.batch / f"{handed.element}.out" if handed else None
        return path.read_text(errors="replace").strip()[-500:] if path and path.exists() else ""

    def forget(self, placement: str) -> None:
        """Remove its files. Raises OSError."""
        remove_tree(self._folder / placement)

    def _made(self, placement: str, needs: Needs, keys: tuple[TaskKey, ...]) -> Batch:
        before = [handed.times if (handed := self.handed(key)) else 0 for key in keys]
        name = f"{keys[0].name}-{max(before) + 1}"
        home = self._folder / placement / name
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        folders = [str(self._tasks.home(key).absolute() / "shim") for key in keys]
        (home / "tasks").write_text("\n".join(folders) + "\n")
        words = (sys.executable, "-I", "-S", "-c", _START, str(_ROOT), str(home / "tasks"), *self._words)
        for element, (key, times) in enumerate(zip(keys, before, strict=True)):
            handed = Handed(name, element, times + 1, needs)
            write_facts(self._mark(key), asdict(handed))
        return Batch(placement, name, self.mark(placement, name), keys, needs, home, words)

    def _mark(self, key: TaskKey) -> Path:
        return self._tasks.home(key) / "shim" / QUEUED


def in_order(wanted: Iterable[tuple[TaskKey, Needs]]) -> dict[TaskKey, Needs]:
    """Tasks of a placement with equal needs behind each other."""
    return dict(sorted(wanted, key=lambda each: (each[0].placement, str(each[1]), each[0])))


def _needs_from(facts: dict[str, Any]) -> Needs:
    return Needs(**facts | {"cards": tuple((kind, model, count) for kind, model, count in facts.get("cards", ()))})
