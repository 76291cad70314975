"""A bill by label: what the jobs of each value of a label have cost, as CSV on standard output.

python examples/bill_report.py project > march.csv
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict

from suanmesh_client.money import exact
from suanmesh_client.sync import connect


def main(label: str) -> int:
    """Add up every charge of the account, exactly; what belongs to no value of the label stands under an empty one."""
    micros: dict[tuple[str, str], int] = defaultdict(int)
    with connect() as mesh:
        value_of = {job.name: job.message.labels.get(label, "") for job in mesh.jobs.list()}
        for charge in mesh.money.charges():
            micros[value_of.get(charge.job, ""), charge.currency] += charge.amount_micros
    table = csv.writer(sys.stdout)
    table.writerow([label, "amount", "currency"])
    for (value, currency), amount in sorted(micros.items()):
        table.writerow([value, exact(amount), currency])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else "project"))
