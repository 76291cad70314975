"""The rules behind the walls: who may run without them, whose user a task is, which system calls it has."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.tasks import UserRange
from suanmesh_agent.domain.work import Admission, Work
from suanmesh_agent.engines.process import images, seccomp
from suanmesh_agent.engines.process.cgroups import Bounds, Cgroups, CgroupV2
from suanmesh_agent.engines.process.users import end_all_remains, end_remains, lease_user, mark_used
from suanmesh_kernel.owner_limits import OwnerLimits, WorkKind, windows_of
from suanmesh_kernel.quantities import Capacity

ALLOWED = 0
X86_64, AARCH64 = 0xC000003E, 0xC00000B7
NEWUSER, THREAD = 0x10000000, 0x3D0F00


@pytest.mark.parametrize(
    ("admission", "party", "code"),
    [
        (Admission(walled=True), "parties/stranger", None),
        (Admission(walled=True, own_party="parties/own"), "", None),
        (Admission(walled=False, own_party="parties/own"), "parties/own", None),
        (Admission(walled=False, own_party="parties/own"), "parties/stranger", "SANDBOX_MISSING"),
        (Admission(walled=False, own_party=""), "", "SANDBOX_MISSING"),
        (Admission(walled=False, own_party="", strangers_unsandboxed=True), "parties/stranger", None),
        (Admission(walled=False, strangers_unsandboxed=True, as_root=True), "parties/stranger", "SANDBOX_MISSING"),
        (Admission(walled=False, strangers_as_root=True, as_root=True), "parties/stranger", None),
        (Admission(walled=False, own_party="parties/own", as_root=True), "parties/own", None),
    ],
)
def test_strangers_run_behind_walls_only(admission: Admission, party: str, code: str | None) -> None:
    """A stranger's job on a site without a sandbox reads every key and every replica of it."""
    no = admission.objection(party)
    assert (no.code if no else None) == code


def test_secrets_go_only_where_they_are_kept() -> None:
    """A key that a job brings would lie on a disk that others read."""
    admission = Admission(walled=True, own_party="parties/own", keeps_secrets=False)
    assert admission.objection("parties/own", secrets=True).code == "SECRETS_UNKEPT"
    assert not admission.objection("parties/own")


WORK = Work("p", Capacity(1000), 4, ("true",), (), (("datasets/d", "in"),), (), "", 60, at_once=2)
MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (OwnerLimits(), ""),
        (OwnerLimits(parties=frozenset({"parties/guest"})), ""),
        (OwnerLimits(parties=frozenset({"parties/other"})), "PARTY_NOT_ALLOWED (party parties/guest)"),
        (OwnerLimits(refused_kinds=frozenset({WorkKind.ARRAY, WorkKind.DATA})), "KIND_REFUSED (kind ARRAY, DATA)"),
        (OwnerLimits(hours=windows_of("mon 8:00-18:00")), ""),
        (OwnerLimits(hours=windows_of("mon 18:00-8:00")), "HOURS_CLOSED (opens 2026-01-05T18:00Z)"),
        (OwnerLimits(party_share_milli=750), ""),
        (OwnerLimits(party_share_milli=500), "PARTY_SHARE (party parties/guest, share_milli 500)"),
    ],
)
def test_a_site_keeps_to_its_owners_limits(limits: OwnerLimits, said: str) -> None:
    """Whatever the mesh asks for, the machine is its owner's; the owner's own work is bound by none of it."""
    admission = Admission(walled=True, own_party="parties/own", limits=limits)
    has = {"capacity": Capacity(4000), "held": Capacity(1000)}
    assert str(admission.limit(WORK, "parties/guest", MONDAY, **has)) == said
    assert not admission.limit(WORK, "parties/own", MONDAY, **has)


@pytest.mark.parametrize(
    ("users", "why"),
    [
        (UserRange(), ""),
        (UserRange(1000, 10), "it does not lie between"),
        (UserRange(2**31 - 5, 10), "it does not lie between"),
        (UserRange(100_000, 0), "it is empty"),
        (UserRange(100_500, 10), "alice in /etc/subuid has 100000 to 165535"),
        (UserRange(200_000, 10), "user bob has 200009"),
    ],
)
def test_users_of_tasks_are_nobody_elses(users: UserRange, why: str) -> None:
    """A task with the id of a person of the host would read that person's files."""
    others = [("alice in /etc/subuid", 100_000, 165_535), ("user bob", 200_009, 200_009), ("user root", 0, 0)]
    found = users.clash(others)
    assert found.startswith(why)
    assert bool(found) == bool(why)


@given(st.integers(65_536, 2**31 - 1), st.integers(1, 10_000), st.integers(0, 2**31 - 1))
def test_a_range_that_is_taken_has_no_id_of_others(first: int, count: int, other: int) -> None:
    """The bounds of a range are where such checks go wrong."""
    users = UserRange(first, count)
    if not users.clash([("user", other, other)]):
        assert other not in range(users.first, users.last + 1)


@pytest.mark.parametrize(
    ("machine", "architecture", "number", "arguments", "result"),
    [
        ("x86_64", X86_64, 0, (), ALLOWED),  # read
        ("x86_64", X86_64, 165, (), errno.EPERM),  # mount
        ("x86_64", X86_64, 425, (), errno.EPERM),  # io_uring_setup
        ("x86_64", X86_64, 435, (), errno.ENOSYS),  # clone3
        ("x86_64", X86_64, 56, (THREAD,), ALLOWED),
        ("x86_64", X86_64, 56, (NEWUSER | 17,), errno.EPERM),
        ("x86_64", X86_64, 41, (1,), ALLOWED),  # socket, AF_UNIX
        ("x86_64", X86_64, 41, (10, 1), ALLOWED),  # AF_INET6
        ("x86_64", X86_64, 41, (16, 3, 0), ALLOWED),  # AF_NETLINK, NETLINK_ROUTE
        ("x86_64", X86_64, 41, (16, 3, 15), errno.EPROTONOSUPPORT),  # NETLINK_KOBJECT_UEVENT
        ("x86_64", X86_64, 53, (1,), ALLOWED),  # socketpair, AF_UNIX
        ("x86_64", X86_64, 53, (30,), errno.EAFNOSUPPORT),  # AF_TIPC
        ("x86_64", X86_64, 54, (), ALLOWED),  # setsockopt
        ("x86_64", X86_64, 41, (40,), errno.EAFNOSUPPORT),  # AF_VSOCK
        ("x86_64", X86_64, 16, (0, 0x5401), ALLOWED),  # TCGETS
        ("x86_64", X86_64, 16, (0, 0x5412), errno.EPERM),  # TIOCSTI
        ("x86_64", X86_64, 0x40000000 | 165, (), errno.ENOSYS),  # mount of x32
        ("x86_64", 0x40000003, 21, (), errno.ENOSYS),  # mount of i386
        ("aarch64", AARCH64, 63, (), ALLOWED),  # read
        ("aarch64", AARCH64, 40, (), errno.EPERM),  # mount
        ("aarch64", AARCH64, 220, (THREAD,), ALLOWED),
        ("aarch64", AARCH64, 220, (NEWUSER | 17,), errno.EPERM),
        ("aarch64", AARCH64, 198, (2,), ALLOWED),
        ("aarch64", AARCH64, 198, (38,), errno.EAFNOSUPPORT),
        ("aarch64", AARCH64, 198, (16, 2, 16), errno.EPROTONOSUPPORT),  # NETLINK_GENERIC
        ("aarch64", AARCH64, 199, (30,), errno.EAFNOSUPPORT),
        ("aarch64", AARCH64, 29, (0, 0x541C), errno.EPERM),  # TIOCLINUX
        ("aarch64", AARCH64, 280, (), errno.EPERM),  # bpf
        ("aarch64", 0x40000028, 21, (), errno.ENOSYS),  # of 32-bit ARM
    ],
)
def test_system_calls_are_filtered(
    machine: str, architecture: int, number: int, arguments: tuple[int, ...], result: int
) -> None:
    """A wrong jump in the filter opens the kernel to strangers, or breaks every program that starts a thread."""
    assert _run(seccomp.program(machine), architecture, number, arguments) == result


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    """System calls of another machine have other numbers: denying by ours would deny at random."""
    assert seccomp.program("riscv64") == b""


@given(st.integers(1, 1 << 44))
def test_a_file_system_has_room_for_what_was_asked_for(scratch_bytes: int) -> None:
    """A job that uses what it paid for must not fail for want of a few blocks, and a site gives away little more."""
    made = images.image_bytes(scratch_bytes)
    files = images.files_of(scratch_bytes)
    assert made >= scratch_bytes + files * images.INODE_BYTES
    assert made <= scratch_bytes * 1.05 + files * images.INODE_BYTES + (20 << 20)


def test_cgroup_v2_is_told_the_bounds(tmp_path: Path) -> None:
    """On a host with cgroup v2 a job must be held as it is with v1; each level has to hand its controllers down."""
    levels = ("", "suanmesh", "suanmesh/site")
    for level in levels:
        (tmp_path / level).mkdir(exist_ok=True)
        (tmp_path / level / "cgroup.subtree_control").write_text("")
    fence = CgroupV2(tmp_path).make("suanmesh/site/task", Bounds(1500, 1 << 28, 66))
    folder = tmp_path / "suanmesh/site/task"
    assert [(tmp_path / level / "cgroup.subtree_control").read_text() for level in levels] == ["+cpu +memory +pids"] * 3
    assert (folder / "cpu.max").read_text() == "150000 100000"
    assert (folder / "memory.max").read_text() == str(1 << 28)
    assert (folder / "pids.max").read_text() == "66"
    assert fence.join == (str(folder / "cgroup.procs"),)
    assert (fence.cpu_file, fence.oom_file) == (str(folder / "cpu.stat"), str(folder / "memory.events"))
    assert fence.peak_file == str(folder / "memory.peak")


def test_control_groups_that_are_not_handed_down_are_left_alone(tmp_path: Path) -> None:
    """An agent in a container, or without root, would fail every task instead of watching over it by itself."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").mkdir()  # as one that cannot be written: root writes any file
    assert not Cgroups("site", tmp_path).usable()
    assert not (tmp_path / "suanmesh").exists()


def _run(program: bytes, architecture: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would make of one call: the errno it fails with, 0 where it is allowed."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    steps = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x06:
            return 0 if value == 0x7FFF0000 else value & 0xFFFF
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
            continue
        holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
        at += if_true if holds else if_false


def test_a_shim_goes_on_with_its_user_where_nobody_else_has_it(tmp_path: Path) -> None:
    """A site that runs for years would else keep a file for each of its users, and make one at almost every start."""
    first = 2**31 - 5  # nobody's
    user, lease = lease_user(tmp_path, first, 4, alone=True)
    os.close(lease)
    again, lease = lease_user(tmp_path, first, 4, alone=True, before=user)
    other, others_lease = lease_user(tmp_path, first, 4, alone=True, before=user)
    for each in (lease, others_lease):
        os.close(each)
    assert again == user
    assert other != user


@pytest.mark.parametrize("end", [end_remains, lambda folder, user: end_all_remains(folder)], ids=["its own", "all"])
def test_a_user_whose_shim_was_killed_is_another_tasks_once_nothing_of_it_runs(
    tmp_path: Path, end: Callable[[Path, int], None]
) -> None:
    """Who sees no process of the host but its own cannot know that the user's earlier task has ended."""
    user = 2**31 - 5  # nobody's
    _, lease = lease_user(tmp_path, user, 1, alone=True)
    mark_used(lease)
    os.close(lease)  # as the kernel does for a shim that is killed
    with pytest.raises(OSError, match="all 1 users"):
        lease_user(tmp_path, user, 1, alone=True)
    end(tmp_path, user)
    again, lease = lease_user(tmp_path, user, 1, alone=True)
    os.close(lease)
    assert again == user
