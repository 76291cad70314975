"""An agent renews its signing key before it lapses, and finishes what it was killed in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from suanmesh.registry.v1 import site_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_agent.signing_keys import KEY, NEXT, KeyRotation, SiteSigner
from suanmesh_chassis import Signer
from suanmesh_chassis.signing import key_id, load_signer, new_signing_key, private_pem, verify, window_from, window_to
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.private import write_private
from suanmesh_kernel.refusals import Unavailable
from suanmesh_registry.domain.signing_keys import fresh, rotated

AGENT = "spiffe://test/site/a/agent"
DAYS = 90.0


class Registered:
    """`SiteRegistry` by the registry's own rules; `lost` loses the answers to rotations."""

    def __init__(self, clock: HandClock) -> None:
        self.site = site_pb2.Site(name="sites/a", agent=AGENT)
        self.lost = False
        self._clock = clock

    def add(self, public_key: bytes) -> None:
        now = self._clock.now()
        keys = tuple(map(window_from, self.site.signing_keys))
        after = rotated(keys, fresh(key_id(AGENT, public_key), public_key, now, DAYS), now)
        del self.site.signing_keys[:]
        self.site.signing_keys.extend(map(window_to, after))

    async def get_site(self) -> site_pb2.Site:
        return self.site

    async def rotate_signing_key(self, rotation: signed_pb2.Signed) -> site_pb2.Site:
        said = site_pb2.SigningKeyRotation.FromString(rotation.payload)
        assert verify(rotation, said.public_key)
        self.add(said.public_key)
        if self.lost:
            raise Unavailable("NOT_READY", "the answer was lost")
        return self.site


class Place:
    """An agent's folder, and the registry it asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.registry = Registered(self.clock)
        write_private(folder / KEY, private_pem(new_signing_key()))
        self.first = load_signer(folder / KEY, AGENT)
        self.registry.add(self.first.public_key)

    def agent(self) -> tuple[KeyRotation, SiteSigner]:
        signer = SiteSigner(load_signer(self.folder / KEY, AGENT))
        return KeyRotation("sites/a", AGENT, self.folder, signer, self.registry, self.clock), signer


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_key_is_renewed_after_two_thirds_of_its_window(place: Place) -> None:
    """Without anybody's doing a site must not come to sign with a key that nobody believes."""
    rotation, signer = place.agent()
    place.clock.advance(timedelta(days=59).total_seconds())
    assert not await rotation.renew_if_due()
    assert signer.key_id == place.first.key_id
    place.clock.advance(timedelta(days=2).total_seconds())
    assert await rotation.renew_if_due()
    assert signer.key_id == key_id(AGENT, place.registry.site.signing_keys[-1].public_key) != place.first.key_id
    assert load_signer(place.folder / KEY, AGENT).key_id == signer.key_id
    assert not await rotation.renew_if_due()


async def test_a_renewal_that_was_cut_short_is_finished(place: Place) -> None:
    """An agent that is killed between two steps would otherwise leave a registered key that nobody has."""
    rotation, signer = place.agent()
    place.registry.lost = True
    with pytest.raises(Unavailable):
        await rotation.renew()
    assert signer.key_id == place.first.key_id
    made = load_signer(place.folder / NEXT, AGENT)
    place.registry.lost = False
    again, signer = place.agent()
    assert await again.renew_if_due()
    assert signer.key_id == made.key_id
    assert not (place.folder / NEXT).exists()
    assert len(place.registry.site.signing_keys) == 2


async def test_a_command_renews_the_key_of_an_agent_that_runs(place: Place) -> None:
    """Whoever fears that a key was seen renews it at once, and need not stop the site."""
    running, signer = place.agent()
    command, _ = place.agent()
    fresh_id = await command.renew()
    assert not await running.renew_if_due()
    assert signer.key_id == fresh_id


async def test_an_agent_whose_folder_was_restored_registers_a_key_that_is_known(place: Place) -> None:
    """With a key from an old copy nothing it says would be believed."""
    write_private(place.folder / KEY, private_pem(new_signing_key()))
    rotation, signer = place.agent()
    assert await rotation.renew_if_due()
    assert signer.key_id == key_id(AGENT, place.registry.site.signing_keys[-1].public_key)


def test_what_signs_is_a_signer(place: Place) -> None:
    """The meter vouches anew for records by the id of the key in use."""
    _, signer = place.agent()
    taken = Signer(new_signing_key(), AGENT)
    signer.take(taken)
    assert signer.sign("t", b"p").key_id == signer.key_id == taken.key_id
