"""Lists that are longer than what is shown of them."""

from __future__ import annotations

import pytest

from suanmesh.registry.v1.registry_service_pb2 import ListSitesRequest, ListSitesResponse
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_cli.output import View
from suanmesh_cli.session import ITEMS_MAX, Session, listed


class Sites:
    """A registry with so many sites."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def list(self, request: ListSitesRequest, *, timeout: float) -> ListSitesResponse:
        begin = int(request.page_token or 0)
        end = min(begin + request.page_size, self._count)
        return ListSitesResponse(
            sites=(Site(name=f"sites/{number}") for number in range(begin, end)),
            next_page_token=str(end) if end < self._count else "",
        )


@pytest.mark.parametrize(("count", "noted"), [(2500, False), (ITEMS_MAX, False), (ITEMS_MAX + 1, True)])
async def test_a_list_that_is_cut_says_so(count: int, noted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who counts lines must not take a part for the whole."""
    items = await listed(Session({}, View()), Sites(count).list, ListSitesRequest(), "sites")

    assert len(items) == min(count, ITEMS_MAX)
    said = capsys.readouterr()
    assert said.out == ""
    assert bool(said.err) == noted


async def test_a_limit_of_nothing_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A bill of a hundred thousand lines that is exported with `--limit 0`, for all, must come whole."""
    items = await listed(Session({}, View(), limit=0), Sites(ITEMS_MAX + 1).list, ListSitesRequest(), "sites")
    assert len(items) == ITEMS_MAX + 1
    assert capsys.readouterr().err == ""
