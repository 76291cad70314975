"""Parties, join tokens, sites and descriptors: what is taken, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_kernel.refusals import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
)
from suanmesh_registry.domain import parties, pools, signing_keys, sites, tokens
from suanmesh_registry.domain.liveness import Liveness
from suanmesh_registry.domain.pools import Capability, Descriptor, Host, Observed, Phase

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = tokens.keys_digest(b"tls", b"signing")
AGENT = "spiffe://demo/site/a/agent"
KEY = signing_keys.fresh(f"{AGENT}#k", b"k" * 32, NOW, 90)


def a_token(ttl_s: int = 60) -> tuple[tokens.JoinToken, tokens.ShownToken]:
    kept, text = tokens.issued("parties/p", "", ttl_s, "ca", NOW, tokens.TokenKey("t1", "5e" * 32))
    return kept, tokens.shown(text)


def a_descriptor(**changes: object) -> Descriptor:
    whole = Descriptor(
        name="sites/a/pools/main",
        architecture="x86_64",
        hosts=(Host("h1"), Host("h2", Capacity(500, 100, 10))),
        host_capacity=Capacity(1000, 200, 20),
        runtimes=("python3.11",),
        capabilities=(Capability("sha256_bytes_per_s", 10, "B/s"),),
        offers=("sites/a/pools/main/offers/standard",),
        generation=1,
        origin_known=True,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def a_site(**changes: object) -> sites.Site:
    whole = sites.Site(
        "", "", "A", "520100", 26_000_000, 106_000_000, ("cn",), 1_200, "", "", (), Liveness.SUSPECT, NOW
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_token_is_spent_once() -> None:
    """A token that leaks after its use must not let a second machine in."""
    kept, bearer = a_token()
    spent = tokens.spent_by_site(kept, bearer, "sites/a", KEYS, NOW)

    with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
        tokens.spent_by_site(spent, bearer, "sites/b", KEYS, NOW)
    with pytest.raises(AlreadyExists, match="SITE_EXISTS"):
        tokens.spent_by_site(spent, bearer, "sites/a", tokens.keys_digest(b"other", b"signing"), NOW)


def test_a_repeat_after_a_lost_answer_is_answered_again_even_late() -> None:
    """An agent whose first answer was lost must not be locked out of its own name."""
    kept, bearer = a_token()
    spent = tokens.spent_by_site(kept, bearer, "sites/a", KEYS, NOW)

    assert tokens.spent_by_site(spent, bearer, "sites/a", KEYS, NOW + timedelta(days=2)) is spent


def test_a_lapsed_or_wrong_token_is_refused_alike() -> None:
    """Guessing must not learn which part was wrong."""
    kept, bearer = a_token(ttl_s=60)
    late = pytest.raises(Unauthenticated)
    with late as first:
        tokens.spent_by_site(kept, bearer, "sites/a", KEYS, NOW + timedelta(seconds=60))
    with pytest.raises(Unauthenticated) as second:
        tokens.spent_by_site(kept, tokens.ShownToken(kept.name, "guess"), "sites/a", KEYS, NOW)

    assert str(first.value) == str(second.value)


def test_the_secret_is_not_kept() -> None:
    """Whoever reads etcd must not be able to join."""
    kept, bearer = a_token()

    assert bearer.secret == "5e" * 32
    assert bearer.secret.encode() not in kept.secret_digest
    assert bearer.secret not in repr(kept)


@given(st.text(max_size=500))
def test_no_text_but_a_token_is_a_token(text: str) -> None:
    """The enrolment listener hears from anyone."""
    with pytest.raises(Unauthenticated):
        tokens.shown("x" + text)


def test_only_an_approved_party_does_new_things() -> None:
    """A suspended party must not grow."""
    party = parties.registered("p", parties.PartyKind.CONSUMER, "P", "CNY", NOW)
    parties.require_approved(party)

    with pytest.raises(FailedPrecondition, match="PARTY_NOT_APPROVED"):
        parties.require_approved(replace(party, state=parties.PartyState.SUSPENDED))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("P p", parties.PartyKind.CONSUMER, "P", "CNY"), "party_id"),
        (("p", None, "P", "CNY"), "party.kind"),
        (("p", parties.PartyKind.CONSUMER, "P", "yuan"), "party.currency"),
        (("p", parties.PartyKind.CONSUMER, "a\nb", "CNY"), "party.display_name"),
    ],
)
def test_a_wrong_party_is_refused_by_field(arguments: tuple[str, parties.PartyKind, str, str], field: str) -> None:
    """The operator must see what to correct."""
    with pytest.raises(InvalidArgument) as caught:
        parties.registered(*arguments, NOW)

    assert caught.value.facts["field"] == field


def test_a_site_begins_suspect_and_gets_what_the_service_sets() -> None:
    """An agent must not choose its party or its identity, nor be placed on before it is heard."""
    asked = a_site(
        name="sites/evil", party="parties/rich", agent="spiffe://demo/service/registry", liveness=Liveness.ALIVE
    )

    site = sites.enrolled("a", asked, "parties/p", AGENT, KEY, NOW)

    assert (site.name, site.party, site.agent) == ("sites/a", "parties/p", "spiffe://demo/site/a/agent")
    assert site.liveness is Liveness.SUSPECT
    assert site.signing_keys == (KEY,)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"city_code": "Guiyang"}, "site.city_code"),
        ({"latitude_microdegrees": 90_000_001}, "site.latitude_microdegrees"),
        ({"longitude_microdegrees": -180_000_001}, "site.longitude_microdegrees"),
        ({"residency": ("CN!",)}, "site.residency"),
        ({"pue_milli": 900}, "site.pue_milli"),
        ({"data_endpoint": "nowhere"}, "site.data_endpoint"),
        ({"data_endpoint": "host:70000"}, "site.data_endpoint"),
        ({"data_endpoint": "0.0.0.0:7443"}, "site.data_endpoint"),
        ({"data_endpoint": "[::]:7443"}, "site.data_endpoint"),
    ],
)
def test_a_wrong_site_is_refused_by_field(changes: dict[str, object], field: str) -> None:
    """A typing error in a folder of settings must be told to who made it."""
    with pytest.raises(InvalidArgument) as caught:
        sites.enrolled("a", a_site(**changes), "parties/p", AGENT, KEY, NOW)

    assert caught.value.facts["field"] == field


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "pools/main"},
        {"generation": 0},
        {"origin_known": False},
        {"architecture": "x86 64"},
        {"hosts": ()},
        {"hosts": (Host("h"), Host("h"))},
        {"host_capacity": Capacity(-1, 0, 0)},
        {"host_capacity": Capacity(1, 1, 1, (Device("gpu", "A", 0),))},
        {"host_capacity": Capacity(2**62, 0, 0)},
        {"hosts": (Host("h", Capacity(0, 2**62, 0)),)},
        {"host_capacity": Capacity(0, 0, 2**62)},
        {"host_capacity": Capacity(1, 1, 1, (Device("gpu", "A", 2**31 - 1),))},
        {"host_capacity": Capacity(1, 1, 1, (Device("gpu", "A", 1, 2**62),))},
        {"host_capacity": Capacity(1, 1, 1, tuple(Device("gpu", f"A{n}", 1) for n in range(17)))},
        {"capabilities": (Capability("q", -1, "u"),)},
        {"offers": ("sites/b/pools/main/offers/o",)},
        {"runtimes": ("python 3",)},
    ],
)
def test_a_descriptor_that_cannot_be_true_is_refused(changes: dict[str, object]) -> None:
    """The scheduler must never meet a negative host."""
    pools.checked(a_descriptor())

    with pytest.raises(InvalidArgument, match="FIELD_INVALID"):
        pools.checked(a_descriptor(**changes))


def test_all_that_sites_can_declare_fits_64_bits() -> None:
    """One site's boast must not be what the scheduler stumbles over when it adds up."""
    cards = Device("gpu", "A", pools.DEVICE_COUNT_MAX, pools.DEVICE_MEMORY_BYTES_MAX)
    largest = Capacity(pools.CPU_MILLI_MAX, pools.MEMORY_BYTES_MAX, pools.SCRATCH_BYTES_MAX, (cards,))
    hosts = tuple(Host(f"h{n}") for n in range(pools.HOSTS_MAX))
    together = pools.checked(a_descriptor(hosts=hosts, host_capacity=largest)).capacity()
    hundred = (100 * amount for amount in (together.cpu_milli, together.memory_bytes, together.scratch_bytes))
    assert max(hundred) < 2**63
    assert sum(card.count * card.memory_bytes for card in together.devices) * pools.DEVICE_KINDS_MAX < 2**63


def test_a_claim_is_confirmed_or_refuted_by_the_first_report() -> None:
    """Nothing is placed on a claim that its own agent contradicts."""
    declared = a_descriptor().capacity()

    def after(phase: Phase, liveness: Liveness, free: Capacity | None) -> Phase:
        return pools.settled(phase, liveness, declared, Observed(free) if free else None)

    assert after(Phase.VERIFYING, Liveness.ALIVE, None) is Phase.VERIFYING
    assert after(Phase.VERIFYING, Liveness.ALIVE, Capacity(1500, 300, 30)) is Phase.ACTIVE
    assert after(Phase.VERIFYING, Liveness.ALIVE, Capacity(1501, 300, 30)) is Phase.QUARANTINED
    assert after(Phase.VERIFYING, Liveness.ALIVE, Capacity(1, 1, 1, (Device("gpu", "A", 1),))) is Phase.QUARANTINED
    assert after(Phase.ACTIVE, Liveness.SUSPECT, Capacity(1, 1, 1)) is Phase.SUSPECT
    assert after(Phase.SUSPECT, Liveness.ALIVE, Capacity(1, 1, 1)) is Phase.ACTIVE
    assert after(Phase.QUARANTINED, Liveness.ALIVE, Capacity(1, 1, 1)) is Phase.QUARANTINED


@given(st.sampled_from(Phase), st.sampled_from(Liveness), st.integers(0, 3000))
def test_every_settled_phase_is_an_allowed_transition(phase: Phase, liveness: Liveness, cpu_milli: int) -> None:
    """The table is the truth: whoever reads a phase may rely on it."""
    after = pools.settled(phase, liveness, Capacity(1500), Observed(Capacity(cpu_milli)))

    assert after is phase or after in pools.TRANSITIONS[phase]


def test_a_new_descriptor_is_verified_anew() -> None:
    """Confirmed once is not confirmed for ever."""
    assert pools.redescribed(Phase.ACTIVE) is Phase.VERIFYING
    assert pools.redescribed(Phase.QUARANTINED) is Phase.VERIFYING


def test_a_pool_belongs_to_the_site_that_names_it() -> None:
    """One agent must not write another's pools, not even by a common beginning of the name."""
    sites.require_pool_of("sites/a", "sites/a/pools/main")

    with pytest.raises(PermissionDenied, match="NOT_OWNER"):
        sites.require_pool_of("sites/a", "sites/ab/pools/main")
