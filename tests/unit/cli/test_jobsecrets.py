"""Where a job file and `--secret` take secrets from, and that no value gets into what is shown of a job."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from suanmesh_cli import jobfile, jobsecrets
from suanmesh_kernel.refusals import InvalidArgument

BEGIN = "account: demo\ncommand: [true]\ncpu: 1\nmemory: 1Mi\nmax_duration: 1min\n"


def read(folder: Path, more: str) -> jobfile.JobFile:
    path = folder / "job.yaml"
    path.write_text(BEGIN + more)
    return jobfile.read(path)


def test_a_file_says_where_secrets_are_and_the_job_only_what_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token in the job would be in every list of jobs, for good."""
    monkeypatch.setenv("HF_TOKEN", "hf_cafe")
    (tmp_path / "key").write_bytes(b"\x00key")
    text = "secrets: {TOKEN: {env: HF_TOKEN}, key: {file: key}, both: {file: key, variable: KEY}}"
    described = read(tmp_path, text)
    assert [(each.name, each.variable) for each in described.job.secrets] == [
        ("TOKEN", "TOKEN"),
        ("key", ""),
        ("both", "KEY"),
    ]
    assert b"hf_cafe" not in described.job.SerializeToString()
    values = {name: source.read(name) for name, source in described.secrets.items()}
    assert values == {"TOKEN": b"hf_cafe", "key": b"\x00key", "both": b"\x00key"}


def test_what_a_job_was_kept_with_is_read_back(tmp_path: Path) -> None:
    """`job show -o yaml` makes a file for the next job; its secrets are given beside it."""
    described = read(tmp_path, "secrets: [{name: TOKEN, variable: TOKEN}]")
    assert (described.job.secrets[0].name, dict(described.secrets)) == ("TOKEN", {})
    sources = jobsecrets.of_options(["TOKEN=file:key", "more=env:X"])
    jobsecrets.named(described.job, sources)
    assert [(each.name, each.variable) for each in described.job.secrets] == [("TOKEN", "TOKEN"), ("more", "more")]


@pytest.mark.parametrize("more", ["[{env: X}]", "{T: hf_cafe}", "{T: {env: X, file: y}}", "{T: {value: hf_cafe}}"])
def test_a_value_written_into_the_file_is_refused(tmp_path: Path, more: str) -> None:
    """It would be in whatever keeps the file."""
    with pytest.raises(InvalidArgument) as refused:
        read(tmp_path, f"secrets: {more}")
    assert "hf_cafe" not in refused.value.message


@pytest.mark.parametrize("given", ["TOKEN", "TOKEN=hf_cafe", "=env:X", "TOKEN=env:", "TOKEN=text:hf_cafe"])
def test_a_value_on_the_command_line_is_refused(given: str) -> None:
    """Everybody on the machine sees the words of a command, and the shell keeps them."""
    with pytest.raises(click.BadParameter) as refused:
        jobsecrets.of_options([given])
    assert "hf_cafe" not in str(refused.value)


def test_a_secret_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task would find an empty token, and fail far away for a reason that nobody sees."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "empty").touch()
    for source in (
        jobsecrets.Source("env", "HF_TOKEN"),
        jobsecrets.Source("file", str(tmp_path / "none")),
        jobsecrets.Source("file", str(tmp_path / "empty")),
        jobsecrets.Source("file", "/dev/zero"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            source.read("TOKEN")
        assert "TOKEN" in refused.value.message
