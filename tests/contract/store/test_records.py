"""What records promise: the same in memory, on SQLite and on PostgreSQL, also with several processes over them."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from record_datasets import DATASETS, OTHERS, Open, a_dataset, answer_to, apply, names, put
from sqlalchemy import Engine, event

from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store import AlreadyAnswered, Author, Conflict, MemoryStore, group_commit
from suanmesh_store.agreement import Belonging
from suanmesh_store.records import (
    ABSENT,
    MemoryDatabase,
    MemoryRecords,
    Put,
    Records,
    Remove,
    SqlRecords,
    Write,
    Written,
    memory,
    open_records,
    statements,
    take_lead,
    written,
)
from suanmesh_store.records.ports import REQUEST_MEMORY_S
from suanmesh_store.soundness import StoreCorrupt

WAIT_S = 60.0


async def test_what_is_kept_is_found_after_a_restart(opening: Open, clock: HandClock) -> None:
    """Whoever disputes a bill next year asks for what nobody has touched since."""
    records = opening()
    first = await apply(records, put(a_dataset("d"), ABSENT), author=Author("spiffe://n/u", "r1"))
    clock.advance(1.5)
    second = await apply(records, put(a_dataset("d", size=7), first.records[0].etag))
    await records.close()
    found = await opening().get_many(DATASETS, ["datasets/d", "datasets/never"])
    assert found == {"datasets/d": second.records[0]}
    kept = found["datasets/d"]
    assert (kept.message.bytes, kept.version, kept.uid) == (7, 2, first.records[0].uid)
    assert (kept.principal, kept.request_id, kept.update_time) == ("spiffe://n/u", "", clock.now())
    assert await opening().get_many(OTHERS, ["datasets/d"]) == {}


async def test_a_write_over_what_has_changed_leaves_no_trace(records: Records) -> None:
    """Two who change one dataset at once would lose what one of them was told is kept."""
    first = (await apply(records, put(a_dataset("d"), ABSENT))).records[0]
    await apply(records, put(a_dataset("d", size=1), first.etag))
    for stale in (put(a_dataset("d", size=2), first.etag), put(a_dataset("d"), ABSENT)):
        with pytest.raises(Conflict) as refused:
            await apply(records, put(a_dataset("other")), stale, remember=answer_to("r", a_dataset("d")))
        assert refused.value.keys == ("datasets/d",)
    with pytest.raises(Conflict):
        await apply(records, Remove(DATASETS, "datasets/d", first.etag))
    assert {r.name: r.message.bytes for r in await records.page(DATASETS, limit=9)} == {"datasets/d": 1}
    assert await records.lookup(answer_to("r", Dataset()).key) is None


async def test_writes_of_one_call_see_each_other_and_stand_alone(records: Records) -> None:
    """A batch of a hundred must not fail for one of them, nor be made of what stood before the batch."""
    too_large = Dataset(name="datasets/large", digest="x" * (1024 * 1024 + 1))
    outcomes = await records.apply(
        [
            Write([put(a_dataset("d"), ABSENT)]),
            Write([put(a_dataset("d"), ABSENT)]),
            Write([put(too_large)]),
            Write([Remove(DATASETS, "datasets/d"), put(a_dataset("e")), Remove(DATASETS, "datasets/none")]),
            Write([put(a_dataset("d"), ABSENT)]),
        ]
    )
    assert [getattr(each, "reason", "") for each in outcomes] == ["", "CONFLICT", "DOCUMENT_TOO_LARGE", "", ""]
    assert await names(records) == ["datasets/d", "datasets/e"]
    first, last = written(outcomes[0]).records[0], written(outcomes[4]).records[0]
    assert first.uid != last.uid
    assert (await records.get_many(DATASETS, [last.name]))[last.name].etag == last.etag


async def test_a_request_is_answered_once(records: Records) -> None:
    """A caller that lost the answer and asks again must get the same one, and nothing twice."""
    given = answer_to("r", a_dataset("d", size=1))
    first, again = await records.apply([Write([put(a_dataset("d"), ABSENT)], given)] * 2)
    assert isinstance(first, Written)
    assert isinstance(again, AlreadyAnswered)
    [later] = await records.apply([Write([put(a_dataset("e"))], answer_to("r", a_dataset("e")))])
    assert isinstance(later, AlreadyAnswered)
    assert Dataset.FromString(later.answer) == a_dataset("d", size=1)
    assert await names(records) == ["datasets/d"]
    kept = await records.lookup(given.key)
    assert kept is not None
    assert kept.revision == first.sequence
    completed = answer_to("r", a_dataset("whole"), over=kept.revision)
    await apply(records, put(a_dataset("e")), remember=completed)
    kept = await records.lookup(given.key)
    assert kept is not None
    assert Dataset.FromString(kept.record.answer) == a_dataset("whole")


async def test_answers_are_forgotten_in_the_end(records: Records, clock: HandClock) -> None:
    """What every call leaves would else grow for as long as the node lives."""
    await apply(records, remember=answer_to("old", Dataset()))
    clock.advance(REQUEST_MEMORY_S - 1)
    await apply(records, remember=answer_to("new", Dataset()))
    assert await records.lookup(answer_to("old", Dataset()).key) is not None
    clock.advance(2)
    await apply(records, remember=answer_to("newest", Dataset()))
    assert await records.lookup(answer_to("old", Dataset()).key) is None
    assert await records.lookup(answer_to("new", Dataset()).key) is not None


@pytest.mark.parametrize("seed", range(3))
async def test_a_follower_ends_up_with_what_stands(opening: Open, seed: int) -> None:
    """A watcher that was cut off goes on from its sequence: what it missed must come, and nothing else be lost."""
    random_, writer, follower = random.Random(seed), opening(), opening()
    seen: dict[str, Dataset] = {}
    at = 0
    for number in range(20):
        name = f"datasets/{random_.choice('abcdef')}"
        dataset = Dataset(name=name, bytes=number)
        change = Put(DATASETS, name, dataset) if random_.random() < 0.5 else Remove(DATASETS, name)
        await apply(writer, change, Put(OTHERS, name, dataset))
        while random_.random() < 0.5:
            feed = await follower.feed(DATASETS, at, limit=random_.randint(1, 3))
            _take(seen, feed)
            at = feed.sequence
            assert not feed.reset
    while (feed := await follower.feed(DATASETS, at, limit=1)).more or feed.changes:
        _take(seen, feed)
        at = feed.sequence
    assert seen == {record.name: record.message for record in await writer.page(DATASETS, limit=99)}


def _take(seen: dict[str, Dataset], feed: Any) -> None:
    for name, record in feed.changes:
        if record is None:
            seen.pop(name, None)
        else:
            seen[name] = record.message


async def test_a_follower_that_fell_too_far_behind_is_told(opening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would else show for ever what was removed while it was away."""
    for module in (memory, statements):
        monkeypatch.setattr(module, "REMOVALS_MAX", 2)
    monkeypatch.setattr(statements, "PRUNE_EVERY", 1)
    records = opening()
    sequences = [(await apply(records, put(a_dataset(str(n))))).sequence for n in range(4)]
    for number in range(4):
        await apply(records, Remove(DATASETS, f"datasets/{number}"))
    assert (await records.feed(DATASETS, sequences[0], limit=9)).reset
    late = await records.feed(DATASETS, sequences[3] + 2, limit=9)
    assert [change for change, _ in late.changes] == ["datasets/2", "datasets/3"]
    assert (await records.feed(DATASETS, late.sequence + 1, limit=9)).reset  # a sequence of another store


async def test_a_change_wakes_those_who_wait_in_any_process(opening: Open) -> None:
    """Whoever watches through a follower would else see nothing until he asks again."""
    writer, follower = opening(), opening()
    before = (await apply(writer, put(a_dataset("d")))).sequence
    assert await follower.moved(before - 1) == before
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(each.moved(before)) for each in (writer, follower, follower)]
        await asyncio.sleep(0)
        after = (await apply(writer, put(a_dataset("e")))).sequence
    assert {task.result() for task in waiting} == {after}


async def test_a_leader_that_was_replaced_writes_nothing(opening: Open) -> None:
    """A paused process that wakes after its term would overwrite what the next leader has promised."""
    old, new = opening(), opening()
    before = await old.identity()
    await old.claim(Belonging("", "node"), 5, over=before.fence)
    await apply(old, put(a_dataset("d")), fence=5)
    await new.claim(Belonging("", "node"), 9, over=(await new.identity()).fence)
    [refused] = await old.apply([Write([put(a_dataset("d", size=1))], answer_to("r", Dataset()))], fence=5)
    assert isinstance(refused, Unavailable)
    assert refused.reason == "NOT_LEADER"
    with pytest.raises(Unavailable, match="term 9"):
        await old.claim(Belonging("", "node"), 5, over=before.fence)
    await apply(new, put(a_dataset("d", size=2)), fence=9)
    assert (await old.get_many(DATASETS, ["datasets/d"]))["datasets/d"].message.bytes == 2
    identity = await old.identity()
    assert (identity.node, identity.fence) == ("node", 9)
    await new.claim(Belonging("", "node"), 3, over=9)  # etcd was lost, and its numbers begin anew
    await apply(new, put(a_dataset("d", size=3)), fence=3)


async def test_those_who_write_at_once_wait_for_the_disk_together(records: Records) -> None:
    """A hundred jobs that end together would wait for a hundred turns of the disk; each is there all the same."""
    if not isinstance(records, SqlRecords):
        return
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", note)
    outcomes = await asyncio.gather(*(apply(records, put(a_dataset(f"{n:03}"), ABSENT)) for n in range(100)))
    event.remove(Engine, "commit", note)
    assert len(commits) <= 10
    assert len({each.sequence for each in outcomes}) == 100
    assert len(await names(records)) == 100


async def test_two_processes_that_change_one_record_lose_nothing(opening: Open) -> None:
    """Nobody should write but the leader; where two do all the same, each change is made over the one before."""
    both = (opening(), opening())
    await apply(both[0], put(a_dataset("d"), ABSENT))

    async def count_up(records: Records) -> None:
        for _ in range(10):
            while True:
                found = (await records.get_many(DATASETS, ["datasets/d"]))["datasets/d"]
                dataset = a_dataset("d", size=found.message.bytes + 1)
                [outcome] = await records.apply([Write([put(dataset, found.etag)])])
                if isinstance(outcome, Written):
                    break
                assert isinstance(outcome, Conflict)

    await asyncio.gather(*map(count_up, both))
    assert (await both[0].get_many(DATASETS, ["datasets/d"]))["datasets/d"].message.bytes == 20


async def test_what_waits_is_bounded(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs must not fill the memory of its service with what waits for it."""
    if not isinstance(records, SqlRecords):
        return
    monkeypatch.setattr(group_commit, "WAITING_MAX", 3)
    with pytest.raises(Unavailable, match="wait for the records already") as refused:
        await records.apply([Write([put(a_dataset("d"))])] * 4)
    assert refused.value.reason == "PROCESS_FULL"
    assert await names(records) == []


async def test_closed_records_are_told_as_such(records: Records) -> None:
    """A call that a service still answers when it has lost its lead must be made again elsewhere, not be a defect."""
    await records.close()
    for call in (apply(records, put(a_dataset("d"))), records.page(DATASETS, limit=1), records.identity()):
        with pytest.raises(Unavailable) as refused:
            await call
        assert refused.value.reason == "NOT_READY"


def test_a_new_file_is_its_owners_alone(tmp_path: Path, clock: HandClock) -> None:
    """Who computes what is for nobody else who uses the machine, whatever the umask of whoever started the service."""

    async def made() -> None:
        records = open_records(f"sqlite:///{tmp_path}/records", "transport", (DATASETS,), clock, seeded_rng(1))
        await apply(records, put(a_dataset("d")))
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}  # noqa: ASYNC240
        await records.close()

    asyncio.run(made())


def test_a_refusal_is_raised_as_such() -> None:
    """A handler that took a refused write for one that was made would answer with what is not there."""
    with pytest.raises(Refusal):
        written(Conflict(("datasets/d",), name="datasets/d", expected="absent", found="x-1"))


async def test_a_store_that_did_not_lead_before_does_not_lead_in_silence(clock: HandClock) -> None:
    """A standby whose folder is empty would take over with nothing, and nobody would be told."""
    store = MemoryStore("transport")
    led, empty = (MemoryRecords(clock, seeded_rng(n), MemoryDatabase(name)) for n, name in enumerate(("led", "empty")))
    for _ in range(2):
        assert (await take_lead(led, store, clock, node="n", lead_with=""))[0] == 0
    with pytest.raises(StoreCorrupt, match="SUANMESH_TRANSPORT_LEAD_WITH=empty"):
        await take_lead(empty, store, clock, node="n", lead_with="")
    with pytest.raises(StoreCorrupt, match="made for the node n:"):
        await take_lead(led, store, clock, node="other", lead_with="")
    await take_lead(empty, store, clock, node="n", lead_with="empty")
    with pytest.raises(StoreCorrupt, match="since empty led it before"):
        await take_lead(led, store, clock, node="n", lead_with="")
