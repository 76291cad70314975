"""What a job brings must not lead the agent, which looks for packages outside of any sandbox, anywhere."""

from __future__ import annotations

import asyncio
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from suanmesh_agent.mirror import Mirror
from suanmesh_agent.wheels import METADATA_BYTES_MAX, fault_of, fault_of_wheel


def a_wheel(folder: Path, name: str, *lines: str) -> Path:
    """A package with an empty module; `lines` are more of its metadata."""
    folder.mkdir(exist_ok=True)
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    told = "\n".join(("Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"{told}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """An address that the site's host can reach and a job cannot, and what is asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


async def test_wheels_of_a_job_lead_pip_to_no_address(tmp_path: Path) -> None:
    """A user of another party would run a program as the site's agent, who holds its keys, and reach its network."""
    evil, ran, wheels, mirror = (tmp_path / each for each in ("evil", "ran", "wheels", "mirror"))
    evil.mkdir()
    (evil / "pyproject.toml").write_text('[build-system]\nrequires=[]\nbuild-backend="b"\nbackend-path=["."]\n')
    (evil / "b.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    a_wheel(mirror, "beside")
    a_wheel(wheels, "runs", f"Requires-Dist: evil @ file://{evil}")
    a_wheel(wheels, "good", "Requires-Dist: beside (>=1.0)")
    with listening() as (address, asked):
        a_wheel(wheels, "asks", f"Requires-Dist:\n evil@{address}/evil.tar.gz")
        (wheels / "page.html").write_text(f'<a href="{address}/linked-1.0-py3-none-any.whl">linked</a>')
        site, said = Mirror(str(mirror), Path(sys.executable)), {}
        for wanted in ("runs", "asks", "linked", "good"):
            said[wanted] = (await site.fetch((wanted,), wheels, tmp_path / "fetched")).decode()

    assert (ran.exists(), asked) == (False, [])
    assert "runs-1.0-py3-none-any.whl is not looked at: it asks for a package at an address" in said["runs"]
    brought = await asyncio.to_thread(lambda: sorted(each.name for each in (tmp_path / "fetched").iterdir()))
    assert brought == ["beside-1.0-py3-none-any.whl", "good-1.0-py3-none-any.whl"]
    assert not (tmp_path / "fetched-fit").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        b"Name: a\nrequires-dist: b @ https://c/d.whl",
        b"Name: a\r\nRequires-Dist: c\r\nRequires-Dist: b[x]\r\n\t@ git+ssh://c/d ; python_version > '3'\r\n",
        b"Name: a\rREQUIRES-DIST:b@file:///etc",
        b"Name: a\n" + b"x" * METADATA_BYTES_MAX,
    ],
)
def test_an_address_is_found_however_it_is_written(metadata: bytes) -> None:
    """pip reads headers leniently: what we overlook, it follows."""
    assert fault_of(metadata)


def test_an_address_of_a_person_is_none(tmp_path: Path) -> None:
    """Nearly every package names its author."""
    assert not fault_of(
        b"Name: a\nAuthor-email: Ann <ann@example.org>\nRequires-Dist: b (>=2)\n\nmail ann@example.org\n"
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("entry", ["METADATA", "./METADATA", "PKG-INFO", ""])
def test_a_wheel_with_two_metadata_is_as_bad_as_the_worse(tmp_path: Path, entry: str) -> None:
    """We would look at one, and pip follow the other."""
    path = a_wheel(tmp_path / "wheels", "twice")
    with zipfile.ZipFile(path, "a") as wheel:
        wheel.writestr(f"twice-1.0.dist-info/{entry}", "Name: twice\nRequires-Dist: evil @ file:///evil\n")

    assert fault_of_wheel(path) == "it asks for a package at an address"
