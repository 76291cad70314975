"""A folder that travels with a job: what of it goes, and how a task finds it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_agent.replicas import Replicas
from suanmesh_cli.jobfolder import TooLarge, packed
from suanmesh_content import read_folder
from suanmesh_sdk.workdir import MOUNT, dataset_id, ignored, unpack


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "My code"
    (folder / "pkg" / "__pycache__").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"0")
    (folder / "pkg" / "a.py").write_text("A = 1\n")
    (folder / "run.sh").write_text('#!/bin/sh\necho ran "$@"; echo more >> pkg/a.py; touch pkg/new; cat latest\n')
    (folder / "run.sh").chmod(0o755)
    (folder / "latest").symlink_to("pkg/a.py")
    (folder / "large.bin").write_bytes(b"0")
    (folder / "job.yaml").write_text("command: ./run.sh")
    (folder / ".suanignore").write_text("*.bin\n")
    return folder


def test_what_is_ignored_does_not_travel(code: Path) -> None:
    """A checkpoint of ten gigabytes beside the code must not be sent with every job."""
    manifest = read_folder(code, skip=ignored(code, code / "job.yaml"))
    assert [file.path for file in manifest.files] == ["latest", "pkg/a.py", "run.sh"]


def test_a_task_may_run_and_change_its_copy(code: Path, tmp_path: Path) -> None:
    """Programs write beside themselves, and scripts are called by their paths."""
    replicas = Replicas(tmp_path / "site")
    manifest = replicas.take_in({"": code})
    work = tmp_path / "work"
    work.mkdir()
    (work / MOUNT).symlink_to(replicas.files(manifest.digest))
    job = Job()
    job.package.variants.add(command=["./run.sh", "it's", "me"])
    unpack(job)
    (variant,) = job.package.variants
    ran = subprocess.run(list(variant.command), cwd=work, capture_output=True, text=True, check=True)
    assert ran.stdout == "ran it's me\nA = 1\nmore\n"
    assert (work / "pkg" / "new").exists()
    assert (work / "latest").is_symlink()
    assert (code / "pkg" / "a.py").read_text() == "A = 1\n"
    assert read_folder(replicas.files(manifest.digest)).digest == manifest.digest


def test_a_copy_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    """Else the task would fail for a file that its owner knows to be there."""
    job = Job()
    job.package.variants.add(command=["true"])
    unpack(job)
    ran = subprocess.run(
        list(job.package.variants[0].command), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 125
    assert "workdir" in ran.stderr


def test_the_same_folder_is_the_same_dataset(code: Path, tmp_path: Path) -> None:
    """What has not changed is found there by its name; another project of that name is another."""
    assert dataset_id(code) == dataset_id(code / "pkg" / "..")
    assert dataset_id(code).startswith("workdir-my-code-")
    assert dataset_id(code) != dataset_id(tmp_path / "other" / "My code")
    assert len(dataset_id(tmp_path / ("long" * 30))) <= 63


@pytest.mark.parametrize("written", [b"\xef\xbb\xbfsecret/\n", "密钥/\nsecret/\r\n".encode("gbk")], ids=["mark", "gbk"])
def test_patterns_are_those_of_any_editor(code: Path, written: bytes) -> None:
    """What an editor puts before the first pattern must not send what that was to keep at home."""
    (code / "secret").mkdir()
    (code / "secret" / "key").write_text("s")
    (code / ".suanignore").write_bytes(written)
    skip = ignored(code)
    assert skip("secret", True)
    assert not skip("run.sh", False)
    assert skip(os.fsdecode("密钥".encode("gbk")), True) == (b"\xef" not in written[:1])


@pytest.mark.parametrize("kind", ["empty folder", "link to a folder"])
def test_a_small_folder_arrives_as_a_large_one_does(code: Path, kind: str) -> None:
    """A script that writes into `logs/`, or reads through a link, would fail only as long as its folder is small."""
    packed(code, bytes_max=5000, files_max=64)
    if kind == "empty folder":
        (code / "logs").mkdir()
    else:
        (code / "linked").symlink_to("pkg")
    with pytest.raises(TooLarge):
        packed(code, bytes_max=5000, files_max=64)
    (code / ".suanignore").write_text("logs/\nlinked\n")
    assert "run.sh" in [each.path for each in packed(code, bytes_max=5000, files_max=64).files]
