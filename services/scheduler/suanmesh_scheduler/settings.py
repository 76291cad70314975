"""Settings of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Filled from `SUANMESH_SCHEDULER_<FIELD>`."""

    database: str = ""
    """Where jobs and what belongs to them lie, as `postgresql://{user}@{host}/{database}`; empty: the data folder."""
    lead_with: str = ""
    """The records to lead with though others led the node before; what the others hold is lost."""
    sealing_keys: str = ""
    """File of the keys that secrets of jobs are sealed for, which all instances share; empty: in the data folder."""
    resync_s: float = 3.0
    """How often jobs are looked at again even when nothing was heard to change, in seconds."""
    waiting_jobs_max: int = 32
    """Jobs without a place that are decided again each time; the others have their turn the next times."""
    round_jobs_max: int = 100
    """Jobs decided, held for and committed together."""
    live_jobs_max: int = 10_000
    """Jobs of one party that have not ended; more are refused until some have."""
    jobs_per_s: float = 100.0
    """Jobs that one party may submit a second, for as long as it likes; one of many KiB counts as several."""
    jobs_burst: int = 1000
    """Jobs that one party may submit at once after a pause, counted the same way."""
    cancels_per_s: float = 100.0
    """Jobs that one party may cancel a second, for as long as it likes."""
    cancels_burst: int = 1000
    """Jobs that one party may cancel at once after a pause."""
    queued_items_max: int = 4000
    """Items of batches that wait or are worked on; more are refused until some are answered."""
    queued_items_of_party_max: int = 2000
    """The same for one party, so that others find room."""
    parallel_batches_max: int = 4
    """Batches worked on side by side."""
    round_lease_s: float = 10.0
    """How long the holds of a round live until they are committed, in seconds."""
    accept_s_max: float = 30.0
    """How long an agent may take to accept or refuse a placement, in seconds."""
    deliver_s_max: float = 86_400.0
    """How long results may wait for a way home, in seconds."""
    return_s_max: float = 600.0
    """How long a job that has no attempt left waits for its lost site to come back with what it ran, in seconds."""
    retention_s: float = 3600.0
    """How long an ended placement stays in etcd before it moves to the records, in seconds."""
    sweep_s: float = 60.0
    """How often ended placements are looked through for those that move, in seconds."""
    parallel_jobs_max: int = 16
    """Jobs looked at at the same time."""
