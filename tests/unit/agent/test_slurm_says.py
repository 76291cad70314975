"""What Slurm's programs say, in our words."""

from __future__ import annotations

import pytest

from suanmesh_agent.engines.batched.port import THE_REST, Needs
from suanmesh_agent.engines.slurm.commands import options_of
from suanmesh_agent.engines.slurm.listing import (
    UNTYPED,
    Entry,
    devices_of,
    entries_of,
    full_by,
    is_for_good,
    nodes_of,
    waits_for,
)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Priority", "QUEUE_PRIORITY"),
        ("Resources", "QUEUE_RESOURCES"),
        ("QOSMaxCpuPerUserLimit", "QUEUE_LIMIT"),
        ("AssocGrpCpuLimit", "QUEUE_LIMIT"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "QUEUE_NODES"),
        ("(Nodes required for job are DOWN, DRAINED or reserved)", "QUEUE_NODES"),
        ("JobHeldAdmin", "QUEUE_HELD"),
        ("SomethingNewer", "QUEUE_HELD"),
        ("None", "QUEUE_SILENT"),
    ],
)
def test_every_reason_of_slurms_has_a_meaning(said: str, code: str) -> None:
    """A user reads why a task waits without knowing Slurm; a reason that a newer Slurm has must not be an error."""
    assert waits_for(said).code == code


def test_of_the_queue_only_what_is_ours_is_read() -> None:
    """A site has users of its own, and numbers of jobs come again: only the comment says whose a job is."""
    ours = "suanmesh/a/p1/0-1"
    listed = f"7|0|PENDING|Resources||{ours}\n7|N/A|PENDING|None||(null)\n7|1|RUNNING|None|n1|suanmesh/ab/p1/0-1\n|"
    (entry,) = entries_of(listed, "suanmesh/a/")
    (rest,) = entries_of(f"7|N/A|CANCELLED|None||{ours}", "suanmesh/a/")
    assert (rest.element, rest.stopped) == (THE_REST, True)
    assert entry == Entry("7", 0, "PENDING", "Resources", "", ours)
    assert (entry.waits, entry.ended) == (True, False)


@pytest.mark.parametrize(
    ("said", "code", "word"),
    [
        ("AssocMaxSubmitJobLimit\nsbatch: error: Job violates accounting", "QUEUE_LIMIT", "AssocMaxSubmitJobLimit"),
        ("QOSGrpSubmitJobsLimit\nsbatch: error: ...", "QUEUE_LIMIT", "QOSGrpSubmitJobsLimit"),
        ("Slurm temporarily unable to accept job, sleeping and retrying", "QUEUE_LIMIT", "temporarily unable"),
        ("Slurm job queue full, sleeping and retrying", "QUEUE_LIMIT", "queue full"),
        ("Batch job submission failed: Required partition not available (inactive or drain)", "QUEUE_NODES", "drain"),
        ("Batch job submission failed: System submissions disabled", "QUEUE_HELD", "disabled"),
    ],
)
def test_what_slurm_does_not_take_for_now_waits_and_says_for_what(said: str, code: str, word: str) -> None:
    """It is over when other jobs are, or the operator has mended it: no failure of the job, nor of the site."""
    found = full_by(f"sbatch: error: {said}")
    assert found is not None
    assert found.code == code
    assert word in found.facts["said"]


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: QOSMaxCpuPerJobLimit\nsbatch: error: Job violates accounting/QOS policy",
        "sbatch: error: Batch job submission failed: Invalid account",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    ],
)
def test_what_stays_so_is_no_queue(said: str) -> None:
    """It is the same tomorrow, and the job has a place elsewhere."""
    assert full_by(said) is None


@pytest.mark.parametrize(("nodes", "stopped"), [("", True), ("n1", False)])
def test_what_failed_to_be_launched_was_not_stopped_by_anybody(nodes: str, stopped: bool) -> None:
    """It is handed over again, where the operator's decision stands."""
    assert Entry("7", 0, "CANCELLED", "None", nodes, "").stopped is stopped


def test_nodes_that_no_job_is_sent_to_are_not_offered() -> None:
    """What is offered and cannot be had makes jobs wait that have a place elsewhere."""
    listed = """n1|4|8000|idle|main*
n2|8|16000+|mixed|main*
n3|8|16000|down*|main*
n4|8|16000|drained|main*
n5|8|16000|idle~|main*
n6|8|16000|idle*|main*
g1|64|256000|idle|gpu
n1|4|8000|idle|long
"""
    assert [node.name for node in nodes_of(listed) if node.usable] == ["n1", "n2", "n5"]
    assert [(node.name, node.cpus, node.memory_mib) for node in nodes_of(listed, "gpu")] == [("g1", 64, 256_000)]


def test_what_a_task_needs_is_rounded_up() -> None:
    """Slurm counts in processors, MiB and minutes: less than what was paid for would end the task before its time."""
    needs = Needs(cpu_milli=1001, memory_bytes=(1 << 30) + 1, duration_s=61)
    assert options_of(needs) == ["--cpus-per-task=2", "--mem=1025M", "--time=4"]


@pytest.mark.parametrize(
    ("gres", "found"),
    [
        ("(null)", []),
        ("gpu:2", [(UNTYPED, 2)]),
        ("gpu:a100:4(S:0-1),gpu:l4:1(S:1)", [("a100", 4), ("l4", 1)]),
        ("craynetwork:4,gpu:a100_3g.20gb:2,mps:400,shard:a100:8", [("a100_3g.20gb", 2)]),
        ("gpu:a100:2(IDX:0,3),gpu:a100:0", [("a100", 2)]),
    ],
)
def test_cards_of_a_node_are_offered_by_what_slurm_calls_them(gres: str, found: list[tuple[str, int]]) -> None:
    """A card that is not seen is never sold; parts of cards are no cards."""
    assert [(card.device_class, card.model, card.count) for card in devices_of(gres)] == [
        ("gpu", model, count) for model, count in found
    ]


def test_cards_are_asked_for_as_slurm_names_them() -> None:
    """One that Slurm knows no type of is refused under any name."""
    needs = Needs(1000, 0, 60, (("gpu", "a100", 2), ("gpu", UNTYPED, 1), ("gpu", "", 1)))
    assert options_of(needs)[0] == "--gres=gpu:a100:2,gpu:1,gpu:1"


@pytest.mark.parametrize(
    ("said", "for_good"),
    [
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", True),
        ("sbatch: error: invalid partition specified: nosuch", True),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", False),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", False),
        ("sbatch: error: Batch job submission failed: Invalid authentication credential", False),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination", True),
        ("something that nobody has seen yet", False),
    ],
)
def test_only_what_would_be_refused_again_is_given_up(said: str, for_good: bool) -> None:
    """A task must not fail because slurmctld was being restarted."""
    assert is_for_good(said) is for_good
