"""Takes a machine away under calls of an operator and a user, and says as JSON what that cost them.

python death_of_a_machine.py OPERATOR_CONFIG USER_CONFIG DEADLINE_S AWAY [BACK]: it runs where the user is. AWAY
is the command, as JSON, that takes the machine away; BACK gives it back while calls go on.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from suanmesh.accounting.v1.accounting_service_pb2 import GetAccountRequest
from suanmesh.registry.v1.registry_service_pb2 import GetPartyRequest
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh_client import contexts
from suanmesh_kernel.refusals import NotFound, Refusal
from suanmesh_local import world
from suanmesh_local.traffic import Acknowledged, Made, Traffic
from suanmesh_sdk import Mesh

PACE_S = 0.05
"""20 calls a second."""
BEFORE, AFTER = 40, 60
"""Calls that are made before the death, and after the first writes."""
LOOK_AGAIN_S = 0.05


async def losing(user: Mesh, operator: Mesh, deadline_s: float, away: list[str], back: list[str]) -> dict[str, object]:
    """What calls saw of it."""
    account = GetAccountRequest(name=f"accounts/{world.CONSUMER}")
    before = (await user.accounting.GetAccount(account, timeout=deadline_s)).balance_micros
    traffic = Traffic(user, operator, pace_s=PACE_S, deadline_s=deadline_s)
    writes = Traffic(user, operator, deadline_s=deadline_s)
    async with traffic.flowing():
        await _made(traffic, BEFORE)
        begun = time.monotonic()
        await _run(away)
        first = await asyncio.gather(*(_written(writes, area) for area in writes.writes))
        await _made(traffic, len(traffic.made) + AFTER)
        if back:
            await _run(back)
            await _made(traffic, len(traffic.made) + AFTER)
    paid = (await user.accounting.GetAccount(account, timeout=deadline_s)).balance_micros - before
    acknowledged = [each.acknowledged for each in (traffic, writes)]
    lost = [name for each in acknowledged for name in await _missing(user, operator, each)]
    every = traffic.made + writes.made
    tried = sum(made.area == "accounting" and made.writes for made in every)
    if not sum(each.credits for each in acknowledged) <= paid <= tried:
        lost.append(f"credits: {paid} of {tried}")
    return {
        "calls": len(every),
        "failed": [f"{made.area}: {made.refusal!r}" for made in every if made.refusal is not None],
        "next_write_s": {made.area: round(made.ended - begun, 3) for made in first},
        "slowest_call_s": round(max(made.ended - made.begun for made in every), 3),
        "lost": lost,
    }


async def _run(command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


async def _written(writes: Traffic, area: str) -> Made:
    """The first write that is answered."""
    while (made := await writes.one(area, writes=True)).refusal is not None:
        pass
    return made


async def _made(traffic: Traffic, calls: int) -> None:
    while len(traffic.made) < calls:  # noqa: ASYNC110 - the traffic tells nobody
        await asyncio.sleep(LOOK_AGAIN_S)


async def _missing(user: Mesh, operator: Mesh, said: Acknowledged) -> list[str]:
    """What was acknowledged and is not there."""
    missing = []
    for name in said.parties:
        try:
            await operator.registry.GetParty(GetPartyRequest(name=name))
        except NotFound:
            missing.append(name)
    for name in said.jobs:
        try:
            await user.scheduler.GetJob(GetJobRequest(name=name))
        except NotFound:
            missing.append(name)
    return missing


async def main(operators: str, users: str, deadline_s: float, away: list[str], back: list[str]) -> int:
    """Print one JSON object."""
    async with _mesh(operators) as operator, _mesh(users) as user:
        try:
            print(json.dumps(await losing(user, operator, deadline_s, away, back)))
        except Refusal as refusal:
            print(repr(refusal), file=sys.stderr)
            return 1
    return 0


def _mesh(config: str) -> Mesh:
    return contexts.current({"SUANMESH_CONFIG": config}).mesh()


if __name__ == "__main__":
    taken, *given = (json.loads(command) for command in sys.argv[4:])
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), taken, given[0] if given else [])))
