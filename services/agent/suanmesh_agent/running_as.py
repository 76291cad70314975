"""Whom systemd runs a site's agent as: a user of its own where it can, root only where somebody says so."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from suanmesh_agent.settings import AgentSettings
from suanmesh_kernel.refusals import InvalidArgument

ROOT = "root"
USUAL = "suanmesh"
"""The user of a machine's own that a site gets which root joins."""
FIELD = "run-as"


def user_of_unit(asked: str, folder: Path, needed: Sequence[Path], *, walled: bool) -> tuple[str, str]:
    """The user that the unit of the site in `folder` is to name, and what is to be done where there is none.

    One of them is empty. `asked` is what somebody has said, `needed` the programs, and `walled` as `chosen` has it.
    Raises InvalidArgument (`FIELD_INVALID`).
    """
    places = (folder, *needed)
    joining = name_of(os.geteuid())
    if asked:
        user = _checked_user(asked, joining)
        if blind := [path for path in places if not reaches(user, path)]:
            raise InvalidArgument("FIELD_INVALID", f"{FIELD}: {asked} cannot get to {blind[0].resolve()}", field=FIELD)
        return asked, ""
    owner = next((file.owner() for file in folder.glob("*.service")), "")
    users = {each.pw_name: each for each in pwd.getpwall()}
    reached = USUAL in users and all(reaches(users[USUAL], path) for path in places)
    return chosen(joining, owner, users, walled=walled, reached=reached)


def chosen(joining: str, owner: str, users: Collection[str], *, walled: bool, reached: bool) -> tuple[str, str]:
    """Of `users`, where nobody says which: who joins, the `owner` of a site that has joined before, else USUAL.

    `walled` is whether tasks are walled off without root, `reached` whether USUAL can get to folder and programs.
    """
    if joining != ROOT:
        return joining, ""
    if owner:
        return owner, ""
    if USUAL not in users:
        return "", f"make a user for it (useradd --system {USUAL})"
    if not walled:
        return "", "install bubblewrap, which walls tasks off without root,"
    if not reached:
        return "", f"put folder and programs where {USUAL} gets to, such as in /srv,"
    return USUAL, ""


def name_of(uid: int) -> str:
    """What the user of a number is called, or the number in digits, which systemd takes too.

    What the environment says is still the one before after `su`, and a container need not know its own user.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def are_walled(settings: AgentSettings) -> bool:
    """Whether tasks are walled off where the agent runs without root."""
    return settings.engine == "kubernetes" or shutil.which(settings.bwrap) is not None


def reaches(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether a user gets as far as `path`, by the modes of the folders above it."""
    if user.pw_uid == 0:
        return True
    groups = set(os.getgrouplist(user.pw_name, user.pw_gid))
    return all(_enters(user, groups, above.stat()) for above in path.resolve().parents if above.exists())


def give(folder: Path, name: str) -> None:
    """Have a folder, with all that is in it, belong to a user, if root says so of another. Raises OSError."""
    if os.geteuid() == 0 and name != ROOT:
        user = pwd.getpwnam(name)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def other_owner(file: Path) -> pwd.struct_passwd | None:
    """Whose a file is, if root looks and it is somebody else's. Raises OSError."""
    owner = file.stat().st_uid
    return pwd.getpwuid(owner) if os.geteuid() == 0 and owner != 0 else None


def become(user: pwd.struct_passwd) -> None:
    """Go on as `user`, for good. Raises OSError."""
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def _checked_user(name: str, joining: str) -> pwd.struct_passwd:
    if joining not in (ROOT, name):
        raise InvalidArgument("FIELD_INVALID", f"{FIELD}: only root lets somebody else run it", field=FIELD)
    try:
        return pwd.getpwnam(name)
    except KeyError:
        problem = f"{FIELD}: this machine has no user {name[:40]!r}"
        raise InvalidArgument("FIELD_INVALID", f"{problem} (useradd --system)", field=FIELD) from None


def _enters(user: pwd.struct_passwd, groups: Collection[int], folder: os.stat_result) -> bool:
    if folder.st_uid == user.pw_uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    return bool(folder.st_mode & (stat.S_IXGRP if folder.st_gid in groups else stat.S_IXOTH))
