"""Every log key, span name, attribute and metric name. What is not here is not used.

Spans of RPCs and of etcd follow OpenTelemetry's stable RPC and database conventions; everything of ours begins with
`suanmesh.`. The tables of `docs/reference/telemetry.md` are made from this module; the Chinese meanings are in
`docs/telemetry.zh-CN.txt`.
"""

from __future__ import annotations

from typing import Final

# Spans of a job's chain, in its order.
DECIDE_JOB: Final = "decide job"
HOLD_PLACEMENT: Final = "hold placement"
COMMIT_PLACEMENT: Final = "commit placement"
TAKE_PLACEMENT: Final = "take placement"
STAGE_INPUTS: Final = "stage inputs"
MOVE_DATASET: Final = "move dataset"
RUN_TASK: Final = "run task"
METER_USAGE: Final = "meter usage"
RATE_USAGE: Final = "rate usage"
CHARGE_ACCOUNT: Final = "charge account"
DELIVER_OUTPUTS: Final = "deliver outputs"
HOLD_DELIVERY: Final = "hold delivery"
SETTLE_PLACEMENT: Final = "settle placement"
SETTLE_JOB: Final = "settle job"
HOLD_PATH: Final = "hold path"
SETTLE_RESERVATION: Final = "settle reservation"
MAKE_TRANSFER: Final = "make transfer"
SETTLE_TRANSFER: Final = "settle transfer"

SPANS: Final[dict[str, str]] = {
    DECIDE_JOB: "scheduler: candidates weighed, one chosen or an obstacle named for each",
    HOLD_PLACEMENT: "scheduler: path and money held on one lease",
    COMMIT_PLACEMENT: "scheduler: the one transaction that makes the placement real",
    TAKE_PLACEMENT: "agent: the placement seen on the watch, accepted or refused",
    STAGE_INPUTS: "agent: until every input is a verified replica at the site",
    MOVE_DATASET: "agent of the target: one dataset pulled, verified and made a replica",
    RUN_TASK: "agent: one task from its start to its end",
    METER_USAGE: "agent: usage records of one interval signed and sent",
    RATE_USAGE: "accounting: usage records rated with the prices they were quoted",
    CHARGE_ACCOUNT: "accounting: charges posted to the ledger",
    DELIVER_OUTPUTS: "agent: results imported as datasets and handed over",
    HOLD_DELIVERY: "scheduler: the way home of results held on a lease and committed with the placement",
    SETTLE_PLACEMENT: "scheduler: a placement brought to where its transfers, its site or a request have led",
    SETTLE_JOB: "scheduler: a job brought to where its placement stands",
    HOLD_PATH: "network_orchestrator: bandwidth booked on a path and tied to the round's lease",
    SETTLE_RESERVATION: "network_orchestrator: a reservation brought to where its placement has gone",
    MAKE_TRANSFER: "transport: one transfer given a source, a rate and a ticket",
    SETTLE_TRANSFER: "transport: a transfer ended because its placement has",
}

# Attributes of ours. `span(..., job="jobs/x")` sets `suanmesh.job`.
ATTRIBUTES: Final[dict[str, str]] = {
    "suanmesh.node": "name of the node, of every span",
    "suanmesh.layer": "layer of the report: facility, resource, application",
    "suanmesh.effect": "declared effect of the method: READ, IDEMPOTENT, KEYED, STREAM",
    "suanmesh.principal": "SPIFFE id of the caller",
    "suanmesh.party": "party the caller acts for",
    "suanmesh.request_id": "the call's request_id",
    "suanmesh.reason": "reason of the refusal",
    "suanmesh.attempts": "attempts a call took, the first included",
    "suanmesh.passed_on_to": "address of the instance to which the gateway passed a call on",
    "suanmesh.job": "name of the job",
    "suanmesh.placement": "name of the placement",
    "suanmesh.site": "name of the site",
    "suanmesh.task": "index of the task",
    "suanmesh.dataset": "name of the dataset",
    "suanmesh.transfer": "name of the transfer",
    "suanmesh.reservation": "name of the reservation",
    "suanmesh.state": "state that was reached",
    "suanmesh.candidates": "number of candidates weighed",
    "suanmesh.records": "number of records in the batch",
    "suanmesh.bytes": "bytes moved",
    "suanmesh.rate_bps": "rate that was reserved, bit/s",
}

# OpenTelemetry's conventions for RPC, stable names.
RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
PEER_ADDRESS: Final = "network.peer.address"
PEER_PORT: Final = "network.peer.port"
EFFECT: Final = "suanmesh.effect"
REASON: Final = "suanmesh.reason"
PRINCIPAL: Final = "suanmesh.principal"
PARTY: Final = "suanmesh.party"
REQUEST_ID: Final = "suanmesh.request_id"
ATTEMPTS: Final = "suanmesh.attempts"
PASSED_ON_TO: Final = "suanmesh.passed_on_to"
LAYER: Final = "suanmesh.layer"
NODE: Final = "suanmesh.node"
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE: Final = "service.instance.id"
SERVICE_VERSION: Final = "service.version"
HOST_NAME: Final = "host.name"
METHOD_OTHER: Final = "_OTHER"

LAYERS: Final[dict[str, str]] = {
    "gateway": "application",
    "registry": "resource",
    "scheduler": "resource",
    "network_orchestrator": "resource",
    "transport": "resource",
    "accounting": "resource",
    "agent": "facility",
}
"""Layer of the report that each area belongs to."""

# Keys of log lines.
LOG_KEYS: Final[dict[str, str]] = {
    "event": "constant phrase",
    "level": "debug, info, warning or error",
    "time": "UTC, RFC 3339",
    "area": "area of the process",
    "trace_id": "trace the line belongs to",
    "span_id": "span the line belongs to",
    "method": "full name of the method",
    "code": "gRPC code, as a name",
    "reason": "reason of the refusal",
    "message": "the refusal's message",
    "duration_ms": "how long it took, milliseconds",
    "peer": "address of the connection",
    "principal": "SPIFFE id of the caller",
    "request_id": "the call's request_id",
    "exception": "traceback of a defect",
    "settings": "effective settings, secrets left out",
    "address": "address listened on or talked to",
    "leader": "address of the area's leader",
    "state": "state that was reached",
    "dropped": "number of items that did not fit a bounded queue, or that could not be written",
    "job": "name of the job",
    "placement": "name of the placement",
    "reservation": "name of the reservation",
    "transfer": "name of the transfer",
    "site": "name of the site",
    "key_id": "who signs, and with which key",
    "pool": "name of the pool",
    "sequence": "sequence number within a stream",
    "work": "kind of work that failed",
    "item": "name of what the work was for",
    "component": "what a service relies on besides itself, such as accounting.ledger",
    "identity": "whose certificate it is: own, or the folder of one that the process keeps good besides",
    "until": "when it lapses, UTC, RFC 3339",
    "skew_s": "how far this clock is ahead of the other one, seconds; below zero behind it",
}

# Metrics.
SERVER_DURATION: Final = "rpc_server_call_duration_seconds"
CLIENT_DURATION: Final = "rpc_client_call_duration_seconds"
SPANS_DROPPED: Final = "suan_spans_dropped_total"
LOG_LINES_DROPPED: Final = "suan_log_lines_dropped_total"
COMPONENT_SERVING: Final = "suan_component_serving"
CLOCK_SKEW: Final = "suan_clock_skew_seconds"
DEFECTS: Final = "suan_defects_total"
QUARANTINED: Final = "suan_usage_quarantined"
QUARANTINE_REFUSED: Final = "suan_usage_quarantine_refused_total"
QUARANTINE_EXPIRED: Final = "suan_usage_quarantine_expired_total"
SITE_FAULTS: Final = "suan_site_faults_total"
BUILD: Final = "suan_build_info"
LOOP_LAG: Final = "suan_event_loop_lag_seconds"
WATCH_LAG: Final = "suan_watch_lag_seconds"
CERTIFICATE_EXPIRY: Final = "suan_certificate_expiry_seconds"
CERTIFICATE_LIFETIME: Final = "suan_certificate_lifetime_seconds"
ETCD_MEMBER_UP: Final = "suan_etcd_member_up"
ETCD_LED: Final = "suan_etcd_led"
ETCD_BYTES: Final = "suan_etcd_size_bytes"
READY: Final = "suan_ready"
LEADING: Final = "suan_leading"
SITES: Final = "suan_sites"
SITE_UP: Final = "suan_site_up"
SITE_CLOCK_AHEAD: Final = "suan_site_clock_ahead_seconds"
SITE_CPU: Final = "suan_site_cpu_cores"
SITE_CPU_FREE: Final = "suan_site_cpu_free_cores"
SITE_MEMORY: Final = "suan_site_memory_bytes"
SITE_MEMORY_FREE: Final = "suan_site_memory_free_bytes"
JOBS: Final = "suan_jobs"
JOBS_ENDED: Final = "suan_jobs_ended_total"
QUEUE_JOBS: Final = "suan_queue_jobs"
QUEUE_OLDEST: Final = "suan_queue_oldest_seconds"
LINK_CAPACITY: Final = "suan_link_capacity_bits_per_second"
LINK_RESERVED: Final = "suan_link_reserved_bits_per_second"
LINK_ROUND_TRIP: Final = "suan_link_round_trip_seconds"
TRANSFERS: Final = "suan_transfers"
TRANSFERRED: Final = "suan_transferred_bytes_total"
HOLDS: Final = "suan_holds"
HELD: Final = "suan_held_money"
BALANCE: Final = "suan_balance_money"
IMBALANCE: Final = "suan_ledger_imbalance_money"
BOOKS_CHECKED: Final = "suan_ledger_check_age_seconds"
PLACEMENTS: Final = "suan_site_placements"
DISK_FREE: Final = "suan_disk_free_bytes"
RELAYED_BYTES: Final = "suan_relayed_bytes_total"
PASSED_BYTES: Final = "suan_passed_through_bytes_total"

METRICS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    SERVER_DURATION: ("Duration of calls served, streams in full", ("rpc_method", "rpc_response_status_code")),
    CLIENT_DURATION: ("Duration of calls made, retries included", ("rpc_method", "rpc_response_status_code")),
    BUILD: ("Always 1: which version runs here", ("version",)),
    LOOP_LAG: ("How late the event loop comes to what is due, looked at twice a second", ()),
    WATCH_LAG: ("How long after a write of its own this process was told of it by its watch of etcd", ()),
    CERTIFICATE_EXPIRY: (
        "How long a certificate is good for, below zero once it has expired; process, ca, etcd",
        ("kind",),
    ),
    CERTIFICATE_LIFETIME: ("How long a certificate is good for altogether; process, ca, etcd", ("kind",)),
    ETCD_MEMBER_UP: ("Whether a member of etcd answers this process", ("member",)),
    ETCD_LED: ("Whether any member of etcd that answers knows of a leader; without one nothing is written", ()),
    ETCD_BYTES: ("How much a member of etcd keeps", ("member",)),
    READY: ("Whether calls may come to this process, as `/readyz` says", ()),
    LEADING: ("Whether this process leads its area; nothing where nobody leads", ()),
    SITES: ("Sites that have not left, by whether their agents are heard", ("liveness",)),
    SITE_UP: ("Whether the agent of a site is heard", ("site",)),
    SITE_CLOCK_AHEAD: (
        "How far the clock of a site is ahead of the registry's by its last report, once that is more than can be "
        "borne; else 0",
        ("site",),
    ),
    SITE_CPU: ("Processor time that a site offers", ("site",)),
    SITE_CPU_FREE: ("Processor time that nothing holds, as the agent said last", ("site",)),
    SITE_MEMORY: ("Memory that a site offers", ("site",)),
    SITE_MEMORY_FREE: ("Memory that nothing holds, as the agent said last", ("site",)),
    JOBS: ("Jobs that have not ended, by state", ("state",)),
    JOBS_ENDED: ("Jobs that have ended while this process led, by how", ("state",)),
    QUEUE_JOBS: ("Jobs that wait for a place, by the reason told last; UNDECIDED before there is one", ("reason",)),
    QUEUE_OLDEST: ("How long the job has waited that has waited longest", ()),
    LINK_CAPACITY: ("Declared capacity of a link", ("link",)),
    LINK_RESERVED: ("Bandwidth of a link that placements hold", ("link",)),
    LINK_ROUND_TRIP: ("Round trip between the ends of a link, as probed last", ("link",)),
    TRANSFERS: ("Transfers that have not been archived, by state", ("state",)),
    TRANSFERRED: ("Bytes that transfers have brought to their targets while this process led", ()),
    HOLDS: ("Holds of money that stand, by state", ("state",)),
    HELD: ("Money that holds keep from being spent", ("currency",)),
    BALANCE: ("Money in all accounts of a kind", ("currency", "kind")),
    IMBALANCE: ("What the ledger's postings, or its balances, sum up to; anything but 0 is wrong", ("currency", "of")),
    BOOKS_CHECKED: ("How long ago the ledger was summed up", ()),
    PLACEMENTS: ("Placements that a site's agent carries, by how far they are", ("stage",)),
    DISK_FREE: ("Room on the disk where the process keeps what it has", ()),
    SPANS_DROPPED: ("Spans that did not fit an export queue, or that their backend did not take", ("backend",)),
    LOG_LINES_DROPPED: ("Log lines that did not fit their queue, or that could not be written", ()),
    COMPONENT_SERVING: (
        "Whether what a service relies on does its part, 0 as while a disk is full",
        ("component",),
    ),
    CLOCK_SKEW: ("How far this clock is ahead of the gateway's, once that is more than can be borne; else 0", ()),
    QUARANTINED: ("Usage records kept that no hold pays for", ()),
    QUARANTINE_REFUSED: ("Usage records sent back because their site has too many that no hold pays for", ()),
    QUARANTINE_EXPIRED: ("Usage records dropped that no hold came to pay for", ()),
    SITE_FAULTS: ("Runs that a site failed before they began", ("site",)),
    RELAYED_BYTES: (
        "Bytes of calls carried between sites that only dial out and their callers, `to_site` or `from_site`",
        ("direction",),
    ),
    PASSED_BYTES: ("Bytes of connections that a gateway passed through to and from data planes of sites", ()),
    DEFECTS: ("Defects of ours that ended the work on one item", ("work",)),
}

DURATION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a call that only reads memory to one that uses up its default deadline."""
