"""Sites whose signing keys are good for minutes: what they have used is charged, whoever was away when a key lapsed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from scenario.clients import simulated_job
from scenario.node import SimulatedNode
from scenario.virtual_time import run
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_local import trials, world

HOME = "guiyang"
WINDOW_S = 300.0
TASK_S = 20.0


class Seen(NamedTuple):
    """What became of two jobs, and of the site that ran them."""

    jobs: list[job_pb2.Job]
    charged_micros: list[int]
    site: site_pb2.Site
    unsent: int


async def at_a_site_whose_keys_lapse(node: SimulatedNode) -> Seen:
    """One job runs while the key is renewed; of the other the agent is away until its key has lapsed."""
    user = node.mesh(world.CONSUMER, "alice")
    site = node.sites[HOME]
    names = []
    for job_id, away_s in (("renewed", 0.0), ("lapsed", 1.5 * WINDOW_S)):
        await asyncio.sleep(WINDOW_S)
        described = simulated_job(TASK_S)
        described.constraints.allow_sites.append(f"sites/{HOME}")
        described.max_attempts = 3
        names.append(await trials.submit(user, job_id, described))
        await asyncio.sleep(3.0)
        if away_s:
            await site.kill()
            await asyncio.sleep(away_s)
            site.start()
    jobs = [await trials.ended(user, name) for name in names]
    await asyncio.sleep(120.0)
    holds: list[usage_pb2.Hold] = list((await user.accounting.ListHolds(accounting.ListHoldsRequest())).holds)
    told = await user.registry.GetSite(registry.GetSiteRequest(name=f"sites/{HOME}"))
    charged = [sum(hold.charged_micros for hold in holds if hold.job == name) for name in names]
    return Seen(jobs, charged, told, site.unsent_usage())


def test_what_was_used_is_charged_whichever_key_has_lapsed(tmp_path: Path) -> None:
    """A provider would work for nothing, or a site stand still, because its agent was away at the wrong time."""

    async def within() -> Seen:
        async with SimulatedNode(tmp_path, seed=1, signing_key_days=WINDOW_S / 86_400) as node:
            seen = await at_a_site_whose_keys_lapse(node)
            assert (node.faults, node.findings.violations) == ([], [])
            return seen

    seen = run(within(), seed=1)

    assert [job.state for job in seen.jobs] == [job_pb2.Job.STATE_DONE] * 2
    assert all(seen.charged_micros)
    assert (len(seen.site.signing_keys) >= 3, seen.unsent) == (True, 0)
