"""Pages of traces, newest first: a token says before which trace the next page begins."""

from __future__ import annotations

import re

from suanmesh_gateway.domain.traces import Summary
from suanmesh_kernel.refusals import InvalidArgument

_TOKEN = re.compile(r"([0-9]{1,19})-([0-9a-f]{32})")
_FIRST = (2**63 - 1, "")


def before(page_token: str) -> tuple[int, str]:
    """Start and id that the page's traces come before.

    Raises InvalidArgument (`PAGE_TOKEN_INVALID`).
    """
    if not page_token:
        return _FIRST
    match = _TOKEN.fullmatch(page_token)
    if match is None:
        message = "the page token is not one that ListTraces gave"
        raise InvalidArgument("PAGE_TOKEN_INVALID", message, domain="mesh.suanmesh", field="page_token")
    return int(match.group(1)), match.group(2)


def token(last: Summary) -> str:
    """The token of the page after the one that ends with `last`."""
    return f"{last.start_ns}-{last.trace_id}"
