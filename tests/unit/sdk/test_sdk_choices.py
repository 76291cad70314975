"""Which instance, how long, how often: the choices behind every call."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh.registry.v1 import registry_service_pb2
from suanmesh_kernel.clock import system_rng
from suanmesh_kernel.refusals import Aborted, NotFound, ResourceExhausted, Unavailable
from suanmesh_sdk import Instance, InstanceState
from suanmesh_sdk.methods import declared
from suanmesh_sdk.picking import pick
from suanmesh_sdk.retries import (
    BUDGETS_MAX,
    DELAY_MAX_S,
    PAUSE_MAX_S,
    Budget,
    Budgets,
    is_free,
    may_repeat,
    pause_before,
)
from suanmesh_sdk.status import refusal_of_call
from suanmesh_sdk.unary import with_request_id

A, B, C = Instance("a"), Instance("b", leader=True), Instance("c")
REGISTRY = f"/{registry_service_pb2.DESCRIPTOR.services_by_name['RegistryService'].full_name}"


def picked(*instances: Instance, led: bool = False, hint: str = "", tried: tuple[str, ...] = (), **busy: int) -> str:
    return pick(instances, led=led, leader_hint=hint, tried=tried, in_flight=lambda address: busy.get(address, 0))


def test_a_read_goes_to_the_least_busy() -> None:
    """One slow instance must not hold up everybody."""
    assert picked(A, B, C, a=2, b=1, c=3) == "b"
    assert picked(A, B, C) == "a"


def test_a_write_goes_to_the_leader() -> None:
    """A follower could only refuse it."""
    assert picked(A, B, C, led=True, b=9) == "b"
    assert picked(A, C, led=True) == "a"


def test_what_is_starting_is_asked_only_where_nobody_else_is() -> None:
    """It would refuse, and a caller with one try left would be told so although others could answer."""
    starting = Instance("a", state=InstanceState.STARTING)
    assert picked(starting, C, c=9) == "c"
    assert picked(starting) == "a"


def test_a_method_goes_to_whom_it_says() -> None:
    """Reads are spread over instances; what changes something or needs reports that only the leader has is not."""
    assert not declared(f"{REGISTRY}/GetSite").led
    assert declared(f"{REGISTRY}/CreateParty").led
    assert declared("/grpc.health.v1.Health/Check").led


def test_a_hint_is_believed_until_it_fails() -> None:
    """The resolver may be behind; a wrong hint must not lock a caller out."""
    assert picked(A, B, C, led=True, hint="c") == "c"
    assert picked(A, B, C, led=True, hint="c", tried=("c",)) == "b"


def test_what_failed_comes_last_and_draining_never() -> None:
    """A retry against the same dead instance is no retry."""
    assert picked(A, C, tried=("a",)) == "c"
    assert picked(A, tried=("a",)) == "a"
    assert picked(Instance("a", state=InstanceState.DRAINING)) == ""


@given(st.integers(2, 40), st.integers())
def test_pauses_are_bounded(attempt: int, seed: int) -> None:
    """Many callers refused at once must neither come back at once nor never."""
    assert 0.01 <= pause_before(attempt, random.Random(seed)) <= PAUSE_MAX_S


@given(st.integers(2, 24), st.floats(0.001, 1000.0), st.integers())
def test_nobody_comes_back_sooner_than_told(attempt: int, told_s: float, seed: int) -> None:
    """A server that is full says when it has room; who comes sooner, or all at one moment, keeps it full."""
    pause = pause_before(attempt, random.Random(seed), told_s)
    assert min(told_s, DELAY_MAX_S) <= pause <= max(PAUSE_MAX_S, 1.5 * DELAY_MAX_S)


def test_nobody_spends_the_retries_of_others() -> None:
    """Behind a gateway one user whose calls all fail would leave nobody else a second try."""
    budgets = Budgets()
    while budgets.of("ann").take(100.0):
        pass
    assert budgets.of("bob").take(100.0)
    assert not budgets.of("ann").take(100.0)


def test_users_who_are_gone_are_forgotten() -> None:
    """A budget is small, a year of users is not."""
    budgets = Budgets()
    first = budgets.of("first")
    for number in range(BUDGETS_MAX):
        budgets.of(f"user-{number}")
    assert budgets.of("first") is not first


def test_what_reached_nobody_costs_nothing() -> None:
    """A retry that asked no server for anything cannot be what overloads it."""
    assert is_free(Unavailable("NOT_READY", "failed to connect to all addresses; last error: ..."))
    assert is_free(Unavailable("NOT_READY", "no instance of registry is known"))
    assert is_free(Unavailable("NOT_LEADER", "this instance does not lead", leader=""))
    assert not is_free(Unavailable("NOT_READY", "Socket closed"))
    assert not is_free(Unavailable("DISK_FULL", "the disk is full"))


def test_a_stream_that_was_not_taken_is_opened_again() -> None:
    """After a machine stood still for seconds all calls come at once, and a server takes some of them only: whoever was
    not taken failed once its user's retries were spent."""
    said = "Stream removed (RST_STREAM (Received RST_STREAM with error code 7))"
    not_taken = refusal_of_call("UNAVAILABLE", said, None)
    assert is_free(not_taken)
    assert may_repeat(declared(f"{REGISTRY}/ReportState"), not_taken)
    reset = refusal_of_call("UNAVAILABLE", said.replace("7", "2"), None)
    assert not is_free(reset)
    assert not may_repeat(declared(f"{REGISTRY}/ReportState"), reset)


def test_the_budget_runs_dry_and_refills() -> None:
    """A burst of failures ends in refusals, and a lone caller may still insist a minute later."""
    budget = Budget()
    assert sum(budget.take(100.0) for _ in range(50)) == 20
    for _ in range(11):
        budget.call_made()
    assert sum(budget.take(100.0) for _ in range(50)) == 1
    assert sum(budget.take(101.0) for _ in range(50)) == 2


def test_only_what_is_declared_repeatable_is_repeated() -> None:
    """A repeat with a second effect is worse than a failure."""
    away = Unavailable("NOT_READY", "")
    assert may_repeat(declared(f"{REGISTRY}/GetSite"), away)
    assert may_repeat(declared(f"{REGISTRY}/CreateParty"), away)
    assert not may_repeat(declared(f"{REGISTRY}/ReportState"), away)
    assert not may_repeat(declared("/grpc.health.v1.Health/Check"), away)
    assert not may_repeat(declared(f"{REGISTRY}/GetSite"), Aborted("CONFLICT", ""))
    assert not may_repeat(declared(f"{REGISTRY}/GetSite"), NotFound("SITE_UNKNOWN", ""))
    assert may_repeat(declared(f"{REGISTRY}/ReportState"), Unavailable("NOT_LEADER", ""))
    assert may_repeat(declared(f"{REGISTRY}/ReportState"), ResourceExhausted("STREAMS_OF_CALLER_MAX", ""))
    assert may_repeat(declared(f"{REGISTRY}/GetSite"), ResourceExhausted("BYTES_OF_CALLER_MAX", ""))
    assert not may_repeat(declared(f"{REGISTRY}/ReportState"), ResourceExhausted("BYTES_OF_CALLER_MAX", ""))
    assert not may_repeat(declared(f"{REGISTRY}/GetSite"), ResourceExhausted("MESSAGE_TOO_LARGE", ""))


def test_a_request_id_of_the_callers_own_is_kept() -> None:
    """A caller that repeats after a crash relies on its id."""
    mine = accounting_service_pb2.CreditAccountRequest(name="accounts/a", request_id="mine")
    assert with_request_id(mine, system_rng) is mine
    fresh = accounting_service_pb2.CreditAccountRequest(name="accounts/a")
    assert len(with_request_id(fresh, system_rng).request_id) == 32
    assert not fresh.request_id
    assert with_request_id(b"raw", system_rng) == b"raw"
