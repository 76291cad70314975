"""The same content may be brought in any number of times, by anybody, at the same moment: it is there, and whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from suanmesh_agent.replicas import Replicas
from suanmesh_agent.testing import FakeSite, State, a_placement, write_numbers
from suanmesh_agent.trees import remove_tree
from suanmesh_content import Manifest, read_folder

AT_ONCE = 8
ROUNDS = 12
TAKE_IN = """
import sys
from pathlib import Path
from suanmesh_agent.replicas import Replicas
replicas = Replicas(Path(sys.argv[1]))
for folder in sys.argv[2:]:
    sys.stdin.readline()
    print(replicas.take_in({"": Path(folder)}).digest, flush=True)
"""


def whole(replicas: Replicas, digest: str) -> bool:
    """Whether what is kept is what it is called, byte by byte."""
    return replicas.has(digest) and read_folder(replicas.files(digest)).digest == replicas.manifest(digest).digest


def left_over(site: Path) -> list[Path]:
    return list((site / "incoming").iterdir())


def test_imports_of_the_same_content_that_end_together_all_succeed(tmp_path: Path) -> None:
    """Jobs that give the same answer are paid for alike: none may fail because another was as quick."""
    replicas, together = Replicas(tmp_path / "site"), Barrier(AT_ONCE)
    for turn in range(ROUNDS):
        folder = write_numbers(tmp_path / f"data-{turn}", 1, 1024 + turn)

        def take_in(_: int, folder: Path = folder) -> str:
            together.wait()
            return replicas.take_in({"": folder}).digest

        with ThreadPoolExecutor(AT_ONCE) as pool:
            digests = set(pool.map(take_in, range(AT_ONCE)))
        assert len(digests) == 1
        assert whole(replicas, digests.pop())
    assert left_over(tmp_path / "site") == []


def test_what_was_moved_here_and_what_was_made_here_meet(tmp_path: Path) -> None:
    """A transfer that ends while a job delivers the same bytes has brought them; failing it would fail its job."""
    replicas, together = Replicas(tmp_path / "site"), Barrier(AT_ONCE)
    for turn in range(ROUNDS):
        folder = write_numbers(tmp_path / f"data-{turn}", 1, 2048 + turn)
        manifest = read_folder(folder)
        for number in range(AT_ONCE):
            shutil.copytree(folder, replicas.incoming(f"transfer-{number}"))

        def adopt(number: int, manifest: Manifest = manifest) -> None:
            together.wait()
            replicas.adopt(f"transfer-{number}", manifest)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(adopt, range(AT_ONCE)))
        assert whole(replicas, manifest.digest)
    assert left_over(tmp_path / "site") == []


def test_two_processes_may_bring_the_same_content(tmp_path: Path) -> None:
    """`suanmesh-agent publish` runs beside the agent, and knows nothing of what that is doing."""
    folders = [str(write_numbers(tmp_path / f"data-{n}", 20, 512 + n)) for n in range(ROUNDS)]
    command = [sys.executable, "-c", TAKE_IN, str(tmp_path / "site"), *folders]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) for _ in range(3)]
    for folder in folders:
        digest = read_folder(Path(folder)).digest
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
        assert [process.stdout and process.stdout.readline().strip() for process in processes] == [digest] * 3
        assert whole(Replicas(tmp_path / "site"), digest)
    for process in processes:
        process.communicate(timeout=60)
    assert left_over(tmp_path / "site") == []


async def test_jobs_with_equal_results_are_all_delivered(tmp_path: Path) -> None:
    """Six paid jobs that print and write the same were five failures."""
    world = FakeSite(tmp_path)
    names = [f"placements/p{n}" for n in range(6)]
    gate = tmp_path / "gate"
    code = f"""
import pathlib, time
while not pathlib.Path({str(gate)!r}).exists():
    time.sleep(0.01)
print("same")
for number in range(40):
    pathlib.Path(f"out/{{number}}").write_text("same")
"""
    async with world.agent():
        for name in names:
            placement = a_placement(code, name)
            placement.job = name.replace("placements/p", "jobs/j")
            placement.work.ask.cpu_milli, placement.work.ask.memory_bytes = 100, 2**26
            world.scheduler.put(placement)
        for name in names:
            await world.scheduler.reported(name, State.STATE_RUNNING)
        gate.touch()
        for name in names:
            await world.scheduler.reported(name, State.STATE_DELIVERING)
    made = [dataset for name, dataset in world.transport.datasets.items() if name.endswith("-result")]
    assert len(made) == 6
    assert len({dataset.digest for dataset in made}) == 1


async def test_publishing_again_with_another_residency_is_no_mistake(tmp_path: Path) -> None:
    """Whoever forgot a label says the same with it; being refused for a call made before would help nobody."""
    world = FakeSite(tmp_path / "site")
    folder = write_numbers(tmp_path / "data", 1, 1024)
    async with world.agent():
        manifest = world.replicas.take_in({"": folder})
        for residency in ((), ("CN",), ("CN",)):
            assert await world.delivery.publish("d", "parties/p", manifest, residency=residency) == "datasets/d"


@pytest.mark.parametrize("what", ["nothing", "a file", "half a replica"])
def test_what_is_no_replica_makes_room_for_one(tmp_path: Path, what: str) -> None:
    """A disk that lost the half of a replica must not make its digest unusable at the site for good."""
    replicas = Replicas(tmp_path / "site")
    folder = write_numbers(tmp_path / "data", 1, 1024)
    place = replicas.files(read_folder(folder).digest).parent
    if what == "a file":
        place.write_text("")
    else:
        (place / "files" if what == "half a replica" else place).mkdir(parents=True)
    assert whole(replicas, replicas.take_in({"": folder}).digest)
    assert left_over(tmp_path / "site") == []


class Store(RuleBasedStateMachine):
    """Imports, transfers, restarts and damage in any order: what was ever brought in is there, and whole."""

    brought = Bundle("brought")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="suanmesh-replicas-"))
        self.replicas = Replicas(self.folder / "site")
        self.kept: set[str] = set()

    @rule(target=brought, content=st.sampled_from([b"", b"a", b"b" * 5000]), transfer=st.sampled_from(["t1", "t2"]))
    def arrives(self, content: bytes, transfer: str) -> str:
        files = self.replicas.incoming(transfer)
        files.mkdir(parents=True, exist_ok=True)
        (files / "x").write_bytes(content)
        return transfer

    @rule(transfer=brought)
    def is_adopted(self, transfer: str) -> None:
        if self.replicas.incoming(transfer).exists():
            manifest = read_folder(self.replicas.incoming(transfer))
            self.replicas.adopt(transfer, manifest)
            self.kept.add(manifest.digest)

    @rule(transfer=brought)
    def is_given_up(self, transfer: str) -> None:
        self.replicas.discard(transfer)

    @rule(content=st.sampled_from([b"", b"a", b"b" * 5000]), link=st.booleans())
    def is_imported(self, content: bytes, link: bool) -> None:
        made = self.folder / "made"
        made.mkdir(exist_ok=True)
        (made / "x").unlink(missing_ok=True)
        (made / "x").write_bytes(content)
        self.kept.add(self.replicas.take_in({"": made}, link=link).digest)

    @rule(content=st.sampled_from([b"", b"a", b"b" * 5000]))
    def is_kept(self, content: bytes) -> None:
        manifest = self.replicas.keep({"x": content})
        assert manifest.digest == self.replicas.keep({"x": content}).digest
        self.kept.add(manifest.digest)

    @rule()
    def starts_again(self) -> None:
        self.replicas = Replicas(self.folder / "site")
        self.replicas.sweep(0.0)

    @invariant()
    def is_whole(self) -> None:
        assert all(whole(self.replicas, digest) for digest in getattr(self, "kept", ()))

    def teardown(self) -> None:
        remove_tree(self.folder)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
