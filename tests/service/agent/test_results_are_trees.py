"""Results are what a task left, as it left it: links, bits, names and empty folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_agent.testing import FakeSite, State, a_placement

NAME = "placements/p1"


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


async def test_a_link_within_an_output_is_delivered_as_a_link(world: FakeSite) -> None:
    """Training scripts keep `latest.pt` beside their checkpoints, and those who go on from there look for it."""
    code = (
        "import os\nopen('out/epoch-3.pt', 'w').write('w')\nos.symlink('epoch-3.pt', 'out/latest.pt')\n"
        "os.symlink(os.path.abspath('out/epoch-3.pt'), 'out/best.pt')\nos.symlink('/etc/passwd', 'out/keys')\n"
        "os.makedirs('out/plots')\nos.close(os.open('out/run.sh', os.O_CREAT, 0o755))\nos.mkdir(b'out/\\xff')"
    )
    world.scheduler.put(a_placement(code))
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    assert not report.reason.code
    result = world.replicas.files(world.transport.datasets["datasets/j1-result"].digest)
    assert (result / "latest.pt").readlink() == (result / "best.pt").readlink() == Path("epoch-3.pt")
    assert sorted(path.name for path in result.iterdir()) == [
        "best.pt",
        "epoch-3.pt",
        "latest.pt",
        "plots",
        "run.sh",
        "\udcff",
    ]
    assert (result / "run.sh").stat().st_mode & 0o100
    log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest) / "task-0.log"
    assert log.read_text() == "[output result: left out 'keys': a link that leads out of the folder, or in a circle]\n"
