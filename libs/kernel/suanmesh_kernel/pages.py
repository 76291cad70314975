"""Pages of a list ordered by name or place: a token says after which one the next page begins."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from itertools import islice

from suanmesh_kernel.money import INT64_MAX
from suanmesh_kernel.refusals import InvalidArgument

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1_000
NUMBER_DIGITS = 19
"""Numbers are written so wide in tokens, so that they sort."""
_NEWEST_US = 2**62
"""Microseconds since 1970, far in the future: what is counted down from."""


def checked_size(page_size: int) -> int:
    """The number of items a page holds.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    if not 0 <= page_size <= PAGE_SIZE_MAX:
        raise InvalidArgument(
            "FIELD_INVALID", f"page_size: {page_size} is not within 0 to {PAGE_SIZE_MAX}", field="page_size"
        )
    return page_size or PAGE_SIZE_DEFAULT


def after(page_token: str, scope: str) -> str:
    """The name a page begins after; empty for the first page. `scope` is the method and whatever else chose the items.

    Raises InvalidArgument (`PAGE_TOKEN_INVALID`) for a token given for something else.
    """
    if not page_token:
        return ""
    try:
        mark, _, name = base64.urlsafe_b64decode(page_token.encode()).decode().partition(":")
    except (binascii.Error, UnicodeError):
        mark, name = "", ""
    if mark != _mark(scope) or not name.isprintable():
        raise not_given()
    return name


def as_number(name: str) -> int:
    """The number that a page of a numbered list begins after; 0 for the first page.

    Raises InvalidArgument (`PAGE_TOKEN_INVALID`) where a token holds something else.
    """
    number = int(name) if name.isascii() and name.isdigit() and len(name) <= NUMBER_DIGITS else -1
    if name and not 0 <= number <= INT64_MAX:
        raise not_given()
    return max(0, number)


def cut(names: Iterable[str], page_size: int, scope: str) -> tuple[list[str], str]:
    """The page's names out of those that follow, in order, and the token of the next page if there is one."""
    page = list(islice(names, page_size + 1))
    if len(page) <= page_size:
        return page, ""
    return page[:page_size], token(page[page_size - 1], scope)


def token(last: str, scope: str) -> str:
    """The token of the page that begins after `last`."""
    return base64.urlsafe_b64encode(f"{_mark(scope)}:{last}".encode()).decode()


def of(names: Iterable[str], page_size: int, page_token: str, scope: str) -> tuple[list[str], str]:
    """One page of a list that is at hand as a whole, and the token of the next."""
    size, mark = checked_size(page_size), after(page_token, scope)
    return cut((name for name in sorted(names) if name > mark), size, scope)


def newest_first(create_us: int, name: str) -> str:
    """The place of what was made at that microsecond since 1970, in a list that begins with the newest."""
    return f"{_NEWEST_US - create_us:020d} {name}"


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:16]


def not_given() -> InvalidArgument:
    """The refusal of a token that was given for something else, or for nothing: `PAGE_TOKEN_INVALID`."""
    message = "the page token was not given for this question"
    return InvalidArgument("PAGE_TOKEN_INVALID", message, domain="mesh.suanmesh", field="page_token")
