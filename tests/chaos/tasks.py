"""The jobs clients submit: small real tasks that tell on their output when they ran, and what they must leave."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from chaos.records import Published
from suanmesh.scheduler.v1 import job_pb2
from suanmesh_local import trials
from suanmesh_local.world import MEBIBYTE

BEAT = "BEAT"
"""Begins each line on which a task tells its phase, the clock since boot and the wall clock."""
FAILURE_STATUS = 3
KINDS = {"plain": 10, "array": 3, "output": 4, "input": 4, "failing": 2, "dear": 1, "budget": 2, "long": 2}
"""What is submitted, and how often."""
CODE = """
import hashlib, pathlib, sys, time

def beat(phase):
    print("BEAT", phase, time.clock_gettime(time.CLOCK_BOOTTIME), time.time(), flush=True)

beat("begin")
for name, wanted in {inputs!r}.items():
    found = hashlib.sha256(pathlib.Path("in", name, "bytes").read_bytes()).hexdigest()
    if found != wanted:
        print("input", name, "is", found, "and should be", wanted)
        sys.exit(9)
until = time.monotonic() + {seconds!r}
while time.monotonic() < until:
    time.sleep(0.1)
    beat("run")
if {output_bytes!r}:
    pathlib.Path("out/r").mkdir(parents=True, exist_ok=True)
    pathlib.Path("out/r/x").write_text({letter!r} * {output_bytes!r})
beat("end")
sys.exit({status!r})
"""


def task_job(
    chance: random.Random, kind: str, marker: str, account: str, inputs: Sequence[Published], sites: Sequence[str]
) -> tuple[job_pb2.Job, int, int]:
    """A job of that kind; with it the number of its tasks, and the bytes its output has."""
    seconds = chance.uniform(2.0, 6.0) if kind == "long" else chance.uniform(0.1, 1.5)
    count = chance.randint(2, 3) if kind == "array" else 1
    output_bytes = chance.randint(1_000, 400_000) if kind == "output" else 0
    chosen = list(inputs)[:1] if kind == "input" else []
    code = CODE.format(
        inputs={dataset_id(each): each.sha256 for each in chosen},
        seconds=round(seconds, 2),
        output_bytes=output_bytes,
        letter=letter_of(marker),
        status=FAILURE_STATUS if kind == "failing" else 0,
    )
    job = trials.job(code, cpu_milli=chance.choice([50, 100, 200]), inputs=[dataset_id(each) for each in chosen])
    job.account, job.display_name, job.task.count = account, marker, count
    job.ask.memory_bytes, job.ask.scratch_bytes = 64 * MEBIBYTE, 16 * MEBIBYTE
    job.max_duration_s, job.max_attempts = 60, 4
    if output_bytes:
        job.outputs.add(output_id="r", mount="out/r", deliver_to=chance.choice(["", *sites]), max_bytes=MEBIBYTE)
    if kind == "dear":
        job.constraints.budget_micros = 1
    elif kind == "budget":
        job.constraints.budget_micros = 1_000_000
    return job, count, output_bytes


def dataset_id(dataset: Published) -> str:
    """Last part of its name."""
    return dataset.name.rpartition("/")[2]


def letter_of(marker: str) -> str:
    """What the output of the job with that marker is filled with."""
    return "abcdefghijklmnop"[hashlib.sha256(marker.encode()).digest()[0] % 16]
