"""A sweep: one task for every combination of parameters, all followed, the best one named.

python examples/sweep.py              # on the mesh of the current context, such as that of `suan dev`
"""

from __future__ import annotations

from suanmesh_client.sync import Job, Output, connect, sweep

TRAIN = """
import json, os, pathlib
rate, depth = float(os.environ["SUANMESH_PARAM_RATE"]), int(os.environ["SUANMESH_PARAM_DEPTH"])
loss = (rate - 0.03) ** 2 + 0.1 / depth
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/loss.json").write_text(json.dumps({"rate": rate, "depth": depth, "loss": loss}))
print(f"{loss:.6f}")
"""


def main() -> int:
    """Run it, print one line a task, then the best."""
    with connect() as mesh:
        job = mesh.jobs.submit(
            Job(
                command=["python3", "-c", TRAIN],
                cores=0.25,
                memory_bytes=64 << 20,
                parameters=sweep(rate=[0.1, 0.03, 0.01], depth=[2, 4]),
                outputs=[Output("losses", "out")],
                display_name="sweep",
                labels={"example": "sweep"},
            )
        )
        print(f"submitted {job.name}")
        job.wait(on_change=lambda seen: print(f"  {seen.name}: {job.state}"))
        if not job.succeeded:
            print(job.reason())
            return 1
        losses = {index: float(job.log(index)) for index in range(job.message.task.count)}
        for task in job.tasks():
            print(task.result.index, dict(task.parameters), f"{losses[task.result.index]:.6f}")
        best = min(losses, key=losses.__getitem__)
        print("best:", b"".join(mesh.data.read(job.results()["losses"], f"task-{best}/loss.json")).decode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
