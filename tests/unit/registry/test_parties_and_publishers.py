"""Who decides for a party, and how many sites it may name."""

from __future__ import annotations

import pytest

from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied
from suanmesh_registry.domain.parties import PUBLISHERS_MAX, PartyKind, registered, require_owner, with_publishers

PARTY = registered("acme", PartyKind.CONSUMER, "Acme", "CNY", HandClock().now())


def test_the_sites_a_party_names_have_a_bound_and_a_form() -> None:
    """A list without an end would grow past what etcd keeps, and a name of another kind would allow nobody."""
    most = [f"sites/s{number}" for number in range(PUBLISHERS_MAX)]
    assert len(with_publishers(PARTY, most).publishers) == PUBLISHERS_MAX
    for wrong in ([*most, "sites/more"], ["guiyang"], ["parties/acme"]):
        with pytest.raises(InvalidArgument, match="publishers"):
            with_publishers(PARTY, wrong)


def test_only_its_own_people_and_the_operator_decide_for_a_party() -> None:
    """A rival that could name a site of its own would publish in the party's name."""
    require_owner("parties/acme", "parties/acme", operator=False)
    require_owner("parties/acme", "parties/operator", operator=True)
    with pytest.raises(PermissionDenied, match="NOT_OWNER"):
        require_owner("parties/acme", "parties/rival", operator=False)
