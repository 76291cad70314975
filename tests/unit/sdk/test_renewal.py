"""Certificates in files that renew: whatever is broken off, certificate and key fit, and the next attempt ends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import Unavailable
from suanmesh_sdk.renewal import LOCK, Renewal, Renewed, _alone
from suanmesh_sdk.tls import NEXT, Shown, Tls, fits

ANN = "spiffe://demo/party/acme/user/ann"
DAY_S = 86_400.0


class Desk:
    """A registry that certifies whatever it is asked for, unless it is away; a folder with a certificate of 3 days."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock(datetime.now(UTC))
        self.ca = NodeCa.create("demo", self.clock)
        self.asked: list[bytes] = []
        self.away = self.silent = False
        write_identity(folder, self.ca.issue(ANN, days=3))
        self.tls = Tls.of_folder(folder)
        self.renewal = Renewal(self.tls, self.clock, self.certify)

    async def certify(self, csr_der: bytes) -> Renewed:
        if self.away:
            raise Unavailable("NOT_READY", "away")
        self.asked.append(csr_der)
        made = Renewed(self.ca.sign_request(csr_der, ANN, days=3), self.ca.pem)
        if self.silent:
            raise Unavailable("NOT_READY", "the answer is lost")
        return made

    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.tls.read().certificate).serial_number

    def is_whole(self) -> bool:
        shown = self.tls.read()
        return fits(shown.certificate, shown.key)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "ann")


async def test_a_certificate_is_renewed_at_two_thirds_with_another_key(desk: Desk) -> None:
    """A key that is used for good is one that may have been copied at any time since."""
    before, key = desk.serial(), desk.tls.read().key
    assert not await desk.renewal.renew_if_due()

    desk.clock.advance(2.1 * DAY_S)

    assert await desk.renewal.renew_if_due()
    assert desk.serial() != before
    assert desk.tls.read().key != key
    assert desk.is_whole()
    assert not await desk.renewal.renew_if_due()


async def test_one_that_has_lapsed_asks_nobody(desk: Desk) -> None:
    """It does not get through a handshake any more: whoever has it is told by the call itself, not kept waiting."""
    desk.clock.advance(4 * DAY_S)

    assert not await desk.renewal.renew_if_due()
    assert desk.asked == []


async def test_a_renewal_that_fails_leaves_what_was_there(desk: Desk) -> None:
    """While the registry is away everybody works on with the certificate they have."""
    before = desk.serial()
    desk.clock.advance(2.1 * DAY_S)
    desk.away = True

    with pytest.raises(Unavailable):
        await desk.renewal.renew_if_due()

    assert desk.serial() == before
    assert desk.is_whole()
    desk.away = False
    assert await desk.renewal.renew_if_due()


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(desk: Desk) -> None:
    """Whoever repeats what may have been done asks for the same, not for one certificate more."""
    desk.clock.advance(2.1 * DAY_S)
    desk.silent = True
    with pytest.raises(Unavailable):
        await desk.renewal.renew_if_due()
    desk.silent = False

    assert await desk.renewal.renew_if_due()

    first, again = (x509.load_der_x509_csr(each).public_key() for each in desk.asked)
    assert first == again


async def test_a_process_that_dies_between_the_files_is_no_trouble(desk: Desk, tmp_path: Path) -> None:
    """Two files are not replaced in one step: a node whose machine lost power meanwhile must start again."""
    home = tmp_path / "ann"
    old_key = (home / "key.pem").read_bytes()
    await desk.renewal.renew()
    (home / f"key.pem{NEXT}").write_bytes((home / "key.pem").read_bytes())
    (home / "key.pem").write_bytes(old_key)  # as it was when the certificate had been replaced

    assert desk.is_whole()
    await desk.renewal.renew()
    assert desk.is_whole()
    assert not (home / f"key.pem{NEXT}").exists()


async def test_of_processes_that_share_an_identity_one_renews(desk: Desk, tmp_path: Path) -> None:
    """Two replicas that replace the same files at once would leave one's certificate with the other's key."""
    desk.clock.advance(2.1 * DAY_S)

    with _alone(tmp_path / "ann" / LOCK) as alone:
        assert alone
        assert not await desk.renewal.renew_if_due()
    assert desk.asked == []
    assert await desk.renewal.renew_if_due()


async def test_who_shows_a_certificate_shows_the_next_within_a_second(desk: Desk) -> None:
    """A process that reads its files once would show a certificate that has lapsed."""
    shown = Shown(desk.tls, desk.clock.monotonic)
    before = shown()
    desk.clock.advance(2)
    assert shown() is before

    await desk.renewal.renew()
    desk.clock.advance(2)

    assert shown() is not before
    assert fits(shown().certificate, shown().key)


def test_half_of_a_pair_is_not_shown(desk: Desk, tmp_path: Path) -> None:
    """A copy that somebody makes by hand arrives file by file."""
    shown = Shown(desk.tls, desk.clock.monotonic)
    before = shown()
    (tmp_path / "ann" / "key.pem").write_bytes(desk.ca.issue(ANN).key)
    desk.clock.advance(2)
    assert shown() is before


def test_a_life_is_that_of_the_certificate(desk: Desk) -> None:
    """What is counted from another moment renews too late."""
    life = desk.renewal.life()
    assert life.end - desk.clock.now() <= timedelta(days=3)
    assert life.begin < life.due < life.end
