"""Objects with versions, and what has become of them: as much of etcd and the API machinery as watches need."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str, str]
"""Resource, namespace, name."""
WINDOW = 5000
"""Changes that a watch can begin at; what was before is answered with 410."""


class Problem(Exception):
    """A Status that the API answers with."""

    def __init__(self, code: int, reason: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.code, self.reason, self.retry_after_s = code, reason, retry_after_s

    @property
    def status(self) -> Json:
        told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return told | {"message": str(self), "reason": self.reason, "code": self.code}


def now() -> str:
    """As Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age_s(moment: str) -> float:
    """Seconds since then."""
    return (datetime.now(UTC) - datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S%z")).total_seconds()


class Store:
    """Kept in a file that is only ever added to, so that a server that is killed comes back as it was."""

    def __init__(self, path: Path) -> None:
        self.objects: dict[Key, Json] = {}
        self.version = 0
        self.oldest = 0
        self.history: deque[tuple[int, str, Key, Json]] = deque()
        self._waiting: set[asyncio.Event] = set()
        if path.exists():
            written = path.read_bytes()
            whole = written[: written.rfind(b"\n") + 1]  # the last may be of a server that was killed while it wrote
            os.truncate(path, len(whole))
            for line in whole.splitlines():
                kind, key, told = json.loads(line)
                self._take(kind, (key[0], key[1], key[2]), told)
        self._file = path.open("a")

    def every(self, resource: str, namespace: str = "") -> Iterator[Json]:
        """In order of their names."""
        for key in sorted(self.objects):
            if key[0] == resource and (not namespace or key[1] == namespace):
                yield self.objects[key]

    def get(self, key: Key) -> Json:
        """A copy."""
        if key not in self.objects:
            raise Problem(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return copy.deepcopy(self.objects[key])

    def create(self, key: Key, told: Json) -> Json:
        if key in self.objects:
            raise Problem(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        told = copy.deepcopy(told)
        told["metadata"] |= {"name": key[2], "uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        if key[1]:
            told["metadata"]["namespace"] = key[1]
        return self._write("ADDED", key, told)

    def replace(self, key: Key, told: Json) -> Json:
        """Refused where it is not of the version that there is."""
        there = self.get(key)["metadata"]["resourceVersion"]
        if told["metadata"].get("resourceVersion", there) != there:
            raise Problem(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        return self._write("MODIFIED", key, copy.deepcopy(told))

    def change(self, key: Key, act: Callable[[Json], object]) -> Json:
        """Let `act` change it; what changes nothing is no change. What is not wanted and held by nobody goes."""
        if key not in self.objects:
            return {}
        told = self.get(key)
        act(told)
        if told == self.objects[key]:
            return told
        written = self._write("MODIFIED", key, told)
        metadata = told["metadata"]
        held = metadata.get("finalizers") or (key[0] == "pods" and metadata.get("deletionGracePeriodSeconds") != 0)
        if "deletionTimestamp" in metadata and not held:
            self.remove(key)
        return written

    def remove(self, key: Key) -> None:
        if key in self.objects:
            self._write("DELETED", key, self.get(key))

    def compact(self) -> None:
        """Forget what was: whoever watches from before has to list anew."""
        self.history.clear()
        self.oldest = self.version

    def since(self, version: int) -> list[tuple[int, str, Key, Json]]:
        """What has changed after that."""
        if version < self.oldest:
            raise Problem(410, "Expired", f"too old resource version: {version} ({self.oldest})")
        return [each for each in self.history if each[0] > version]

    async def changed(self, bound_s: float) -> None:
        """Wait for a change, but no longer than that."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(bound_s):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(event)

    def _write(self, kind: str, key: Key, told: Json) -> Json:
        told["metadata"]["resourceVersion"] = str(self.version + 1)
        self._file.write(json.dumps([kind, key, told]) + "\n")
        self._file.flush()
        self._take(kind, key, told)
        for event in self._waiting:
            event.set()
        return copy.deepcopy(told)

    def _take(self, kind: str, key: Key, told: Json) -> None:
        self.version = int(told["metadata"]["resourceVersion"])
        if kind == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = told
        self.history.append((self.version, kind, key, told))
        while len(self.history) > WINDOW:
            self.oldest = self.history.popleft()[0]
