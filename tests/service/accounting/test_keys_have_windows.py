"""Usage is believed by the key it was signed with, in its time: a rotation loses nothing and pays nothing twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.usage_pb2 import UsageBatch, UsageRecord
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_chassis import Signer
from suanmesh_chassis.signing import new_signing_key, window_to
from suanmesh_kernel.key_windows import LATE_S, OVERLAP_S, KeyWindow
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Refusal
from suanmesh_store.layout import SITES

DAYS = timedelta(days=90)


class Keys:
    """The keys of `sites/a`, as the registry writes them."""

    def __init__(self, books: Any) -> None:
        self._books = books
        self.old = books.signers["a"]
        self.new = Signer(new_signing_key(), self.old.key_id.partition("#")[0])
        begun = books.clock.now()
        self.windows = [KeyWindow(self.old.key_id, self.old.public_key, begun, begun + DAYS)]

    async def rotate(self) -> None:
        now = self._books.clock.now()
        fresh = KeyWindow(self.new.key_id, self.new.public_key, now, now + DAYS)
        await self.write([self.windows[0].replaced(now), fresh])

    async def write(self, windows: list[KeyWindow]) -> None:
        def changed(site: Site) -> None:
            del site.signing_keys[:]
            site.signing_keys.extend(map(window_to, windows))

        self.windows = windows
        await self._books._change("registry", SITES, "sites/a", changed)

    def batch(self, signer: Signer, record: UsageRecord) -> pb.RecordUsageRequest:
        """A record that `signer` signs now."""
        self._books.signers["a"] = signer
        made: pb.RecordUsageRequest = self._books.batch("a", record)
        return made

    async def told(self, request: pb.RecordUsageRequest) -> str:
        """What became of the one record of a call."""
        try:
            answer = await self._books.agent("a").accounting.RecordUsage(request)
        except Refusal as refusal:
            return refusal.reason
        return pb.RecordUsageResponse.Outcome.Name(answer.outcomes[0]).removeprefix("OUTCOME_")


@pytest.fixture
async def keys(books: Any) -> Keys:
    made = Keys(books)
    await made.write(made.windows)
    await books.place("p", 900)
    return made


async def test_a_rotation_loses_no_usage(books: Any, keys: Keys) -> None:
    """What was signed before, during and after it is paid, the moment it comes, and what comes twice once."""
    first = books.record("a", "p", 10)
    before = keys.batch(keys.old, first)
    await keys.rotate()
    assert await keys.told(keys.batch(keys.new, books.record("a", "p", 10))) == "STORED"
    assert await keys.told(before) == "STORED"
    assert await keys.told(keys.batch(keys.new, first)) == "DUPLICATE"
    assert await keys.told(keys.batch(keys.old, books.record("a", "p", 10))) == "STORED"
    assert (await books.bill()).total_micros == 30


async def test_what_was_signed_in_the_window_may_come_for_a_week(books: Any, keys: Keys) -> None:
    """A site that was cut off is paid for what it did; whoever finds its old key later is not."""
    record, other = books.record("a", "p", 10), books.record("a", "p", 10)
    during, late = keys.batch(keys.old, record), keys.batch(keys.old, other)
    await keys.rotate()
    books.clock.advance(OVERLAP_S + LATE_S - 1)
    assert await keys.told(during) == "STORED"
    lapsed = keys.batch(keys.old, other)
    with pytest.raises(FailedPrecondition) as caught:
        await books.agent("a").accounting.RecordUsage(lapsed)
    assert (caught.value.reason, caught.value.facts["key_id"]) == ("USAGE_KEY_LAPSED", keys.old.key_id)
    books.clock.advance(1)
    assert await keys.told(late) == "USAGE_KEY_LAPSED"
    assert await keys.told(keys.batch(keys.new, other)) == "STORED"


@pytest.mark.parametrize("seconds", [None, 1 << 60])
async def test_a_batch_must_say_when_it_was_signed(books: Any, keys: Keys, seconds: int | None) -> None:
    """Without a time it could be of any, and nonsense must be told as such."""
    request = keys.batch(keys.old, books.record("a", "p", 10))
    batch = UsageBatch.FromString(request.batch.payload)
    batch.ClearField("sign_time")
    if seconds is not None:
        batch.sign_time.seconds = seconds
    request.batch.CopyFrom(keys.old.sign(request.batch.payload_type, batch.SerializeToString()))
    with pytest.raises(InvalidArgument) as caught:
        await books.agent("a").accounting.RecordUsage(request)
    assert caught.value.facts["field"] == "batch.payload.sign_time"
