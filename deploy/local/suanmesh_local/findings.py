"""What was looked at, and how it was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BAD = frozenset({"missing", "damaged"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str
    """`ok`, `warning`, or one of BAD."""
    detail: str


def told(findings: Iterable[Finding]) -> int:
    """Print each as it is found; the exit status is 1 where one is bad."""
    status = 0
    for finding in findings:
        print(f"{finding.state:<8} {finding.what:<12} {finding.detail}", flush=True)
        status = 1 if finding.state in BAD else status
    return status
