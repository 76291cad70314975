"""Recompute every bill of a mesh from what its sites signed, without any of accounting's own code.

    SUANMESH_CONTEXT=operator python examples/recompute_bill.py

Reads usage, prices, links, holds, charges and postings through the public API; uses the same contexts as `suan`.
Prints what it checked, then every contradiction; ends with 1 where there is one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from suanmesh.accounting.v1 import account_pb2, price_book_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.network_orchestrator.v1 import link_pb2
from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as network
from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh.type.v1 import signed_pb2
from suanmesh_client import contexts
from suanmesh_client.paging import pages
from suanmesh_sdk import Mesh

CLOCKS_S = 300
"""How far the clocks of a site and of accounting may be apart, seconds."""
Prices = dict[str, tuple[str, dict[int, Fraction]]]
"""By price version: who earns, and the exact price of one unit of each meter."""


async def main() -> int:
    """Check the mesh of the current context."""
    async with contexts.current(os.environ).mesh() as mesh:
        books = Books()
        await books.read(mesh)
    problems = list(books.problems())
    print(
        f"{len(books.records)} usage records, {len(books.charges)} charges, {len(books.postings)} postings, "
        f"{len(books.accounts)} accounts: {len(problems)} contradictions"
    )
    if books.declared_anew:
        print(f"{len(books.declared_anew)} charges by links that are declared otherwise by now: priced as charged")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


class Books:
    """Everything that is needed to check the money, as the public API shows it."""

    async def read(self, mesh: Mesh) -> None:
        """Read all of it."""
        a, n = mesh.accounting, mesh.network_orchestrator
        sites = await _all(mesh.registry.ListSites, registry.ListSitesRequest(), "sites")
        self.keys = {(site.name, _id(key)): key for site in sites for key in site.signing_keys}
        self.accounts: dict[str, account_pb2.Account] = {
            account.name: account
            for account in await _all(a.ListAccounts, accounting.ListAccountsRequest(), "accounts")
        }
        self.charges: list[usage_pb2.Charge] = []
        for name in self.accounts:
            self.charges += await _all(a.GetBill, accounting.GetBillRequest(account=name), "charges")
        self.stored: list[usage_pb2.StoredUsage] = await _all(a.ListUsage, accounting.ListUsageRequest(), "usage")
        parsed = [usage_pb2.UsageRecord.FromString(each.record) for each in self.stored]
        self.records = {_reference(record): record for record in parsed}
        self.holds: list[usage_pb2.Hold] = await _all(a.ListHolds, accounting.ListHoldsRequest(), "holds")
        self.postings: list[account_pb2.Posting] = await _all(
            a.ListPostings, accounting.ListPostingsRequest(), "postings"
        )
        books = await _all(a.ListPriceBooks, accounting.ListPriceBooksRequest(all_versions=True), "price_books")
        links: list[link_pb2.Link] = await _all(n.ListLinks, network.ListLinksRequest(), "links")
        self.links = {f"{link.name}@declared": link for link in links}
        self.prices: Prices = dict(_prices(books, links))
        moves = await _all(mesh.transport.ListTransfers, transport.ListTransfersRequest(), "transfers")
        self.moves: dict[str, transfer_pb2.Transfer] = {move.name: move for move in moves}
        self.declared_anew: set[str] = set()
        """Charges by links, which have no versions, whose price or owner is another by now."""

    def problems(self) -> Iterator[str]:
        """Every contradiction, in words."""
        yield from self._of_usage()
        yield from self._of_charges()
        yield from self._of_what_is_uncharged()
        yield from self._of_paths()
        yield from self._of_holds()
        yield from self._of_postings()

    def _of_usage(self) -> Iterator[str]:
        """What sites say is signed by them, numbered without gaps, and nobody has two ends."""
        numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
        finals: Counter[tuple[str, str, int]] = Counter()
        for stored in self.stored:
            record = usage_pb2.UsageRecord.FromString(stored.record)
            numbers[record.site, record.epoch].append(record.sequence)
            finals[record.placement, record.transfer, record.task] += record.final
            if not _is_signed(stored, self.keys.get((record.site, stored.batch.key_id))):
                yield f"{_reference(record)}: not signed by {record.site}"
        for (site, epoch), seen in numbers.items():
            if sorted(seen) != list(range(1, len(seen) + 1)):
                yield f"{site}/{epoch}: {len(seen)} records are not numbered 1 to {len(seen)}"
        yield from (f"{key}: {count} final records" for key, count in finals.items() if count > 1)

    def _of_charges(self) -> Iterator[str]:
        """Every charge, with what was waived of it, is a reading times a published price.

        It is rounded once, with what rounding has left over in the line before of the same placement.
        """
        seen: Counter[tuple[str, int, str]] = Counter()
        held: dict[tuple[str, str], Fraction] = {}
        left: dict[tuple[str, int, str], Fraction] = defaultdict(Fraction)
        for charge in self.charges:
            seen[charge.usage, charge.meter, charge.price_version] += 1
            record = self.records.get(charge.usage)
            payee, price = self._price_of(charge)
            if record is None or price is None:
                yield f"{charge.name}: no usage {charge.usage} or no price {charge.price_version}"
                continue
            quantity = sum(reading.quantity for reading in record.readings if reading.meter == charge.meter)
            shown = Fraction(charge.price.amount_micros, charge.price.per_quantity)
            work = (charge.placement, int(charge.meter), charge.price_version)
            exact = quantity * price + left[work]
            left[work] = exact - round(exact)
            wanted = (record.placement, quantity, price, round(exact), payee, left[work])
            rated = charge.amount_micros + charge.waived_micros
            carried = Fraction(charge.remainder_out, charge.price.per_quantity)
            found = (charge.placement, charge.quantity, shown, rated, self.accounts[charge.payee].party, carried)
            if wanted != found:
                yield f"{charge.name}: is {found}, should be {wanted}"
            if held.setdefault((charge.placement, charge.price_version), price) != price and record.transfer:
                yield f"{charge.name}: {charge.price_version} had another price for {charge.placement}"
            if min(charge.amount_micros, charge.waived_micros) < 0:
                yield f"{charge.name}: charges {charge.amount_micros} and waives {charge.waived_micros}"
        yield from (f"{key}: charged {count} times" for key, count in seen.items() if count > 1)

    def _price_of(self, charge: usage_pb2.Charge) -> tuple[str, Fraction | None]:
        """Who is to earn it, and what a unit costs, as published; None where nobody has."""
        payee, prices = self.prices.get(charge.price_version, ("", {}))
        earns = self.accounts[charge.payee].party
        shown = Fraction(charge.price.amount_micros, charge.price.per_quantity)
        if charge.price_version.startswith("links/") and (payee, prices.get(charge.meter)) != (earns, shown):
            self.declared_anew.add(charge.name)
            return earns, shown
        return payee, prices.get(charge.meter)

    def _of_what_is_uncharged(self) -> Iterator[str]:
        """Of a placement that is charged for, every priced reading is charged."""
        books: dict[str, set[str]] = defaultdict(set)
        for charge in self.charges:
            if charge.price_version.startswith("priceBooks/"):
                books[charge.placement].add(charge.price_version)
        charged = {(charge.usage, charge.meter) for charge in self.charges}
        for placement, versions in books.items():
            if len(versions) > 1:
                yield f"{placement}: charged by {sorted(versions)}"
        for reference, record in self.records.items():
            for reading in record.readings if not record.transfer else ():
                for version in books[record.placement]:
                    priced = reading.meter in self.prices[version][1]
                    if priced and reading.quantity and (reference, reading.meter) not in charged:
                        yield f"{reference}: {reading.quantity} of meter {reading.meter} are not charged"

    def _of_paths(self) -> Iterator[str]:
        """What was moved pays for one way from its source to its target, each link once."""
        if not all(link.HasField("price") for link in self.links.values()):
            return  # what is free leaves no charge, so the ways cannot be told
        ways: dict[str, list[link_pb2.Link | None]] = defaultdict(list)
        for charge in self.charges:
            if charge.usage in self.records and charge.price_version.startswith("links/"):
                ways[charge.usage].append(self.links.get(charge.price_version))
        for reference, found in ways.items():
            links = [link for link in found if link is not None]
            if len(links) < len(found):
                continue  # one of them has been removed
            move = self.moves.get(self.records[reference].transfer)
            if move is not None and not _leads(links, move.source, move.target):
                names = [link.name for link in links]
                yield f"{reference}: {move.name} went {move.source} to {move.target}, charged for {names}"

    def _of_holds(self) -> Iterator[str]:
        """What a hold says is charged is the sum of its charges: never more than it, and all of it where one waives."""
        spent: Counter[str] = Counter()
        waived: Counter[str] = Counter()
        for charge in self.charges:
            spent[charge.placement] += charge.amount_micros
            waived[charge.placement] += charge.waived_micros
        for hold in self.holds:
            charged = spent[hold.placement]
            if hold.charged_micros != charged:
                yield f"{hold.name}: says {hold.charged_micros} micros are charged, {charged} are"
            if charged > hold.amount_micros:
                yield f"{hold.name}: {charged} micros are charged, {hold.amount_micros} are held"
            late = hold.state == usage_pb2.Hold.STATE_RELEASED  # what comes after the release may find no money
            if waived[hold.placement] and charged < hold.amount_micros and not late:
                left = hold.amount_micros - charged
                yield f"{hold.name}: {waived[hold.placement]} micros are waived with {left} left"

    def _of_postings(self) -> Iterator[str]:
        """Every entry and every currency sums to zero; balances are their postings.

        An entry that charges name moves what they are worth, from whom they charge to whom they pay.
        """
        entries: Counter[tuple[str, str]] = Counter()
        balances: Counter[str] = Counter()
        currencies: Counter[str] = Counter()
        charged: Counter[tuple[str, str]] = Counter()
        posted: Counter[tuple[str, str]] = Counter()
        for posting in self.postings:
            entries[posting.entry, posting.currency] += posting.amount_micros
            balances[posting.account] += posting.amount_micros
            posted[posting.entry, posting.account] += posting.amount_micros
        yield from (f"{entry}: sums to {total}" for entry, total in entries.items() if total)
        for name, account in self.accounts.items():
            currencies[account.currency] += account.balance_micros
            if account.balance_micros != balances[name]:
                yield f"{name}: has {account.balance_micros}, its postings add up to {balances[name]}"
        yield from (f"{currency}: sums to {total}" for currency, total in currencies.items() if total)
        for charge in self.charges:
            charged[charge.entry, charge.account] -= charge.amount_micros
            charged[charge.entry, charge.payee] += charge.amount_micros
        funding = {name for name, account in self.accounts.items() if account.kind == account_pb2.Account.KIND_FUNDING}
        paid_in = {entry for entry, account in posted if account in funding}
        for side in sorted(charged.keys() | posted.keys()):
            if side[0] not in paid_in and charged[side] != posted[side]:
                yield f"{side[0]}: moves {posted[side]} on {side[1]}, its charges are worth {charged[side]}"


def _prices(
    books: Iterable[price_book_pb2.PriceBook], links: Iterable[link_pb2.Link]
) -> Iterator[tuple[str, tuple[str, dict[int, Fraction]]]]:
    for book in books:
        exact = {int(price.meter): Fraction(price.amount_micros, price.per_quantity) for price in book.prices}
        yield f"{book.name}@{book.version}", (book.party, exact)
    for link in links:
        if link.HasField("price"):
            exact = {int(link.price.meter): Fraction(link.price.amount_micros, link.price.per_quantity)}
            yield f"{link.name}@declared", (link.owner, exact)


def _id(key: signed_pb2.SigningKey) -> str:
    return f"{key.identity}#{sha256(key.public_key).hexdigest()[:16]}"


def _is_signed(stored: usage_pb2.StoredUsage, site_key: signed_pb2.SigningKey | None) -> bool:
    """Whether the record is what the site signed, or one of the batch that it signed, in the time of its key."""
    signed = stored.batch
    if site_key is None:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(site_key.public_key)
        key.verify(signed.signature, signed.payload_type.encode() + b"\0" + signed.payload)
    except InvalidSignature:
        return False
    if signed.payload_type == usage_pb2.UsageRecord.DESCRIPTOR.full_name:
        return signed.payload == stored.record
    batch = usage_pb2.UsageBatch.FromString(signed.payload)
    if batch.sign_time.seconds > site_key.valid_until.seconds + CLOCKS_S:
        return False
    return stored.leaf_index < batch.tree_size and _root(stored, batch.tree_size) == batch.root_hash


def _root(stored: usage_pb2.StoredUsage, tree_size: int) -> bytes:
    """Where the audit path leads from the record (RFC 6962, 2.1.1)."""
    node = sha256(b"\0" + stored.record).digest()
    index, last, path = stored.leaf_index, tree_size - 1, iter(stored.audit_path)
    while last > 0:
        if index % 2:
            node = sha256(b"\1" + next(path, b"") + node).digest()
        elif index < last:
            node = sha256(b"\1" + node + next(path, b"")).digest()
        index, last = index // 2, last // 2
    return node


def _leads(links: list[link_pb2.Link], source: str, target: str) -> bool:
    """Whether the links, put in order, are one way from `source` to `target`."""
    onward = {link.source: link.target for link in links}
    here = source
    for _ in links:
        here = onward.pop(here, "")
    return here == target and not onward


def _reference(record: usage_pb2.UsageRecord) -> str:
    return f"{record.site}/{record.epoch}/{record.sequence}"


async def _all(call: Callable[..., Any], request: Any, field: str) -> list[Any]:
    return [item async for item in pages(call, request, field)]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
