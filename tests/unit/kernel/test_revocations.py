"""Revocations: what was issued before is refused for good, what is issued afterwards is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import user_id
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.revocations import KEPT_DAYS, is_over, is_revoked, revoked_at
from suanmesh_sdk.invites import new_key, signing_request
from suanmesh_sdk.renewal import life_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ANN = user_id("demo", "acme", "ann")
PATH = "party/acme/user/ann"
CA = NodeCa.create("demo", HandClock(BEGIN - timedelta(days=1)))
REQUEST = signing_request(new_key())
pauses = st.floats(0, 600).map(lambda seconds: timedelta(seconds=seconds))


@given(st.lists(st.tuples(st.booleans(), pauses), min_size=1, max_size=8))
def test_certificates_are_good_from_the_last_revocation_on(story: list[tuple[bool, timedelta]]) -> None:
    """Whoever took a certificate away must have lost it by the revocation, and whoever joins anew must be let in."""
    clock = HandClock(BEGIN)
    ca = NodeCa(CA._key, CA.certificate, clock)
    revoked: dict[str, datetime] = {}
    standing: list[datetime] = []
    for revokes, pause in story:
        clock.advance(pause.total_seconds())
        if revokes:
            revoked[PATH] = revoked_at(clock.now(), revoked.get(PATH))
            assert all(is_revoked(PATH, begin, revoked) for begin in standing)
        else:
            begin = life_of(ca.sign_request(REQUEST, ANN, valid_from=revoked.get(PATH))).begin
            standing.append(begin)
            assert not is_revoked(PATH, begin, revoked)


@given(pauses)
def test_a_revocation_is_kept_as_long_as_what_it_refuses(pause: timedelta) -> None:
    """One that is forgotten too early lets in again whom it was to keep out."""
    end = BEGIN + timedelta(days=KEPT_DAYS)

    assert not is_over(BEGIN, end - pause - timedelta(seconds=1))
    assert is_over(BEGIN, end + pause)


def test_nobody_else_is_meant() -> None:
    """Of a party of a hundred one laptop was stolen."""
    revoked = {PATH: BEGIN}
    assert not is_revoked("party/acme/user/bob", BEGIN - timedelta(days=1), revoked)
    assert not is_revoked("site/ann/agent", BEGIN - timedelta(days=1), revoked)
