"""The keys that services sign with: published in etcd with windows of their own, and remembered by all who check.

A key outlives the lease of the process that signs with it. So a process that is cut off from etcd still believes those
it believed before, and what it cannot check it does not deny.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.signing import Signer, key_id, window_from
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_store import LeasedKey, Store
from suanmesh_store.layout import KEYS, keys_of, signing_key

log = structlog.get_logger()

WINDOW_S = 24 * 3600.0
"""How long a key is good after its owner was last seen to live, seconds: the longest cut from etcd that is borne."""
BACKDATED_S = 300.0
"""How much earlier than now a window begins, seconds: clocks differ a little between machines."""
AFTERLIFE_S = 120.0
"""How long the key of a process that has ended is good, seconds: twice what it signed last."""
KEYS_MAX = 64
"""Keys of one area; beyond it those whose windows end first are let go."""
ABSENT_S = 5.0
"""How long a key that etcd does not have is not asked for again, seconds: names of keys are cheap to make up."""
ASK_S = 1.0
"""How long etcd is asked for a key, and left alone when it has not answered, seconds."""
ABSENT_MAX = 1024
READ_MAX = 1024
"""Most keys that are remembered; a service that was taken over may write any number."""
LOOK_S = 60.0
"""How often windows that end are looked for, seconds; what else becomes of keys is told."""
_RETRY_S = 0.5


class Keys(Protocol):
    """Where the keys of signers are found."""

    def find(self, wanted: str) -> bytes | None:
        """The raw public key under the key id `wanted`; None where there surely is none.

        Raises Unavailable (`KEY_UNCHECKED`) where that cannot be told.
        """

    async def learn(self, wanted: str) -> None:
        """Ask for a key that is not known yet, for a bounded time; `find` says what came of it."""


def surplus(windows: Mapping[str, KeyWindow], now: datetime) -> list[str]:
    """Which of the keys of one area are to be removed: those past their time, then those that end first."""
    past = [name for name, window in windows.items() if window.valid_until <= now]
    left = sorted(windows.keys() - set(past), key=lambda name: (windows[name].valid_until, name), reverse=True)
    return past + left[KEYS_MAX:]


class KeyRing:
    """Every key of the node's services, watched; kept for its window while etcd cannot be reached."""

    def __init__(self, store: Store, node: str, clock: Clock) -> None:
        self._store = store
        self._node = node
        self._clock = clock
        self._by_key: dict[str, KeyWindow] = {}
        self._by_id: dict[str, KeyWindow] = {}
        self._absent: dict[str, float] = {}
        self._asking = asyncio.Lock()
        self._silent_until = -1.0
        self._turn = asyncio.Event()
        self.following = False
        """Whether all keys have been read, and changes are told since."""

    async def run(self) -> None:
        """Follow etcd for as long as the process lives."""
        while True:
            try:
                await self._follow()
            except Unavailable as refusal:
                log.warning("keys interrupted", reason=refusal.reason, message=refusal.message)
            finally:
                self.following = False
            await asyncio.sleep(_RETRY_S)

    def find(self, wanted: str) -> bytes | None:
        """The raw public key under the key id `wanted`; None where etcd was asked just now and has none."""
        window = self._by_id.get(wanted)
        if window is not None and window.good(self._clock.now()):
            return window.public_key
        asked = self._absent.get(wanted)
        if asked is not None and self._clock.monotonic() < asked + ABSENT_S:
            return None
        message = "the key it is signed with is not known here yet, and etcd cannot be asked"
        raise Unavailable("KEY_UNCHECKED", message, domain=MESH_DOMAIN, key_id=wanted[:200])

    async def learn(self, wanted: str) -> None:
        """Ask etcd for one key. Who comes meanwhile waits for the same answer."""
        async with self._asking:
            if self._known(wanted) or self._clock.monotonic() < self._silent_until:
                return
            try:
                async with asyncio.timeout(ASK_S):
                    found = await self._store.get_token(self._place(wanted))
            except (TimeoutError, Refusal) as error:
                self._silent_until = self._clock.monotonic() + ASK_S
                log.warning("keys interrupted", message=str(error) or "etcd does not answer")
                return
            if found is not None:
                self._take(found.key, found)
            if not self._known(wanted):
                if len(self._absent) >= ABSENT_MAX:
                    self._absent.clear()
                self._absent[wanted] = self._clock.monotonic()

    def of(self, area: str) -> dict[str, KeyWindow]:
        """The keys of an area known now, by their place in etcd."""
        return {key: window for key, window in self._by_key.items() if key.startswith(keys_of(area))}

    def turn(self) -> asyncio.Event:
        """Set at the next change of what is known."""
        return self._turn

    def _tell(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()

    def _known(self, wanted: str) -> bool:
        window = self._by_id.get(wanted)
        if window is not None and window.good(self._clock.now()):
            return True
        asked = self._absent.get(wanted)
        return asked is not None and self._clock.monotonic() < asked + ABSENT_S

    def _place(self, wanted: str) -> str:
        identity, _, fingerprint = wanted.rpartition("#")
        return signing_key(identity.rpartition("/")[2], fingerprint.replace("/", "")[:64])

    async def _follow(self) -> None:
        listing = await self._store.tokens(KEYS)
        self._by_key, self._by_id = {}, {}
        for each in listing.tokens:
            self._take(each.key, each)
        self.following = True
        self._tell()
        async with aclosing(self._store.watch_tokens(KEYS, listing.revision, listing.tokens)) as batches:
            async for batch in batches:
                for key, token in batch.changes:
                    self._take(key, token)
                self._tell()

    def _take(self, key: str, token: LeasedKey | None) -> None:
        before = self._by_key.pop(key, None)
        if before is not None:
            self._by_id.pop(before.key_id, None)
        window = None if token is None else self._read(key, token.value)
        if window is not None and len(self._by_key) < READ_MAX:
            self._by_key[key] = self._by_id[window.key_id] = window
            self._absent.pop(window.key_id, None)

    def _read(self, key: str, value: bytes) -> KeyWindow | None:
        """What a record says; None where it does not say it of a service that may write at this place."""
        try:
            said = signed_pb2.SigningKey.FromString(value)
        except DecodeError:
            return None
        area, _, fingerprint = key.removeprefix(KEYS).partition("/")
        named = key_id(said.identity, said.public_key)
        if said.identity != service_id(self._node, area) or named != f"{said.identity}#{fingerprint}":
            return None
        return window_from(said)


class PublishedKey:
    """The key of this process in etcd: its window is moved on while the process lives, and cut short at its end."""

    def __init__(self, store: Store, ring: KeyRing, signer: Signer, identity: str, clock: Clock) -> None:
        self._store = store
        self._ring = ring
        self._signer = signer
        self._identity = identity
        self._clock = clock
        self._place = signing_key(store.area, signer.key_id.rpartition("#")[2])
        self._withdrawn = False
        self.done = asyncio.Event()
        """Set once the key is in etcd."""

    async def run(self) -> None:
        """Keep it there until it is withdrawn, and remove those of the area that are past their time."""
        while not self._withdrawn:
            turn, pause_s = self._ring.turn(), LOOK_S
            try:
                if self._due():
                    await self._put(WINDOW_S)
                    self.done.set()
                if self._ring.following:
                    await self._remove(surplus(self._ring.of(self._store.area), self._clock.now()))
            except Unavailable as refusal:
                log.warning("keys interrupted", reason=refusal.reason, message=refusal.message)
                pause_s = _RETRY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await turn.wait()

    async def withdraw(self) -> None:
        """Let the key be good only for what has just been signed with it, unless another instance has the same one."""
        self._withdrawn = True
        await self._put(AFTERLIFE_S)

    def _due(self) -> bool:
        if not self.done.is_set():
            return True
        if not self._ring.following:
            return False
        known = self._ring.of(self._store.area).get(self._place)
        return known is None or known.valid_until < self._clock.now() + timedelta(seconds=WINDOW_S / 2)

    async def _put(self, window_s: float) -> None:
        now = self._clock.now()
        record = signed_pb2.SigningKey(identity=self._identity, public_key=self._signer.public_key)
        record.valid_from.FromDatetime(now - timedelta(seconds=BACKDATED_S))
        record.valid_until.FromDatetime(now + timedelta(seconds=window_s))
        await self._store.put_token(self._place, record.SerializeToString(), 0, must_not_exist=False)

    async def _remove(self, places: Iterable[str]) -> None:
        await self._store.delete_tokens(places)


class FixedKeys:
    """Keys that are known from the start, and no others."""

    def __init__(self, keys: Mapping[str, bytes] | None = None) -> None:
        self._keys = keys or {}

    def find(self, wanted: str) -> bytes | None:
        """The key, if it is one of them."""
        return self._keys.get(wanted)

    async def learn(self, wanted: str) -> None:
        """Nobody is asked."""
