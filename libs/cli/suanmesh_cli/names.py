"""Names as there are now: for completion in shells, and to say which one may have been meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from suanmesh_kernel.refusals import Refusal

if TYPE_CHECKING:
    from suanmesh_cli.session import Session

LISTS: Final = {
    "accounts": ("accounting", "ListAccounts", "accounts"),
    "datasets": ("transport", "ListDatasets", "datasets"),
    "jobs": ("scheduler", "ListJobs", "jobs"),
    "links": ("network_orchestrator", "ListLinks", "links"),
    "parties": ("registry", "ListParties", "parties"),
    "pools": ("registry", "SearchPools", "pools"),
    "priceBooks": ("accounting", "ListPriceBooks", "price_books"),
    "reservations": ("network_orchestrator", "ListReservations", "reservations"),
    "sites": ("registry", "ListSites", "sites"),
    "transfers": ("transport", "ListTransfers", "transfers"),
}
"""By collection: the area and the method that list it, and the field of the answer."""
NAMES_MAX = 1000
"""Names looked at, from the first page."""
ASKING_S = 2.0
CLOSE_MAX = 3


class Name(click.ParamType[str]):
    """The name of something of a collection, which shells complete with what there is."""

    name = "name"

    def __init__(self, collection: str) -> None:
        self.collection = collection

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was given."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin so; none where the mesh does not answer at once."""
        import asyncio

        from suanmesh_cli.output import View
        from suanmesh_cli.session import Session

        context = ctx.params.get("context_name") or ctx.find_root().params.get("context_name") or ""
        session = Session(ctx.find_root().obj or {}, View(), context, bound_s=ASKING_S)
        try:
            names = asyncio.run(there_are(session, self.collection))
        except Refusal:
            return []
        prefix = f"{self.collection}/"
        shown = names if incomplete.startswith((prefix, "sites/")) else [short(each) for each in names]
        return [CompletionItem(each) for each in shown if each.startswith(incomplete)]


class ContextName(click.ParamType[str]):
    """The name of a context, which shells complete from the files."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it was given."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin so."""
        from pathlib import Path

        from suanmesh_client import contexts

        try:
            known = contexts.load(contexts.files(ctx.find_root().obj or {}, Path.cwd())).contexts
        except Refusal:
            return []
        return [CompletionItem(each) for each in known if each.startswith(incomplete)]


async def there_are(session: Session, collection: str) -> list[str]:
    """The full names of a collection, as far as its first page goes."""
    import importlib

    area, method, field = LISTS[collection]
    module = importlib.import_module(f"suanmesh.{area}.v1.{area}_service_pb2")
    request = getattr(module, f"{method}Request")(page_size=NAMES_MAX)
    async with session.mesh() as mesh:
        answer = await getattr(getattr(mesh, area), method)(request, timeout=min(session.timeout_s, ASKING_S))
    return [each.pool.name if collection == "pools" else each.name for each in getattr(answer, field)]


async def close_to(session: Session, name: str) -> Sequence[str]:
    """The names there are that are much like `name`; none where there is that one, and something of it is not."""
    import difflib

    collection = "pools" if "/pools/" in name else name.partition("/")[0]
    if collection not in LISTS:
        return []
    try:
        names = await there_are(replace(session, bound_s=ASKING_S), collection)
    except Refusal:
        return []
    return [] if name in names else difflib.get_close_matches(name, names, n=CLOSE_MAX, cutoff=0.75)


def short(name: str) -> str:
    """`x` for `jobs/x`, and `hefei/cpu` for `sites/hefei/pools/cpu`: what people type."""
    return "/".join(name.split("/")[1::2])
