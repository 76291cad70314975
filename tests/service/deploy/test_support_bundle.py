"""The support bundle of a node that does not run: what is told all the same, and what never is."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

from suanmesh_cli.main import status_of
from suanmesh_local import support
from suanmesh_local.facts import NodeFacts
from suanmesh_local.identities import found_identities
from suanmesh_local.processes import Process
from suanmesh_local.prometheus_files import write_prometheus
from suanmesh_local.settings_files import write_environment

PASSWORD = "-".join(("correct", "horse", "battery"))
SETTINGS = {
    "SUANMESH_NODE": "pilot",
    "SUANMESH_ACCOUNTING_DATABASE": f"postgresql://ledger:{PASSWORD}@db.example/ledger",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {PASSWORD}",
    "SUANMESH_METRICS_LISTEN": "127.0.0.1:1",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder with identities, settings, addresses and a log with all kinds of things in it."""
    node = tmp_path / "node"
    identities = found_identities(node / "tls", NodeFacts("pilot"))
    write_environment(node / "env" / "accounting.env", SETTINGS)
    write_prometheus(node, "pilot", [Process("accounting", ["x"], SETTINGS, tmp_path / "log")])
    key = (identities.of("accounting") / "key.pem").read_text()
    (node / "logs").mkdir()
    lines = [
        {"event": "process begins", "level": "info", "settings": {"node": "pilot", "database": "***"}},
        {"event": "call served", "level": "info", "code": "OK"},
        {"event": "work failed", "level": "error", "exception": f"ValueError: {key}"},
        {"event": "ledger not summed", "level": "warning", "message": f"password={PASSWORD} refused"},
    ]
    (node / "logs" / "accounting.log").write_text("\n".join(map(json.dumps, lines)) + "\nTraceback, in plain text\n")
    return node


def files_of(bundle: Path) -> dict[str, str]:
    with tarfile.open(bundle) as opened:
        members = {each.name.removeprefix("suanmesh-support/"): opened.extractfile(each) for each in opened}
        return {name: member.read().decode() for name, member in members.items() if member is not None}


def secrets_in(folder: Path) -> list[str]:
    """What the private files of a node hold, line by line."""
    private = [path for path in folder.rglob("*") if path.name in ("key.pem", "signing.key", "ca.key", "ca-key.pem")]
    lines = [line for path in private for line in path.read_text().splitlines()]
    return [line for line in lines if len(line) > 20 and "-----" not in line]


def test_a_bundle_tells_what_is_wrong_and_no_secret(folder: Path, tmp_path: Path) -> None:
    """It is made when nothing runs any more, and mailed to people who must not be able to act as the node."""
    out = tmp_path / "bundle.tar.gz"

    assert support.main(folder, out) == 0

    files = files_of(out)
    told = "\n".join(files.values())
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "work failed" in files["logs/accounting.log"]
    assert "Traceback, in plain text" in files["logs/accounting.log"]
    assert "call served" not in told
    assert 'SUANMESH_NODE="pilot"' in files["settings/accounting.env"]
    assert json.loads(files["processes.json"])[0]["answers"] is False
    assert json.loads(files["versions.json"])["suanmesh"]
    assert "cert.pem" in files["check.txt"]
    assert "traces/fault.txt" in files
    secrets = [PASSWORD, *secrets_in(folder)]
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret in told] == []


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("laid", ["file", "link", "link that leads nowhere"])
def test_nothing_is_written_over_or_through_a_link(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], laid: str, lang: str
) -> None:
    """Root makes bundles, perhaps in /tmp, where another user has laid a link to a file of root's."""
    out, theirs = tmp_path / "bundle.tar.gz", tmp_path / "theirs"
    if laid != "link that leads nowhere":
        theirs.write_text("kept")
    if laid == "file":
        theirs.rename(out)
    else:
        out.symlink_to(theirs)

    assert status_of(["support-bundle", str(folder), "--out", str(out)], {"SUANMESH_LANG": lang}) == 2

    said = capsys.readouterr()
    assert str(out) in said.err
    assert ("已存在" if lang == "zh" else "already") in said.err
    assert (theirs.exists(), out.exists()) == {"file": (False, True), "link": (True, True)}.get(laid, (False, False))
    assert not out.exists() or out.read_text() == "kept"


def test_a_folder_without_a_node_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty bundle would be sent, and answered with a question, a day later."""
    assert support.main(tmp_path, tmp_path / "bundle.tar.gz") == 1
    assert "holds no node" in capsys.readouterr().err
    assert not (tmp_path / "bundle.tar.gz").exists()
