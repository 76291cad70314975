"""What is found out before a site joins with a Slurm: each thing that is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_agent.engines.slurm.commands import Slurm
from suanmesh_agent.engines.slurm.preflight import require_ready
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.slurm import LocalSlurm


async def test_a_slurm_that_is_ready_says_what_it_has(cluster: LocalSlurm) -> None:
    """An owner must see that it is their cluster before the invite is spent."""
    said = await require_ready(Slurm(conf=str(cluster.conf)))

    assert said.startswith("1 nodes with ")
    assert said.endswith("in the default partition")


async def test_what_is_wrong_with_a_slurm_is_named(cluster: LocalSlurm, tmp_path: Path) -> None:
    """An owner whose site would never run a task must be told why, while the invite is good still."""
    conf, another = str(cluster.conf), tmp_path / "slurm.conf"
    another.write_text("nonsense=1\n")
    wrong = {
        "SLURM_ABSENT": Slurm(conf=conf, programs=str(tmp_path)),
        "SLURM_UNREACHABLE": Slurm(conf=str(another)),
        "SLURM_NODES_MISSING": Slurm(conf=conf, partition="nowhere"),
    }

    for reason, slurm in wrong.items():
        with pytest.raises(Refusal) as refused:
            await require_ready(slurm)
        assert refused.value.reason == reason, refused.value
