"""A whole mesh within your own test: real services, a wire in memory, and tasks that do what you say.

    async with FakeMesh(lambda task: Script(write=(("out/sum", b"42"),))) as mesh:
        job = await mesh.jobs.submit(Job(command=["sum"], outputs=[Output("sum", "out")]))
        await job.wait(check=True)

`fake_mesh` is the same without `async`. Needs the packages of a server: `pip install suanmesh[server]`.
"""

from __future__ import annotations

from suanmesh_agent.domain.tasks import TaskSpec
from suanmesh_agent.engines.memory import Script, script_of
from suanmesh_fake.mesh import FakeMesh, fake_mesh

__all__ = ["FakeMesh", "Script", "TaskSpec", "fake_mesh", "script_of"]
