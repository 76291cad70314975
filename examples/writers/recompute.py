"""What the jobs of each value of a label have cost, reckoned anew from what sites measured and from the prices.

    python recompute.py FOLDER LABEL

The folder has what `suan job list`, `hold list`, `usage list`, `pool search`, `price list`, `link list` and
`transfer list` print with `-o json --limit 0`, as `jobs.json` and so on. Nothing of the mesh's own code is used, nor
anything it has charged.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

MICROS = 1_000_000


def main(folder: Path, label: str) -> None:
    """Print a table: each value of the label, and the amount in the currency."""
    books = Exported(folder)
    worth: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
    for usage in books.all_of("usage"):
        record = usage["record"]
        job = books.job_of(record)
        if job is None or label not in job.get("labels", {}):
            continue
        for reading in record["readings"]:
            for version, price in books.prices(record, reading["meter"]):
                # Rounding carries what it leaves over from line to line of a job's placement, meter and price.
                together = (job["labels"][label], books.placement_of(record), reading["meter"], version)
                worth[together] += int(reading["quantity"]) * price
    spent: Counter[str] = Counter()
    for (value, *_), exact in worth.items():
        spent[value] += round(exact)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["label", "amount"])
    for value, micros in sorted(spent.items()):
        table.writerow([value, f"{micros // MICROS}.{micros % MICROS:06}"])


class Exported:
    """What has been printed, and how it belongs together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        jobs = {job["name"]: job for job in self.all_of("jobs")}
        self._jobs = {hold["placement"]: jobs.get(hold["job"]) for hold in self.all_of("holds")}
        self._transfers = {each["name"]: each for each in self.all_of("transfers")}
        self._links = {(link["source"], link["target"]): link for link in self.all_of("links")}
        self._books = {book["name"]: book for book in self.all_of("price_books")}
        self._book_of = {
            found["pool"]["name"].partition("/pools/")[0]: offer["price_book"]
            for found in self.all_of("pools")
            for offer in found["pool"].get("offers", ())
        }

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """The items of one list."""
        items: list[dict[str, Any]] = json.loads((self._folder / f"{kind}.json").read_text())[kind]
        return items

    def job_of(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """For which job it was measured; None for one that is not among them."""
        return self._jobs.get(self.placement_of(record))

    def placement_of(self, record: dict[str, Any]) -> str:
        """For which placement it was measured; empty for none."""
        placement: str = record.get("placement") or self._transfers[record["transfer"]].get("placement", "")
        return placement

    def prices(self, record: dict[str, Any], meter: str) -> Iterator[tuple[str, Fraction]]:
        """Each price that is due for one unit of what was measured, in micros, with whose it is."""
        if moved := self._transfers.get(record.get("transfer", "")):
            charged_by = self._links[moved["source"], moved["target"]]
            prices = [charged_by["price"]]
        else:
            charged_by = self._books[self._book_of[record["site"]]]
            prices = charged_by["prices"]
        for price in prices:
            if price["meter"] == meter:
                yield charged_by["name"], Fraction(int(price["amount_micros"]), int(price["per_quantity"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
