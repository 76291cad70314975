"""Lists, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

PAGE_SIZE = 1000


async def pages(call: Callable[..., Any], request: Any, field: str) -> AsyncIterator[Any]:
    """Every item of a paged list (AIP-158), however many there are; the next page is asked for when it is reached."""
    request.page_size = request.page_size or PAGE_SIZE
    while True:
        answer = await call(request)
        for item in getattr(answer, field):
            yield item
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token
