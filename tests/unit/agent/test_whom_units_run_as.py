"""Whom systemd runs a site's agent as: nobody gets root's rights by joining as root without a thought."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.running_as import ROOT, USUAL, become, chosen, give, name_of, other_owner, reaches, user_of_unit
from suanmesh_kernel.refusals import InvalidArgument

SHELL = [Path("/bin/sh")]
NAMES = st.sampled_from([ROOT, USUAL, "alice"])


@given(NAMES, st.just("") | NAMES, st.sets(NAMES), st.booleans(), st.booleans())
def test_root_is_never_chosen_for_anybody(
    joining: str, owner: str, users: set[str], walled: bool, reached: bool
) -> None:
    """Strangers' programs run at a site: a hole in its agent must not be the machine's, unless its owner said so."""
    user, problem = chosen(joining, owner, users, walled=walled, reached=reached)

    assert user != ROOT or owner == ROOT, "what root runs already goes on so: tasks there have users of their own"
    assert bool(user) != bool(problem), "either there is one, or it is said what to do"
    if joining != ROOT:
        assert user == joining


def test_root_is_told_what_is_missing_for_a_user_of_the_sites_own() -> None:
    """Who is told can do it, and types the same again."""
    assert "useradd --system suanmesh" in chosen(ROOT, "", [ROOT], walled=True, reached=True)[1]
    assert "bubblewrap" in chosen(ROOT, "", [ROOT, USUAL], walled=False, reached=True)[1]
    assert "/srv" in chosen(ROOT, "", [ROOT, USUAL], walled=True, reached=False)[1]
    assert chosen(ROOT, "", [ROOT, USUAL], walled=True, reached=True) == (USUAL, "")
    assert chosen(ROOT, "alice", [ROOT, USUAL], walled=False, reached=False) == ("alice", "")


def test_a_user_that_cannot_get_to_its_folder_is_refused(tmp_path: Path) -> None:
    """A unit for such a user would fail when the machine starts, and nobody would be looking."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    other = next(each for each in pwd.getpwall() if each.pw_uid not in (0, os.getuid()))

    assert not reaches(other, shut / "site")
    assert reaches(pwd.getpwuid(os.getuid()), shut / "site")
    with pytest.raises(InvalidArgument, match="run-as"):
        user_of_unit(other.pw_name, shut / "site", SHELL, walled=True)
    with pytest.raises(InvalidArgument, match="run-as"):
        user_of_unit("nobody-of-this-name", tmp_path, SHELL, walled=True)
    own = name_of(os.geteuid())
    assert user_of_unit(own, tmp_path, SHELL, walled=False) == (own, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_root_goes_on_as_the_user_that_the_folder_was_given_to(tmp_path: Path) -> None:
    """What root leaves there would be in the way of the unit, which may not touch it."""
    settings = tmp_path / "site" / "agent.env"
    settings.parent.mkdir()
    settings.touch()
    assert other_owner(settings) is None
    user = next(each for each in pwd.getpwall() if each.pw_uid not in (0, os.getuid()))

    give(settings.parent, user.pw_name)

    assert other_owner(settings) == user
    child = os.fork()
    if child == 0:
        become(user)
        os._exit(0 if (os.getresuid(), os.getresgid()) == ((user.pw_uid,) * 3, (user.pw_gid,) * 3) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_user_without_a_name_joins_all_the_same() -> None:
    """A container is given a number, and its list of users has none of that."""
    unknown = max(each.pw_uid for each in pwd.getpwall() if each.pw_uid < 60_000) + 1

    assert name_of(unknown) == str(unknown)
    assert name_of(0) == ROOT
