"""The key a site signs with, renewed before its window ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import structlog

from suanmesh.registry.v1 import site_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis.signing import Signer, load_signer, new_signing_key, private_pem, windows_by_id
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.private import write_private
from suanmesh_kernel.refusals import Refusal

log = structlog.get_logger()

KEY = "signing.key"
NEXT = "signing.key.next"
"""A key that is being registered; it takes the place of the one in use once the registry has it."""
CHECK_S = 600.0
"""How often the window of the key is looked at, seconds: well within the hour for which a replaced one is good."""
AGAIN_S = 5.0
"""How soon it is tried again after it was refused, seconds: until then a key that has lapsed bills nothing."""
_ROTATION_TYPE = site_pb2.SigningKeyRotation.DESCRIPTOR.full_name


class SiteRegistry(Protocol):
    """What is asked of the registry about the keys of one's own site."""

    async def get_site(self) -> site_pb2.Site:
        """The site as it is registered. Raises Refusal."""

    async def rotate_signing_key(self, rotation: signed_pb2.Signed) -> site_pb2.Site:
        """Have a key registered; safe to repeat. Raises Refusal."""


class SiteSigner:
    """Signs as the site, with the newest of its keys."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def key_id(self) -> str:
        """The key it signs with."""
        return self._signer.key_id

    def sign(self, payload_type: str, payload: bytes) -> signed_pb2.Signed:
        """Vouch for `payload`."""
        return self._signer.sign(payload_type, payload)

    def take(self, signer: Signer) -> None:
        """Sign with another key from now on."""
        self._signer = signer


class KeyRotation:
    """Renews the key in `folder` when two thirds of its window have passed, or when it is asked to."""

    def __init__(
        self, site: str, identity: str, folder: Path, signer: SiteSigner, registry: SiteRegistry, clock: Clock
    ) -> None:
        self._site = site
        self._identity = identity
        self._folder = folder
        self._signer = signer
        self._registry = registry
        self._clock = clock

    async def run(self) -> None:
        """Look after the key, for good."""
        while True:
            pause_s = CHECK_S
            try:
                await self.renew_if_due()
            except Refusal as refusal:
                pause_s = AGAIN_S
                log.warning("signing key not renewed", reason=refusal.reason, message=refusal.message)
            await asyncio.sleep(pause_s)

    async def renew_if_due(self) -> bool:
        """Whether another key was registered: where one is due, was begun, or the registry lacks the one in use."""
        self._signer.take(load_signer(self._folder / KEY, self._identity))  # a command may have renewed it
        site = await self._registry.get_site()
        window = windows_by_id(site.signing_keys).get(self._signer.key_id)
        begun = (self._folder / NEXT).exists()
        if window is not None and not begun and not window.due(self._clock.now()):
            return False
        await self.renew()
        return True

    async def renew(self) -> str:
        """Register another key, use it from now on, and give its id. Ended midway it is finished by the next call."""
        made = self._folder / NEXT
        if not made.exists():
            write_private(made, private_pem(new_signing_key()))
        signer = load_signer(made, self._identity)
        rotation = site_pb2.SigningKeyRotation(site=self._site, public_key=signer.public_key)
        try:
            await self._registry.rotate_signing_key(signer.sign(_ROTATION_TYPE, rotation.SerializeToString()))
        except Refusal as refusal:
            if refusal.reason == "SIGNING_KEY_LAPSED":
                made.unlink()  # it was registered long ago, and never used
            raise
        made.replace(self._folder / KEY)
        self._signer.take(signer)
        log.info("signing key renewed", key_id=signer.key_id)
        return signer.key_id
