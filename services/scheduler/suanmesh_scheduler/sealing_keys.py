"""The keys that secrets of jobs are sealed for: a file of the scheduler's user, which its instances share.

A new key takes over each month, and those before it open what was sealed for them, for a year. They lie apart from the
records: who has only those, or a copy of them, cannot open what they hold.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from suanmesh.scheduler.v1 import secret_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_sdk import sealing

FILE = "sealing-keys.json"
RENEWED_AFTER = timedelta(days=30)
KEPT_MAX = 13
"""Keys that still open: a year of them."""


class SealingKeys:
    """The keys in a file, which is made with the first one."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._keys: dict[str, tuple[X25519PrivateKey, float]] = {}

    def current(self) -> secret_pb2.SealingKey:
        """The public half of the newest, no older than a month. Raises OSError."""
        if not self._is_fresh():
            with self._locked():
                self._read()
                if not self._is_fresh():
                    self._add(sealing.new_key())
        key_id = self._newest()
        return secret_pb2.SealingKey(key_id=key_id, public_key=sealing.public_half(self._keys[key_id][0]))

    def key(self, key_id: str) -> X25519PrivateKey | None:
        """The key of that id; None where there is none, or none any more. Raises OSError."""
        if key_id not in self._keys:
            self._read()
        return self._keys[key_id][0] if key_id in self._keys else None

    def _newest(self) -> str:
        return max(self._keys, key=lambda key_id: self._keys[key_id][1])

    def _is_fresh(self) -> bool:
        age_s = self._now() - self._keys[self._newest()][1] if self._keys else float("inf")
        return age_s < RENEWED_AFTER.total_seconds()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _add(self, key: X25519PrivateKey) -> None:
        self._keys[_id_of(key)] = (key, self._now())
        newest = sorted(self._keys.values(), key=lambda pair: pair[1])[-KEPT_MAX:]
        self._keys = {_id_of(each): (each, since) for each, since in newest}
        entries = [{"key": base64.b64encode(k.private_bytes_raw()).decode(), "since": since} for k, since in newest]
        part = self._path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(entries, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)

    def _read(self) -> None:
        if not self._path.exists():
            return
        keys: dict[str, tuple[X25519PrivateKey, float]] = {}
        for entry in json.loads(self._path.read_text()):
            key = X25519PrivateKey.from_private_bytes(base64.b64decode(entry["key"]))
            keys[_id_of(key)] = (key, entry["since"])
        self._keys = keys

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One instance at a time makes a key."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _id_of(key: X25519PrivateKey) -> str:
    return hashlib.sha256(sealing.public_half(key)).hexdigest()[:16]
