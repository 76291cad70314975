"""What `suan node check` and `suan doctor` say of certificates."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from suanmesh_kernel.clock import SystemClock
from suanmesh_local.check import ADDED_AGAIN, certificate_finding, findings_in
from suanmesh_local.facts import checked_facts, write_facts
from suanmesh_local.identities import Identities, Lives, found_identities
from suanmesh_sdk.renewal import Life, life_of

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
        (-0.5, "damaged", "43200 s: this machine's clock is behind"),
    ],
)
def test_the_days_left_are_told_with_what_they_mean(day: float, state: str, words: str) -> None:
    """An operator who is told too late has a node that nobody can talk to."""
    found = certificate_finding(LIFE, BEGIN + timedelta(days=day), "tls/registry/cert.pem")

    assert (found.state, words in found.detail) == (state, True), found.detail


SHORT = Lives(days=1e-9, user_days=1e-9)
"""Over by the time that anybody looks."""


def is_good(identities: Identities, who: str) -> bool:
    life = life_of((identities.of(who) / "cert.pem").read_bytes())
    return SystemClock().now() < life.end


def test_a_node_that_stood_still_for_a_month_gets_certificates_on_each_machine_that_can_issue(tmp_path: Path) -> None:
    """With those of one machine alone the others would turn it away, and the node would stay down."""
    first = checked_facts(
        "pilot", "a", 7443, machines=("a", "b"), etcd=("a", "b", "c"), sql="postgresql://suanmesh@db/suanmesh"
    )
    second = replace(first, host="b")
    founded = found_identities(tmp_path / "a", first, SHORT)
    shutil.copytree(founded.folder, tmp_path / "b")
    assert not is_good(founded, "registry")

    brought = found_identities(tmp_path / "b", second)

    assert all(is_good(brought, who) for who in ("registry", "etcd", "gateway", "operator"))
    issued = (brought.of("etcd") / "cert.pem").read_bytes()
    found_identities(tmp_path / "b", second)
    assert (brought.of("etcd") / "cert.pem").read_bytes() == issued, "those that are good are their services' to renew"


def test_a_machine_that_cannot_issue_is_told_what_to_do(tmp_path: Path) -> None:
    """One with a member of etcd alone would wait for a certificate that nobody brings."""
    facts = checked_facts("pilot", "a", 7443, machines=("a",), etcd=("a", "b", "c"))
    founded = found_identities(tmp_path / "tls", facts, SHORT)
    shutil.rmtree(founded.ca_dir)
    write_facts(tmp_path, replace(facts, host="c"))

    found_identities(founded.folder, replace(facts, host="c"))

    lapsed = [each for each in findings_in(tmp_path) if each.what == "certificate" and each.state == "damaged"]
    assert lapsed
    assert all(ADDED_AGAIN in each.detail for each in lapsed)
