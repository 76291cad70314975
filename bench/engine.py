"""What it costs to run tasks on the process engine alone: `bench/engine.py [--tasks N] [--rounds N] [--on KIND]`.

The engine that an agent would open on this host, in the best walls it offers, over a folder on disk. A task is `true`.
Prints one JSON object a line, {"name", "value", "unit"}: tasks a second, submitted at once, until the last has ended,
and the processor seconds that each took of this process and all below it, clearing up included; the latter beside those
of a bare `true` that was started in the same rounds, as `baseline`, and their ratio. With `--on slurm` or `ray`
instead, what the same task of most of a processor second is metered at on this engine and on one started for it, in
turns: the medians, and their ratio; and in control groups. Slurm needs slurm-wlm and root. With `--on kubernetes` it is
the stand-in of the tests, and neither has walls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from dispatch import become_subreaper, cpu_seconds
from kubernetes_cluster import stand_in

from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.engines.batched.engine import BatchedEngine
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.engines.queued import QueuedTasks
from suanmesh_agent.engines.ray.scheduler import Ray, RayAccess
from suanmesh_agent.engines.slurm.commands import Slurm
from suanmesh_agent.permission import RunPermission
from suanmesh_agent.settings import AgentSettings
from suanmesh_agent.site import PERMISSION, open_engine
from suanmesh_agent.task_run import until_over
from suanmesh_chassis.event_loop import run_on_loop
from suanmesh_kernel.clock import SystemClock
from suanmesh_local import ray as local_ray
from suanmesh_local import tools
from suanmesh_local.slurm import running

WARM_UP_TASKS = 20
CPU_MILLI, MEMORY_BYTES = 100, 1 << 28
PERMITTED_S = 3600.0
BUSY = ("python3", "-c", "sum(each * each for each in range(20_000_000))")


async def main(tasks: int, rounds: int) -> None:
    """Measure on a folder of its own."""
    become_subreaper()
    with tempfile.TemporaryDirectory() as name:
        engine = opened(Path(name))
        try:
            await run(engine, "warm-up", WARM_UP_TASKS)
            took_s = cpu_s = bare_cpu_s = 0.0
            for number in range(rounds):
                before_s, begun = used_s(), time.monotonic()
                await run(engine, f"round-{number}", tasks)
                took_s += time.monotonic() - begun
                engine.forget(f"round-{number}")
                cpu_s += used_s() - before_s
                before_s = used_s()
                await asyncio.to_thread(run_bare, tasks)
                bare_cpu_s += used_s() - before_s
        finally:
            engine.close()
    count = tasks * rounds
    print(json.dumps({"name": "engine_tasks", "value": round(count / took_s, 1), "unit": "tasks/s"}))
    figure = {"name": "engine_cpu_per_task", "value": round(cpu_s / count, 4), "unit": "CPU-s"}
    compared = {"baseline": round(bare_cpu_s / count, 4), "ratio": round(cpu_s / bare_cpu_s, 1)}
    print(json.dumps(figure | compared))


async def compare(rounds: int, kind_beside: str) -> None:
    """Meter the same task on both engines, in turns; where there are control groups, also without them."""
    become_subreaper()
    with tempfile.TemporaryDirectory() as name, beside(kind_beside, Path(name)) as make:
        grouped = opened(Path(name))
        layout = grouped.layout
        if kind_beside == "kubernetes":
            layout = replace(layout, sandbox=None, confined=None)
        plain = ProcessEngine(
            Path(name) / "plain",
            sandbox=layout.sandbox,
            cgroups=None,
            runtime_path=layout.runtime_path,
            confined=layout.confined,
        )
        engines = {"grouped": grouped, "process": plain, kind_beside: make(layout)}
        metered: dict[str, list[int]] = {kind: [] for kind in engines}
        try:
            for number in range(rounds):
                for kind, engine in engines.items():
                    spec = TaskSpec(TaskKey(f"{kind}-{number}", 0), BUSY, cpu_milli=1000, memory_bytes=MEMORY_BYTES)
                    if await engine.submit([spec]) != [None]:
                        raise SystemExit(f"{kind} did not start it")
                    (look,) = await until_over(engine, [spec.key])
                    metered[kind].append(look.usage.cpu_us)
                    engine.forget(spec.key.placement)
        finally:
            for engine in engines.values():
                engine.close()
    medians = {kind: round(median(each) / 1e6, 4) for kind, each in metered.items()}
    figure = {
        "name": "engine_metered_cpu",
        "value": medians[kind_beside],
        "unit": "CPU-s",
        "baseline": medians["process"],
    }
    ratio = round(medians[kind_beside] / medians["process"], 3)
    print(
        json.dumps(
            figure
            | {
                "baseline": medians["process"],
                "on": kind_beside,
                "ratio": ratio,
                "in_control_groups": medians["grouped"],
            }
        )
    )


@contextmanager
def beside(kind: str, folder: Path) -> Iterator[Callable[[Layout], QueuedTasks]]:
    """What makes the engine that is compared, on a scheduler that is gone afterwards."""
    if kind == "slurm":
        with running() as cluster:
            yield lambda layout: BatchedEngine(layout, Slurm(str(cluster.conf)), "bench", SystemClock())
    elif kind == "ray":
        with local_ray.running() as rays:
            access = RayAccess(rays.address, Path(sys.executable), rays.token_file)
            yield lambda layout: BatchedEngine(layout, Ray(access, "bench"), "bench", SystemClock())
    else:
        with stand_in(folder / "cluster") as cluster:
            yield lambda layout: cluster.engine(folder, runtime=layout.runtime_path)


def opened(folder: Path) -> ProcessEngine:
    """The engine of an agent with the launcher's tools, permitted to run tasks."""
    try:
        bwrap = str(tools.bubblewrap(tools.cache_dir()).path)
    except tools.ToolMissing:
        bwrap = AgentSettings.bwrap
    permission = RunPermission(folder / PERMISSION, SystemClock())
    permission.renew(SystemClock().monotonic(), PERMITTED_S)
    permission.close()
    engine = open_engine(AgentSettings(site="bench", data_dir=folder, bwrap=bwrap))
    assert isinstance(engine, ProcessEngine)
    return engine


async def run(engine: ProcessEngine, placement: str, count: int) -> None:
    """Tasks of one placement, from their submission to the end of the last."""
    keys = [TaskKey(placement, index) for index in range(count)]
    specs = [TaskSpec(key, ("true",), cpu_milli=CPU_MILLI, memory_bytes=MEMORY_BYTES) for key in keys]
    faults = [fault for fault in await engine.submit(specs) if fault is not None]
    looks = await until_over(engine, keys)
    if faults or not all(look.succeeded for look in looks):
        raise SystemExit(f"not all tasks ended well: {faults[:1]} {[look for look in looks if not look.succeeded][:1]}")


def run_bare(count: int) -> None:
    """The program alone, as often."""
    for _ in range(count):
        subprocess.run(["/usr/bin/env", "true"], check=True)


def used_s() -> float:
    """Processor seconds of this process, of those it has reaped, and of all below it."""
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + reaped.ru_utime + reaped.ru_stime + cpu_seconds().total()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--on", choices=("slurm", "ray", "kubernetes"))
    options = parser.parse_args()
    sys.exit(run_on_loop(compare(options.rounds, options.on) if options.on else main(options.tasks, options.rounds)))
