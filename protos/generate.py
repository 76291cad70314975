"""Generate libs/wire from protos/: typed messages, stubs for grpc.aio, and py.typed markers.

buf compiles (it finds the imports and reports errors well), grpc_tools.protoc writes the Python, because buf cannot
drive the gRPC plugin for Python. Google's own protos are laid out from the installed googleapis-common-protos package;
with the argument `google` that is all that is done, for buf to lint with.
"""

from __future__ import annotations

import importlib.resources
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
WIRE = ROOT / "libs" / "wire"
BUILD = ROOT / "build"
GOOGLE = ["google/rpc/status.proto"]


def main(only_google: bool = False) -> int:
    lay_out_google_protos()
    if only_google:
        return 0
    image = BUILD / "protos.binpb"
    run(["buf", "build", "--as-file-descriptor-set", "-o", f"{image}#format=binpb"])
    shutil.rmtree(WIRE / "suanmesh", ignore_errors=True)
    WIRE.mkdir(parents=True, exist_ok=True)
    everything = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    services = [p for p in everything if p.endswith("_service.proto")]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={image}"]
    run([*protoc, f"--python_out={WIRE}", f"--mypy_out=readable_stubs,quiet:{WIRE}", *everything])
    run([*protoc, f"--grpc_python_out={WIRE}", f"--mypy_grpc_out=readable_stubs,only_async,quiet:{WIRE}", *services])
    (WIRE / "suanmesh" / "py.typed").touch()
    return 0


def lay_out_google_protos() -> None:
    source = importlib.resources.files("google.rpc").joinpath("..")
    for name in GOOGLE:
        target = BUILD / "googleapis" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(str(source)).joinpath("..", name).read_bytes())


def run(command: list[str]) -> None:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(BUILD)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(only_google=sys.argv[1:] == ["google"]))
