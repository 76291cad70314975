"""Sites: places with compute, each with one agent."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from suanmesh_kernel.addresses import RELAY, host_of, is_everywhere
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.names import checked_id
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied
from suanmesh_registry.domain.liveness import Liveness
from suanmesh_registry.domain.parties import checked_display_name

RESIDENCY_LABELS_MAX = 16
_RESIDENCY = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_CITY_CODE = re.compile(r"[0-9]{6}")
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:]{2,45}\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Site:
    """A place with compute, run by one provider."""

    name: str
    party: str
    display_name: str
    city_code: str
    latitude_microdegrees: int
    longitude_microdegrees: int
    residency: tuple[str, ...]
    pue_milli: int | None
    agent: str
    data_endpoint: str
    signing_keys: tuple[KeyWindow, ...]
    liveness: Liveness
    create_time: datetime


def enrolled(site_id: str, asked: Site, party: str, agent: str, key: KeyWindow, now: datetime) -> Site:
    """The site as recorded when its `agent` spends a join token of `party` and brings its first `key`.

    It begins SUSPECT: nothing is placed there until its agent is heard. Raises InvalidArgument (`FIELD_INVALID`).
    """
    checked_id(site_id, field="site_id")
    checked_display_name(asked.display_name, field="site.display_name")
    _check_place(asked)
    checked_endpoint(asked.data_endpoint, field="site.data_endpoint")
    return replace(
        asked,
        name=f"sites/{site_id}",
        party=party,
        agent=agent,
        signing_keys=(key,),
        liveness=Liveness.SUSPECT,
        create_time=now,
    )


def checked_endpoint(text: str, *, field: str) -> str:
    """Return `text` if it is empty, `RELAY`, or a `host:port` that others can reach.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    if text == RELAY:
        return text
    fits = not text or (_ENDPOINT.fullmatch(text) and 0 < int(text.rpartition(":")[2]) < 65_536)
    if not fits:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {text[:80]!r} is not host:port", field=field)
    if text and is_everywhere(host_of(text)):
        raise InvalidArgument("FIELD_INVALID", f"{field}: {text} is every address of a machine", field=field)
    return text


def require_pool_of(site: str, name: str) -> None:
    """Raise PermissionDenied (`NOT_OWNER`) unless the pool `name` is one of `site`."""
    if not name.startswith(f"{site}/pools/"):
        raise PermissionDenied("NOT_OWNER", f"{name[:200]} is not a pool of {site}", name=name[:200], site=site)


def _check_place(asked: Site) -> None:
    _check(not asked.city_code or _CITY_CODE.fullmatch(asked.city_code), "city_code", "must be six digits")
    _check(abs(asked.latitude_microdegrees) <= 90_000_000, "latitude_microdegrees", "is beyond a pole")
    _check(abs(asked.longitude_microdegrees) <= 180_000_000, "longitude_microdegrees", "is beyond 180 degrees")
    _check(len(asked.residency) <= RESIDENCY_LABELS_MAX, "residency", f"at most {RESIDENCY_LABELS_MAX} labels")
    _check(all(_RESIDENCY.fullmatch(label) for label in asked.residency), "residency", "labels are like `cn`")
    _check(asked.pue_milli is None or asked.pue_milli >= 1_000, "pue_milli", "a PUE is at least 1.000")


def _check(fits: object, field: str, problem: str) -> None:
    if not fits:
        raise InvalidArgument("FIELD_INVALID", f"site.{field}: {problem}", field=f"site.{field}")
