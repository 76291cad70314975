"""A hold is refused where its price is in another currency than the account's."""

from __future__ import annotations

import pytest

from suanmesh_accounting.domain.ledger import Account, AccountKind, require_payable
from suanmesh_kernel.refusals import FailedPrecondition

ACCOUNT = Account("accounts/demo", "parties/demo", "CNY", AccountKind.CONSUMER, 1_000_000, 0, 0)


def test_a_price_in_the_accounts_currency_is_payable() -> None:
    """A customer could not buy at home."""
    require_payable(ACCOUNT, "CNY")


def test_a_price_in_another_currency_is_refused() -> None:
    """A customer's account would be charged five euros as five yuan, and no currency would add up any more."""
    with pytest.raises(FailedPrecondition) as refused:
        require_payable(ACCOUNT, "EUR")

    assert refused.value.reason == "CURRENCY_MISMATCH"
    assert refused.value.facts["currency"] == "EUR"
