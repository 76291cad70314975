"""How the folders of tasks are called within the datasets that their outputs become."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.texts import first_unshowable
from suanmesh_sdk.parameters import value_of

PLAIN = "task-{task}"
"""Where nothing is said."""
FOLDER_BYTES_MAX = 128
_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
_OWN = ("attempt", "job", "task")


class ResultFolders:
    """The names that a template gives to the tasks of a job."""

    def __init__(self, template: str, parameters: Sequence[job_pb2.Parameter], *, job: str, attempt: int) -> None:
        """`job` is the job's id; parameters are named in letters of either case."""
        texts = _PLACE.split(template or PLAIN)
        self._literals, self._places = texts[::2], texts[1::2]
        self._parameters: Mapping[str, job_pb2.Parameter] = {each.name: each for each in parameters}
        self._fixed = {"job": job, "attempt": str(attempt)}

    def of(self, task: int) -> str:
        """That of one task. Raises KeyError where the template has a placeholder that stands for nothing."""
        named = [self._value(place, task) for place in self._places]
        return self._literals[0] + "".join(map(str.__add__, named, self._literals[1:]))

    def problem(self, count: int) -> str:
        """Why the template is none for `count` tasks; empty where it is one."""
        known = ", ".join(f"{{{each}}}" for each in (*_OWN, *(name.lower() for name in self._parameters)))
        if any(brace in literal for literal in self._literals for brace in "{}"):
            return f"has a brace that belongs to no placeholder; there are {known}"
        for place in self._places:
            if place not in _OWN and place.upper() not in self._parameters:
                return f"has {{{place}}}, which stands for nothing; there are {known}"
        tasks: dict[str, int] = {}
        for task in range(count):
            folder = self.of(task)
            if wrong := _illegal(folder):
                return f"gives task {task} {folder[:FOLDER_BYTES_MAX]!r}, which {wrong}"
            if tasks.setdefault(folder, task) != task:
                return f"gives tasks {tasks[folder]} and {task} the same {folder!r}; {{task}} tells them apart"
        return ""

    def _value(self, place: str, task: int) -> str:
        if place == "task":
            return str(task)
        return self._fixed[place] if place in self._fixed else value_of(self._parameters[place.upper()], task)


def _illegal(folder: str) -> str:
    if folder in ("", ".", ".."):
        return "is no name"
    if "/" in folder:
        return "has a slash"
    if first_unshowable(folder) is not None:
        return "has a control or invisible character"
    if len(folder.encode()) > FOLDER_BYTES_MAX:
        return f"is longer than {FOLDER_BYTES_MAX} bytes"
    return ""
