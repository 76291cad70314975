"""How many of each thing a party or a site may have: nothing that is kept grows without end."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_kernel.refusals import ResourceExhausted


@dataclass(frozen=True, slots=True)
class Caps:
    """The most of each."""

    site_pools: int = 100
    party_sites: int = 1000
    party_tokens: int = 1000
    parties: int = 10_000


def require_pools(site: str, count: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`POOLS_TOO_MANY`) where a site would have `count` pools, and may not."""
    if count > caps.site_pools:
        raise ResourceExhausted(
            "POOLS_TOO_MANY", _said(site, count, "pools", caps.site_pools), name=site, most=caps.site_pools
        )


def require_sites(party: str, count: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`SITES_TOO_MANY`) where a party would have `count` sites, and may not."""
    if count > caps.party_sites:
        raise ResourceExhausted(
            "SITES_TOO_MANY", _said(party, count, "sites", caps.party_sites), name=party, most=caps.party_sites
        )


def require_tokens(party: str, count: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`JOIN_TOKENS_TOO_MANY`) where a party would have `count` of them, and may not."""
    if count > caps.party_tokens:
        raise ResourceExhausted(
            "JOIN_TOKENS_TOO_MANY",
            _said(party, count, "join tokens", caps.party_tokens),
            name=party,
            most=caps.party_tokens,
        )


def require_parties(name: str, count: int, caps: Caps) -> None:
    """Raise ResourceExhausted (`PARTIES_TOO_MANY`) where the node would have `count` parties, and may not."""
    if count > caps.parties:
        raise ResourceExhausted(
            "PARTIES_TOO_MANY", _said("the node", count, "parties", caps.parties), name=name, most=caps.parties
        )


def _said(who: str, count: int, what: str, most: int) -> str:
    return f"{who} would have {count} {what}, at most {most} are allowed"
