"""Authorities in a folder: a rotation that one process begins is seen by the others, and leaves no key behind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from suanmesh_chassis.authorities import Authorities, UnderWay, forget, rotate
from suanmesh_chassis.ca import NodeCa
from suanmesh_kernel.clock import HandClock

OVERLAP = timedelta(days=30)
USER = "spiffe://demo/party/acme/user/ann"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def is_issued_by(pem: bytes, authority: x509.Certificate) -> bool:
    try:
        x509.load_pem_x509_certificate(pem).verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - cryptography names a wrong signature in several ways
        return False
    return True


def test_a_rotation_goes_its_way_while_a_registry_runs(tmp_path: Path, clock: HandClock) -> None:
    """Nobody restarts a registry on the right day three months from now."""
    NodeCa.create("demo", clock).save(tmp_path)
    running = Authorities.load(tmp_path, clock)
    first = running.issuing.certificate

    rotate(tmp_path, "demo", clock, OVERLAP)
    clock.advance(2)
    old, new = (each.certificate for each in running.trusted)
    assert old == first
    assert is_issued_by(running.issue(USER).certificate, first)
    assert running.issue(USER).ca.count(b"BEGIN CERTIFICATE") == 2

    clock.advance(OVERLAP.total_seconds())
    assert is_issued_by(running.issue(USER).certificate, new)
    assert running.issue(USER).ca.count(b"BEGIN CERTIFICATE") == 2
    with pytest.raises(UnderWay):
        rotate(tmp_path, "demo", clock, OVERLAP)

    clock.advance(OVERLAP.total_seconds())
    assert [each.certificate for each in running.trusted] == [new]
    assert running.issue(USER).ca.count(b"BEGIN CERTIFICATE") == 1


def test_keys_of_authorities_that_are_out_are_removed(tmp_path: Path, clock: HandClock) -> None:
    """A key that is worth nothing to its owner may be worth something to somebody else."""
    NodeCa.create("demo", clock).save(tmp_path)
    for number in range(1, 4):
        rotate(tmp_path, "demo", clock, OVERLAP)
        forget(tmp_path, clock)
        assert len(list(tmp_path.rglob("ca.key"))) == 2, number
        clock.advance(2 * OVERLAP.total_seconds())
        forget(tmp_path, clock)
        assert len(list(tmp_path.rglob("ca.key"))) == 1, number
        started = Authorities.load(tmp_path, clock)
        assert is_issued_by(started.issue(USER).certificate, started.trusted[0].certificate)


def test_one_that_was_broken_off_is_none(tmp_path: Path, clock: HandClock) -> None:
    """A machine that lost power while it made an authority must start with the one it has."""
    NodeCa.create("demo", clock).save(tmp_path)
    (tmp_path / "2.new").mkdir()
    assert Authorities.load(tmp_path, clock).rotation is None
    rotate(tmp_path, "demo", clock, OVERLAP)
    assert Authorities.load(tmp_path, clock).rotation is not None
