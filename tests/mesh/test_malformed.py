"""Honest messages with bytes flipped, cut, doubled and put in: each is refused with a type, or answered as asked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor

from suanmesh.type.v1.semantics_pb2 import Role
from tests.mesh.asking import Identity, World, a_world
from tests.mesh.calling import METHODS, semantics_of

pytestmark = [pytest.mark.mesh, pytest.mark.asyncio(loop_scope="module")]

SEED = 20261128
SHORT, LONG = 3_000, 100_000
"""Messages over all methods."""
AT_ONCE = 16
STREAM_S = 0.05
"""How long a stream is listened to: a malformed request is refused at once."""
WRONG = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A node with something in every service."""
    async with a_world(tmp_path_factory.mktemp("malformed")) as made:
        yield made


async def test_a_broken_message_breaks_nothing(place: World) -> None:
    """A client with a bug, or worse intent, must learn that its message is wrong; nobody else may learn of it."""
    await _pelted(place, SHORT)


@pytest.mark.attack
@pytest.mark.timeout(1200)
async def test_a_hundred_thousand_broken_messages_break_nothing(place: World) -> None:
    """The same, until chance has tried what nobody thinks of."""
    await _pelted(place, LONG)


async def _pelted(place: World, count: int) -> None:
    rng = random.Random(SEED)
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    turns = _turns(place)

    async def pelt() -> None:
        for who, area, method, honest, direct in turns:
            if codes.total() >= count:
                return
            raw = mutated(honest, rng)
            answer = await place.send(who, area, method, raw, direct=direct, stream_s=STREAM_S)
            codes[answer.code] += 1
            if answer.code in WRONG:
                wrong.append(f"{method.name} {raw.hex()}: {answer.code} {answer.statuses}")

    await asyncio.gather(*(pelt() for _ in range(AT_ONCE)))
    print({"name": "malformed.messages", "value": codes.total(), "unit": "count", "codes": dict(codes)})
    assert not wrong, f"{len(wrong)} of {codes.total()}:\n" + "\n".join(wrong[:20])
    processes = {**place.node.services, **place.node.agents}
    assert [name for name, process in processes.items() if not process.pid] == []
    for log in sorted((place.node.folder / "logs").iterdir()):
        said = log.read_text(errors="replace")
        assert "Traceback" not in said, f"{log.name}: {said[said.index('Traceback') - 2000 :][:4000]}"


def _turns(place: World) -> Iterator[tuple[Identity, str, MethodDescriptor, bytes, bool]]:
    """Every method in turn, by somebody who may call it, with its honest request."""
    owners = [who for who in place.identities if who.owns]
    while True:
        for area, method in METHODS:
            public = semantics_of(method).public
            who = next(who for who in owners if _may(who, method))
            yield who, area, method, place.row(who, method), not public or area == "gateway"


def _may(who: Identity, method: MethodDescriptor) -> bool:
    roles = {Role.Name(role).removeprefix("ROLE_").lower() for role in semantics_of(method).roles}
    return bool(roles & who.roles) or "anyone" in roles


def mutated(honest: bytes, rng: random.Random) -> bytes:
    """`honest` with one to three wounds."""
    raw = bytearray(honest or b"\x0a\x01x")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(5):
            case 0 if at < len(raw):
                raw[at] ^= 1 << rng.randrange(8)
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                end = min(len(raw), at + rng.randint(1, 32))
                raw[at:at] = raw[at:end] * rng.randint(1, 4)
            case _:
                del raw[at : at + rng.randint(1, 8)]
    return bytes(raw)
