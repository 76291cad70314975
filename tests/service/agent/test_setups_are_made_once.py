"""What a job has made ready before its tasks: once for each content, told of when it fails, and charged for."""

from __future__ import annotations

import asyncio
import venv
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1.scheduler_service_pb2 import TaskReport
from suanmesh.type.v1 import money_pb2
from suanmesh_agent.data_plane import Logs
from suanmesh_agent.domain.log_view import LogView
from suanmesh_agent.domain.tasks import setup_key
from suanmesh_agent.setups import KEPT_S
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_chassis.budget import ByteBudget
from suanmesh_kernel.clock import SystemClock

NAME = "placements/p1"
USES = "import seven; open('out/n', 'w').write(str(seven.N))"


@pytest.fixture
def world(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


def a_wheel(folder: Path, *, needs: str = "", name: str = "seven", number: int = 7) -> Path:
    """A package of Python with one module that knows a number."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"N = {number}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def with_setup(
    code: str, name: str = NAME, *, python: tuple[str, ...] = (), run: tuple[str, ...] = (), **fields: object
) -> placement_pb2.Placement:
    placement = a_placement(code, name, **fields)
    placement.job = f"jobs/{name.partition('/')[2]}"
    placement.legs.add(pool="sites/a/pools/cpu").hosts.add(host="h", tasks=1)
    placement.work.setup.python.extend(python)
    placement.work.setup.run.extend(run)
    return placement


def result(world: FakeSite, job: str = "p1") -> Path:
    return world.replicas.files(world.transport.datasets[f"datasets/{job}-result"].digest)


def log_of(world: FakeSite, job: str = "p1") -> dict[str, str]:
    folder = world.replicas.files(world.transport.datasets[f"datasets/{job}-log"].digest)
    return {path.name: path.read_text() for path in folder.iterdir()}


async def failed(world: FakeSite, placement: placement_pb2.Placement) -> TaskReport:
    world.scheduler.put(placement)
    async with world.agent():
        return await world.scheduler.reported(placement.name, State.STATE_FAILED)


async def test_lines_run_once_and_every_task_finds_what_they_made(world: FakeSite) -> None:
    """A sweep of a hundred tasks would install the same packages a hundred times; another job of it once more."""
    runs = world.folder / "runs"
    lines = (f"echo ran >> {runs}", "echo 'echo tool' > $SUANMESH_SETUP/bin/tool", "chmod +x $SUANMESH_SETUP/bin/tool")
    code = (
        "import os, subprocess; n = os.environ['SUANMESH_TASK_INDEX']\n"
        "open(f'out/{n}', 'wb').write(subprocess.check_output(['sh', '-c', 'exec tool']))"
    )
    world.scheduler.put(with_setup(code, run=lines, count=3))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        assert {path.read_text() for path in result(world).rglob("?")} == {"tool\n"}
        world.scheduler.put(with_setup(code, "placements/p2", run=lines))
        await world.scheduler.reported("placements/p2", State.STATE_DELIVERING)
        assert (result(world, "p2") / "0").read_text() == "tool\n"
        assert runs.read_text() == "ran\n"
        assert "setup.log" in log_of(world)
        assert "setup.log" not in log_of(world, "p2")


async def test_two_placements_at_a_time_wait_for_one_setup(world: FakeSite) -> None:
    """Ten jobs of a sweep that come together would fill disk and processors with the same."""
    runs = world.folder / "runs"
    lines = (f"echo ran >> {runs}", "sleep 0.3")
    for name in ("placements/p1", "placements/p2"):
        placement = with_setup("pass", name, run=lines)
        placement.work.ask.cpu_milli = 500
        world.scheduler.put(placement)
    async with world.agent():
        for name in ("placements/p1", "placements/p2"):
            await world.scheduler.reported(name, State.STATE_DELIVERING)
    assert runs.read_text() == "ran\n"


async def test_packages_come_from_wheels_that_travel_with_the_job(world: FakeSite) -> None:
    """Where there is no network this is the only way to run what needs more than the site has."""
    placement = with_setup(USES, python=("seven==1.0",))
    placement.work.inputs.add(dataset="datasets/wheels", mount=".wheels")
    placement.work.setup.wheels = ".wheels"
    async with world.agent() as journal:
        wheels = world.replicas.take_in({"": a_wheel(world.folder / "wheels")})
        journal.name_dataset("datasets/wheels", wheels.digest)
        world.scheduler.put(placement)
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        assert (result(world) / "n").read_text() == "7"
        assert "Successfully installed seven-1.0" in log_of(world)["setup.log"]


async def test_a_python_without_pip_gets_packages_too(world: FakeSite) -> None:
    """The Python of Debian has no pip: a site that gives its tasks that one would refuse every package."""
    world.runtime = world.folder / "bare"
    await asyncio.to_thread(venv.create, world.runtime, symlinks=True, with_pip=False)
    world.mirror = str(a_wheel(world.folder / "mirror"))
    world.scheduler.put(with_setup(USES, python=("seven",)))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        assert (result(world) / "n").read_text() == "7"


async def test_packages_of_a_job_do_not_hide_what_it_names_itself(world: FakeSite) -> None:
    """`PYTHONPATH=src` is how much research code is found."""
    world.mirror = str(a_wheel(world.folder / "mirror"))
    placement = with_setup("import os, seven; assert 'src' in os.environ['PYTHONPATH']", python=("seven",))
    placement.work.environment["PYTHONPATH"] = "src"
    world.scheduler.put(placement)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)


@pytest.mark.parametrize("web", [False, True])
async def test_the_mirror_of_the_owner_brings_packages_with_what_they_need(world: FakeSite, web: bool) -> None:
    """A site without a way out has a mirror; tasks must not need one to it."""
    index = world.folder / "simple"
    a_wheel(index / "eight", name="eight", needs="seven", number=8)
    a_wheel(index / "seven")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(world.folder)))
    with server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            flat = a_wheel(a_wheel(world.folder / "flat"), name="eight", needs="seven", number=8)
            world.mirror = f"http://127.0.0.1:{server.server_port}/simple" if web else str(flat)
            world.scheduler.put(with_setup("import eight, seven", python=("eight==1.0",)))
            async with world.agent():
                await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        finally:
            server.shutdown()
            thread.join()


async def test_a_setup_that_fails_is_told_with_the_end_of_its_log(world: FakeSite) -> None:
    """Whoever reads "task 0 failed" looks for the fault in the wrong place."""
    report = await failed(world, with_setup("pass", run=("echo all well", "echo no luck >&2; exit 3", "echo never")))
    facts = dict(report.reason.facts)
    assert (report.reason.code, facts["exit_status"]) == ("SETUP_FAILED", "3")
    assert facts["log"].endswith("all well | no luck")
    assert not report.tasks
    assert log_of(world)["setup.log"].endswith("all well\nno luck\n")


async def test_it_is_said_that_there_is_no_network(world: FakeSite) -> None:
    """`pip` alone says "no matching distribution", for hours of search."""
    report = await failed(world, with_setup("pass", python=("seven",)))
    assert "No matching distribution" in report.reason.facts["log"]
    assert "no network here, and this site has no mirror" in log_of(world)["setup.log"]


async def test_a_setup_is_charged_with_the_first_task_even_if_it_fails(world: FakeSite) -> None:
    """A site must be paid for an hour of compiling, and nobody may compute for nothing."""
    burn = "python3 -c 'import time\nwhile time.process_time() < 0.5: pass'"
    report = await failed(world, with_setup("pass", run=(burn, "exit 1")))
    assert report.reason.code == "SETUP_FAILED"
    async with world.agent():
        final = await world.accounting.has(lambda record: record.final)
    assert final.task == 0
    records = world.accounting.records.values()
    cpu_us = sum(r.quantity for record in records for r in record.readings if r.meter == money_pb2.METER_CPU_US)
    assert 450_000 <= cpu_us <= 2_000_000


async def test_a_cancel_ends_the_setup(world: FakeSite) -> None:
    """Who cancels pays for nothing more."""
    world.scheduler.put(with_setup("pass", run=("sleep 600",)))
    async with world.agent():
        while not (await world.engine.inspect([setup_key("p1")]))[0].start_time:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
        world.scheduler.request_stop(NAME)
        await world.scheduler.reported(NAME, State.STATE_CANCELLED)


async def test_a_setup_goes_on_under_the_next_agent(world: FakeSite) -> None:
    """An agent that is updated must not begin an hour of compiling anew."""
    runs, go = world.folder / "runs", world.folder / "go"
    lines = (f"echo ran >> {runs}", f"while ! [ -f {go} ]; do sleep 0.05; done", "echo 1 > $SUANMESH_SETUP/one")
    world.scheduler.put(with_setup("import os; open(os.environ['SUANMESH_SETUP'] + '/one')", run=lines))
    async with world.agent():
        while not runs.exists():  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
    go.touch()
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    assert runs.read_text() == "ran\n"


async def test_what_nobody_uses_any_more_is_removed(world: FakeSite) -> None:
    """Every change of a requirement is another environment; the disk would fill with the old ones."""
    world.scheduler.put(with_setup("pass", run=("echo 1 > $SUANMESH_SETUP/one",)))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        place = world.setups.of(world.scheduler.placements[NAME])
        assert place is not None
        world.setups.sweep(SystemClock().now().timestamp())
        assert (place / "one").exists()
        world.setups.sweep(SystemClock().now().timestamp() + KEPT_S + 60)
        assert not place.exists()


async def test_its_log_is_read_beside_those_of_tasks(world: FakeSite) -> None:
    """A setup of an hour is followed as a task is."""
    world.scheduler.put(with_setup("print('task')", run=("echo setup",)))
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        logs = Logs(world.engine, ByteBudget(total_bytes=2**20, share_bytes=2**20))
        last = LogView(1, 0, False)
        pieces = [piece async for piece, _ in logs.read(setup_key("p1"), 0, follow=True, view=last)]
    assert b"".join(pieces) == b"setup\n"
