"""Links: where one of a tree leads, told from the tree alone, without asking a file system."""

from __future__ import annotations

from collections.abc import Collection, Mapping

HOPS_MAX = 40
"""Links passed on the way to where one leads; systems give up there as well."""
STEPS_MAX = 4_000_000
"""Parts of paths looked at for all links of one tree: those that lead through links cost what their maker likes."""


def leading_out(links: Mapping[str, str]) -> Collection[str]:
    """Paths of those `links` (path to target, relative to one folder) that lead out of the folder, or in a circle.

    A link that leads to nothing within the folder is no harm. Those that follow another of `links` are judged by where
    they come out, as a system would resolve them. Where the tree is too entangled to tell, all that is left leads out.
    """
    out: set[str] = set()
    left = STEPS_MAX
    for path, target in links.items():
        within, left = _stays_within(path, target, links, left)
        if not within:
            out.add(path)
    return out


def _stays_within(path: str, target: str, links: Mapping[str, str], steps: int) -> tuple[bool, int]:
    """Whether it does, and how many steps are left."""
    if target.startswith("/"):
        return False, steps
    at = path.split("/")[:-1]
    ahead = target.split("/")[::-1]
    hops = 0
    while ahead:
        steps -= 1
        part = ahead.pop()
        if steps < 0 or (part == ".." and not at):
            return False, max(steps, 0)
        if part == "..":
            at.pop()
        elif part not in ("", "."):
            at.append(part)
            further = links.get("/".join(at))
            if further is not None:
                hops += 1
                if hops > HOPS_MAX or further.startswith("/"):
                    return False, steps
                at.pop()
                ahead += further.split("/")[::-1]
    return True, steps
