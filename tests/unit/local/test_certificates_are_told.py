"""What `suan node check` and `suan doctor` say of certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from suanmesh_local.check import certificate_finding
from suanmesh_sdk.renewal import Life

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LIFE = Life(BEGIN, BEGIN + timedelta(days=9), BEGIN + timedelta(days=6))


@pytest.mark.parametrize(
    ("day", "state", "words"),
    [
        (0.0, "ok", "9.0 days left"),
        (6.5, "ok", "2.5 days left"),
        (7.0, "warning", "ought to have been renewed"),
        (8.9, "warning", "0.1 days left"),
        (9.0, "damaged", "lapsed 0.0 days ago"),
        (11.0, "damaged", "lapsed 2.0 days ago"),
    ],
)
def test_the_days_left_are_told_with_what_they_mean(day: float, state: str, words: str) -> None:
    """An operator who is told too late has a node that nobody can talk to."""
    found = certificate_finding(LIFE, BEGIN + timedelta(days=day), "tls/registry/cert.pem")

    assert (found.state, words in found.detail) == (state, True), found.detail
