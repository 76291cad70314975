"""What an agent is told, as `SUANMESH_AGENT_*`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.tasks import LOG_BYTES_MAX, PROCESSES_MAX, USERS_COUNT, USERS_FIRST
from suanmesh_chassis.settings import SECRET
from suanmesh_kernel.addresses import told_address
from suanmesh_kernel.owner_limits import SHARE_MILLI_MAX, OwnerLimits, WeekWindow, WorkKind, windows_of
from suanmesh_kernel.quantities import Device
from suanmesh_kernel.refusals import InvalidArgument

ENGINES = ("process", "slurm", "ray", "kubernetes")


class Devices(tuple[Device, ...]):
    """Declared accelerators, from JSON such as `[{"class": "gpu", "model": "x", "count": 2}]`."""

    def __new__(cls, text: str = "[]") -> Devices:
        """Read the JSON. Raises ValueError."""
        try:
            return super().__new__(cls, (_device(entry) for entry in json.loads(text or "[]")))
        except (TypeError, KeyError, AttributeError) as fault:
            raise ValueError(f"not a list of devices: {fault}") from fault


class Hours(tuple[WeekWindow, ...]):
    """Parts of a week, from text such as `mon-fri 18:00-08:00 +08:00`; in UTC without an offset."""

    def __new__(cls, text: str = "") -> Hours:
        """Read the text. Raises ValueError."""
        return super().__new__(cls, windows_of(text))


class Kinds(frozenset[WorkKind]):
    """Kinds of work, from text such as `array,data`."""

    def __new__(cls, text: str = "") -> Kinds:
        """Read the text. Raises ValueError."""
        return super().__new__(cls, (WorkKind(word.strip().upper()) for word in text.split(",") if word.strip()))


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One site's agent. Capacities of 0 are taken from the host."""

    site: str = ""
    """Last part of the site's name; lower-case letters, digits and hyphens."""
    data_dir: Path = Path("build/dev/agent")
    """Folder for identity, journal, replicas and tasks."""
    gateway: str = "127.0.0.1:7000"
    """`host:port` of the node's gateway, the one address the agent talks to; of several, separated by commas, one that
    answers."""
    invite: str = field(default="", metadata=SECRET)
    """What the node's operator made with `suan site invite`, where the folder holds no identity yet."""
    data_listen: str = "127.0.0.1:0"
    """`host:port` the data plane listens on; port 0 takes a free one and keeps it over restarts."""
    data_endpoint: str = ""
    """`host:port` others reach the data plane at, where that is not what it listens on; a host alone gets the port
    listened on."""
    no_inbound: bool = False
    """Whether nobody reaches this host: no port is listened on, and gateways carry calls to the data plane over streams
    that the agent opens."""
    display_name: str = ""
    """Name shown to people."""
    city_code: str = ""
    """City by its administrative division code, such as 520100."""
    latitude_microdegrees: int = 0
    """Degrees north times 10^6."""
    longitude_microdegrees: int = 0
    """Degrees east times 10^6."""
    residency: tuple[str, ...] = ()
    """Jurisdictions the site's data lies in, separated by commas."""
    pue_milli: int = 0
    """Power usage effectiveness in 1/1000; 0 where it is not known."""
    pool: str = "cpu"
    """Last part of the pool's name."""
    cpu_milli: int = 0
    """Processor time to offer, 1/1000 of a core."""
    memory_bytes: int = 0
    """Memory to offer, bytes."""
    scratch_bytes: int = 0
    """Scratch disk to offer, bytes."""
    devices: Devices = field(default_factory=Devices)
    """Declared accelerators in JSON; they are shown as SIMULATED, and take the place of those that are found."""
    offer_cards: bool = True
    """Whether the accelerator cards of this host are offered. Agents on one host do not know which cards another has
    given out: all but one of them offer none."""
    price_book: str = ""
    """Price book of the on-demand offer, `priceBooks/{book}`; empty offers nothing."""
    max_duration_s: int = 0
    """Longest run of one placement under the offer in seconds; 0 for no bound."""
    allow_parties: tuple[str, ...] = ()
    """Parties whose work is taken, separated by commas, such as `acme,beta`; empty for all. The site's own party is
    bound by none of these limits."""
    hours: Hours = field(default_factory=Hours)
    """When work of others is taken, such as `mon-fri 18:00-08:00 +08:00, sat 0:00-24:00`; in UTC without an offset,
    empty for always."""
    refuse_kinds: Kinds = field(default_factory=Kinds)
    """Kinds of work of others that are not taken, separated by commas: array, devices, data, and uploads for what they
    bring."""
    party_share_milli: int = 0
    """Most that the work of one other party may hold at a time, in 1/1000 of the pool; 0 for no bound."""
    upload_party_bytes: int = 0
    """Most that uploads of one other party may have here, bytes; 0 for no bound but the disk."""
    upload_bytes: int = 0
    """Most that uploads of all other parties may have together, bytes; 0 for no bound but the disk."""
    runtime_prefix: Path = Path(sys.base_prefix)
    """Python that tasks find as `python3`, such as an environment made for them; they may read it whole. It is not the
    agent's own environment, but the Python which that was made from, as long as nothing else is said."""
    package_mirror: str = ""
    """Where wheels come from that the `setup` of jobs asks for: `http(s)://...`, an index as pip has it, or a folder;
    the agent brings them itself, tasks reach it never. Empty for none."""
    bwrap: str = "bwrap"
    """The bubblewrap program, for an agent without root. Where it does not work, only tasks of the site's party run."""
    run_strangers_unsandboxed: bool = False
    """Whether tasks of other parties run where there is no sandbox: they can then read and change what this agent's
    user can, keys and other people's data included."""
    run_strangers_as_root: bool = False
    """Whether tasks of other parties run even as this host's superuser, where an agent with root has neither a sandbox
    nor a user of its own for each: they can then do everything, and sign in this site's name."""
    engine: str = ENGINES[0]
    """What runs tasks: `process`, on this host, `slurm`, on the nodes of the Slurm that this host hands jobs to,
    `ray`, on the nodes of the Ray cluster that this host is one of, or `kubernetes`, in pods of a cluster."""
    slurm_conf: str = ""
    """Path of slurm.conf, where it is not the system's."""
    slurm_programs: str = "/usr/local/bin:/usr/bin:/bin"
    """Folders of Slurm's programs, separated by colons."""
    slurm_partition: str = ""
    """Partition whose nodes are offered and used; empty for the default one."""
    slurm_options: tuple[str, ...] = ()
    """More options for sbatch, separated by commas, such as `--account=mesh`."""
    slurm_settle_s: float = 0.0
    """How long a job of Slurm's waits before it begins its task, seconds. With 12 a slurmctld that is killed costs no
    task; else those end that began within the seconds before, and run again."""
    ray_address: str = "auto"
    """`host:port` of the head of the Ray cluster; `auto` for the one that this host was started as a node of."""
    ray_python: Path = Path(sys.executable)
    """Python of the cluster's nodes, with their version of Ray; the agent's own has it from `suanmesh[ray]`."""
    ray_token_file: Path | None = None
    """File with the cluster's token, where it wants one."""
    kubernetes_config: str = ""
    """Path of the kubeconfig; empty in a pod, which has what it needs, and else for the user's own."""
    kubernetes_context: str = ""
    """Context of the kubeconfig; empty for the one in use."""
    kubernetes_namespace: str = "suanmesh-site"
    """Namespace of the pods of tasks, of nobody else's."""
    kubernetes_image: str = ""
    """Image of the pods: this version of Suanmesh, and what tasks find, Python among it."""
    kubernetes_python: str = "/opt/suanmesh/bin/python3"
    """The interpreter in the image that has Suanmesh. Tasks find that of `runtime_prefix`, in the image too."""
    kubernetes_claim: str = ""
    """Claim of the volume that this agent's folder lies on; empty where all nodes have it under the same path."""
    kubernetes_volume: str = ""
    """Folder that the volume's root lies at here; empty for the agent's own folder."""
    kubernetes_user: int = 0
    """User of the pods; 0 for this agent's own, or 10001 where that is root."""
    kubernetes_service_account: str = ""
    """Service account of the pods, whose token they never have; empty for the namespace's default."""
    kubernetes_runtime_class: str = ""
    """Runtime class of the pods, such as one whose containers are virtual machines."""
    kubernetes_priority_class: str = ""
    """Priority class of the pods."""
    kubernetes_node_selector: tuple[str, ...] = ()
    """Labels `KEY=VALUE` of the nodes that are offered and used, separated by commas; empty for all."""
    kubernetes_tolerations: tuple[str, ...] = ()
    """Keys of taints that keep no pod of a task away, separated by commas."""
    kubernetes_devices: tuple[str, ...] = ("gpu=nvidia.com/gpu",)
    """The cluster's name for each class of cards, `CLASS=NAME`, separated by commas."""
    inventory_every_s: float = 30.0
    """How often the nodes of a site with a scheduler of its own are looked at, seconds."""
    task_user_first: int = USERS_FIRST
    """Lowest user id given to a task by an agent with root; the ids must be nobody else's on this host."""
    task_users: int = USERS_COUNT
    """How many such ids there are; agents on one host may share them."""
    task_log_bytes: int = LOG_BYTES_MAX
    """What is kept of one task's log in bytes: of a longer one the beginning, a quarter of this, and the end."""
    task_processes: int = PROCESSES_MAX
    """Processes and threads one task may have at a time."""
    meter_every_s: float = 5.0
    """Length of an interval of usage records, seconds."""
    report_every_s: float = 1.0
    """Interval of state reports, seconds; the registry takes longer silence for trouble."""
    probe_every_s: float = 10.0
    """Interval of round-trip measurements towards other sites, seconds."""
    transfer_patience_s: float = 300.0
    """How long a transfer may stand still before it has failed, seconds."""
    stop_tasks: bool = False
    """Whether tasks are stopped when the agent is told to end; else they go on, and the next agent finds them."""
    lives_with: int = 0
    """Process id of whom the tasks must not outlive, however it ends, with or without this agent; 0 for nobody."""

    def __post_init__(self) -> None:
        told_address(self.data_listen, self.data_endpoint, field="data_endpoint")
        if self.engine not in ENGINES:
            raise InvalidArgument("FIELD_INVALID", f"engine: one of {', '.join(ENGINES)}", field="engine")
        for each in (*self.kubernetes_node_selector, *self.kubernetes_devices):
            if "=" not in each:
                raise InvalidArgument("FIELD_INVALID", f"{each!r} is not NAME=VALUE", field="kubernetes_node_selector")
        if min(self.cpu_milli, self.memory_bytes, self.scratch_bytes, self.max_duration_s) < 0:
            raise InvalidArgument("FIELD_INVALID", "a capacity is not negative", field="cpu_milli")
        if not 0 <= self.party_share_milli <= SHARE_MILLI_MAX:
            raise InvalidArgument("FIELD_INVALID", f"a share is 0 to {SHARE_MILLI_MAX}", field="party_share_milli")
        if min(self.upload_party_bytes, self.upload_bytes) < 0:
            raise InvalidArgument("FIELD_INVALID", "a bound is not negative", field="upload_bytes")
        if self.task_log_bytes < 1:
            raise InvalidArgument("FIELD_INVALID", "a task's log has room for a byte at least", field="task_log_bytes")
        if self.task_processes < 1:
            raise InvalidArgument("FIELD_INVALID", "a task is at least one process", field="task_processes")

    @property
    def limits(self) -> OwnerLimits:
        """What the owner refuses to others."""
        parties = frozenset(each if "/" in each else f"parties/{each}" for each in self.allow_parties)
        return OwnerLimits(
            parties,
            tuple(self.hours),
            frozenset(self.refuse_kinds),
            self.party_share_milli,
            self.upload_party_bytes,
            self.upload_bytes,
        )


def _device(entry: dict[str, Any]) -> Device:
    unknown = entry.keys() - {"class", "model", "count", "memory_bytes", "shareable"}
    if unknown:
        raise KeyError(f"unknown field {sorted(unknown)[0]}")
    return Device(
        device_class=str(entry["class"]),
        model=str(entry.get("model", "")),
        count=int(entry["count"]),
        memory_bytes=int(entry.get("memory_bytes", 0)),
        shareable=bool(entry.get("shareable", False)),
    )
