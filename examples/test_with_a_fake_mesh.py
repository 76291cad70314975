"""How to test a program of one's own without a node: `pytest examples/test_with_a_fake_mesh.py`."""

from __future__ import annotations

from suanmesh_client.sync import Client, Job, Output
from suanmesh_fake import Script, TaskSpec, fake_mesh


def better_of(mesh: Client, commands: list[str]) -> str:
    """The program: run two commands, and say which left the higher score."""
    jobs = [mesh.jobs.submit(Job(command=[each], outputs=[Output("score", "out")])) for each in commands]
    scores = [b"".join(mesh.data.read(job.wait(60, check=True).results()["score"], "value")) for job in jobs]
    return max(zip(scores, commands, strict=True))[1]


def scored(task: TaskSpec) -> Script:
    """What its tasks do, as the test wants it."""
    return Script(write=(("out/value", b"2" if task.command == ("second",) else b"1"),))


def test_the_better_one_is_named() -> None:
    """It is not the order that decides."""
    with fake_mesh(scored) as mesh:
        assert better_of(mesh, ["first", "second"]) == "second"
        assert better_of(mesh, ["second", "first"]) == "second"
