"""Where a transfer comes from, where it may go, and what a report makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_kernel.refusals import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument
from suanmesh_transport.domain.datasets import (
    Dataset,
    Replica,
    ReplicaState,
    published,
    republished,
    require_residency,
    with_replica,
)
from suanmesh_transport.domain.transfers import (
    TRANSITIONS,
    Ask,
    Place,
    Progress,
    Purpose,
    Receipt,
    Report,
    State,
    Transfer,
    arrived_before,
    cancelled,
    chosen_source,
    made,
    reported,
    require_valid_ask,
    settled,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
DIGEST = "ab" * 32
DATASET = Dataset(
    "datasets/d", "parties/acme", DIGEST, 1000, 2, (), (Replica("sites/a", ReplicaState.COMPLETE, NOW),), NOW
)
ASK = Ask(
    "transfers/t", "datasets/d", "", "sites/b", "placements/p", "reservations/r", 800, "accounts/x", Purpose.INPUT
)  # fmt: skip
RECEIPT = Receipt(DIGEST, 1000, 50, 0)


def a_place(site: str, *, endpoint: str = "127.0.0.1:1", alive: bool = True, lost: bool = False) -> Place:
    return Place(f"sites/{site}", endpoint, f"spiffe://test/site/{site}/agent", alive, lost)


def a_transfer(state: State = State.PENDING) -> Transfer:
    return replace(made(ASK, DATASET, a_place("a"), "parties/acme", NOW), state=state)


def test_a_replica_at_a_site_that_is_heard_of_is_read_first() -> None:
    """A transfer from a silent site waits for ever while another copy is at hand."""
    copies = [Replica(f"sites/{site}", ReplicaState.COMPLETE, NOW) for site in "abc"]
    dataset = replace(DATASET, replicas=tuple(copies))
    places = {p.site: p for p in (a_place("a", alive=False), a_place("b"), a_place("c"))}
    assert chosen_source(dataset, places).site == "sites/b"
    assert chosen_source(dataset, places, other_than="sites/b").site == "sites/c"
    assert chosen_source(dataset, places, wanted="sites/a").site == "sites/a"


@pytest.mark.parametrize(
    ("dataset", "places", "wanted", "reason"),
    [
        (replace(DATASET, replicas=()), [a_place("a")], "", "NO_REPLICA"),
        (replace(DATASET, replicas=(Replica("sites/a", ReplicaState.PARTIAL, NOW),)), [a_place("a")], "", "NO_REPLICA"),
        (DATASET, [a_place("a")], "sites/z", "NO_REPLICA"),
        (DATASET, [a_place("a", endpoint="")], "", "SITE_NOT_REACHABLE"),
        (DATASET, [a_place("a", lost=True)], "", "SITE_NOT_REACHABLE"),
        (DATASET, [], "", "SITE_NOT_REACHABLE"),
    ],
)
def test_a_dataset_nobody_can_read_is_refused_at_once(
    dataset: Dataset, places: list[Place], wanted: str, reason: str
) -> None:
    """A job must learn before it is placed that its data cannot come."""
    with pytest.raises(FailedPrecondition) as caught:
        chosen_source(dataset, {place.site: place for place in places}, wanted=wanted)
    assert caught.value.reason == reason


def test_a_receipt_with_the_right_digest_makes_it_done() -> None:
    """The only way to DONE: the bytes on the target's disk are the dataset's."""
    after = reported(a_transfer(State.ACTIVE), Report(State.DONE, NO_REASON, Progress(1000, 1, 1, 0), RECEIPT), LATER)
    assert (after.state, after.receipt, after.end_time) == (State.DONE, RECEIPT, LATER)
    assert reported(after, Report(State.DONE, NO_REASON, Progress(), RECEIPT), LATER + timedelta(1)) == after


def test_a_receipt_with_another_digest_is_data_loss() -> None:
    """Damaged data must never become a replica that jobs read from."""
    wrong = replace(RECEIPT, digest="cd" * 32)
    with pytest.raises(DataLoss) as caught:
        reported(a_transfer(), Report(State.DONE, NO_REASON, Progress(), wrong), LATER)
    assert caught.value.reason == "DIGEST_MISMATCH"
    with pytest.raises(InvalidArgument):
        reported(a_transfer(), Report(State.DONE, NO_REASON, Progress(), None), LATER)


@pytest.mark.parametrize("ended", [State.DONE, State.FAILED, State.CANCELLED])
@pytest.mark.parametrize("told", [State.ACTIVE, State.DONE, State.FAILED])
def test_an_ended_transfer_stays_ended(ended: State, told: State) -> None:
    """An agent that comes back late must not revive what the user has cancelled."""
    report = Report(told, StateReason("GONE"), Progress(), RECEIPT)
    if told is ended:
        assert reported(a_transfer(ended), report, LATER) == a_transfer(ended)
    else:
        with pytest.raises(FailedPrecondition) as caught:
            reported(a_transfer(ended), report, LATER)
        assert caught.value.reason == "TRANSITION_NOT_ALLOWED"
    assert cancelled(a_transfer(ended), StateReason("CANCELLED"), LATER) == a_transfer(ended)
    assert TRANSITIONS[ended] == frozenset()


amounts = st.integers(-5, 2000)


@given(st.lists(st.builds(Progress, amounts, amounts, amounts, amounts), max_size=6))
def test_progress_never_goes_back_or_over(told: list[Progress]) -> None:
    """A user who watches must not see bytes vanish because two reports crossed."""
    transfer = a_transfer()
    for progress in told:
        after = reported(transfer, Report(State.ACTIVE, NO_REASON, progress, None), LATER)
        assert after.progress.bytes_done >= transfer.progress.bytes_done
        assert 0 <= after.progress.bytes_done <= transfer.size_bytes
        transfer = after


@pytest.mark.parametrize(
    ("placement_open", "source", "target", "ends"),
    [
        (True, a_place("a", alive=False), a_place("b", alive=False), (State.ACTIVE, "")),
        (True, None, None, (State.ACTIVE, "")),
        (False, a_place("a"), a_place("b"), (State.CANCELLED, "PLACEMENT_ENDED")),
        (True, a_place("a", lost=True), a_place("b"), (State.FAILED, "SOURCE_LOST")),
        (True, a_place("a"), a_place("b", lost=True), (State.FAILED, "TARGET_LOST")),
    ],
)
def test_a_transfer_ends_with_its_placement_or_either_end(
    placement_open: bool, source: Place | None, target: Place | None, ends: tuple[State, str]
) -> None:
    """Bytes that nobody waits for, or that nobody can take, cost money and keep others off the path."""
    waiting = a_transfer(State.ACTIVE)
    after = settled(waiting, placement_open=placement_open, source=source, target=target, now=LATER)
    assert (after.state, after.state_reason.code) == ends
    assert (after == waiting) is (after.state is State.ACTIVE)


def test_data_that_is_there_already_does_not_move() -> None:
    """Nobody pays for bytes that never crossed a line."""
    done = arrived_before(replace(ASK, target="sites/a"), DATASET, "parties/acme", NOW)
    assert (done.state, done.receipt, done.source_endpoint, done.rate_bps) == (State.DONE, None, "", 0)


@pytest.mark.parametrize("field", ["placement", "reservation", "account"])
def test_a_user_cannot_move_data_at_the_cost_of_a_placement(field: str) -> None:
    """An account or a reservation named by a stranger must not pay."""
    own = replace(ASK, placement="", reservation="", account="", purpose=Purpose.COPY)
    require_valid_ask(own, by_service=False)
    require_valid_ask(ASK, by_service=True)
    with pytest.raises(InvalidArgument) as caught:
        require_valid_ask(replace(own, **{field: "x/y"}), by_service=False)
    assert caught.value.facts["field"] == field


@pytest.mark.parametrize(
    "ask",
    [
        replace(ASK, purpose=Purpose.COPY),
        replace(ASK, placement=""),
        replace(ASK, placement="", purpose=Purpose.RESULT),
    ],
)
def test_what_a_transfer_is_for_is_said_with_its_placement(ask: Ask) -> None:
    """A result that passes for an input is not waited for, and its carrier is not paid."""
    with pytest.raises(InvalidArgument) as caught:
        require_valid_ask(ask, by_service=True)
    assert caught.value.facts["field"] == "purpose"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("digest", "AB" * 32),
        ("digest", "ab"),
        ("size_bytes", -1),
        ("files", -1),
        ("party", "acme"),
        ("residency", ("",)),
    ],
)
def test_a_dataset_that_cannot_be_is_refused(field: str, value: object) -> None:
    """A name that stands for nothing readable would fail jobs later."""
    with pytest.raises(InvalidArgument):
        published("d", replace(DATASET, **{field: value}), "sites/a", NOW)


def test_publishing_again_adds_the_replica_and_nothing_else() -> None:
    """A second site that has the same data makes the dataset nearer; a result must not take the place of another."""
    again = published("d", DATASET, "sites/b", LATER)
    both = republished(DATASET, again, LATER)
    assert both.complete_sites == ("sites/a", "sites/b")
    assert republished(both, again, LATER + timedelta(1)) == both
    with pytest.raises(AlreadyExists):
        republished(DATASET, replace(again, digest="cd" * 32), LATER, by_placement=True)
    with pytest.raises(AlreadyExists):
        republished(DATASET, replace(again, party="parties/other"), LATER)


def test_other_content_is_the_next_version_which_takes_over_what_is_not_said_anew() -> None:
    """Who bound data to a jurisdiction once must not find the next version of it elsewhere."""
    bound = replace(DATASET, residency=("cn",), labels={"team": "vision"}, versions=4)
    other = replace(published("d", DATASET, "sites/b", LATER), digest="cd" * 32)
    made = republished(bound, other, LATER)
    assert (made.pinned, made.versions, made.residency, made.labels) == ("datasets/d@5", 5, ("cn",), {"team": "vision"})
    assert made.complete_sites == ("sites/b",)
    said = republished(bound, replace(other, residency=("eu",), labels={"team": "audio"}), LATER)
    assert (said.residency, said.labels) == (("eu",), {"team": "audio"})


def test_a_whole_replica_is_not_lost_to_a_partial_one() -> None:
    """A transfer towards a site that has the data must not take it away when it fails."""
    assert with_replica(DATASET, "sites/a", ReplicaState.PARTIAL, LATER) == DATASET
    partial = with_replica(DATASET, "sites/b", ReplicaState.PARTIAL, LATER)
    assert partial.complete_sites == ("sites/a",)
    assert with_replica(partial, "sites/b", ReplicaState.COMPLETE, LATER).complete_at("sites/b")


@pytest.mark.parametrize(
    ("allowed", "lies_in", "fine"),
    [
        ((), (), True),
        ((), ("us",), True),
        (("cn",), ("cn",), True),
        (("cn",), (), False),
        (("cn",), ("cn", "us"), False),
    ],
)
def test_data_stays_within_its_jurisdictions(allowed: tuple[str, ...], lies_in: tuple[str, ...], fine: bool) -> None:
    """A copy outside of the law's reach cannot be called back."""
    dataset = replace(DATASET, residency=allowed)
    if fine:
        require_residency(dataset, "sites/b", lies_in)
        return
    with pytest.raises(FailedPrecondition) as caught:
        require_residency(dataset, "sites/b", lies_in)
    assert caught.value.reason == "RESIDENCY_DENIED"
